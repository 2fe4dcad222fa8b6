/** The configuration that runs: rooms that ask for a part of it at the moment of need see the one of the last reload. */
import type { Config } from '../config/config.ts';
import type { UpstreamGroup } from '../serving/forwarder/upstream.ts';
import { defaultGroup, upstreamsAcrossLink } from './room-options.ts';

export interface ConfigInForce {
  config: Config;
  group: UpstreamGroup;
  acrossLink: ReadonlySet<string>;
}

export function inForceWith(config: Config): ConfigInForce {
  return { config, group: defaultGroup(config), acrossLink: upstreamsAcrossLink(config) };
}
