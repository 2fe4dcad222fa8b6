/**
 * The composition root: builds the rooms from the configuration, and connects, starts, reloads and stops them. This file only
 * wires; every decision belongs in a room.
 *
 *     endpoints.json -> records -> table -> sockets answer -> only then sources are polled, and the far side is started
 *                                                     `-> retained.json, answers.snapshot, in pieces between queries
 */
import type { HttpServerOptions, Pages } from './admin/http-server.ts';
import { setAsideEvent } from './daemon/ledger-events.ts';
import type { DaemonParts } from './daemon/parts.ts';
import { askedRegions } from './daemon/refresh-rooms.ts';
import { buildRooms, type Rooms } from './daemon/rooms.ts';
import { Daemon, writeForNextStart } from './daemon/running-daemon.ts';
import { DAEMON_MESSAGES, notReady } from './daemon/server-report.ts';
import { watchTrend } from './daemon/trend-watch.ts';
import type { Log } from './log/log.ts';
import { isSix, isWildcard } from './protocol/words/address-text.ts';
import type { EndpointRecord } from './records/endpoint-record.ts';
import { inBackground } from './runtime/background.ts';
import { endsWithin, type Timers } from './runtime/clock.ts';
import type { OpenSocket } from './runtime/datagrams.ts';
import { HTTP_NEEDS, loadInTurns, loadNeeds, SOCKET_NEEDS } from './runtime/memory.ts';
import { chooseDatagramCalls } from './serving/listener/bound-address.ts';
import { ListenerError } from './serving/listener/listen-address.ts';
import { listenInC } from './serving/listener/tcp.ts';
import { LocalZonesError } from './serving/local-zones/own-zones.ts';
import { type LoadFault, prepareDirectory } from './store/state-backend.ts';

/** Starts everything. Throws ListenerError or LocalZonesError, with nothing left open, where it cannot serve. */
export async function startDaemon(parts: DaemonParts): Promise<Daemon> {
  await using opened = new AsyncDisposableStack();
  const calls = await chooseDatagramCalls(parts.config.listen.udp, parts.log);
  const rooms = buildRooms(parts, calls);
  const {
    forwarder,
    listeners,
    serving,
    plane,
    retained,
    probe,
    farSide,
    memory,
    drill,
    chronicle,
    outposts,
    withheld,
  } = rooms;
  opened.defer(() => forwarder.close());
  opened.use(farSide);
  // after everything is saved: until then queries are answered, and from then on they wait for the next process
  opened.defer(() => listeners.close(CLOSE_GRACE_MS));
  opened.use(await openState(parts, rooms));
  const daemon = new Daemon(parts, rooms);
  await listeners.start(parts.config.listen.dns);
  parts.onAnswering?.();
  daemon.noteRefusedStart();
  inBackground('other', () => daemon.warnOfOwnUpstreams(rooms.inForce.routes));
  // from here on queries come before everything else; first what makes most of them cheap
  await parts.pause();
  opened.use(loadAnswers(parts, rooms));
  await parts.pause();
  inBackground('other', () => loadNeeds(parts.pause, forwarder.needsOf(rooms.inForce.routes.groups)));
  await parts.pause();
  inBackground('other', async () => parts.loadLog?.());
  await parts.pause();
  await loadNeeds(parts.pause, SOCKET_NEEDS);
  opened.use(memory);
  // most of the program was needed to load only: what loads now would make the most that the process ever has
  const isMemoryOpen = inBackground('other', () => memory.start());
  // nothing to serve: a person may be waiting for the first poll
  const isHurried = notReady(plane.snapshot().clusters, serving.current.records).length > 0;
  await parts.pause();
  const isRetainedLoaded = inBackground('retained', () => loadRetained(parts, rooms));
  await parts.pause();
  const trend = opened.use(watchTrend(parts, rooms));
  inBackground('state', () => trend.start());
  opened.use(chronicle);
  opened.use(rooms.link);
  opened.use(rooms.polls);
  opened.use(withheld);
  opened.use(drill);
  await parts.pause();
  const { clock, timers, pause, log } = parts;
  // a stop takes its steps in several turns: its code is new
  opened.defer(pause);
  opened.use(openControl(parts, rooms));
  await pause();
  const isAllowed = (address: string) => daemon.mayRead(address);
  const isHost = (name: string) => daemon.isHost(name);
  let made: Pages | undefined;
  // by the first request, because a start does not need them; an upgrade replaces files, and one of them may be missing for
  // a moment: the next request imports them again
  const pages = async (): Promise<Pages> => {
    const { pagesOf } = await importPages(parts);
    made ??= pagesOf(parts, rooms, daemon);
    return made;
  };
  const openSocket = (address: string, port: number): OpenSocket | undefined =>
    // a wildcard of IPv6 serves IPv4 too where Node opens it
    calls.libc === undefined || (isSix(address) && isWildcard(address))
      ? undefined
      : listenInC(calls.libc, { address, port }, HTTP_BACKLOG);
  const http = { ...parts.config.admin.listen, openSocket, pages, clock, pause, log, isAllowed, isHost };
  opened.defer(pause);
  opened.use(openAdmin(http, parts));
  opened.defer(pause);
  opened.defer(() => plane.stop());
  opened.defer(() => retained.stop());
  opened.defer(() => probe.stop());
  opened.defer(() => outposts.stop());
  probe.watch(askedRegions(parts.config)); // its first request is seconds away; a reload may name other Regions before
  opened.use(
    parts.timers.after(isHurried ? 0 : FIRST_POLL_AFTER_MS, () => {
      plane.start();
      outposts.start();
      // the first answers are better compared with those that were kept; the store keeps both in any case
      inBackground('retained', async () => {
        await endsWithin(parts.timers, isRetainedLoaded, STATE_WAIT_MS);
        retained.start();
      });
    }),
  );
  const keep = async () => {
    const keeping = inBackground('other', () => keepConfig(daemon, parts, rooms));
    await endsWithin(timers, keeping, STATE_WAIT_MS);
    await isMemoryOpen;
    await pause();
    memory.dropProgram();
  };
  opened.use(timers.after(KEEP_AFTER_MS, keep));
  const rest = async () => {
    memory.dropProgram(); // a thread with the AWS clients may be there, too
    await inBackground('admin', () => loadRest(parts, pages));
    memory.all();
  };
  opened.use(parts.timers.after(REST_AFTER_MS, rest));
  daemon.owns(opened.move());
  return daemon;
}

