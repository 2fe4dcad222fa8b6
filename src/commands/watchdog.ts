/**
 * Tells the service manager that the server answers: only after a query of its own over the listening sockets was answered.
 * A loop that stands still tells nothing, and is ended and started again by the manager (WatchdogSec= of the unit).
 */
import type { Daemon } from '../daemon/parts.ts';
import type { Log } from '../log/log.ts';
import { inBackground } from '../runtime/background.ts';
import type { ServiceManager } from '../runtime/service-manager.ts';
import { askForLife } from './dns-liveness.ts';

export interface WatchdogParts {
  readonly daemon: Pick<Daemon, 'vitals'>;
  readonly manager: ServiceManager;
  readonly log: Log;
}

/** Asked this often within the time that the manager grants, so that one lost datagram or one slow moment ends nothing. */
const ASKS_WITHIN = 4;

/** `environment`: WATCHDOG_USEC and WATCHDOG_PID, as systemd sets them; without them it does nothing. */
export function startWatchdog(
  environment: Readonly<Record<string, string | undefined>>,
  parts: WatchdogParts,
): Disposable {
  const limitMs = Number(environment['WATCHDOG_USEC'] ?? 0) / 1000;
  const pid = environment['WATCHDOG_PID'];
  if (!(limitMs > 0) || (pid !== undefined && Number(pid) !== process.pid)) {
    return { [Symbol.dispose]: () => undefined };
  }
  const everyMs = limitMs / ASKS_WITHIN;
  let isAsking = false;
  const ask = async () => {
    if (isAsking) return;
    isAsking = true;
    await inBackground('watchdog', () => tellIfAlive(parts, everyMs * 0.9));
    isAsking = false;
  };
  const timer = setInterval(ask, everyMs);
  timer.unref();
  void ask();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function tellIfAlive({ daemon, manager, log }: WatchdogParts, timeoutMs: number): Promise<void> {
  const { addresses, endpoint, replies } = daemon.vitals();
  const { udp, tcp } = await askForLife(addresses, endpoint, timeoutMs);
  // a receive queue that a flood keeps full drops our query too: others were answered meanwhile
  const now = daemon.vitals().replies;
  const isAlive = (udp || now.udp > replies.udp) && (tcp || now.tcp > replies.tcp);
  if (isAlive) return manager.notify('WATCHDOG=1');
  log.error(
    { udp, tcp, endpoint },
    'own query was not answered: the service manager ends a server that stays so',
  );
}
