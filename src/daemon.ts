/**
 * The composition root: the rooms are built from the configuration, connected, started, reloaded and stopped.
 * Wiring only; whatever decides something belongs into a room.
 *
 *     state file -> records -> table -> sockets answer -> only then sources look, and the AWS clients are loaded
 */
import { AdminError, type HttpServer, type HttpServerOptions, startHttpServer } from './admin/http-server.ts';
import { createMetrics } from './admin/metrics.ts';
import { createPages } from './admin/pages.ts';
import type { Daemon, DaemonParts } from './daemon/parts.ts';
import { askedRegions } from './daemon/room-options.ts';
import { buildRooms, type Rooms } from './daemon/rooms.ts';
import { RunningDaemon } from './daemon/running-daemon.ts';
import type { Timers } from './runtime/timers.ts';
import { chooseDatagramCalls } from './serving/listener/udp-choice.ts';
import { lockStateDirectory } from './store/single-writer.ts';
import { prepareDirectory } from './store/state-directory.ts';

/** Starts everything. Throws ListenerError or LocalZonesError, with nothing left open, where it cannot serve. */
export async function startDaemon(parts: DaemonParts): Promise<Daemon> {
  await using opened = new AsyncDisposableStack();
  const rooms = buildRooms(parts, await chooseDatagramCalls(parts.config.listen.udp, parts.log));
  const { forwarder, listeners, plane, probe, aws } = rooms;
  opened.defer(() => forwarder.close());
  opened.defer(() => aws.dispose());
  opened.use(await openState(parts, rooms));
  opened.defer(() => listeners.close(CLOSE_GRACE_MS));
  await listeners.start(parts.config.listen.dns);
  const daemon = new RunningDaemon(parts, rooms);
  const { listen } = parts.config.admin;
  const metrics = createMetrics(() => daemon.report(), true);
  const pages = createPages({ report: () => daemon.report(), metrics });
  opened.use(openAdmin({ ...listen, pages, log: parts.log }, parts.timers));
  opened.defer(() => plane.stop());
  opened.defer(() => probe.stop());
  const isHurried = !daemon.report().server.ready; // nothing to serve: somebody may be waiting for the first look
  opened.use(
    parts.timers.after(isHurried ? 0 : FIRST_LOOK_AFTER_MS, () => {
      plane.start();
      probe.watch(askedRegions(parts.config));
    }),
  );
  daemon.owns(opened.move());
  return daemon;
}

const CLOSE_GRACE_MS = 500;
const ADMIN_RETRY_MS = 30_000;

/** DNS does not wait for a port that somebody else has taken: the admin pages come as soon as it is free. */
function openAdmin(options: HttpServerOptions, timers: Timers): AsyncDisposable {
  let server: HttpServer | undefined;
  let retry: Disposable | undefined;
  let isClosed = false;
  const attempt = async (): Promise<void> => {
    try {
      server = await startHttpServer(options);
      if (isClosed) await server.close();
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      options.log.error(
        { code: error.code, reason: error.message },
        'no metrics, health or status: serving all the same',
      );
      if (!isClosed) retry = timers.after(ADMIN_RETRY_MS, () => void attempt());
    }
  };
  const first = attempt();
  return {
    async [Symbol.asyncDispose]() {
      isClosed = true;
      retry?.[Symbol.dispose]();
      await first;
      await server?.close();
    },
  };
}
/** The first look loads the AWS clients, which takes the event loop a third of a second: who asks at the start comes first. */
const FIRST_LOOK_AFTER_MS = 500;

/** Reads the state and publishes it. No fault of the disk keeps us from serving: each is said, in the log and the status. */
async function openState({ config, random, log }: DaemonParts, rooms: Rooms): Promise<AsyncDisposable> {
  await using opened = new AsyncDisposableStack();
  const { store, plane, serving, stateFaults } = rooms;
  const { directory } = config.state;
  const prepared = await prepareDirectory(directory, random);
  if (prepared.kind === 'failed') {
    log.error({ detail: prepared.detail }, 'state cannot be kept: serving all the same');
  } else {
    const outcome = await lockStateDirectory(directory);
    if (outcome.kind === 'locked') opened.use(outcome.lock);
    else log.warn({ detail: outcome.detail }, 'state directory is not locked');
    if (outcome.kind === 'taken') stateFaults.push(outcome.detail);
  }
  const loaded = await store.load();
  stateFaults.push(...loaded.faults.map(({ path, detail }) => `${path}: ${detail}`));
  for (const fault of loaded.faults) log.error({ ...fault }, 'state file not usable');
  plane.load(loaded.kind === 'loaded' ? loaded.records : []);
  const { generation } = store.state();
  log.info({ generation, endpoints: serving.current.records.length }, 'state read');
  // what was confirmed last is written while the directory is still ours
  opened.defer(async () => void (await store.flush()));
  return opened.move();
}
