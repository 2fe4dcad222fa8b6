/** `outpost-dns serve`: runs the server until a signal ends it; SIGHUP reloads. */
import { hostname, networkInterfaces } from 'node:os';
import { inspect } from 'node:util';
import type { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import type { DaemonParts } from '../daemon/parts.ts';
import type { Daemon } from '../daemon/running-daemon.ts';
import { isStartRefusal, startDaemon } from '../daemon.ts';
import { type Log, messages } from '../log/log.ts';
import { createProcessLog, type ProcessLog } from '../log/pino-log.ts';
import {
  appendToOutput,
  inBackground,
  logBackgroundFailures,
  noteFailure,
  threadsEnded,
  threadsNotEnded,
} from '../runtime/background.ts';
import { systemClock, systemTimers, watchSuspends } from '../runtime/clock.ts';
import { loadInTurns, openOwnMemory, setWorkFlags } from '../runtime/memory.ts';
import { systemRandom } from '../runtime/random.ts';
import {
  connectServiceManager,
  type HandedSockets,
  notifySocketOf,
  openOutlivingFile,
  type ServiceManager,
  takeHandedSockets,
} from '../runtime/service-manager.ts';
import {
  catchSignals,
  directExit,
  type EndSignal,
  ignoreUncaught,
  type Signals,
} from '../runtime/signals.ts';
import { systemPause } from '../runtime/slices.ts';
import { ACCEPTED_CONFIG, encodeAcceptedConfig } from './accepted-config.ts';
import { CHECKED_CONFIG, programIdentity } from './checked-config.ts';
import { configReader, readConfigForStart, readOtherAccepted } from './config-file.ts';
import { startWatchdog } from './own-health.ts';
import { DEFAULT_CONFIG_FILE, EXIT, type ExitCode, OPTION, type Run } from './subcommand.ts';

/** The log lines of the process around the server. */
export const SERVE_MESSAGES = messages({
  stopping: { level: 'info', text: 'stopping', fields: { signal: 'the signal' } },
  stopped: { level: 'info', text: 'stopped' },
  signalIgnored: {
    level: 'warn',
    text: 'a signal without a meaning here is ignored',
    fields: { signal: 'the signal' },
    fix: 'reload with SIGHUP, end with SIGTERM; figures are on `/metrics`, and the service manager keeps the log',
  },
  threadsHang: {
    level: 'warn',
    text: 'threads hang in the operating system: the process ends without them',
    fields: { threads: 'threads that have not ended' },
    fix: 'look for a hanging file system (NFS) or device. Nothing is lost: everything was saved before',
  },
  stopHangs: {
    level: 'error',
    text: 'the stop hangs: the process ends without the rest of it',
    fields: { seconds: 'how long it has lasted' },
    fix: 'look for a hanging file system under `state.directory`. What was saved before the stop is whole',
  },
  runtimeWarns: {
    level: 'warn',
    text: 'the runtime warns',
    fields: { warning: 'its words', name: 'the kind of warning' },
    fix: 'report the line if it comes again',
  },
});

export function define(command: Command, { ended, signals }: Run): void {
  command
    .option(...OPTION.config)
    .action(async (options: { readonly config?: string }) =>
      ended(await serve(options.config, signals ?? catchSignals())),
    );
}

/** Runs until a signal ends it. */
export async function serve(file: string | undefined, signals: Signals): Promise<ExitCode> {
  process.stderr.on('error', () => undefined); // the server runs on without a standard error
  keepOwnFilesReadable();
  const { version } = packageJson;
  const read = await readConfigForStart(file, programIdentity(import.meta.url, version));
  if (read === undefined) {
    await refusalPause();
    return EXIT.usage;
  }
  const { config, composeKept, octets, refusal } = read;
  const processLog = createProcessLog(config.log, (load, needs) => loadInTurns(systemPause, load, needs));
  const { log } = processLog;
  const reader = configReader(file);
  surviveDefects(log);
  const manager = await connectServiceManager(process.env, log);
  // from here on no signal may be lost, and none may end the server half started
  const ended = untilEnded();
  const stopping = ended.promise.then(() => endWithin(STOP_MS, processLog));
  let handed: HandedSockets | undefined;
  const parts: DaemonParts = {
    config,
    loadConfig: () => reader.read(),
    ...(composeKept === undefined ? {} : { keptConfig: { name: CHECKED_CONFIG, compose: composeKept } }),
    acceptedConfig: {
      name: ACCEPTED_CONFIG,
      compose(inForce) {
        const text = inForce === config ? octets : reader.textOf(inForce);
        return text && encodeAcceptedConfig(file ?? DEFAULT_CONFIG_FILE, text);
      },
    },
    refusedConfig: refusal,
    clock: systemClock,
    timers: systemTimers,
    pause: systemPause,
    random: systemRandom,
    log,
    logState: processLog.state,
    loadLog: processLog.load,
    setLogLevel: processLog.setLevel,
    interfaces: networkInterfaces,
    handed(libc) {
      // a second start finds them, too: copies are used, except where C cannot be called
      if (handed === undefined || libc === undefined)
        handed = takeHandedSockets(process.env, process.pid, libc);
      return handed;
    },
    outliving: (name, mostOctets) => openOutlivingFile(process.env, name, mostOctets),
    onAnswering: setWorkFlags,
    memory: openOwnMemory,
    hostName: hostname(),
    version,
    runtime: `node ${process.versions.node}`,
  };
  const starting = startDaemon(parts).catch(async (error: unknown) => {
    // such as a port that another program has: a reload refuses it, too, and the configuration from before runs on
    if (!isStartRefusal(error) || refusal !== undefined) throw error;
    const accepted = await readOtherAccepted(file, octets);
    if (accepted === undefined) throw error;
    process.stderr.write(`outpost-dns: ${error.message}\n`);
    return startDaemon({ ...parts, config: accepted, refusedConfig: error });
  });
  const ignored = new Set<string>();
  signals.take({
    end: ended.end,
    reload: () => void inBackground('reload', async () => (await starting).reload()),
    ignored(signal) {
      if (!ignored.has(signal)) SERVE_MESSAGES.signalIgnored(log, { signal });
      ignored.add(signal);
    },
  });
  inBackground('other', ignoreUncaught); // before the first line of the log
  let daemon: Daemon;
  try {
    daemon = await starting;
  } catch (error) {
    ended.forget();
    await processLog.flush();
    const text = isStartRefusal(error) ? error.message : `cannot start: ${inspect(error)}`;
    process.stderr.write(`outpost-dns: ${text}\n`);
    await refusalPause();
    exitSoon(EXIT.finding, processLog);
    return EXIT.finding;
  }
  inBackground('other', appendToOutput);
  inBackground('other', () => announce(daemon, manager, ended.promise));
  if (process.connected) process.send?.('answering'); // to the sandbox that started this server
  const suspends = watchSuspends((suspendedMs) => {
    daemon.resumed(suspendedMs);
    systemTimers.catchUp();
  });
  const watchdog = startWatchdog(process.env, { daemon, manager, log });
  const signal = await ended.promise;
  watchdog[Symbol.dispose]();
  suspends[Symbol.dispose]();
  SERVE_MESSAGES.stopping(log, { signal });
  manager.notify('STOPPING=1');
  await systemPause(); // the code of a stop is new: not all of it in one turn
  await daemon.stop(signal);
  reader[Symbol.dispose]();
  (await stopping)[Symbol.dispose]();
  SERVE_MESSAGES.stopped(log);
  await processLog.flush();
  exitSoon(EXIT.well, processLog);
  return EXIT.well;
}

const OWNER_RIGHTS = 0o700;

/** A umask keeps files from others. A umask that keeps them from their owner loses the state: the next process cannot read it. */
function keepOwnFilesReadable(): void {
  process.umask(process.umask(OWNER_RIGHTS) & ~OWNER_RIGHTS);
}

/**
 * Ready is a server with an address that a client can use: after a power cut a lease may come later than this process. Until
 * then it answers on loopback, and its watchdog keeps the service manager waiting (own-health.ts).
 */
async function announce(daemon: Daemon, manager: ServiceManager, ended: Promise<unknown>): Promise<void> {
  const usable = daemon.usable.then(() => 'usable' as const);
  const early = Promise.withResolvers<'waiting'>();
  setImmediate(() => setImmediate(early.resolve, 'waiting'));
  if ((await Promise.race([usable, early.promise])) === 'waiting')
    manager.notify('STATUS=answering on loopback alone: this host has no other address yet');
  const outcome = await Promise.race([usable, ended.then(() => 'ended' as const)]);
  if (outcome === 'usable') manager.notify('READY=1', 'STATUS=answering');
}

/**
 * RestartSec= is short, so that a crash loses no query. A start that was refused would be repeated several times a second with
 * the same end: under a service manager it waits.
 */
const REFUSAL_PAUSE_MS = 1_000;

async function refusalPause(): Promise<void> {
  if (notifySocketOf(process.env) === undefined) return;
  await new Promise((resolve) => setTimeout(resolve, REFUSAL_PAUSE_MS));
}

type EndReason = EndSignal | 'disconnect';

/** Resolves with the reason to end: a signal, or the end of the sandbox that started this server. */
function untilEnded() {
  const { promise, resolve } = Promise.withResolvers<EndReason>();
  // no timer of the server keeps the process alive, so the wait for a signal has to
  const alive = setInterval(() => undefined, 3_600_000);
  const forget = () => {
    clearInterval(alive);
    // a listener keeps the channel to the sandbox open, and with it the process, while the sandbox waits for its end
    process.off('disconnect', onDisconnect);
  };
  const end = (reason: EndReason) => {
    forget();
    resolve(reason);
  };
  const onDisconnect = () => end('disconnect');
  process.once('disconnect', onDisconnect);
  return { promise, forget, end };
}

const EXIT_GRACE_MS = 250;
/** A thread ends within milliseconds, also on a busy machine, unless it hangs in a call to the operating system. */
const THREAD_GRACE_MS = 2_000;

/**
 * Everything is closed and saved: a credential_process, a reader of the log, or a thread that hangs does not delay the end.
 * An exit of Node waits for threads: for those of far-side/, for the pool, and for a read of Node's own. In the pool, a
 * write to a log that hangs keeps a thread for ever. The process therefore ends by `_exit`; where C cannot be called, by
 * SIGKILL.
 */
async function exitSoon(code: ExitCode, processLog: ProcessLog): Promise<void> {
  const leave = await directExit();
  if (leave !== undefined) process.once('exit', () => leave(code));
  const end = () => (leave === undefined ? process.kill(process.pid, 'SIGKILL') : leave(code));
  const limit = setTimeout(() => {
    const threads = threadsNotEnded();
    SERVE_MESSAGES.threadsHang(processLog.log, { threads });
    inBackground('other', () => processLog.flush()).then(end);
  }, THREAD_GRACE_MS);
  inBackground('other', threadsEnded).then(() => {
    clearTimeout(limit);
    setTimeout(() => (processLog.isStuck ? end() : process.exit(code)), EXIT_GRACE_MS).unref();
  });
}

/** A store waits two seconds for a disk that hangs, and three wait in turn; a service manager's patience is ten seconds and longer. */
const STOP_MS = 8_000;

/** A start or a stop that waits for a disk without an answer ends all the same. */
function endWithin(limitMs: number, processLog: ProcessLog): Disposable {
  const timer = setTimeout(() => {
    SERVE_MESSAGES.stopHangs(processLog.log, { seconds: limitMs / 1000 });
    inBackground('other', () => processLog.flush()).then(async () => {
      const leave = await directExit();
      if (leave === undefined) process.kill(process.pid, 'SIGKILL');
      else leave(EXIT.finding);
    });
  }, limitMs);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

/**
 * An error that nothing caught costs the work that threw it. The process stays, because what it serves is an
 * immutable table in memory; where it no longer answers, the watchdog ends it (own-health.ts).
 */
function surviveDefects(log: Log): void {
  logBackgroundFailures(log);
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => noteFailure('other', error));
  }
  // Node prints them on standard error, and waits where that is a terminal
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (warning.name !== 'ExperimentalWarning')
      SERVE_MESSAGES.runtimeWarns(log, { warning: warning.message, name: warning.name });
  });
}
