/** The counts of serving: one integer for each event in one array, raised on the query's path and read at scrape time. */

import { rcodeAt } from '../protocol/wire/message.ts';
import { rcodeName } from '../protocol/words/codes.ts';
import {
  agoText,
  byLabel,
  metricsOf,
  plural,
  type RoomReport,
  seconds,
  single,
  toned,
} from '../report/report.ts';

/** The metric that a count of the listeners belongs to, and the value of its label there. */
export interface CountMeaning {
  readonly metric: 'received' | 'replies' | 'dropped' | 'limited' | 'faults' | 'sendErrors' | 'connections';
  readonly label: string;
}

export const COUNT_MEANINGS = {
  receivedUdp: { metric: 'received', label: 'udp' },
  receivedTcp: { metric: 'received', label: 'tcp' },
  repliesUdp: { metric: 'replies', label: 'udp' },
  repliesTcp: { metric: 'replies', label: 'tcp' },
  droppedShort: { metric: 'dropped', label: 'short' },
  droppedResponse: { metric: 'dropped', label: 'response' },
  droppedPortZero: { metric: 'dropped', label: 'port_zero' },
  droppedRateLimited: { metric: 'dropped', label: 'rate_limited' },
  droppedProhibited: { metric: 'dropped', label: 'prohibited' },
  droppedClosing: { metric: 'dropped', label: 'closing' },
  refusedProhibited: { metric: 'limited', label: 'prohibited' },
  refusedOpcode: { metric: 'limited', label: 'opcode' },
  truncatedRateLimited: { metric: 'limited', label: 'rate_limited' },
  refusedBadCookie: { metric: 'limited', label: 'bad_cookie' },
  overloaded: { metric: 'limited', label: 'overloaded' },
  handlerFaults: { metric: 'faults', label: 'handler' },
  receiveErrors: { metric: 'faults', label: 'receive' },
  tcpAcceptErrors: { metric: 'faults', label: 'accept' },
  sendTooLarge: { metric: 'sendErrors', label: 'too_large' },
  sendUnreachable: { metric: 'sendErrors', label: 'unreachable' },
  sendRefused: { metric: 'sendErrors', label: 'refused' },
  sendNoBuffers: { metric: 'sendErrors', label: 'no_buffers' },
  sendOther: { metric: 'sendErrors', label: 'other' },
  tcpAccepted: { metric: 'connections', label: 'accepted' },
  tcpOverLimit: { metric: 'connections', label: 'over_limit' },
  tcpOverClientLimit: { metric: 'connections', label: 'over_client_limit' },
  tcpProhibited: { metric: 'connections', label: 'prohibited' },
  tcpClosedByClient: { metric: 'connections', label: 'closed_by_client' },
  tcpClosedReset: { metric: 'connections', label: 'reset' },
  tcpClosedIdle: { metric: 'connections', label: 'idle' },
  tcpClosedSlowFrame: { metric: 'connections', label: 'slow_frame' },
  tcpClosedSlowReader: { metric: 'connections', label: 'slow_reader' },
  tcpClosedBadFrame: { metric: 'connections', label: 'bad_frame' },
  tcpMadeRoom: { metric: 'connections', label: 'made_room' },
  tcpClosedByServer: { metric: 'connections', label: 'closed_by_server' },
} as const satisfies Readonly<Record<string, CountMeaning>>;

export type CountName = keyof typeof COUNT_MEANINGS;

const NAMES = Object.keys(COUNT_MEANINGS);

/** Place of each count in `ListenerCounters.values`. */
export const COUNT = Object.fromEntries(NAMES.map((name, place) => [name, place])) as Readonly<
  Record<CountName, number> // the names are those of the meanings
>;

/** Replies that the system did not send, since a minute without one. */
export interface Unsent {
  /** The system's code for the latest. */
  readonly code: string;
  readonly times: number;
  readonly latestMs: number;
}

