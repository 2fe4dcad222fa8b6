/**
 * Whether the DNS side of a server answers, asked from outside of it over its listening sockets: UDP and TCP. The question
 * is one that a server answers in every state: an endpoint that it has addresses of, or else `. NS`.
 */
import { readSocketAddress, type SocketAddress } from '../config/kinds/address.ts';
import { composeQuery } from '../protocol/wire/query.ts';
import { CLASS } from '../protocol/words/classes.ts';
import { nameToWire } from '../protocol/words/name.ts';
import { TYPE } from '../protocol/words/types.ts';
import { systemRandom } from '../runtime/random.ts';
import { exchange } from './dns-exchange.ts';

export interface Aliveness {
  readonly udp: boolean;
  readonly tcp: boolean;
}

const ASKED_AT_ONCE = 4; // a wildcard stands for many addresses; one that answers is enough
const ATTEMPTS = 3;

/**
 * Asks `addresses` (`127.0.0.1:53`, `[::1]:53`), within `timeoutMs`. Never rejects. Any reply counts, REFUSED and SERVFAIL too:
 * a server that says them is alive, and a restart would not help it.
 */
export async function askForLife(
  addresses: readonly string[],
  endpoint: string | undefined,
  timeoutMs: number,
): Promise<Aliveness> {
  const servers = addresses.flatMap((text) => {
    const reading = readSocketAddress(text, 53, 1);
    return 'value' in reading ? [reading.value] : [];
  });
  // link-local ones only: not for us to judge
  if (servers.length === 0) return { udp: addresses.length > 0, tcp: addresses.length > 0 };
  const asked = servers
    .toSorted((a, b) => Number(isLoopback(b)) - Number(isLoopback(a)))
    .slice(0, ASKED_AT_ONCE);
  const query = ownQuestion(endpoint);
  const [udp, tcp] = await Promise.all([
    anyOf(asked, (server, signal) => answersUdp(server, query, timeoutMs, signal)),
    anyOf(asked, (server, signal) => answersTcp(server, query, timeoutMs, signal)),
  ]);
  return { udp, tcp };
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

async function answersUdp(
  server: SocketAddress,
  query: Uint8Array,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const deadlineMs = timeoutMs / ATTEMPTS;
  const from = ownSource(server);
  const { kind } = await exchange({ server, query, deadlineMs, attempts: ATTEMPTS, signal, ...from });
  return kind === 'reply';
}

/** The server ends connections beyond its limits: it takes them all the same, and that is what is asked. */
async function answersTcp(
  server: SocketAddress,
  query: Uint8Array,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const outcome = await exchange({ server, query, deadlineMs, attempts: 1, signal, overTcp: true });
  return outcome.kind === 'reply' || outcome.wasClosed === true;
}

/** A network of its own on loopback, so that no rate limit that others have met is met here. */
function ownSource({ address }: SocketAddress): { readonly from?: string } {
  if (process.platform !== 'linux' || !address.startsWith('127.')) return {};
  const octet = () => 1 + (systemRandom.uint16() % 254);
  return { from: `127.${octet()}.${octet()}.${octet()}` };
}

function isLoopback({ address }: SocketAddress): boolean {
  return address.startsWith('127.') || address === '::1';
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
