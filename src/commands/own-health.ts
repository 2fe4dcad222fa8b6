/**
 * Finds out whether the DNS side of a server answers, for `status --healthy` and for the watchdog of the service manager. The
 * check asks the listening sockets by UDP and TCP, as a client does. The question has an answer in every state of the server: an
 * endpoint with known addresses, or else `. NS`.
 *
 * The check asks only addresses that this host has and can reach. An address may have moved to another host (keepalived), or
 * belong to an interface that is down or to another VRF. It may be in duplicate address detection. A restart brings none of
 * these addresses back, and the reply of another host proves nothing.
 */
import { createSocket } from 'node:dgram';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { connectable, readSocketAddress, type SocketAddress } from '../config/kinds/address.ts';
import type { Daemon } from '../daemon/running-daemon.ts';
import { type Log, messages } from '../log/log.ts';
import { composeQuery } from '../protocol/wire/query.ts';
import { isLoopbackText, isSix, isWildcard } from '../protocol/words/address-text.ts';
import { CLASS, TYPE } from '../protocol/words/codes.ts';
import { nameToWire } from '../protocol/words/name.ts';
import { inBackground } from '../runtime/background.ts';
import { loadNeeds, type NodeModules } from '../runtime/memory.ts';
import { systemRandom } from '../runtime/random.ts';
import { notifySocketOf, type ServiceManager } from '../runtime/service-manager.ts';
import { type Pause, systemPause } from '../runtime/slices.ts';
import { exchange } from './dns-exchange.ts';

export interface Aliveness {
  readonly udp: boolean;
  readonly tcp: boolean;
}

const ASKED_AT_ONCE = 4; // a wildcard stands for many addresses; one reply is enough
const ATTEMPTS = 3;

/**
 * Asks `addresses` (`127.0.0.1:53`, `[::1]:53`), within `timeoutMs`. Never rejects. Any reply counts, REFUSED and SERVFAIL too:
 * a server that says them is alive, and a restart does not help it. Where no address can be asked, it is enough that a
 * datagram over loopback arrives. Each kind of question starts in a turn of the loop of its own: the server asks itself, and the
 * first time their code is new.
 */
export async function askForLife(
  addresses: readonly string[],
  endpoint: string | undefined,
  timeoutMs: number,
  interfaces: () => NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces,
  pause: Pause = systemPause,
): Promise<Aliveness> {
  await pause();
  const isHere = hostHas(interfaces);
  const asked = addresses
    .flatMap((text) => {
      const reading = readSocketAddress(text, 53, 1);
      return 'value' in reading && isHere(reading.value.address) ? [connectable(reading.value)] : [];
    })
    .toSorted((a, b) => Number(isLoopbackText(b.address)) - Number(isLoopbackText(a.address)))
    .slice(0, ASKED_AT_ONCE);
  const query = ownQuestion(endpoint);
  const enough = new AbortController();
  const reached = Promise.all(asked.map(({ address }) => echo(address, timeoutMs, enough.signal)));
  await pause();
  const overUdp = anyOf(asked, async (server, signal) => {
    const times = { timeoutMs: timeoutMs / ATTEMPTS, attempts: ATTEMPTS, signal };
    return (await exchange({ server, query, ...times, from: ownSource(server) })).kind === 'reply';
  });
  await pause();
  const overTcp = anyOf(asked, async (server, signal) => {
    const outcome = await exchange({ server, query, timeoutMs, signal, overTcp: true });
    // a server ends connections beyond its limits: it took them all the same, and this is the question here
    return outcome.kind === 'reply' || outcome.wasClosed === true;
  });
  const [udp, tcp] = await Promise.all([overUdp, overTcp]);
  if (udp && tcp) {
    enough.abort();
    return { udp, tcp };
  }
  if ((await reached).includes('arrived')) return { udp, tcp };
  // no address that this process can reach: at least the event loop has to take datagrams
  const isAlive = (await echo('127.0.0.1', timeoutMs)) !== 'lost';
  return { udp: isAlive, tcp: isAlive };
}

/** Says which addresses the host has at this moment. Where the host lists none, as in a sandbox, every address counts. */
function hostHas(interfaces: () => NodeJS.Dict<NetworkInterfaceInfo[]>): (address: string) => boolean {
  const listed = new Set<string>();
  try {
    for (const infos of Object.values(interfaces()))
      for (const { address } of infos ?? []) listed.add(address);
  } catch {
    // no AF_NETLINK
  }
  return (address) =>
    listed.size === 0 || listed.has(address) || isWildcard(address) || address.startsWith('127.');
}

type Echo =
  | 'arrived'
  /** Sent, and not seen again: it left the host, or was dropped. */
  | 'lost'
  /** The system refuses to send it. */
  | 'unreachable';

/** Sends a datagram to a socket of this process at `address`: does it arrive? */
function echo(address: string, timeoutMs: number, signal?: AbortSignal): Promise<Echo> {
  const { promise, resolve } = Promise.withResolvers<Echo>();
  const socket = createSocket(isSix(address) ? 'udp6' : 'udp4');
  // after a loop that stood still, timers run before sockets are read
  const deadline = setTimeout(() => setImmediate(() => setImmediate(resolve, 'lost')), timeoutMs);
  const give = () => resolve('lost');
  signal?.addEventListener('abort', give, { once: true });
  socket.on('error', () => resolve('unreachable'));
  socket.on('message', () => resolve('arrived'));
  socket.bind(0, address, () => {
    socket.send(new Uint8Array(1), socket.address().port, address, (error) => {
      if (error) resolve('unreachable');
    });
  });
  return promise.finally(() => {
    clearTimeout(deadline);
    signal?.removeEventListener('abort', give);
    socket.close();
  });
}

