/** `outpost-dns serve`: runs the server until a signal ends it; SIGHUP reloads. */
import { networkInterfaces } from 'node:os';
import packageJson from '../../package.json' with { type: 'json' };
import { AdminError } from '../admin/http-server.ts';
import type { Daemon } from '../daemon/parts.ts';
import { startDaemon } from '../daemon.ts';
import { createProcessLog, type ProcessLog } from '../log/pino-log.ts';
import { systemClock } from '../runtime/clock.ts';
import { systemRandom } from '../runtime/random.ts';
import { connectServiceManager } from '../runtime/service-manager.ts';
import { systemTimers } from '../runtime/timers.ts';
import { ListenerError } from '../serving/listener/listener-error.ts';
import { readConfig, readConfigOrExplain } from './config-file.ts';
import { EXIT, type ExitCode } from './program.ts';

export async function serve(file: string | undefined): Promise<ExitCode> {
  const config = await readConfigOrExplain(file);
  if (config === undefined) return EXIT.usage;
  const processLog = createProcessLog(config.log);
  const { log } = processLog;
  endOnDefect(processLog);
  const manager = connectServiceManager(process.env, log);
  let daemon: Daemon;
  try {
    daemon = await startDaemon({
      config,
      loadConfig: () => readConfig(file),
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      log,
      setLogLevel: processLog.setLevel,
      interfaces: networkInterfaces,
      version: packageJson.version,
      runtime: `node ${process.versions.node}`,
    });
  } catch (error) {
    if (!(error instanceof ListenerError || error instanceof AdminError)) throw error;
    processLog.flush();
    process.stderr.write(`outpost-dns: ${error.message}\n`);
    return EXIT.finding;
  }
  manager.notify('READY=1', 'STATUS=answering');
  const signal = await untilEnded(daemon);
  log.info({ signal }, 'stopping');
  manager.notify('STOPPING=1');
  await daemon.stop();
  log.info({}, 'stopped');
  processLog.flush();
  return EXIT.well;
}

/** Resolves with what asks the server to end: a signal, or the end of the sandbox that started it. */
function untilEnded(daemon: Daemon): Promise<NodeJS.Signals | 'disconnect'> {
  process.on('SIGHUP', () => void daemon.reload());
  return new Promise((resolve) => {
    // a timer of our own never keeps the process alive, but waiting for a signal has to
    const alive = setInterval(() => undefined, 3_600_000);
    for (const signal of ['SIGTERM', 'SIGINT', 'disconnect'] as const) {
      process.once(signal, () => {
        clearInterval(alive);
        resolve(signal);
      });
    }
  });
}

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
