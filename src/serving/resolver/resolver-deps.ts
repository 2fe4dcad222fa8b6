/**
 * The resolver's interface to other rooms, and the rules that a reload replaces. Then what the resolver says of the server
 * itself: its version and name in class CH, and how fresh an endpoint is, as TXT.
 */
import { composeLocalAnswer } from '../../protocol/wire/local-answer.ts';
import { NameMap } from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import type { LocalAnswer } from '../../protocol/wire/reply.ts';
import type { ResponseIndex } from '../../protocol/wire/response-records.ts';
import { CLASS, TYPE } from '../../protocol/words/codes.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import type { Clock, Timers } from '../../runtime/clock.ts';
import type { AnswerStore } from '../answer-cache/answer-cache.ts';
import { composeStatusAnswer, type ServingTable } from '../endpoints/endpoint-table.ts';
import type { ForwardFailureReason } from '../forwarder/exchange.ts';
import type { DisconnectedRules } from '../local-zones/disconnected-rules.ts';
import type { LocalZones } from '../local-zones/local-zones.ts';
import type { Reply, Route, Step } from '../turn.ts';

export interface ResolverOptions {
  readonly endpoints: ServingTable;
  readonly cache: AnswerStore;
  readonly upstreams: Upstreams;
  /** `true`: the link to the far side is known to be down. Read for each question to upstreams. */
  readonly link: { readonly isFarSideCut: boolean };
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  /** The strings at `_status.<endpoint>`. */
  readonly statusStrings: (record: EndpointRecord) => readonly string[];
  readonly outage: OutageNotes;
  /** Hears of questions that no upstream could answer while the link is up. */
  readonly failedNames?: Pick<FailedNames, 'note'>;
  /** Another order of the steps, for the test of their reasons. */
  readonly arrange?: (steps: readonly Step[]) => readonly Step[];
}

/** Rules that a reload may replace. */
export interface ResolverRules {
  readonly localZones: LocalZones<Route>;
  /** The rules for names whose upstreams are known not to answer. */
  readonly disconnected: DisconnectedRules;
  readonly identity: Identity;
  /** The route of names without a rule of their own. */
  readonly defaultRoute: Route;
  /** Names of the routes that lead to names beyond the link. */
  readonly routesBeyondLink: ReadonlySet<string>;
  readonly trustAuthenticatedData: boolean;
  /** The longest time that a client waits for an answer, for any number of aliases before it. */
  readonly deadlineMs: number;
}

/** Everything that the steps use besides the turn. */
export interface ResolverDeps extends ResolverOptions {
  /** Replaced whole by a reload. */
  rules: ResolverRules;
}

/** The forwarder, as far as the resolver needs it. The query's class is always IN. */
export interface Upstreams {
  /**
   * Asks the upstreams of `route`; the reply comes within the forwarder's deadline, perhaps at once. It holds `query` until
   * then: the caller must not fill it again.
   */
  forwardTo(query: Query, route: Route, reply: Reply<Fetched>): void;
  /** Whether no upstream of the route answers, at all or for this suffix. Makes no object. */
  isCut(query: Query, route: Route): boolean;
  /** Notes that this upstream denied a name that a stored answer or a rule knows. */
  noteFalseDenial(query: Query, upstream: string): void;
  /** Whether the query is a probe of our own that came back: an upstream forwards to us. */
  isLoopProbe(query: Query): boolean;
  /** Avoids the upstream that sent this probe back. */
  noteLoop(query: Query): void;
}

export type Fetched =
  | {
      readonly kind: 'response';
      readonly octets: Uint8Array;
      readonly index: ResponseIndex;
      /** The upstream that answered. */
      readonly upstream?: string;
    }
  | {
      readonly kind: 'failed';
      readonly extendedError: number;
      readonly reason: ForwardFailureReason;
      /** `false`: no upstream was asked, because of earlier failures: all are down, or none answers for this suffix. */
      readonly wasAsked?: false;
    };