const CLOSE_GRACE_MS = 500;
/**
 * The first queries after a start are slow, because their code is new. What loads modules waits a moment, each for itself, so
 * that it does not come on top.
 */
const CONTROL_AFTER_MS = 250;
const ADMIN_AFTER_MS = 350;
const KEEP_AFTER_MS = 400;
/** The first poll starts the far-side thread, which takes a processor a third of a second: queries at the start come first. */
const FIRST_POLL_AFTER_MS = 500;

/** Node's own. */
const HTTP_BACKLOG = 511;

/** A start does not need the rest; a server that has run for weeks must not need files that an upgrade has replaced meanwhile. */
const REST_AFTER_MS = 5_000;

/**
 * The code of the pages, the metrics and the commands. Each is imported by the function that needs it later: Node looks for
 * the file again when a different module imports it.
 */
async function loadRest(parts: DaemonParts, pages: () => Promise<Pages>): Promise<void> {
  await parts.pause(); // the caller has taken the program's pages from memory in this turn
  await pages();
  const { importMetrics } = await importPages(parts);
  await importMetrics(parts.pause);
  await importCommands(parts);
}

const importPages = ({ pause }: DaemonParts) => loadInTurns(pause, () => import('./daemon/pages.ts'));
const importCommands = ({ pause }: DaemonParts) =>
  loadInTurns(pause, () => import('./daemon/control-commands.ts'));

/** Once the start is over: what the next start needs where its file is refused, and what makes it faster. */
async function keepConfig(daemon: Daemon, parts: DaemonParts, rooms: Rooms): Promise<void> {
  const { keptConfig, pause } = parts;
  await daemon.keepAccepted();
  const octets = await keptConfig?.compose(pause);
  if (keptConfig && octets) await writeForNextStart(parts, rooms, keptConfig.name, octets);
}

