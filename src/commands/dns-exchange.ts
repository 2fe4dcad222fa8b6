/**
 * Sends one question to one server and reads its reply. Asks by UDP, again when no reply comes, and by TCP after a truncated reply.
 * A reply counts only from the address that was asked, with the ID and the question that were sent (RFC 5452 section 9.1). Takes the
 * reply apart for a person: its code, its flags, where it came from, its records.
 */
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import type { SocketAddress } from '../config/kinds/address.ts';
import { FLAG, HEADER_OCTETS, putUint16, uint16At, uint32At } from '../protocol/wire/message.ts';
import { nameText, type RecordPlace, rdataText, recordPlaces } from '../protocol/wire/presentation.ts';
import { indexResponse } from '../protocol/wire/response.ts';
import type { ResponseIndex } from '../protocol/wire/response-records.ts';
import { TcpFramer } from '../protocol/wire/tcp-framing.ts';
import { isSix } from '../protocol/words/address-text.ts';
import {
  CLASS,
  extendedErrorName,
  isStaleError,
  RCODE,
  rcodeName,
  TYPE,
  typeName,
} from '../protocol/words/codes.ts';
import { LOWER_CASE } from '../protocol/words/name.ts';
import { systemRandom } from '../runtime/random.ts';
import { systemCode, systemText } from '../runtime/system-errors.ts';

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
  const socket = createSocket(isSix(server.address) ? 'udp6' : 'udp4');
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
    socket.on('error', (error) =>
      end({ detail: reasonOf(error), wasClosed: systemCode(error) === 'ECONNRESET' }),
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
    return octet === other || (at < end - TYPE_AND_CLASS_OCTETS && LOWER_CASE[octet] === LOWER_CASE[other]);
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
  return REASONS.get(systemCode(error) ?? '') ?? systemText(error);
}

// What a reply says to a person.

export interface LookupReply {
  readonly rcode: string;
  readonly flags: readonly string[];
  readonly from: string;
  readonly extendedErrors: readonly ExtendedError[];
  readonly records: readonly LookupRecord[];
}

export interface ExtendedError {
  readonly code: number;
  readonly meaning: string;
  /** EXTRA-TEXT of the server; may be empty. */
  readonly text: string;
}

interface LookupRecord {
  readonly section: 'answer' | 'authority' | 'additional';
  readonly name: string;
  readonly ttlSeconds: number;
  readonly type: string;
  /** In presentation format (RFC 1035 section 5.1, RFC 3597). */
  readonly data: string;
}

/** Takes a reply apart, or says why that cannot be done. */
export function readReply(octets: Uint8Array): LookupReply | { readonly fault: string } {
  const index = indexResponse(octets); // proves that every record lies inside the message
  if (index.kind === 'fault') return { fault: index.reason };
  const extendedErrors = readExtendedErrors(octets, index);
  return {
    rcode: rcodeName(index.rcode),
    flags: flagNames(index.flags),
    from: origin(index, extendedErrors),
    extendedErrors,
    records: recordPlaces(octets, index.questionEnd)
      .filter(({ typeAt }) => uint16At(octets, typeAt) !== TYPE.OPT)
      .map((place) => shown(octets, place)),
  };
}

const SHOWN_FLAGS = ['AA', 'TC', 'RD', 'RA', 'AD', 'CD'] as const;

function flagNames(flags: number): string[] {
  return SHOWN_FLAGS.filter((name) => (flags & FLAG[name]) !== 0).map((name) => name.toLowerCase());
}

function origin({ flags, rcode }: ResponseIndex, errors: readonly ExtendedError[]): string {
  if ((flags & FLAG.AA) !== 0) return 'kept by the server itself (authoritative)';
  const isStale = errors.some(({ code }) => isStaleError(code));
  if (isStale) return 'stale: kept from before, because no upstream answers now';
  return rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN ? 'forwarded or cached' : 'nowhere: no answer';
}

const OPTION_EXTENDED_ERROR = 15; // RFC 8914 section 2
const OPT_FIXED_OCTETS = 11; // root owner, TYPE, CLASS, TTL, RDLENGTH

/** The extended errors in the OPT record, which starts where the kept records end; a broken option is left out. */
export function readExtendedErrors(octets: Uint8Array, { hasEdns, end }: ResponseIndex): ExtendedError[] {
  if (!hasEdns) return [];
  const found: ExtendedError[] = [];
  const optEnd = end + OPT_FIXED_OCTETS + uint16At(octets, end + 9);
  for (let at = end + OPT_FIXED_OCTETS; at + 4 <= optEnd; ) {
    const data = at + 4;
    const next = data + uint16At(octets, at + 2);
    if (next > optEnd) break;
    if (uint16At(octets, at) === OPTION_EXTENDED_ERROR && next >= data + 2) {
      const code = uint16At(octets, data);
      // RFC 8914 section 2: EXTRA-TEXT is UTF-8, and may or may not end in a NUL
      const text = new TextDecoder().decode(octets.subarray(data + 2, next)).replace(/\0+$/, '');
      found.push({ code, meaning: extendedErrorName(code), text });
    }
    at = next;
  }
  return found;
}

function shown(octets: Uint8Array, place: RecordPlace): LookupRecord {
  const { section, ownerAt, typeAt } = place;
  const type = typeName(uint16At(octets, typeAt));
  const rrclass = uint16At(octets, typeAt + 2);
  return {
    section,
    name: nameText(octets, ownerAt),
    ttlSeconds: uint32At(octets, typeAt + 4),
    type: rrclass === CLASS.IN ? type : `CLASS${rrclass} ${type}`,
    data: rdataText(octets, place),
  };
}
