/**
 * One question to one server and its reply: UDP, asked again when nothing comes back, TCP when the reply is cut short.
 * A reply counts only from the address that was asked, with the ID and the question that were sent (RFC 5452 section 9.1).
 */
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import type { SocketAddress } from '../config/kinds/address.ts';
import { FLAG, HEADER_OCTETS, putUint16, uint16At } from '../protocol/wire/header.ts';
import { TcpFramer } from '../protocol/wire/tcp-framing.ts';
import { lower } from '../protocol/words/name.ts';
import { systemRandom } from '../runtime/random.ts';

export interface Asking {
  readonly server: SocketAddress;
  /** A whole query with one question; its ID is replaced. */
  readonly query: Uint8Array;
  /** For each attempt, and for TCP after them. */
  readonly deadlineMs: number;
  readonly attempts: number;
  /** Asks over TCP alone. */
  readonly overTcp?: boolean;
  /** Local address of the datagrams; without it, the kernel's choice. */
  readonly from?: string;
  /** Gives up at once. */
  readonly signal?: AbortSignal;
}

export type Exchanged =
  | {
      readonly kind: 'reply';
      readonly octets: Uint8Array;
      readonly transport: 'udp' | 'tcp';
      readonly elapsedMs: number;
    }
  /** `detail` is for a person. */
  | { readonly kind: 'failed'; readonly detail: string; readonly wasClosed?: boolean };

type Attempted =
  | { readonly octets: Uint8Array }
  /** `wasClosed`: the server took the connection and ended it. */
  | { readonly detail: string; readonly mayRetry: boolean; readonly wasClosed?: boolean };

/** Never rejects. */
export async function exchange(asking: Asking): Promise<Exchanged> {
  const startedMs = performance.now();
  const elapsedMs = () => performance.now() - startedMs;
  if (asking.overTcp === true) return overTcpAlone(asking, elapsedMs);
  let attempted: Attempted = { detail: 'not asked', mayRetry: true };
  for (let attempt = 0; attempt < asking.attempts; attempt++) {
    attempted = await askOverUdp(asking);
    if ('octets' in attempted || !attempted.mayRetry) break;
  }
  if ('detail' in attempted) return { kind: 'failed', detail: attempted.detail };
  if ((uint16At(attempted.octets, 2) & FLAG.TC) === 0) {
    return { kind: 'reply', octets: attempted.octets, transport: 'udp', elapsedMs: elapsedMs() };
  }
  const overTcp = await askOverTcp(asking); // RFC 7766 section 5: a truncated reply is asked for again over TCP
  if ('octets' in overTcp) {
    return { kind: 'reply', octets: overTcp.octets, transport: 'tcp', elapsedMs: elapsedMs() };
  }
  return { kind: 'failed', detail: `the reply over UDP is truncated, and over TCP: ${overTcp.detail}` };
}

async function overTcpAlone(asking: Asking, elapsedMs: () => number): Promise<Exchanged> {
  const attempted = await askOverTcp(asking);
  return 'octets' in attempted
    ? { kind: 'reply', octets: attempted.octets, transport: 'tcp', elapsedMs: elapsedMs() }
    : { kind: 'failed', detail: attempted.detail, wasClosed: attempted.wasClosed === true };
}

function askOverUdp(asking: Asking): Promise<Attempted> {
  const { server, deadlineMs } = asking;
  const query = withFreshId(asking.query);
  const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
  let strangers = 0;
  return settled(asking, (end) => {
    socket.on('error', (error) => end({ detail: reasonOf(error), mayRetry: false }));
    socket.on('message', (octets) => {
      if (isReplyTo(query, octets)) end({ octets });
      else strangers++;
    });
    socket.on('connect', () => socket.send(query));
    if (asking.from !== undefined) socket.bind(0, asking.from);
    socket.connect(server.port, server.address);
    return {
      close: () => socket.close(),
      timedOut: () => {
        const note = strangers === 0 ? '' : ` (${strangers} came that did not match the question)`;
        return { detail: `no reply within ${deadlineMs / 1000} s${note}`, mayRetry: true };
      },
    };
  });
}

function askOverTcp(asking: Asking): Promise<Attempted> {
  const { server, deadlineMs } = asking;
  const query = withFreshId(asking.query);
  const socket = connect(server.port, server.address);
  const framer = new TcpFramer();
  return settled(asking, (end) => {
    socket.on('error', (error: NodeJS.ErrnoException) =>
      end({ detail: reasonOf(error), mayRetry: false, wasClosed: error.code === 'ECONNRESET' }),
    );
    socket.on('close', () => end({ detail: 'the connection was closed', mayRetry: false, wasClosed: true }));
    socket.on('data', (chunk) => {
      framer.push(Buffer.from(chunk));
      while (framer.next()) {
        const octets = new Uint8Array(framer.octets.subarray(framer.start, framer.end));
        if (isReplyTo(query, octets)) return end({ octets });
      }
    });
    const length = new Uint8Array(2);
    putUint16(length, 0, query.length);
    socket.write(Buffer.concat([length, query]));
    return {
      close: () => socket.destroy(),
      timedOut: () => ({ detail: `no reply within ${deadlineMs / 1000} s`, mayRetry: false }),
    };
  });
}

interface Attempt {
  close(): void;
  timedOut(): Attempted;
}

/** Runs one attempt until it ends itself, its deadline passes or the signal fires; closes it in every case. */
function settled(
  { deadlineMs, signal }: Asking,
  begin: (end: (outcome: Attempted) => void) => Attempt,
): Promise<Attempted> {
  const { promise, resolve } = Promise.withResolvers<Attempted>();
  const attempt = begin(resolve);
  const deadline = setTimeout(() => resolve(attempt.timedOut()), deadlineMs);
  const abort = () => resolve({ detail: 'given up', mayRetry: false });
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  return promise.finally(() => {
    clearTimeout(deadline);
    signal?.removeEventListener('abort', abort);
    attempt.close();
  });
}

function withFreshId(query: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(query);
  putUint16(copy, 0, systemRandom.uint16());
  return copy;
}

const TYPE_AND_CLASS_OCTETS = 4;

/** Whether it is a response with the query's ID and question; names in any case (RFC 4343). */
function isReplyTo(query: Uint8Array, reply: Uint8Array): boolean {
  if (uint16At(reply, 0) !== uint16At(query, 0) || (uint16At(reply, 2) & FLAG.QR) === 0) return false;
  const end = questionEnd(query);
  if (reply.length < end || uint16At(reply, 4) !== 1) return false;
  return query.subarray(HEADER_OCTETS, end).every((octet, index) => {
    const at = HEADER_OCTETS + index;
    const other = reply[at] ?? 0;
    return octet === other || (at < end - TYPE_AND_CLASS_OCTETS && lower(octet) === lower(other));
  });
}

/** Behind QCLASS of our own query, whose name is not compressed. */
function questionEnd(query: Uint8Array): number {
  let at = HEADER_OCTETS;
  while ((query[at] ?? 0) !== 0) at += (query[at] ?? 0) + 1;
  return at + 1 + TYPE_AND_CLASS_OCTETS;
}

const REASONS: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'nothing listens there'],
  ['ECONNRESET', 'the connection was reset'],
  ['ENETUNREACH', 'the network cannot be reached'],
  ['EHOSTUNREACH', 'the host cannot be reached'],
]);

function reasonOf(error: Error): string {
  const code = 'code' in error ? String(error.code) : '';
  return REASONS.get(code) ?? error.message;
}
