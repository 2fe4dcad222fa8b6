/** The commands of the control socket, each with the rooms that do it. */

import type { ControlRoute } from '../admin/control-route.ts';
import { asIfCutRoutes, drillRoutes } from '../admin/drill-control.ts';
import { explainRoutes } from '../admin/explain-control.ts';
import { type FlushControl, flushRoutes } from '../admin/flush-control.ts';
import { type PinControl, type PinReport, pinRoutes } from '../admin/pin-control.ts';
import { typeFromText } from '../protocol/words/codes.ts';
import { isAtOrUnder, normalizeName } from '../protocol/words/name.ts';
import type { Pin } from '../records/endpoint-record.ts';
import { pinStatus } from '../refresh/endpoint-status.ts';
import { refusalsBy } from '../refresh/reconcile/guard.ts';
import { CLUSTERS_PER_TURN } from '../refresh/refresh-plane.ts';
import { inSlices } from '../runtime/slices.ts';
import { asIfCut } from './as-if-cut.ts';
import { explainName } from './explain.ts';
import type { DaemonParts } from './parts.ts';
import type { Rooms } from './rooms.ts';
import { notReady } from './server-report.ts';

export function controlRoutes(
  parts: Pick<DaemonParts, 'pause' | 'clock'>,
  rooms: Rooms,
): readonly ControlRoute[] {
  return [
    ...drillRoutes(rooms.drill, () => notReadyNow(parts, rooms)),
    ...pinRoutes(pinControl(rooms)),
    ...flushRoutes(flushControl(parts, rooms)),
    ...asIfCutRoutes(() => rehearseCut(parts, rooms)),
    ...explainRoutes({
      normalName,
      typeOf: typeFromText,
      explain: (name, qtype) => explainName(rooms, name, qtype),
    }),
  ];
}

async function notReadyNow({ pause }: Pick<DaemonParts, 'pause'>, { plane, serving }: Rooms) {
  const { clusters } = await inSlices(plane.snapshotting(), pause, CLUSTERS_PER_TURN);
  return notReady(clusters, serving.current.records);
}

/** A rehearsal takes some tens of microseconds. */
const REHEARSALS_PER_TURN = 10;

/** For `check --as-if-cut`, and for the page. */
export function rehearseCut({ pause, clock }: Pick<DaemonParts, 'pause' | 'clock'>, rooms: Rooms) {
  return inSlices(asIfCut(rooms, clock), pause, REHEARSALS_PER_TURN);
}

function pinControl({ plane, store }: Rooms): PinControl {
  /** Waits for the clients' answer first, and then for the disk. */
  const repin = async (
    { cluster, region }: { readonly cluster: string; readonly region?: string | undefined },
    pin: (Pick<Pin, 'addresses' | 'why' | 'by'> & { readonly forMs: number }) | undefined,
  ): Promise<PinReport> => {
    const place = { cluster, ...(region === undefined ? {} : { region }) };
    await plane.repin({ name: cluster, ...place }, pin);
    const saved = await store.flush();
    const snapshot = plane.clusterSnapshot(cluster, region);
    const status = pinStatus(snapshot?.pin);
    return {
      ...place,
      endpoint: snapshot?.endpoint,
      served: snapshot?.addresses.map(({ address }) => address) ?? [],
      pin: status,
      isSaved: saved.kind !== 'failed',
      ...(saved.kind === 'failed' ? { saveFailure: saved.detail } : {}),
    };
  };
  return {
    clusters: () => plane.clusters,
    refusalOf: (address, allowedAddresses) => refusalsBy(allowedAddresses)(address),
    pin: (command) => repin(command, command),
    unpin: (command) => repin(command, undefined),
  };
}

/** Names in one turn of the event loop, as in a reload. */
function flushControl({ pause }: Pick<DaemonParts, 'pause'>, rooms: Rooms): FlushControl {
  const { cache, answers, retained, serving, ledger } = rooms;
  return {
    normalName,
    async flush({ name, below, by }) {
      const isWanted = (other: string) => other === name || (below && isAtOrUnder(other, name));
      let count = await inSlices(cache.flushing(isWanted), pause);
      // at the start the snapshot is still being loaded, and with it the answers
      await answers.start();
      count += await inSlices(cache.flushing(isWanted), pause);
      const written = await answers.write();
      ledger.record({ kind: 'flush', name, below, answers: count, flushedBy: by });
      return {
        name,
        below,
        answers: count,
        retained: retained.askAgain(isWanted),
        endpoints: serving.current.records.flatMap(({ endpoint }) =>
          endpoint !== undefined && isWanted(endpoint) ? [endpoint] : [],
        ),
        isSaved: written.kind === 'written',
        ...(written.kind === 'failed' ? { saveFailure: written.detail } : {}),
      };
    },
  };
}

function normalName(text: string): string | undefined {
  try {
    return text === '' ? undefined : normalizeName(text);
  } catch {
    return undefined;
  }
}
