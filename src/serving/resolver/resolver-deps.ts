/** The resolver's interface to other rooms, and the rules that a reload replaces. */
import type { Query } from '../../protocol/wire/query.ts';
import type { ResponseIndex } from '../../protocol/wire/response-records.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Timers } from '../../runtime/timers.ts';
import type { AnswerStore } from '../answer-cache/answer-cache.ts';
import type { ServingTable } from '../endpoints/endpoint-table.ts';
import type { ForwardFailureReason } from '../forwarder/question.ts';
import type { DisconnectedRules } from '../local-zones/disconnected-rules.ts';
import type { LocalZones } from '../local-zones/local-zones.ts';
import type { Reply, Route, Step } from '../turn.ts';
import type { Identity } from './server-texts.ts';

export interface ResolverOptions {
  readonly endpoints: ServingTable;
  readonly cache: AnswerStore;
  readonly upstreams: Upstreams;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** The strings at `_status.<endpoint>`. */
  readonly statusText: (record: EndpointRecord) => readonly string[];
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
  readonly trustAuthenticatedData: boolean;
  /** The longest time that a client waits for an answer, for any number of aliases before it. */
  readonly deadlineMs: number;
}

/** Everything that the steps use besides the turn. */
export interface ResolverDeps extends ResolverOptions {
  /** Replaced whole by a reload. */
  rules: ResolverRules;
}

/** The forwarder and the link, as far as the resolver needs them. The query's class is always IN. */
export interface Upstreams {
  /** Asks the upstreams of `route`; the reply comes within the forwarder's deadline, perhaps at once. Keeps `query`. */
  forward(query: Query, route: Route, reply: Reply<Fetched>): void;
  /**
   * Whether no server can answer for the query's name. One reason is that no upstream of the route answers, at all or for this
   * suffix. The other is that the name is on the far side of a link that is down. Makes no object.
   */
  isCut(query: Query, route: Route): boolean;
  /** Whether the link to the far side is known to be down, and the route leads to names beyond it. */
  isLinkCut(route: Route): boolean;
  /** Notes that this upstream denied a name that a stored answer or a rule knows. */
  noteFalseDenial(query: Query, upstream: string): void;
  /** Whether the query is a probe of our own that came back: an upstream forwards to us. */
  isLoopProbe(query: Query): boolean;
  /** Avoids the upstream that sent this probe back. */
  noteLoop(query: Query): void;
  readonly timers: Timers;
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
      /** `false`: no upstream was asked, because all are known to be down. */
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