export class ListenerCounters {
  #unsent: Unsent | undefined;
  /** By place. Floating point because integers stay exact in it far beyond 32 bits. */
  readonly values = new Float64Array(NAMES.length);

  add(place: number): void {
    this.values[place] = (this.values[place] ?? 0) + 1;
  }

  get(name: CountName): number {
    return this.values[COUNT[name]] ?? 0;
  }

  /** Counts the error of a failed send; the reply is lost, and the client asks again. */
  addSendError(code: string, nowMs: number): void {
    this.add(SEND_ERRORS.get(code) ?? COUNT.sendOther);
    this.#unsent = { code, times: (this.unsent(nowMs)?.times ?? 0) + 1, latestMs: nowMs };
  }

  /** What a person should know of lost replies; undefined where the latest is more than a minute ago. */
  unsent(nowMs: number): Unsent | undefined {
    const unsent = this.#unsent;
    return unsent !== undefined && nowMs - unsent.latestMs < UNSENT_MS ? unsent : undefined;
  }
}

const UNSENT_MS = 60_000;

const SEND_ERRORS: ReadonlyMap<string, number> = new Map([
  ['EMSGSIZE', COUNT.sendTooLarge],
  ['ENETUNREACH', COUNT.sendUnreachable],
  ['EHOSTUNREACH', COUNT.sendUnreachable],
  ['ENETDOWN', COUNT.sendUnreachable],
  ['ECONNREFUSED', COUNT.sendRefused],
  ['EPERM', COUNT.sendRefused], // a local packet filter
  ['EACCES', COUNT.sendRefused], // a broadcast address as sender
  ['ENOBUFS', COUNT.sendNoBuffers],
  ['ENOMEM', COUNT.sendNoBuffers],
  ['EAGAIN', COUNT.sendNoBuffers],
]);

/** Places in the array of answers by origin; the keys are the metric's labels in camel case. */
export const ORIGIN = {
  malformed: 0,
  class: 1,
  endpoint: 2,
  localZone: 3,
  metaType: 4,
  cacheFresh: 5,
  cacheStale: 6,
  notRecursive: 7,
  forwarded: 8,
  failed: 9,
  disconnected: 10,
  retained: 11,
} as const;

export type Origin = keyof typeof ORIGIN;

const RCODES = 16; // the header has four bits; BADVERS counts as NOERROR, as a client without EDNS would read it

export class ResolverCounters {
  readonly #origins = new Float64Array(Object.keys(ORIGIN).length);
  readonly #rcodes = new Float64Array(RCODES);

  countOrigin(origin: number): void {
    this.#origins[origin] = (this.#origins[origin] ?? 0) + 1;
  }

  /** Counts the reply that starts at `start`. */
  countRcode(reply: Uint8Array, start: number): void {
    const rcode = rcodeAt(reply, start);
    this.#rcodes[rcode] = (this.#rcodes[rcode] ?? 0) + 1;
  }

