/** Builds every room from the configuration and connects the rooms; nothing here opens a socket or a file. */
import type { Config } from '../config/config.ts';
import { Drill } from '../drill/drill.ts';
import { LinkMonitor } from '../link/link-monitor.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import { Spacing } from '../runtime/clock.ts';
import { atOnce } from '../runtime/slices.ts';
import { AnswerCache } from '../serving/answer-cache/answer-cache.ts';
import type { ChosenCalls } from '../serving/listener/bound-address.ts';
import { failsWhileDisconnected } from '../serving/local-zones/disconnected-rules.ts';
import { AnswersSnapshot, SNAPSHOT_FILE } from '../store/answers-snapshot.ts';
import { ENDPOINTS } from '../store/endpoints-format.ts';
import { StateDisk, systemFiles } from '../store/file-system.ts';
import { Ledger } from '../store/ledger.ts';
import { RETAINED } from '../store/retained-format.ts';
import { DirectoryLock, FileBackend, guardedFiles, type LoadFault } from '../store/state-backend.ts';
import { StateStore } from '../store/state-store.ts';
import { STORE_MESSAGES } from '../store/store-messages.ts';
import { TREND_FILE, Trend } from '../trend/trend.ts';
import { LinkChronicle, linkEvent, setAsideEvent } from './ledger-events.ts';
import type { DaemonParts } from './parts.ts';
import { buildRefreshRooms, type RefreshRooms } from './refresh-rooms.ts';
import { type ConfigInForce, disconnectedRules, inForceWith, type Routes, routesOf } from './routes.ts';
import { statusStrings } from './server-report.ts';
import { buildServingRooms, type ServingRooms } from './serving-rooms.ts';

export type Rooms = ReturnType<typeof buildRooms>;

/** For one reason: a link or an upstream that comes and goes every few seconds must not have AWS asked each time. */
const POLLS_AGAIN = { atOnce: 3, everyMs: 60_000 };

export function buildRooms(parts: DaemonParts, calls: ChosenCalls) {
  const inForce = inForceWith(parts.config, atOnce(routesOf(parts.config)));
  // two calls lead back from the rooms that answer to the rooms that refresh; they are made only after all are built
  const polls = new Spacing<string>({
    clock: parts.clock,
    timers: parts.timers,
    ...POLLS_AGAIN,
    pass: (reason) => {
      refresh.plane.kick(reason);
      refresh.retained.kick(reason);
    },
  });
  const pollAgain = (reason: string): void => {
    // failures of the time before say nothing any more, and would leave stale answers for half a minute
    stores.cache.forgetFailures(parts.clock.monotonicMs(), 0);
    polls.note(reason, reason);
  };
  const statusOf = ({ cluster, region }: EndpointRecord) => {
    const found = refresh.plane.clusterSnapshot(cluster, region);
    return statusStrings(found, outage.link.current(), parts.clock.monotonicMs());
  };
  const outage = buildOutageRooms(parts, inForce, {
    stores: () => stores,
    pollAgain,
    onLinkBack: () => serving.forwarder.forgetCuts(),
  });
  const stores: Stores = buildStores(parts, inForce, outage.link);
  const around = { calls, inForce, cache: stores.cache, outage, pollAgain, statusStrings: statusOf };
  const serving: ServingRooms = buildServingRooms(parts, around);
  const refresh: RefreshRooms = buildRefreshRooms(parts, { inForce, stores, outage, serving });
  const trend = new Trend();
  const stateFaults: { readonly text: string; readonly untilMs: number }[] = [];
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
    polls,
    stateFaults,
    ending,
    control,
  };
}

type Stores = ReturnType<typeof buildStores>;

/** A store for each kind of state, and the answer cache, which a store saves. */
function buildStores(
  { config, keptConfig, clock, timers, random, log, pause, files: allFiles = systemFiles }: DaemonParts,
  inForce: ConfigInForce,
  { cuts }: LinkMonitor,
) {
  const { directory } = config.state;
  const cache = new AnswerCache(config.cache, cuts);
  const disk = new StateDisk(allFiles, { directory, clock, timers, log });
  const lock = new DirectoryLock(directory, disk, () => STORE_MESSAGES.directoryReplaced(log, { directory }));
  const files = guardedFiles(disk.files, lock);
  const ledger = new Ledger({ directory }, { clock, timers, log, files });
  const onSetAside = (fault: LoadFault) => ledger.record(setAsideEvent(fault));
  const spare = {
    names: [...(keptConfig === undefined ? [] : [keptConfig.name]), TREND_FILE, SNAPSHOT_FILE],
    onRemoved: (file: string) => STORE_MESSAGES.roomMade(log, { file }),
  };
  const backend = new FileBackend(directory, { random, files, lock, spare });
  const store = new StateStore(ENDPOINTS, backend, { clock, timers, log, pause, onSetAside });
  const retainedStore = new StateStore(RETAINED, backend, { clock, timers, log, pause, onSetAside });
  const answers = new AnswersSnapshot(
    { directory, sizeOctets: cache.settings.sizeOctets, scope: inForce.routes.scope },
    { cache, clock, timers, random, log, pause, onSetAside, files },
  );
  return { cache, disk, lock, files, ledger, store, retainedStore, answers };
}

interface LinkReactions {
  /** Those that note an outage: built after the rooms that see one. */
  readonly stores: () => Pick<Stores, 'ledger' | 'answers'>;
  /** Asks every source and upstream that may be reachable again, also for the next clients. */
  readonly pollAgain: (reason: string) => void;
  /** AWS can be reached again. */
  readonly onLinkBack: () => void;
}

/** The rooms that know of an outage, real or rehearsed: the link, its chronicle, the drill. */
function buildOutageRooms(
  { clock, timers, log }: DaemonParts,
  inForce: ConfigInForce,
  { stores, pollAgain, onLinkBack }: LinkReactions,
) {
  const chronicle = new LinkChronicle({
    clock,
    timers,
    record: (place, change, agoMs) => stores().ledger.record(linkEvent(place, change), agoMs),
  });
  const link = new LinkMonitor({
    clock,
    timers,
    log,
    onRestored: ({ side }) => {
      if (side === 'aws') onLinkBack();
      pollAgain(`${side} reachable again`);
    },
    onTransition: (transition) => {
      chronicle.note(transition);
      if (transition.to === 'disconnected') stores().answers.noteCut();
    },
    isRehearsed: (side, key) => side === 'aws' || inForce.routes.acrossLink.has(key),
  });
  const drill = new Drill({
    clock,
    timers,
    log,
    byPolicy: (names) =>
      atOnce(failsWhileDisconnected(disconnectedRules(inForce.config, inForce.routes), names)),
    retained: () => inForce.config.retain,
    onChange: (change) => {
      stores().ledger.record({ kind: 'drill', ...change });
      link.rehearse(change.phase === 'started');
      if (change.phase === 'started' || change.by === 'shutdown') return;
      onLinkBack();
      pollAgain('drill is over');
    },
  });
  return { chronicle, link, drill };
}