async function anyOf(
  servers: readonly SocketAddress[],
  ask: (server: SocketAddress, signal: AbortSignal) => Promise<boolean>,
): Promise<boolean> {
  const enough = new AbortController();
  const asked = servers.map(async (server) => {
    if (!(await ask(server, enough.signal))) throw new Error('no reply');
  });
  const isAlive = await Promise.any(asked).then(
    () => true,
    () => false,
  );
  enough.abort();
  return isAlive;
}

/** A source address of its own on loopback, with no rate limit that other clients have used up. */
function ownSource({ address }: SocketAddress): string | undefined {
  if (process.platform !== 'linux' || !address.startsWith('127.')) return undefined;
  const octet = () => 1 + (systemRandom.uint16() % 254);
  return `127.${octet()}.${octet()}.${octet()}`;
}

/** `. NS` without RD: the cache, or REFUSED, in any state of the upstreams. */
function ownQuestion(endpoint: string | undefined): Uint8Array {
  return composeQuery({
    id: 0,
    name: nameToWire(endpoint ?? '.'),
    qtype: endpoint === undefined ? TYPE.NS : TYPE.A,
    qclass: CLASS.IN,
    recursionDesired: false,
    checkingDisabled: false,
  });
}

export const HEALTH_MESSAGES = messages({
  unanswered: {
    level: 'error',
    text: 'own query was not answered: without answers the service manager ends the server',
    fields: { udp: 'whether UDP answered', tcp: 'whether TCP answered', endpoint: 'the name asked for' },
    fix: 'find out what takes the processor from the server: `nodejs_eventloop_lag_max_seconds`, `top`',
  },
});

export interface WatchdogParts {
  readonly daemon: Pick<Daemon, 'vitals' | 'usable'>;
  readonly manager: ServiceManager;
  readonly log: Log;
}

/** Node loads it with the first socket for datagrams. */
const DATAGRAMS_NEEDS: NodeModules = [() => process.getBuiltinModule('node:dns')];
/** Questions within the time that the manager grants: one lost datagram or one slow moment must not end the server. */
const ASKS_WITHIN = 4;
/** The time that a start grants itself where the manager has no watchdog: that of the unit that comes with the server. */
const START_LIMIT_MS = 10_000;

/**
 * Tells the service manager again and again that the server is alive, after each answer to a question of its own. While no
 * client can use an address of the server, the same message asks the manager to wait longer for the end of the start
 * (EXTEND_TIMEOUT_USEC=, sd_notify(3)). So a loop that stands still is ended in this phase too.
 *
 * `environment`: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, as systemd sets them; without them it does nothing.
 */
export function startWatchdog(
  environment: Readonly<Record<string, string | undefined>>,
  parts: WatchdogParts,
): Disposable {
  const limitMs = watchdogLimitMs(environment);
  const startLimitMs = limitMs ?? (notifySocketOf(environment) === undefined ? undefined : START_LIMIT_MS);
  if (startLimitMs === undefined) return { [Symbol.dispose]: () => undefined };
  const everyMs = startLimitMs / ASKS_WITHIN;
  // no longer than the watchdog: a longer extension would hold for the watchdog too
  const extension = `EXTEND_TIMEOUT_USEC=${startLimitMs * 1000}`;
  let isReady = false;
  let isAsking = false;
  const ask = async () => {
    if (isAsking) return;
    isAsking = true;
    const told = () => [...(limitMs === undefined ? [] : ['WATCHDOG=1']), ...(isReady ? [] : [extension])];
    await inBackground('watchdog', () => notifyIfAlive(parts, everyMs * 0.9, told));
    isAsking = false;
  };
  const timer = setInterval(ask, everyMs);
  timer.unref();
  const end = () => clearInterval(timer);
  parts.daemon.usable.then(() => {
    isReady = true;
    if (limitMs === undefined) end();
  });
  inBackground('watchdog', async () => {
    await loadNeeds(systemPause, DATAGRAMS_NEEDS);
    await ask();
  });
  return { [Symbol.dispose]: end };
}

/** A longer limit counts as this one: the runtime's timers would run at once, again and again, for a limit of months. */
const LONGEST_LIMIT_MS = 3_600_000;

function watchdogLimitMs(environment: Readonly<Record<string, string | undefined>>): number | undefined {
  const limitMs = Number(environment['WATCHDOG_USEC'] ?? 0) / 1000;
  const pid = environment['WATCHDOG_PID'];
  const isOurs = pid === undefined || Number(pid) === process.pid;
  return limitMs > 0 && isOurs ? Math.min(limitMs, LONGEST_LIMIT_MS) : undefined;
}

async function notifyIfAlive(
  { daemon, manager, log }: WatchdogParts,
  timeoutMs: number,
  told: () => readonly string[],
): Promise<void> {
  const { addresses, endpoint, replies } = daemon.vitals();
  const { udp, tcp } = await askForLife(addresses, endpoint, timeoutMs);
  // a receive queue that a flood keeps full drops our query too: replies to other clients count as well
  const now = daemon.vitals().replies;
  const isAlive = (udp || now.udp > replies.udp) && (tcp || now.tcp > replies.tcp);
  if (!isAlive) return HEALTH_MESSAGES.unanswered(log, { udp, tcp, endpoint });
  const assignments = told();
  if (assignments.length > 0) manager.notify(...assignments);
}
