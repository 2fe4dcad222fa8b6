/** `outpost-dns serve`: runs the server until a signal ends it; SIGHUP reloads. */
import { networkInterfaces } from 'node:os';
import packageJson from '../../package.json' with { type: 'json' };
import type { Daemon } from '../daemon/parts.ts';
import { isStartRefusal } from '../daemon/start-refusal.ts';
import { startDaemon } from '../daemon.ts';
import { createProcessLog, type ProcessLog } from '../log/pino-log.ts';
import { systemClock } from '../runtime/clock.ts';
import { systemPause } from '../runtime/pause.ts';
import { systemRandom } from '../runtime/random.ts';
import { connectServiceManager } from '../runtime/service-manager.ts';
import { systemTimers } from '../runtime/timers.ts';
import { readConfig, readConfigOrExplain } from './config-file.ts';
import { EXIT, type ExitCode } from './exit-code.ts';

export async function serve(file: string | undefined): Promise<ExitCode> {
  const config = await readConfigOrExplain(file);
  if (config === undefined) return EXIT.usage;
  const processLog = await createProcessLog(config.log);
  const { log } = processLog;
  endOnDefect(processLog);
  const manager = connectServiceManager(process.env, log);
  // from here on: a signal that comes while we start must neither be lost nor end us half-way
  const ended = untilEnded();
  const starting = startDaemon({
    config,
    loadConfig: () => readConfig(file),
    clock: systemClock,
    timers: systemTimers,
    pause: systemPause,
    random: systemRandom,
    log,
    setLogLevel: processLog.setLevel,
    interfaces: networkInterfaces,
    ec2Endpoint,
    version: packageJson.version,
    runtime: `node ${process.versions.node}`,
  });
  process.on('SIGHUP', () => void starting.then((daemon) => daemon.reload()).catch(() => undefined));
  let daemon: Daemon;
  try {
    daemon = await starting;
  } catch (error) {
    if (!isStartRefusal(error)) throw error;
    processLog.flush();
    process.stderr.write(`outpost-dns: ${error.message}\n`);
    ended.forget();
    return EXIT.finding;
  }
  manager.notify('READY=1', 'STATUS=answering');
  if (process.connected) process.send?.('answering'); // to the sandbox, where one started us
  const signal = await ended.promise;
  log.info({ signal }, 'stopping');
  manager.notify('STOPPING=1');
  await daemon.stop(signal);
  log.info({}, 'stopped');
  processLog.flush();
  exitSoon(EXIT.well);
  return EXIT.well;
}

/** As the SDK finds it: the usual variables, else the service's own name. */
function ec2Endpoint(region: string): string {
  const named = process.env['AWS_ENDPOINT_URL_EC2'] ?? process.env['AWS_ENDPOINT_URL'];
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  return named ?? `https://ec2.${region}.${domain}`;
}

/** Resolves with what asks the server to end: a signal, or the end of the sandbox that started it. */
function untilEnded() {
  const { promise, resolve } = Promise.withResolvers<'SIGTERM' | 'SIGINT' | 'disconnect'>();
  // a timer of our own never keeps the process alive, but waiting for a signal has to
  const alive = setInterval(() => undefined, 3_600_000);
  const forget = () => {
    clearInterval(alive);
    // while somebody listens for it, the channel to the sandbox keeps the process alive, and the sandbox waits for us
    process.off('disconnect', onDisconnect);
  };
  const end = (reason: 'SIGTERM' | 'SIGINT' | 'disconnect') => {
    forget();
    resolve(reason);
  };
  const onDisconnect = () => end('disconnect');
  process.once('disconnect', onDisconnect);
  // not once(): the second signal of a Ctrl-C (the terminal's, then the sandbox's) must not cut the stop short
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => end(signal));
  return { promise, forget };
}

/** Everything is closed and saved: what still holds the process, such as a credential_process that hangs, is not waited for. */
function exitSoon(code: ExitCode): void {
  setTimeout(() => process.exit(code), EXIT_GRACE_MS).unref();
}

const EXIT_GRACE_MS = 250;

/** A defect leaves the process in a state nobody knows: it says so and ends, and is back within a second from its state. */
function endOnDefect({ log, flush }: ProcessLog): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.error({ err: error, event }, 'ending because of a defect: please report it');
      flush();
      process.exit(EXIT.finding);
    });
  }
}
