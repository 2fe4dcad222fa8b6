/** The configuration that runs: rooms that ask for a part of it at the moment of need see the one of the last reload. */
import type { Config } from '../config/config.ts';
import type { UpstreamGroup } from '../serving/forwarder/upstream.ts';
import { defaultGroup, defaultRoutes, upstreamsAcrossLink } from './room-options.ts';

export interface ConfigInForce {
  config: Config;
  group: UpstreamGroup;
  acrossLink: ReadonlySet<string>;
  /** Names of the groups that have the default upstreams, and so are asked about names beyond the link. */
  defaultRoutes: ReadonlySet<string>;
}

export function inForceWith(config: Config): ConfigInForce {
  const group = defaultGroup(config);
  return { config, group, acrossLink: upstreamsAcrossLink(config), defaultRoutes: defaultRoutes(config) };
}
