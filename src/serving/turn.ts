/**
 * The turn: one query on its way from received octets to octets to send. The rooms of serving share nothing else about a
 * query. Each step of the resolver's list reads the turn, and leaves its findings on the turn for later steps.
 *
 * One turn is used again for every query that is answered at once: an endpoint answer and a cache hit make no object. A
 * query that waits gets a turn of its own (`keep`), and its answer goes to a `Reply`. Turns of queries that have waited are
 * used again too, as soon as nobody else holds them (`isFetched`).
 *
 *     listener fills in client, time and reply space -> intake -> handler.answer(turn) -> octets, NO_REPLY, or
 *                                                                 PENDING -> handler.later(turn.keep(), reply)
 *
 * This file knows no room: a route is a name, a stored answer is octets and their index. Below: where an answer can come from, and
 * the counts of answers.
 */
import { MAX_MESSAGE_OCTETS, rcodeAt } from '../protocol/wire/message.ts';
import { parseQuery, Query, VERDICT, type Verdict } from '../protocol/wire/query.ts';
import type { TtlPatch } from '../protocol/wire/reply.ts';
import type { AliasNote, ResponseIndex } from '../protocol/wire/response-records.ts';
import { rcodeName } from '../protocol/words/codes.ts';

export type ClientTransport = 'udp' | 'tcp';
export type Family = 4 | 6;

/** This message gets no reply. */
export const NO_REPLY = 0;
/** The answer is not known yet: `QueryHandler.later` fetches it. */
export const PENDING = -1;
/** A step has no answer to this query: the next step is asked. */
export const PASS = -2;

/**
 * Takes an answer that comes later. The sender calls `send` until `hasMore` is not set, or `fail`; calls after that change
 * nothing. Both may be called before the call that was given the reply has returned.
 */
export interface Reply<Message = Uint8Array> {
  /**
   * Sends a message; the caller may overwrite its octets afterwards. An empty message means that the query gets no reply. With
   * `hasMore` a further message follows. Over TCP all messages go out in order. Over UDP only the first message goes out, with TC
   * set (RFC 2181 section 9).
   */
  send(message: Message, hasMore?: boolean): void;
  /** The sender has a defect. */
  fail(error: unknown): void;
}

/** A reply that hands each message to `use`. Any failure, also of `use` itself, fails `next`. */
export function relay<Message>(
  next: Pick<Reply<never>, 'fail'>,
  use: (message: Message, hasMore?: boolean) => void,
): Reply<Message> {
  return {
    send: (message, hasMore) => {
      try {
        use(message, hasMore);
      } catch (error) {
        next.fail(error);
      }
    },
    fail: (error) => next.fail(error),
  };
}

type Use<Next, Message> = (turn: Turn, next: Reply<Next>, message: Message, hasMore?: boolean) => void;

/** As `relay`, for every query that waits: one `use` for all of them, and one small object for each. */
export class TurnRelay<Next, Message> implements Reply<Message> {
  readonly #turn: Turn;
  readonly #next: Reply<Next>;
  readonly #use: Use<Next, Message>;

  constructor(turn: Turn, next: Reply<Next>, use: Use<Next, Message>) {
    this.#turn = turn;
    this.#next = next;
    this.#use = use;
  }

  send(message: Message, hasMore?: boolean): void {
    try {
      this.#use(this.#turn, this.#next, message, hasMore);
    } catch (error) {
      this.#next.fail(error);
    }
  }

  fail(error: unknown): void {
    this.#next.fail(error);
  }
}

/** Answers queries: the listeners know nothing else of the resolver. */
export interface QueryHandler {
  /**
   * Answers at once where the answer is known: writes it into the turn's reply space and returns its octets, NO_REPLY, or
   * PENDING.
   */
  answer(turn: Turn): number;
  /** Answers a turn of its own after `answer` has returned PENDING for it. */
  later(turn: Turn, reply: Reply): void;
}

/** The upstreams that a question is sent to, by name. */
export interface Route {
  readonly name: string;
}

/** A stored answer as it is given at this moment: a reply is a copy of the octets, patched. */
export interface GivenOctets {
  readonly answer: { readonly octets: Uint8Array; readonly index: ResponseIndex };
  readonly ttl: TtlPatch;
  readonly extendedError: number | undefined;
}

