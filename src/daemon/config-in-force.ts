/** The configuration that runs: rooms that ask for a part of it at the moment of need see the one of the last reload. */
import type { Config } from '../config/config.ts';
import type { UpstreamGroup } from '../serving/forwarder/upstream.ts';
import { defaultGroup, type Routes } from './routes.ts';

export interface ConfigInForce {
  config: Config;
  group: UpstreamGroup;
  routes: Routes;
}

export function inForceWith(config: Config, routes: Routes): ConfigInForce {
  return { config, group: defaultGroup(config), routes };
}
