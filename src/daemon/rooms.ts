/** Builds every room from the configuration and connects the rooms; nothing here opens a socket or a file. */
import type { Config } from '../config/config.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import { atOnce } from '../runtime/slices.ts';
import type { ChosenCalls } from '../serving/listener/bound-address.ts';
import { Trend } from '../trend/trend.ts';
import { buildOutageRooms, type OutageRooms } from './outage-rooms.ts';
import type { DaemonParts } from './parts.ts';
import { buildRefreshRooms, type RefreshRooms } from './refresh-rooms.ts';
import { inForceWith, type Routes, routesOf } from './routes.ts';
import { statusText } from './server-report.ts';
import { buildServingRooms, type ServingRooms } from './serving-rooms.ts';
import { buildStoreRooms } from './store-rooms.ts';

export type Rooms = ReturnType<typeof buildRooms>;

export function buildRooms(parts: DaemonParts, calls: ChosenCalls) {
  const inForce = inForceWith(parts.config, atOnce(routesOf(parts.config)));
  const stores = buildStoreRooms(parts, inForce, () => outage.link.isAnyCut);
  // two calls lead back from the rooms that answer to the rooms that refresh; they are made only after all are built
  const pollAgain = (reason: string): void => {
    refresh.plane.kick(reason);
    refresh.retained.kick(reason);
  };
  const statusOf = ({ cluster, region }: EndpointRecord) => {
    const found = refresh.plane.clusterSnapshot(cluster, region);
    return statusText(found, outage.link.current(), parts.clock.monotonicMs());
  };
  const outage: OutageRooms = buildOutageRooms(parts, inForce, stores, pollAgain, () =>
    serving.forwarder.forgetCuts(),
  );
  const around = { calls, inForce, cache: stores.cache, outage, pollAgain, statusText: statusOf };
  const serving: ServingRooms = buildServingRooms(parts, around);
  const refresh: RefreshRooms = buildRefreshRooms(parts, { inForce, stores, outage, serving });
  const trend = new Trend();
  const stateFaults: string[] = [];
  /** For the ledger's last line. */
  const ending = { reason: 'could not start' };
  /** Why there is no control socket. */
  const control: { fault: string | undefined } = { fault: undefined };
  return {
    ...stores,
    ...outage,
    ...serving,
    ...refresh,
    trend,
    /** Makes this the configuration that is asked from now on. */
    use: (next: Config, routes: Routes): void => {
      Object.assign(inForce, inForceWith(next, routes));
    },
    inForce,
    pollAgain,
    stateFaults,
    ending,
    control,
  };
}
