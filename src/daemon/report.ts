/** Joins the rooms' reports to one list, and their parts of the status to one object. The page, the metrics and the CLI read both. */
import { DRILL_REPORT, drillStatus } from '../drill/drill.ts';
import { LINK_REPORT, linkStatus } from '../link/link-monitor.ts';
import type { LogState } from '../log/pino-log.ts';
import { socketText } from '../protocol/words/address-text.ts';
import { endpointsStatus } from '../refresh/cluster-snapshot.ts';
import { ENDPOINT_REPORT } from '../refresh/endpoint-report.ts';
import { OUTPOST_REPORT, outpostsStatus } from '../refresh/outpost-watch.ts';
import { RETAINED_REPORT, retainedStatus } from '../refresh/retained/retained-report.ts';
import { type RoomReport, seconds } from '../report/report.ts';
import { backgroundFailures, threadsNotEnded } from '../runtime/background.ts';
import type { Steps } from '../runtime/slices.ts';
import { CACHE_REPORT } from '../serving/answer-cache/cache-report.ts';
import { differenceText, FORWARDER_REPORT, forwarderStatus } from '../serving/forwarder/forwarder-report.ts';
import { QUERIES_REPORT, queriesStatus } from '../serving/listener/queries-report.ts';
import { STORE_REPORT, storeStatus } from '../store/store-report.ts';
import { TREND_REPORT, trendStatus } from '../trend/trend.ts';
import type { DaemonParts } from './parts.ts';
import type { Rooms } from './rooms.ts';
import { notReady, SERVER_REPORT } from './server-report.ts';

/** In the order in which a person reads them. A room that is not in this list is not seen. */
export const ROOM_REPORTS = [
  SERVER_REPORT,
  DRILL_REPORT,
  LINK_REPORT,
  OUTPOST_REPORT,
  ENDPOINT_REPORT,
  FORWARDER_REPORT,
  RETAINED_REPORT,
  TREND_REPORT,
  QUERIES_REPORT,
  CACHE_REPORT,
  STORE_REPORT,
] as const;

type All<Reports> = Reports extends readonly [RoomReport<infer Status>, ...infer Rest]
  ? Status & All<Rest>
  : unknown;

/** The JSON of `/status`. Ages are seconds; an absent age means never. */
export type StatusReport = All<typeof ROOM_REPORTS>;

export interface Running {
  readonly startedMs: number;
  readonly loadedMs: number;
  readonly lastReloadFailed: boolean;
}

const NOTHING_DROPPED: LogState = { dropped: { failed: 0, full: 0 } };

/** In steps, because it grows with the configuration. */
export function* composeStatus(parts: DaemonParts, rooms: Rooms, running: Running): Steps<StatusReport> {
  const { clock, version, runtime } = parts;
  const { plane, retained, forwarder, cache, intake, resolver, stateFaults, control } = rooms;
  const refresh = yield* plane.snapshotting();
  const names = yield* retained.snapshotting();
  yield;
  const log = parts.logState?.() ?? NOTHING_DROPPED;
  const nowMs = clock.monotonicMs();
  const reasons = notReady(refresh.clusters, rooms.serving.current.records);
  const uptimeSeconds = seconds(nowMs - running.startedMs);
  const forwarding = yield* forwarderStatus(yield* forwarder.snapshotting());
  const warningsOf = (name: string) =>
    forwarding.forwarding.differences.filter((one) => one.name === name).map(differenceText);
  const endpoints = yield* endpointsStatus(refresh.clusters, warningsOf);
  const trend = trendStatus(rooms.trend, clock.wallMs());
  yield;
  return {
    server: {
      version,
      runtime,
      startedAt: new Date(clock.wallMs() - uptimeSeconds * 1000).toISOString(),
      uptimeSeconds,
      ready: reasons.length === 0,
      notReady: reasons,
      listening: rooms.listeners.addresses.map((one) => ({
        address: socketText(one),
        udp: one.udp,
      })),
      configuration: {
        ageSeconds: seconds(nowMs - running.loadedMs),
        lastReloadFailed: running.lastReloadFailed,
      },
    },
    process: {
      log: { dropped: { ...log.dropped }, failure: log.failure },
      backgroundFailures: backgroundFailures(),
      threadsNotEnded: threadsNotEnded(),
    },
    ...drillStatus(rooms.drill),
    ...linkStatus(rooms.link.current(), nowMs),
    ...outpostsStatus(rooms.outposts.snapshot(), nowMs),
    ...endpoints,
    ...forwarding,
    ...retainedStatus(names),
    ...trend,
    ...queriesStatus(intake, resolver.counters, nowMs),
    cache: { ...cache.stats(), limitOctets: cache.settings.sizeOctets },
    ...storeStatus(
      {
        directory: parts.config.state.directory,
        faults: [
          ...stateFaults.filter(({ untilMs }) => nowMs < untilMs).map(({ text }) => text),
          ...(control.fault === undefined ? [] : [control.fault]),
        ],
        claim: rooms.lock.latest,
        hangsForMs: rooms.disk.hangsForMs,
        endpoints: rooms.store.state(),
        retained: rooms.retainedStore.state(),
        answers: rooms.answers.state(),
        ledger: rooms.ledger.state(),
      },
      nowMs,
    ),
  };
}