  /** Labels and counts: every origin, and the response codes that were ever sent. */
  read(): { readonly origins: Record<string, number>; readonly rcodes: Record<string, number> } {
    const origins = Object.entries(ORIGIN).map(
      ([name, at]) => [snakeCase(name), this.#origins[at] ?? 0] as const,
    );
    const rcodes = [...this.#rcodes].flatMap((count, rcode) =>
      count > 0 ? [[rcodeName(rcode), count] as const] : [],
    );
    return { origins: Object.fromEntries(origins), rcodes: Object.fromEntries(rcodes) };
  }
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

type Counts = Readonly<Record<string, number>>;

export interface QueriesStatus {
  readonly queries: Readonly<Record<CountMeaning['metric'], Counts>> & {
    /** By the step of the resolver that answered. */
    readonly answers: Counts;
    readonly rcodes: Counts;
    /** Queries that wait for an upstream. */
    readonly pending: number;
    /** Present while the system does not send replies, and for a minute after that. */
    readonly unsent?: { readonly reason: string; readonly times: number; readonly latestAgoSeconds: number };
  };
}

export function queriesStatus(
  { counters: listeners, pending }: { readonly counters: ListenerCounters; readonly pending: number },
  resolver: ResolverCounters,
  nowMs: number,
): QueriesStatus {
  const of = (metric: CountMeaning['metric']): Counts =>
    Object.fromEntries(
      Object.values<CountMeaning>(COUNT_MEANINGS).flatMap((meaning, place) =>
        meaning.metric === metric ? [[meaning.label, listeners.values[place] ?? 0]] : [],
      ),
    );
  const { origins, rcodes } = resolver.read();
  const unsent = listeners.unsent(nowMs);
  return {
    queries: {
      received: of('received'),
      replies: of('replies'),
      answers: origins,
      rcodes,
      dropped: of('dropped'),
      limited: of('limited'),
      faults: of('faults'),
      sendErrors: of('sendErrors'),
      connections: of('connections'),
      pending,
      ...(unsent === undefined
        ? {}
        : {
            unsent: {
              reason: unsent.code,
              times: unsent.times,
              latestAgoSeconds: seconds(nowMs - unsent.latestMs),
            },
          }),
    },
  };
}

const { gauge, counter } = metricsOf<QueriesStatus>();

function counts(
  name: string,
  help: string,
  label: string,
  of: Exclude<keyof QueriesStatus['queries'], 'pending' | 'unsent'>,
) {
  return counter(name, help, [label], ({ queries }) => byLabel(queries[of]));
}

export const QUERIES_REPORT: RoomReport<QueriesStatus> = {
  metrics: [
    counts('queries', 'Messages received.', 'transport', 'received'),
    counts('replies', 'Replies sent.', 'transport', 'replies'),
    counts('answers', 'Answers by where they came from.', 'origin', 'answers'),
    counts('responses', 'Replies by response code.', 'rcode', 'rcodes'),
    counts('dropped_messages', 'Messages that got no reply, by reason.', 'reason', 'dropped'),
    counts('limited_queries', 'Queries refused or cut short by a limit, by reason.', 'reason', 'limited'),
    counts(
      'faults',
      'Faults of this server or its sockets; each is a defect or a host in trouble.',
      'kind',
      'faults',
    ),
    counts('send_errors', 'Replies that the kernel did not take.', 'reason', 'sendErrors'),
    counts('tcp_connections', 'TCP connections by what became of them.', 'event', 'connections'),
    gauge('pending_queries', 'Queries that wait for an upstream.', [], ({ queries }) =>
      single(queries.pending),
    ),
  ],
  panels: ({ queries }) => [
    { notes: queries.unsent === undefined ? [] : [toned('bad', unsentText(queries.unsent))] },
    {
      title: 'Server',
      facts: [['waiting', `${plural(queries.pending, 'query', 'queries')} for an upstream`]],
    },
  ],
};

/** What keeps the system from sending, and where a person looks; without the reason for other codes. */
const UNSENT_CAUSES: Readonly<Record<string, string>> = {
  too_large: 'the reply is too large for the way to the client',
  unreachable: 'this host has no route to the client, see ip route',
  refused: 'a packet filter of this host, or a full connection table, see nft list ruleset and dmesg',
  no_buffers: 'the network interface does not keep up',
};

function unsentText({
  reason,
  times,
  latestAgoSeconds,
}: NonNullable<QueriesStatus['queries']['unsent']>): string {
  const place = SEND_ERRORS.get(reason) ?? COUNT.sendOther;
  const label = Object.values(COUNT_MEANINGS)[place]?.label ?? '';
  const cause = UNSENT_CAUSES[label];
  const replies = times === 1 ? 'a reply was' : `${times} replies were`;
  return `${replies} not sent, the last ${agoText(latestAgoSeconds)}: ${reason}${cause === undefined ? '' : `, ${cause}`}`;
}
