/**
 * The forwarder sends a client's question to an upstream resolver and brings back the reply, octet for octet.
 *
 *     forwardTo -> pending question -> attempt -> transport
 *                  (which upstream)    (one       (UDP, TCP, TLS: one message, one reply)
 *                                       upstream)
 *
 *     identical questions share one outcome, and which gives way   pending-questions.ts
 *     which upstreams are asked about a name, loops                groups.ts
 *     the order of upstreams, a second try, the outcome            pending-question.ts
 *     health, evidence, counts of one upstream                     upstream-client.ts; for names: name-health.ts
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
import type { Random } from '../../runtime/random.ts';
import { atOnce, type Steps } from '../../runtime/slices.ts';
import type { Reply, Route } from '../turn.ts';
import {
  DEFAULT_SETTINGS,
  type ForwardSettings,
  type Transports,
  type Upstream,
  type UpstreamGroup,
} from './exchange.ts';
import { FORWARDER_MESSAGES, type ForwarderSnapshot, type UpstreamSnapshot } from './forwarder-report.ts';
import {
  chooseMembers,
  claimTrial,
  type GroupChange,
  type GroupMember,
  Groups,
  hasAnswers,
  type Members,
  type Regrouping,
  triable,
} from './groups.ts';
import { type Ask, askAddresses, askText, SecondOpinions } from './own-questions.ts';
import { PendingQuestion } from './pending-question.ts';
import { PendingQuestions } from './pending-questions.ts';
import type { EvidenceWanted } from './probing.ts';
import {
  type ForwardFailure,
  type ForwardOutcome,
  forwardFailure,
  type Overload,
  type Question,
  questionOf,
  saysNothing,
} from './question.ts';
import type { ClientContext, LinkCuts, UpstreamEvidence } from './upstream-client.ts';

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
    return this.#groups.senderOf(query) !== undefined;
  }

  /** Avoids the upstream that sent this probe back, in the group that it was sent for, while the loop lasts. */
  noteLoop(query: Query): void {
    const member = this.#groups.senderOf(query);
    if (member === undefined || !member.noteLoop()) return;
    const fields = { upstream: member.client.upstream.text, zone: member.group };
    FORWARDER_MESSAGES.loop(this.#options.log, fields);
  }

  /** Whether no upstream of the group can be asked at this moment: a question would fail at once. */
  isDown(route: Route): boolean {
    const nowMs = this.#nowMs();
    return !(this.#groups.membersOf(route) ?? []).some((member) => member.isUsable(nowMs));
  }

  /**
   * Whether no upstream of the group answers questions about this name: none can be asked, or those that can fail for its
   * suffix. One question in a second or two is sent all the same and finds out whether that still holds.
   */
  isCut(query: Query, route: Route): boolean {
    const nowMs = this.#nowMs();
    const members = this.#groups.membersOf(route) ?? [];
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
    const members = this.#groups.membersOf(route);
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
    const members = this.#groups.membersOf(group) ?? [];
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