/** Counts the clients that an outage hurts. Called on the query path, in an outage or not: keep nothing of a query. */
interface OutageNotes {
  /** Whether the notes are collected at this moment. */
  readonly isCollecting: boolean;
  /** A client got SERVFAIL, or the denial that the operator's rule gives while the upstreams are gone. */
  noteFailed(query: Query): void;
  /** A client got an answer that had expired. */
  noteStale(query: Query): void;
  /** A client got the addresses of `record`. */
  noteEndpoint(record: EndpointRecord): void;
}

export interface IdentityOptions {
  readonly version?: string | undefined;
  readonly id?: string | undefined;
}

/** Answers in class CH about this server, if the operator wants these answers: `version.bind` and `id.server` (RFC 4892). */
export class Identity {
  readonly #answers = new NameMap<LocalAnswer>();

  constructor({ version, id }: IdentityOptions) {
    if (version !== undefined) this.#answers.set('version.bind', textAnswer('version.bind', version));
    if (id !== undefined) this.#answers.set('id.server', textAnswer('id.server', id));
  }

  /** The answer to a query of class CH, if there is one. */
  find(query: Query): LocalAnswer | undefined {
    return query.qtype === TYPE.TXT || query.qtype === TYPE.ANY ? this.#answers.exact(query) : undefined;
  }
}

function textAnswer(name: string, text: string): LocalAnswer {
  const record = { owner: name, ttlSeconds: 0, type: 'TXT', strings: [text] } as const;
  const answer = composeLocalAnswer({ name, answers: [record] });
  const octets = new Uint8Array(answer.octets);
  octets[5] = CLASS.CH; // after the owner's pointer and TYPE; the answer was composed in class IN
  return { ...answer, octets };
}

const STATUS_SHARED_MS = 1_000; // a fifth of the answer's TTL
const MAX_STATUS_ANSWERS = 256; // there are 100 clusters at most; names from before a reload go with the next clearing

/** Composes the TXT answers at `_status.<endpoint>`: each answer at most once a second, for any number of queries. */
export class StatusAnswers {
  readonly #deps: Pick<ResolverOptions, 'clock' | 'statusStrings'>;
  readonly #composed = new Map<string, { readonly atMs: number; readonly answer: LocalAnswer }>();

  constructor(deps: Pick<ResolverOptions, 'clock' | 'statusStrings'>) {
    this.#deps = deps;
  }

  /** The answer for the endpoint name `name`, which has this record. */
  answer(name: string, record: EndpointRecord): LocalAnswer {
    const nowMs = this.#deps.clock.monotonicMs();
    const known = this.#composed.get(name);
    if (known !== undefined && nowMs - known.atMs < STATUS_SHARED_MS) return known.answer;
    const answer = composeStatusAnswer(name, this.#deps.statusStrings(record));
    if (this.#composed.size >= MAX_STATUS_ANSWERS) this.#composed.clear();
    this.#composed.set(name, { atMs: nowMs, answer });
    return answer;
  }
}

// Remembers questions that no upstream could answer although the link was up: in a cut they fail too, unless an
// answer came later. Bounded; the question that failed longest ago goes first. It is called after an exchange with
// upstreams, never for an answer from memory, and never in a cut.

interface FailedName {
  /** A domain name as text. */
  readonly name: string;
  readonly qtype: number;
}

const MOST_NAMES = 1_000;

export class FailedNames {
  readonly #failed = new Map<string, FailedName & { readonly atMs: number }>();

  note(query: Query, nowMs: number): void {
    const name = query.nameText();
    const key = `${name} ${query.qtype}`;
    this.#failed.delete(key);
    this.#failed.set(key, { name, qtype: query.qtype, atMs: nowMs });
    if (this.#failed.size <= MOST_NAMES) return;
    const [oldest] = this.#failed.keys();
    if (oldest !== undefined) this.#failed.delete(oldest);
  }

  /** Names that failed since `sinceMs`, the latest first. */
  since(sinceMs: number): readonly FailedName[] {
    return [...this.#failed.values()].filter(({ atMs }) => atMs >= sinceMs).reverse();
  }
}