/** The file may be large, and the endpoints' first answer must not wait for it. */
async function loadRetained(parts: DaemonParts, rooms: Rooms): Promise<void> {
  const { retainedStore, retained } = rooms;
  const kept = await retainedStore.load();
  noteFaults(kept.faults, parts, rooms);
  await retained.load(kept.kind === 'loaded' ? kept.content : []);
}

/** What was unusable at the start has been set aside and written again; later only the ledger has it. */
const FAULT_SHOWN_MS = 86_400_000;

function noteFaults(faults: readonly LoadFault[], parts: DaemonParts, rooms: Rooms): void {
  for (const fault of faults) {
    DAEMON_MESSAGES.stateUnusable(parts.log, { ...fault });
    noteFault(fault, parts, rooms);
  }
}

function noteFault(fault: LoadFault, { clock }: DaemonParts, { ledger, stateFaults }: Rooms): void {
  const text = `${fault.path}: ${fault.detail}`;
  stateFaults.push({ text, untilMs: clock.monotonicMs() + FAULT_SHOWN_MS });
  ledger.record(setAsideEvent(fault));
}

/** Answers of before the restart come in while queries are answered. */
function loadAnswers(parts: DaemonParts, rooms: Rooms): AsyncDisposable {
  const { answers } = rooms;
  inBackground('answers', async () => {
    const { fault } = await answers.start();
    if (fault !== undefined) noteFault(fault, parts, rooms);
  });
  return { [Symbol.asyncDispose]: () => answers.stop() };
}

/** DNS does not wait for a port that another process has taken: the admin pages come as soon as it is free. */
function openAdmin(options: HttpServerOptions, { timers, pause }: DaemonParts): AsyncDisposable {
  return openLater(
    async () => {
      const load = () => import('./admin/http-server.ts');
      const { AdminError, startHttpServer } = await loadInTurns(pause, load, HTTP_NEEDS);
      try {
        return await startHttpServer(options);
      } catch (error) {
        if (!(error instanceof AdminError)) throw error;
        DAEMON_MESSAGES.noPages(options.log, { code: error.code, reason: error.message });
        return undefined;
      }
    },
    timers,
    ADMIN_AFTER_MS,
  );
}

/** Without commands it serves all the same. */
function openControl(parts: DaemonParts, rooms: Rooms): AsyncDisposable {
  const { config, timers, pause, log } = parts;
  const { control } = rooms;
  return openLater(
    async () => {
      const load = () => import('./admin/control-server.ts');
      const { controlPath, startControlServer } = await loadInTurns(pause, load, HTTP_NEEDS);
      const path = controlPath(config.state.directory);
      const routes = async () => {
        const { controlRoutes } = await importCommands(parts);
        return controlRoutes(parts, rooms);
      };
      const outcome = await startControlServer({ path, routes, timers, log });
      const before = control.fault;
      control.fault = outcome.kind === 'listening' ? undefined : outcome.detail;
      if (outcome.kind === 'listening') return outcome.server;
      const { detail, fix } = outcome;
      if (before !== detail) DAEMON_MESSAGES.noCommands(log, { detail, fix });
      return undefined;
    },
    timers,
    CONTROL_AFTER_MS,
  );
}

/** Longer than a healthy disk takes to give the state: no query is answered before. */
const STATE_WAIT_MS = 2_000;

/**
 * Reads the state and publishes it. No fault of the disk keeps us from serving: each is said, in the log and the status. What a
 * disk does not give in time is published when it comes.
 */
async function openState(parts: DaemonParts, rooms: Rooms): Promise<AsyncDisposable> {
  const { log, timers } = parts;
  await using opened = new AsyncDisposableStack();
  const { store, retainedStore, plane, ledger, lock } = rooms;
  opened.use(lock);
  // while the directory is still ours, and after everything else that is worth a line
  opened.defer(() => {
    ledger.record({ kind: 'stop', reason: rooms.ending.reason });
    return ledger.close();
  });
  let read: KeptRecords | undefined;
  const reading = readRecords(parts, rooms).then((found) => {
    read = found;
    return found;
  });
  // a machine that stood still runs timers before it takes what the disk has given
  if (!(await endsWithin(timers, reading, STATE_WAIT_MS))) await parts.pause();
  const inTime = read; // what comes from here on is late
  const { records = [], faults = [] } = inTime ?? {};
  ledger.record({
    kind: 'start',
    version: parts.version,
    runtime: parts.runtime,
    endpoints: answeredBy(records),
  });
  noteFaults(faults, parts, rooms);
  await plane.load(records);
  if (inTime === undefined) inBackground('state', () => takeLateState(reading, parts, rooms));
  else noteRead(inTime, log, rooms);
  // the last confirmations are written before the end
  opened.defer(() => store.stop());
  opened.defer(() => retainedStore.stop());
  return opened.move();
}

