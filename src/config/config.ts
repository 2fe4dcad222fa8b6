/**
 * The configuration as a whole: its sections, the rules between them, and its type, which follows from what is declared.
 * A new key is declared in the file of its section under `keys/`; the rooms find its value under the option named there.
 */
import { distinctList, map, required } from './key.ts';
import { clusters, refresh } from './keys/clusters.ts';
import { retain, retainedElsewhere } from './keys/retain.ts';
import {
  admin,
  adminApart,
  cache,
  clients,
  drill,
  forward,
  identity,
  limits,
  listen,
  log,
  state,
  upstreamsElsewhere,
} from './keys/server.ts';
import { zoneOptions, zones, zonesApartFromEndpoints } from './keys/zones.ts';
import { upstream } from './kinds/upstream.ts';
import { into, type OptionsOf } from './options.ts';
import type { OutboundConfig } from './outbound.ts';

export const schema = into(
  map(
    {
      clusters,
      upstreams: required(
        distinctList(upstream(), 1, 16),
        'servers that all other questions are forwarded to',
        ['10.0.0.2'],
        'serving/forwarder',
      ),
      listen,
      clients,
      zones,
      retain,
      refresh,
      forward,
      cache,
      limits,
      identity,
      admin,
      drill,
      state,
      log,
    },
    zonesApartFromEndpoints,
    retainedElsewhere,
    adminApart,
    upstreamsElsewhere,
  ),
  ({ zones, upstreams, ...others }) => ({ ...others, upstreams, zones: zoneOptions(zones, upstreams) }),
);

/** Checked and frozen, with units in the names of its options. */
export type Config = OptionsOf<typeof schema> & {
  /** Settings that come only from the environment. */
  readonly outbound: OutboundConfig;
};
export type ClusterConfig = Config['clusters'][number];
export type ZoneConfig = Config['zones'][number];