/** One entry of the resolver's list. */
export interface Step {
  readonly name: string;
  /** The metric's label for answers of this step, as a place in `ORIGIN`. */
  readonly origin: number;
  readonly why: string;
  /** Names of the steps that must come before this step, each with the reason. Steps without such a reason may change places. */
  readonly after: Readonly<Record<string, string>>;
  /** Writes the answer into the turn's reply space and returns its octets; PASS, NO_REPLY or PENDING. */
  answer(turn: Turn): number;
  /** Only of a step that returns PENDING: fetches the answer. */
  fetch?(turn: Turn, reply: Reply): void;
}

const NOTHING = new Uint8Array(0);
const NOWHERE: Route = { name: '' };

export class Turn {
  readonly query: Query;
  /** Whether the message could be parsed; the query has a question only with `VERDICT.OK` and `VERDICT.BADVERS`. */
  verdict: Verdict = VERDICT.DROP;

  /** The client's address: 4 or 16 octets of `client` from `clientAt`, by `family`. */
  client: Uint8Array = NOTHING;
  clientAt = 0;
  family: Family = 4;
  port = 0;
  transport: ClientTransport = 'udp';
  /** When the message was received; monotonic. */
  nowMs = 0;

  /** The reply space: from `spaceStart` of `space`, at least 1,232 octets for UDP and 65,535 for TCP. */
  space: Uint8Array = NOTHING;
  spaceStart = 0;
  /** Octets that the client takes in one message. */
  limit = 0;

  /** The route of the question if no step answers it. */
  route: Route = NOWHERE;
  /** Whether nobody can be asked for the question; undefined: no step has looked yet. */
  isCut: boolean | undefined;
  /** The step that answered, or left the query pending. */
  step: Step | undefined;
  /** The metric's label for the answer, as a place in `ORIGIN`. */
  origin = 0;
  /** Set where the answer has aliases, which may have to be followed. */
  aliases: AliasNote | undefined;
  /** The extended error of an answer with aliases: a reply without EDNS has no place for it. */
  extendedError: number | undefined;
  /** An expired answer, found by the step that looks for fresh ones: it is given if no step between them answers. */
  stale: GivenOctets | undefined;
  /** The first part of the answer is known, and ends in an alias whose target has to be fetched. */
  isPartKnown = false;
  /** A query that waits has its answer until then. */
  endsAtMs = 0;
  /** The upstreams' outcome has come: only the reply still needs this turn and its query. */
  isFetched = false;
  /** The client's address of a turn of its own. */
  #ownClient = NOTHING;

  constructor(query = new Query()) {
    this.query = query;
  }

  /** The client, and when its message was received. */
  from(
    transport: ClientTransport,
    client: Uint8Array,
    clientAt: number,
    family: Family,
    port: number,
    nowMs: number,
  ): void {
    this.transport = transport;
    this.client = client;
    this.clientAt = clientAt;
    this.family = family;
    this.port = port;
    this.nowMs = nowMs;
  }

  /** The reply space. */
  into(space: Uint8Array, spaceStart: number): void {
    this.space = space;
    this.spaceStart = spaceStart;
  }

  /** Parses a message. Transport and reply space are filled in already. */
  read(message: Uint8Array, start: number, end: number): void {
    this.verdict = parseQuery(this.query, message, start, end);
    this.limit = this.transport === 'udp' ? this.query.udpLimit : MAX_MESSAGE_OCTETS;
  }

  /** Forgets the findings of the steps, so that the list can be run again from its beginning. */
  begin(route: Route): void {
    this.route = route;
    this.isCut = undefined;
    this.step = undefined;
    this.aliases = undefined;
    this.extendedError = undefined;
    this.stale = undefined;
  }

  /** A turn of its own for a query that waits, with copies of the message and of the client's address: `kept`, filled again. */
  keep(kept = new Turn()): Turn {
    this.query.copy(kept.query);
    kept.verdict = this.verdict;
    if (kept.#ownClient === NOTHING) kept.#ownClient = new Uint8Array(16);
    const octets = this.family === 4 ? 4 : 16;
    for (let i = 0; i < octets; i++) kept.#ownClient[i] = this.client[this.clientAt + i] ?? 0;
    kept.from(this.transport, kept.#ownClient, 0, this.family, this.port, this.nowMs);
    kept.into(NOTHING, 0);
    kept.limit = this.limit;
    kept.begin(this.route);
    kept.step = this.step;
    kept.origin = this.origin;
    kept.isPartKnown = this.isPartKnown;
    kept.isFetched = false;
    return kept;
  }
}

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