interface KeptRecords {
  readonly records: readonly EndpointRecord[];
  readonly faults: readonly LoadFault[];
}

async function readRecords(parts: DaemonParts, rooms: Rooms): Promise<KeptRecords> {
  const { config, random, log } = parts;
  const { store, lock, files } = rooms;
  const { directory } = config.state;
  const prepared = await prepareDirectory(directory, random, files);
  if (lock.latest?.kind === 'taken') {
    DAEMON_MESSAGES.stateTaken(log, { detail: lock.latest.detail });
  } else if (prepared.kind === 'failed') {
    DAEMON_MESSAGES.stateNotKept(log, { detail: prepared.detail });
  } else if (lock.latest?.doubt !== undefined) {
    DAEMON_MESSAGES.stateNotLocked(log, { detail: lock.latest.doubt });
  }
  const loaded = await store.load();
  return { records: loaded.kind === 'loaded' ? loaded.content : [], faults: loaded.faults };
}

async function takeLateState(reading: Promise<KeptRecords>, parts: DaemonParts, rooms: Rooms): Promise<void> {
  const { config, log } = parts;
  const { directory } = config.state;
  const text = `the disk of "${directory}" does not answer: what was kept is not known yet`;
  const fault = { text, untilMs: Number.POSITIVE_INFINITY };
  rooms.stateFaults.push(fault);
  DAEMON_MESSAGES.stateLate(log, { directory });
  const kept = await reading;
  rooms.stateFaults.splice(rooms.stateFaults.indexOf(fault), 1);
  noteFaults(kept.faults, parts, rooms);
  await rooms.plane.takeLate(kept.records);
  noteRead(kept, log, rooms);
}

function noteRead({ records }: KeptRecords, log: Log, { store }: Rooms): void {
  DAEMON_MESSAGES.stateRead(log, { generation: store.state().generation, endpoints: answeredBy(records) });
}

function answeredBy(records: readonly EndpointRecord[]): number {
  return records.filter(({ addresses }) => addresses.length > 0).length;
}

export function isStartRefusal(error: unknown): error is Error {
  return error instanceof ListenerError || error instanceof LocalZonesError;
}

export interface Closable {
  close(): Promise<void>;
  /** Whether no client finds it any more, so that it has to be opened again. */
  isLost?(): Promise<boolean>;
}

const RETRY_MS = 30_000;

/**
 * Opens after `afterMs`. `attempt` resolves to `undefined` where it could not be opened, having said why. What is lost later is
 * opened again. Disposing closes it, or ends the asking.
 */
export function openLater(
  attempt: () => Promise<Closable | undefined>,
  timers: Timers,
  afterMs = 0,
): AsyncDisposable {
  let opened: Closable | undefined;
  let retry: Disposable | undefined;
  let isClosed = false;
  const open = async (): Promise<void> => {
    await inBackground('admin', async () => {
      if ((await opened?.isLost?.()) === true) await closeLost();
      opened ??= await attempt();
    });
    const mayBeLost = opened?.isLost !== undefined;
    if ((opened === undefined || mayBeLost) && !isClosed) retry = timers.after(RETRY_MS, again);
  };
  let opening = afterMs === 0 ? open() : Promise.resolve();
  if (afterMs > 0) retry = timers.after(afterMs, again);
  async function closeLost(): Promise<void> {
    const lost = opened;
    opened = undefined;
    await lost?.close();
  }
  function again(): void {
    opening = open();
  }
  return {
    async [Symbol.asyncDispose]() {
      isClosed = true;
      retry?.[Symbol.dispose]();
      await opening;
      await opened?.close();
    },
  };
}
