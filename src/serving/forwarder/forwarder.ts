/**
 * The forwarder sends a client's question to an upstream resolver and brings back the reply, octet for octet.
 *
 *     forwardTo -> pending question -> attempt -> transport
 *                  (which upstream)    (one       (UDP, TCP, TLS: one message, one reply)
 *                                       upstream)
 *
 *     which upstreams are asked about a name; which question       this file
 *       is shared by clients, and which gives way
 *     the order of upstreams, a second try, the outcome, loops     pending-question.ts; the groups, which a reload replaces: groups.ts
 *     health, evidence, counts of one upstream                     upstream-client.ts; names that fail: suffix-health.ts
 *     EDNS, mixed case, TCP after UDP, late replies                attempt.ts
 *     whether a message is the reply                               exchange.ts
 *
 * It knows upstreams, their health, and how to tell a reply from a forgery. It refuses to know what a response means
 * to a client, what may be cached and which zone a name belongs to. When it fails, the resolver decides the reply.
 * RFC 5452 (forged answers), RFC 7766 (TCP), RFC 7858 and 8310 (TLS), RFC 6891 (EDNS), RFC 6298 (timeouts).
 */

import { LimitLog, type Log } from '../../log/log.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { nameFromWire } from '../../protocol/words/name.ts';
import type { ResolvedName } from '../../records/observation.ts';
import { type Clock, DeadlineSweep, type Timers } from '../../runtime/clock.ts';
import type { NodeModules } from '../../runtime/memory.ts';
import type { Random } from '../../runtime/random.ts';
import { atOnce, type Steps } from '../../runtime/slices.ts';
import type { Reply, Route } from '../turn.ts';
import {
  DEFAULT_SETTINGS,
  type ForwardFailure,
  type ForwardOutcome,
  type ForwardSettings,
  forwardFailure,
  isSameQuestion,
  type LinkCuts,
  notAsked,
  type Overload,
  type Question,
  questionOf,
  saysNothing,
  type Transports,
  type Upstream,
  type UpstreamEvidence,
  type UpstreamGroup,
} from './exchange.ts';
import { FORWARDER_MESSAGES, type ForwarderSnapshot, type UpstreamSnapshot } from './forwarder-report.ts';
import { Groups, type Members, type Regrouping } from './groups.ts';
import { type Ask, askAddresses, askText, SecondOpinions } from './own-questions.ts';
import {
  type GroupChange,
  type GroupMember,
  mayBeProbe,
  NO_NETWORK,
  noUpstream,
  PendingQuestion,
  type QuestionKind,
} from './pending-question.ts';
import type { EvidenceWanted } from './probing.ts';
import type { ClientContext } from './upstream-client.ts';

export interface ForwarderOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly groups: readonly UpstreamGroup[];
  readonly settings?: Partial<ForwardSettings>;
  /** The forwarder calls this for each change, and at most once a second for evidence that changes nothing. */
  readonly onEvidence?: (evidence: UpstreamEvidence) => void;
  /** The evidence that the user of `onEvidence` needs before its own state changes. */
  readonly evidenceWanted: EvidenceWanted;
  readonly onUpstreamUp?: (upstream: Upstream) => void;
  readonly onUpstreamDown?: (upstream: Upstream) => void;
  /** Whether this upstream is treated as unreachable although it may answer: a drill. Asked only while `link.isAnyCut`. */
  readonly isDrilled?: (upstream: Upstream) => boolean;
  readonly link?: LinkCuts;
  /** The ways of asking an upstream. */
  readonly transports: Transports;
}

