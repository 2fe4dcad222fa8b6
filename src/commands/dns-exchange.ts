/**
 * Sends one question to one server and reads its reply. Asks by UDP, again when no reply comes, and by TCP after a truncated reply.
 * A reply counts only from the address that was asked, with the ID and the question that were sent (RFC 5452 section 9.1).
 */
import { createSocket } from 'node:dgram';
import { connect, isIPv6, type Socket } from 'node:net';
import type { SocketAddress } from '../config/kinds/address.ts';
import { FLAG, HEADER_OCTETS, putUint16, uint16At } from '../protocol/wire/header.ts';
import { TcpFramer } from '../protocol/wire/tcp-framing.ts';
import { lower } from '../protocol/words/name.ts';
import { systemRandom } from '../runtime/random.ts';

export interface ExchangeOptions {
  readonly server: SocketAddress;
  /** A whole query with one question; its ID is replaced. */
  readonly query: Uint8Array;
  /** For each attempt over UDP, and for TCP after them. */
  readonly timeoutMs: number;
  /** Over UDP; 1 by default. */
  readonly attempts?: number;
  /** Asks over TCP alone. */
  readonly overTcp?: boolean;
  /** Opens the connection for TCP; without it, plain TCP to the server. */
  readonly connect?: () => Socket;
  /** Local address of the datagrams; without it, the kernel's choice. */
  readonly from?: string;
  /** Gives up at once. */
  readonly signal?: AbortSignal;
}

export type ExchangeOutcome =
  | {
      readonly kind: 'reply';
      readonly octets: Uint8Array;
      readonly transport: 'udp' | 'tcp';
      readonly elapsedMs: number;
    }
  | ({ readonly kind: 'failed' } & AttemptFailure);

interface AttemptFailure {
  /** The reason of the failure, as a text for a person. */
  readonly detail: string;
  readonly mayRetry?: boolean;
  /** The server took the connection and ended it. */
  readonly wasClosed?: boolean;
}

type AttemptOutcome = { readonly octets: Uint8Array } | AttemptFailure;

/** Never rejects. */
export async function exchange(options: ExchangeOptions): Promise<ExchangeOutcome> {
  const startedMs = performance.now();
  const ended = (outcome: AttemptOutcome, transport: 'udp' | 'tcp'): ExchangeOutcome =>
    'octets' in outcome
      ? { kind: 'reply', octets: outcome.octets, transport, elapsedMs: performance.now() - startedMs }
      : { kind: 'failed', ...outcome };
  if (options.overTcp === true) return ended(await askOverTcp(options), 'tcp');
  let overUdp = await askOverUdp(options);
  for (let attempt = 1; attempt < (options.attempts ?? 1); attempt++) {
    if ('octets' in overUdp || overUdp.mayRetry !== true) break;
    overUdp = await askOverUdp(options);
  }
  const isTruncated = 'octets' in overUdp && (uint16At(overUdp.octets, 2) & FLAG.TC) !== 0;
  if (!isTruncated) return ended(overUdp, 'udp');
  const overTcp = await askOverTcp(options); // RFC 7766 section 5: a truncated reply is asked for again over TCP
  if ('octets' in overTcp) return ended(overTcp, 'tcp');
  return { kind: 'failed', detail: `the reply over UDP is truncated, and over TCP: ${overTcp.detail}` };
}

function askOverUdp(options: ExchangeOptions): Promise<AttemptOutcome> {
  const { server, timeoutMs } = options;
  const query = withFreshId(options.query);
  const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
  let strangers = 0;
  return attempt(options, (end) => {
    socket.on('error', (error) => end({ detail: reasonOf(error) }));
    socket.on('message', (octets) => {
      if (isReplyTo(query, octets)) end({ octets });
      else strangers++;
    });
    socket.on('connect', () => socket.send(query));
    if (options.from !== undefined) socket.bind(0, options.from);
    socket.connect(server.port, server.address);
    return {
      close: () => socket.close(),
      timedOut: () => {
        const note = strangers === 0 ? '' : ` (${strangers} came that did not match the question)`;
        return { detail: `no reply within ${timeoutMs / 1000} s${note}`, mayRetry: true };
      },
    };
  });
}

function askOverTcp(options: ExchangeOptions): Promise<AttemptOutcome> {
  const { server, timeoutMs } = options;
  const query = withFreshId(options.query);
  const socket = options.connect?.() ?? connect(server.port, server.address);
  const framer = new TcpFramer();
  return attempt(options, (end) => {
    socket.on('error', (error: NodeJS.ErrnoException) =>
      end({ detail: reasonOf(error), wasClosed: error.code === 'ECONNRESET' }),
    );
    socket.on('close', () => end({ detail: 'the connection was closed', wasClosed: true }));
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
      timedOut: () => ({ detail: `no reply within ${timeoutMs / 1000} s` }),
    };
  });
}

interface Attempt {
  close(): void;
  timedOut(): AttemptFailure;
}

/** Runs one attempt until it ends itself, its time is up or the signal fires; closes it in every case. */
function attempt(
  { timeoutMs, signal }: ExchangeOptions,
  begin: (end: (outcome: AttemptOutcome) => void) => Attempt,
): Promise<AttemptOutcome> {
  const { promise, resolve } = Promise.withResolvers<AttemptOutcome>();
  const running = begin(resolve);
  const deadline = setTimeout(() => resolve(running.timedOut()), timeoutMs);
  const abort = () => resolve({ detail: 'given up' });
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  return promise.finally(() => {
    clearTimeout(deadline);
    signal?.removeEventListener('abort', abort);
    running.close();
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

/** The offset after QCLASS of our own query, whose name is not compressed. */
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