/** Upstreams that one step of a snapshot copies: a step takes some 20 microseconds. */
const UPSTREAMS_PER_STEP = 16;
/** Pending questions that one step of a reload asks of new upstreams: an exchange takes some 40 microseconds to send. */
const QUESTIONS_PER_STEP = 16;

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #context: ClientContext;
  readonly #groups: Groups;
  readonly #pending = new PendingQuestions();
  readonly #opinions: SecondOpinions;
  readonly #limitLog: LimitLog;
  readonly #overloaded: Record<Overload, number> = { limit: 0, network: 0, suffix: 0 };
  #settings: ForwardSettings;
  #coalesced = 0;
  #failedFast = 0;
  #isClosed = false;

  constructor(options: ForwarderOptions) {
    const { clock, timers, log, groups, settings } = options;
    this.#options = options;
    this.#settings = { ...DEFAULT_SETTINGS, ...settings };
    this.#limitLog = new LimitLog(log);
    this.#opinions = new SecondOpinions(log, clock);
    this.#context = this.#clientContext(new DeadlineSweep(clock, timers));
    this.#groups = new Groups(this.#context);
    this.reconfigure(groups);
  }

  /** As `forwardTo`, as a promise that never rejects. `isOwn`: see `#forward`. */
  forward(query: Query, route: Route, isOwn = false): Promise<ForwardOutcome> {
    return new Promise((resolve, reject) =>
      this.#forward(query, route, isOwn, { send: resolve, fail: reject }),
    );
  }

  /**
   * Asks the upstreams of a group that was configured; sends the outcome once, perhaps before this returns. Identical
   * questions that are on their way to the same group share one outcome.
   */
  forwardTo(query: Query, route: Route, reply: Reply<ForwardOutcome>): void {
    this.#forward(query, route, false, reply);
  }

  /** An A query for `name`, past any cache of ours and past the limit on questions in flight. Never rejects. */
  resolveAddresses(name: string, signal: AbortSignal, group: UpstreamGroup): Promise<ResolvedName> {
    const compare = (query: Query, outcome: ForwardOutcome): Promise<void> =>
      this.#compare(name, query, group, outcome);
    const ask: Ask = (query) => this.forward(query, group, true);
    return askAddresses(name, signal, ask, this.#options.timers, compare);
  }

  /** Whether a TXT query for `name`, asked as `resolveAddresses` asks, is answered with text. Never rejects. */
  answersText(name: string, signal: AbortSignal, group: UpstreamGroup): Promise<boolean> {
    return askText(name, signal, (query) => this.forward(query, group, true));
  }

  /** Whether an incoming query is a probe of ours for loops that has come back: not to be forwarded again. */
  isLoopProbe(query: Query): boolean {
    return mayBeProbe(query) && this.#groups.senderOf(query) !== undefined;
  }

  /** Avoids the upstream that sent this probe back, in the group that it was sent for, while the loop lasts. */
  noteLoop(query: Query): void {
    const member = mayBeProbe(query) ? this.#groups.senderOf(query) : undefined;
    if (member === undefined || !member.noteLoop()) return;
    const fields = { upstream: member.client.upstream.text, zone: member.group };
    FORWARDER_MESSAGES.loop(this.#options.log, fields);
  }

  /** Whether no upstream of the group can be asked at this moment: a question would fail at once. */
  isDown(route: Route): boolean {
    const nowMs = this.#nowMs();
    return !(this.#membersOf(route) ?? []).some((member) => member.isUsable(nowMs));
  }

  /**
   * Whether no upstream of the group answers questions about this name: none can be asked, or those that can fail for its
   * suffix. One question in a second or two is sent all the same and finds out whether that still holds.
   */
  isCut(query: Query, route: Route): boolean {
    const nowMs = this.#nowMs();
    const members = this.#membersOf(route) ?? [];
    if (hasAnswers(members, query, nowMs)) return false;
    // the client does not wait for a trial: most likely the name is still cut
    if (!this.#isClosed && claimTrial(members, query, nowMs))
      this.#startTrial(query, triable(members, nowMs), () => undefined);
    return true;
  }

  /** The link is back: names that failed because of it may be answered. */
  forgetCuts(): void {
    for (const client of this.#groups.clients) client.suffixes.clear();
  }

  /** The upstream of that text denied a name that is known to exist. */
  noteFalseDenial(query: Query, upstream: string): void {
    const question = questionOf(query);
    for (const client of this.#groups.clients)
      if (client.upstream.text === upstream) client.names.noteFailure(question, 'false denial');
  }

  /** What the transports of these groups load late. */
  needsOf(groups: readonly UpstreamGroup[]): NodeModules {
    const names = new Set(groups.flatMap(({ upstreams }) => upstreams.map(({ transport }) => transport)));
    return [...names].flatMap((name) => (name && this.#options.transports[name]?.needs) || []);
  }

  /** Takes new groups and settings. Upstreams that stay keep their health and connections; pending questions go on. */
  reconfigure(groups: readonly UpstreamGroup[], settings: Partial<ForwardSettings> = {}): void {
    const { take, leave } = atOnce(this.reconfiguring(groups, settings));
    take();
    atOnce(leave());
  }

  /** As `reconfigure`, in steps: there may be thousands of groups. Nothing changes until `take`, which is one assignment. */
  *reconfiguring(
    groups: readonly UpstreamGroup[],
    settings: Partial<ForwardSettings> = {},
  ): Steps<Regrouping> {
    const { take, leave } = yield* this.#groups.regrouping(groups);
    let before = this.#groups.current;
    const takeAll = (): void => {
      this.#settings = { ...this.#settings, ...settings };
      before = this.#groups.current;
      take();
    };
    return { take: takeAll, leave: () => this.#leaving(before, leave) };
  }

  /** Clients that wait for an upstream which a reload took away would wait for nothing. */
  *#leaving(before: Members, leave: () => Steps<void>): Steps<void> {
    const changes = new Map<string, GroupChange | undefined>();
    let regrouped = 0;
    for (const pending of this.#pending.all()) {
      const { group } = pending;
      if (!changes.has(group)) changes.set(group, this.#groups.changeOf(group, before));
      const change = changes.get(group);
      if (change === undefined) continue;
      pending.regroup(change);
      if (++regrouped % QUESTIONS_PER_STEP === 0) yield;
    }
    yield* leave();
  }

  snapshot(): ForwarderSnapshot {
    return atOnce(this.snapshotting());
  }

  /** As `snapshot`, some upstreams a step: there may be thousands. */
  *snapshotting(): Steps<ForwarderSnapshot> {
    const nowMs = this.#nowMs();
    const upstreams: UpstreamSnapshot[] = [];
    for (const client of this.#groups.clients) {
      upstreams.push(client.snapshot(this.#groups.isLooping(client, nowMs)));
      if (upstreams.length % UPSTREAMS_PER_STEP === 0) yield;
    }
    return {
      upstreams,
      inFlight: this.#pending.size,
      coalesced: this.#coalesced,
      failedFast: this.#failedFast,
      overloaded: { ...this.#overloaded },
      differences: this.#opinions.differences,
    };
  }

  /** The shortest round trip to an upstream that is up; `undefined` before any was measured. */
  get shortestRoundTripMs(): number | undefined {
    let shortest = Number.POSITIVE_INFINITY;
    for (const { isUp, health } of this.#groups.clients)
      if (isUp) shortest = Math.min(shortest, health.roundTripMs ?? shortest);
    return Number.isFinite(shortest) ? shortest : undefined;
  }

  /** Closes every socket; pending questions fail. */
  close(): void {
    this.#isClosed = true;
    for (const pending of this.#pending.all()) pending.cancel('closing', 'the forwarder is closing');
    this.#groups.close();
    this.#context.sweep.close();
  }

  /** The upstreams of the group; `undefined` where there is no such group. */
  #membersOf({ name }: Route): readonly GroupMember[] | undefined {
    return this.#groups.current.get(name);
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  /** `isOwn`: not a client's question. It is asked past the limit on questions in flight, and never gives way. */
  #forward(query: Query, route: Route, isOwn: boolean, reply: Reply<ForwardOutcome>): void {
    const question = questionOf(query);
    const { key } = query;
    const known = this.#pending.find(key, question, route.name);
    if (known !== undefined) {
      this.#coalesced++;
      this.#pending.join(known, reply, query.network);
      return;
    }
    const pending = this.#pendingFor(query, question, route, isOwn);
    if (!(pending instanceof PendingQuestion)) {
      reply.send(pending);
      return;
    }
    pending.key = key;
    pending.join(reply);
    this.#pending.add(pending);
    pending.start();
  }

  /** The question, ready to be asked, or why no upstream is asked. */
  #pendingFor(
    query: Query,
    question: Question,
    route: Route,
    isOwn: boolean,
  ): PendingQuestion | ForwardFailure {
    if (this.#isClosed) return forwardFailure('closing', 'the forwarder is closed');
    const members = this.#membersOf(route);
    if (members === undefined)
      return forwardFailure('all-down', `no upstreams are configured for "${route.name}"`);
    const choice = chooseMembers(members, query, isOwn, this.#nowMs());
    if (choice.kind === 'failed') {
      this.#failedFast++;
      return choice;
    }
    if (!isOwn && !this.#makeRoomFor(query.network, question))
      return forwardFailure('overloaded', `${this.#settings.inFlight} questions are on their way`);
    const asked: Question = choice.kind === 'trial' ? { ...question, probes: 'trial' } : question;
    const pending = new PendingQuestion(this.#context, asked, choice.members, choice.kind, this.#onOver);
    pending.group = route.name;
    pending.givesWay = !isOwn;
    if (!isOwn) pending.network = query.network;
    return pending;
  }

  readonly #onOver = (pending: PendingQuestion, outcome: ForwardOutcome): void => {
    this.#pending.delete(pending);
    if (pending.isJoined && saysNothing(outcome)) pending.suspectLoops();
    // it gave way within the call of another query, whose reply is being written at this moment
    if (outcome.kind === 'failed' && outcome.reason === 'overloaded')
      queueMicrotask(() => pending.reply(outcome));
    else pending.reply(outcome);
  };

  /** Whether there is a place for one more question, or another question has given way. */
  #makeRoomFor(network: number, { domain, name }: Question): boolean {
    const crowded = this.#pending.crowded(network, domain, this.#settings.inFlight);
    if (crowded === undefined) return true;
    const { reason, oldest } = crowded;
    this.#overloaded[reason]++;
    const fails = oldest?.question.name ?? name;
    this.#limitLog.noteQuestion('forward.inFlight', this.#nowMs(), () => nameFromWire(fails, 0));
    oldest?.cancel('overloaded', 'it gave way to a question of another client');
    return oldest !== undefined;
  }

  /** Asks another upstream of the group the same, for as long as one attempt takes. */
  async #compare(name: string, query: Query, group: UpstreamGroup, first: ForwardOutcome): Promise<void> {
    if (first.kind === 'failed' || this.#isClosed) return;
    const nowMs = this.#nowMs();
    const members = this.#membersOf(group) ?? [];
    const other = members.find((one) => one.client.upstream.text !== first.upstream && one.isUsable(nowMs));
    if (other === undefined) return;
    const second = await new Promise<ForwardOutcome>((resolve) => this.#startTrial(query, [other], resolve));
    this.#opinions.compare(name, first, second);
  }

  #startTrial(
    query: Query,
    upstreams: readonly GroupMember[],
    onOutcome: (outcome: ForwardOutcome) => void,
  ): void {
    const question = questionOf(query, 'trial');
    const onOver = (_: PendingQuestion, outcome: ForwardOutcome): void => onOutcome(outcome);
    new PendingQuestion(this.#context, question, upstreams, 'trial', onOver).start();
  }

  #clientContext(sweep: DeadlineSweep): ClientContext {
    const { onEvidence, onUpstreamUp, onUpstreamDown } = this.#options;
    const { isDrilled = () => false, link = { isFarSideCut: false, isAnyCut: false } } = this.#options;
    return {
      ...this.#options,
      ...{ isDrilled, link },
      sweep,
      settings: () => this.#settings,
      onEvidence: (evidence) => onEvidence?.(evidence),
      onDown: ({ upstream }) => onUpstreamDown?.(upstream),
      onUp: (client) => {
        this.#groups.probeSoon(client);
        onUpstreamUp?.(client.upstream);
      },
    };
  }
}

// Which upstreams are asked about a name.

/**
 * Which upstreams are asked, and how; or the outcome, where none is. The server asks a question of its own (`isOwn`) even if its
 * suffix is cut and the upstreams are down.
 */
function chooseMembers(
  members: readonly GroupMember[],
  query: Query,
  isOwn: boolean,
  nowMs: number,
): { readonly kind: QuestionKind; readonly members: readonly GroupMember[] } | ForwardFailure {
  // upstreams that fail for this suffix are left out while others do not
  const willing = where(members, (member) => member.isWilling(query, nowMs));
  if (willing.length > 0) {
    const isDoubted = !isOwn && willing.every(({ client }) => client.names.isInDoubt(nowMs));
    return { kind: isDoubted ? 'doubted' : 'usual', members: willing };
  }
  const usable = where(members, (member) => member.isUsable(nowMs));
  if (isOwn && usable.length > 0) return { kind: 'usual', members: usable };
  if (isOwn || claimTrial(members, query, nowMs)) {
    const tried = triable(members, nowMs);
    if (tried.length > 0) return { kind: 'trial', members: tried };
  }
  if (usable.length === 0) return noUpstream(members, nowMs);
  const texts = usable.map(({ client }) => `"${client.upstream.text}"`).join(', ');
  return notAsked('timeout', `no upstream answers for this suffix: ${texts}`);
}

/** The array itself where all are wanted, as nearly always. */
function where(
  members: readonly GroupMember[],
  isWanted: (member: GroupMember) => boolean,
): readonly GroupMember[] {
  return members.every(isWanted) ? members : members.filter(isWanted);
}

/** Whether an upstream is known to answer for the suffixes of this name, as far as its failures tell. */
function hasAnswers(members: readonly GroupMember[], query: Query, nowMs: number): boolean {
  for (const member of members)
    if (
      member.isUsable(nowMs) &&
      (member.client.suffixes.isClear || !member.client.suffixes.isCut(query, nowMs))
    )
      return true;
  return false;
}

/** Whether it is time for a real question to any of the members about a name that is cut. Claims this time. */
function claimTrial(members: readonly GroupMember[], query: Query, nowMs: number): boolean {
  let isTime = false;
  for (const member of members) {
    if (!member.mayBeTried(nowMs)) continue;
    const { client } = member;
    if (client.isUp ? client.suffixes.claimTrial(query, nowMs) : client.claimTrial(nowMs)) isTime = true;
  }
  return isTime;
}

/** The members that may be asked although they are down. */
function triable(members: readonly GroupMember[], nowMs: number): readonly GroupMember[] {
  return where(members, (member) => member.mayBeTried(nowMs));
}

// The pending questions of all clients. A client that asks a pending question waits for the same outcome. No client can take all
// places: questions that no server answers hold their places for the whole deadline.
//
//     by network   when all places are taken, the oldest question of the network that holds the most gives way
//     by suffix    one registered domain has half of the places at most; beyond, its own oldest question gives way
//
// A question that several networks wait for counts for the network with the fewest. Questions of our own have no network
// and never give way.

/** The share of all places that one suffix may take. Two floods under different suffixes cannot keep other questions out. */
const SUFFIX_SHARE = 0.5;

/** Too many questions are pending: `oldest` fails, or the new question fails if `oldest` is `undefined`. */
interface Crowded {
  readonly reason: Overload;
  readonly oldest: PendingQuestion | undefined;
}

type Holders = Map<number, Set<PendingQuestion>>;

export class PendingQuestions {
  readonly #byKey = new Map<number, PendingQuestion>();
  readonly #networks: Holders = new Map();
  readonly #suffixes: Holders = new Map();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The pending question that answers this question for this group too. */
  find(key: number, question: Question, group: string): PendingQuestion | undefined {
    // nobody outside can make names that share a key, so few are compared
    for (let pending = this.#byKey.get(key); pending !== undefined; pending = pending.next) {
      if (pending.group === group && isSameQuestion(pending.question, question)) return pending;
    }
    return undefined;
  }

  add(pending: PendingQuestion): void {
    pending.next = this.#byKey.get(pending.key);
    this.#byKey.set(pending.key, pending);
    this.#size++;
    if (!pending.givesWay) return;
    put(this.#networks, pending.network, pending);
    put(this.#suffixes, pending.question.domain, pending);
  }

  /** A client of this network waits for it too. */
  join(pending: PendingQuestion, client: Reply<ForwardOutcome>, network: number): void {
    pending.join(client);
    if (!pending.givesWay || network === pending.network || pending.network === NO_NETWORK) return;
    const heldBy = (holder: number): number => this.#networks.get(holder)?.size ?? 0;
    if (heldBy(network) >= heldBy(pending.network)) return;
    take(this.#networks, pending.network, pending);
    pending.network = network;
    put(this.#networks, network, pending);
  }

  delete(pending: PendingQuestion): void {
    const first = this.#byKey.get(pending.key);
    if (first !== pending) {
      for (let before = first; before !== undefined; before = before.next)
        if (before.next === pending) before.next = pending.next;
    } else if (pending.next === undefined) this.#byKey.delete(pending.key);
    else this.#byKey.set(pending.key, pending.next);
    this.#size--;
    if (!pending.givesWay) return;
    take(this.#networks, pending.network, pending);
    take(this.#suffixes, pending.question.domain, pending);
  }

  /** Which question fails if one of this network about this domain is added; `undefined` where there is room. */
  crowded(network: number, domain: number, limit: number): Crowded | undefined {
    const ofSuffix = this.#suffixes.get(domain);
    if (ofSuffix !== undefined && ofSuffix.size >= limit * SUFFIX_SHARE)
      return { reason: 'suffix', oldest: oldestOf(ofSuffix) };
    if (this.#size < limit) return undefined;
    // a question without a network has no share that could be weighed against others'
    const oldest = network === NO_NETWORK ? undefined : this.#oldestOfLargest();
    return oldest === undefined ? { reason: 'limit', oldest } : { reason: 'network', oldest };
  }

  all(): PendingQuestion[] {
    const all: PendingQuestion[] = [];
    for (const first of this.#byKey.values())
      for (let pending: PendingQuestion | undefined = first; pending !== undefined; pending = pending.next)
        all.push(pending);
    return all;
  }

  #oldestOfLargest(): PendingQuestion | undefined {
    let largest: Set<PendingQuestion> | undefined;
    for (const [network, held] of this.#networks) {
      if (network !== NO_NETWORK && held.size > (largest?.size ?? 0)) largest = held;
    }
    return largest && oldestOf(largest);
  }
}

function put(holders: Holders, key: number, pending: PendingQuestion): void {
  const held = holders.get(key);
  if (held === undefined) holders.set(key, new Set([pending]));
  else held.add(pending);
}

function take(holders: Holders, key: number, pending: PendingQuestion): void {
  const held = holders.get(key);
  held?.delete(pending);
  if (held?.size === 0) holders.delete(key);
}

function oldestOf(held: ReadonlySet<PendingQuestion>): PendingQuestion | undefined {
  for (const pending of held) return pending;
  return undefined;
}
