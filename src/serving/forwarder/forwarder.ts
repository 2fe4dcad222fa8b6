/**
 * The forwarder sends a client's question to an upstream resolver and brings back what it says, octet for octet.
 *
 *     forward -> coalesce -> flight -> attempt -> exchange -> socket
 *                (identical  (which    (one       (one query,
 *                 questions)  upstream) upstream)  one reply)
 *
 * It knows upstreams, their health, and how to tell a reply from a forgery. It refuses to know what a response means
 * to a client, what may be cached, which zone a name belongs to, and what to say when it fails: the resolver does.
 * RFC 5452 (forged answers), RFC 7766 (TCP), RFC 7858 and 8310 (TLS), RFC 6891 (EDNS), RFC 6298 (timeouts).
 */

import type { Log } from '../../log/log.ts';
import { LimitLog } from '../../log/log.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { nameFromWire } from '../../protocol/words/name.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import { atOnce, type Steps } from '../../runtime/slices.ts';
import type { Timers } from '../../runtime/timers.ts';
import type { Route } from '../turn.ts';
import { type Landed, OnItsWay, OnTheirWay, questionHash } from './coalescing.ts';
import { DeadlineSweep } from './deadline-sweep.ts';
import { Flight, type FlightContext } from './flight.ts';
import { type ForwardOutcome, forwardFailure, isUnhelpful } from './forward-outcome.ts';
import { DEFAULT_SETTINGS, type ForwardSettings } from './forward-settings.ts';
import type { ForwarderSnapshot } from './forwarder-snapshot.ts';
import { type Asked, chooseAsked, claimTrial, hasAnswers } from './group-choice.ts';
import type { GroupMember } from './group-member.ts';
import { Groups, type Regrouping } from './groups.ts';
import { NOBODY, type Overload } from './in-flight-shares.ts';
import { askAddresses, askText } from './own-questions.ts';
import { Probing } from './probing.ts';
import { type Question, questionOf } from './question.ts';
import type { ResolvedName } from './resolved-name.ts';
import { SecondOpinions } from './second-opinion.ts';
import { socketTransports, type Transports } from './transports.ts';
import type { OpenUdpSocket } from './udp-socket.ts';
import type { Upstream, UpstreamGroup } from './upstream.ts';
import type { ClientContext, UpstreamEvidence } from './upstream-client.ts';

export interface ForwarderOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly groups: readonly UpstreamGroup[];
  readonly settings?: Partial<ForwardSettings>;
  /** Certificates in PEM that TLS upstreams are verified with, in place of the system's. */
  readonly ca?: readonly string[];
  /** Called for a change, and at most once a second for more of the same. */
  readonly onEvidence?: (evidence: UpstreamEvidence) => void;
  readonly onUpstreamUp?: (upstream: Upstream) => void;
  readonly onUpstreamDown?: (upstream: Upstream) => void;
  /** How UDP sockets are opened: by `node:dgram` unless told otherwise. */
  readonly openUdp?: OpenUdpSocket;
  /** Whether this upstream is to be treated as unreachable although it may answer: a rehearsal. */
  readonly isCutOff?: (upstream: Upstream) => boolean;
  /** Whether the link to the far side is known to be down. */
  readonly isLinkCut?: () => boolean;
  /** Real sockets, unless a test brings its own. */
  readonly transports?: Transports;
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #sweep: DeadlineSweep;
  readonly #probing: Probing;
  #settings: ForwardSettings;
  readonly #groups: Groups;
  readonly #onTheirWay = new OnTheirWay();
  readonly #flightContext: FlightContext;
  readonly #opinions: SecondOpinions;
  #coalesced = 0;
  readonly #overloaded: Record<Overload, number> = { limit: 0, network: 0, suffix: 0 };
  readonly #limitLog: LimitLog;
  #failedFast = 0;
  #isClosed = false;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#limitLog = new LimitLog(options.log);
    this.#settings = { ...DEFAULT_SETTINGS, ...options.settings };
    this.#sweep = new DeadlineSweep(options.clock, options.timers);
    this.#opinions = new SecondOpinions(options.log, () => options.clock.monotonicMs());
    this.#probing = new Probing(options.timers, options.random);
    this.#flightContext = {
      sweep: this.#sweep,
      settings: () => this.#settings,
      nowMs: () => options.clock.monotonicMs(),
    };
    this.#groups = new Groups(this.#clientContext(), (client) => this.#probing.forget(client));
    this.reconfigure(options.groups);
  }

  /** As `forwardTo`, as a promise that never rejects. */
  forward(query: Query, group: Route): Promise<ForwardOutcome> {
    return new Promise((resolve) => this.forwardTo(query, group, resolve));
  }

  /**
   * Asks the upstreams of a group that was configured; tells the outcome once, perhaps before this returns. Identical
   * questions that are on their way to the same group share one outcome.
   */
  forwardTo(query: Query, group: Route, landed: Landed): void {
    this.#forward(query, group, this.#settings.inFlight, landed);
  }

  /** An A query for `name`, past any cache of ours and past the limit on questions in flight. Never rejects. */
  resolveAddresses(name: string, signal: AbortSignal, group: UpstreamGroup): Promise<ResolvedName> {
    const compare = (query: Query, outcome: ForwardOutcome): Promise<void> =>
      this.#compare(name, query, group, outcome);
    return askAddresses(
      name,
      signal,
      (query) => this.#unlimited(query, group),
      this.#options.timers,
      compare,
    );
  }

  /** Whether a TXT query for `name`, asked as `resolveAddresses` asks, is answered with text. Never rejects. */
  answersText(name: string, signal: AbortSignal, group: UpstreamGroup): Promise<boolean> {
    return askText(name, signal, (query) => this.#unlimited(query, group));
  }

  /** Whether an incoming query is a probe of ours for loops that has come back: not to be forwarded again. */
  isLoopProbe(query: Query): boolean {
    return this.#groups.senderOf(query) !== undefined;
  }

  /** Avoids the upstream that sent this probe back, in the group that it was sent for, as long as the loop lasts. */
  noteLoop(query: Query): void {
    const found = this.#groups.senderOf(query);
    if (found === undefined || !found.member.noteLoop()) return;
    const fields = { upstream: found.member.upstream.text, zone: found.group };
    this.#options.log.warn(fields, 'upstream sends our own queries back to us: check where it forwards to');
  }

  /** Whether no upstream of the group is worth asking at this moment: a question would fail at once. */
  isDown(group: Route): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    return !(this.#groups.membersOf(group) ?? []).some((member) => member.isUsable(nowMs));
  }

  /**
   * Whether nobody in the group answers questions about this name: none is worth asking, or those that are fail for its
   * suffix. One question in a second or two goes through all the same and finds out whether that still holds.
   */
  isCut(query: Query, group: Route): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    const members = this.#groups.membersOf(group) ?? [];
    if (hasAnswers(members, query, nowMs)) return false;
    this.#tryAgain(query, members, nowMs);
    return true;
  }

  /** The link is back: what failed because of it may answer. */
  forgetCuts(): void {
    for (const client of this.#groups.clients) client.suffixes.clear();
  }

  /** The upstream of that text denied a name that is known to exist. */
  noteFalseDenial(query: Query, upstream: string): void {
    const question = questionOf(query);
    for (const client of this.#groups.clients)
      if (client.upstream.text === upstream) client.noteSuffixFailure(question);
  }

  /** Takes new groups and settings. Upstreams that stay keep their health and connections; questions on their way go on. */
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
    const takeAll = (): void => {
      this.#settings = { ...this.#settings, ...settings };
      take();
    };
    return { take: takeAll, leave };
  }

  snapshot(): ForwarderSnapshot {
    const nowMs = this.#options.clock.monotonicMs();
    return {
      upstreams: [...this.#groups.clients].map((client) =>
        client.snapshot(this.#groups.isLooping(client, nowMs)),
      ),
      inFlight: this.#onTheirWay.size,
      coalesced: this.#coalesced,
      overloaded: { ...this.#overloaded },
      failedFast: this.#failedFast,
      differences: this.#opinions.differences,
    };
  }

  /** Closes every socket; questions on their way fail. */
  close(): void {
    this.#isClosed = true;
    this.#probing.close();
    for (const { flight } of this.#onTheirWay.all()) flight?.cancel('closing', 'the forwarder is closing');
    for (const client of this.#groups.clients) client.close();
    this.#sweep.close();
  }

  /** Asks another upstream of the group the same, for as long as one attempt takes; see second-opinion.ts. */
  async #compare(name: string, query: Query, group: UpstreamGroup, first: ForwardOutcome): Promise<void> {
    if (first.kind === 'failed' || this.#isClosed) return;
    const nowMs = this.#options.clock.monotonicMs();
    const other = this.#groups
      .membersOf(group)
      ?.find((member) => member.upstream.text !== first.upstream && member.isUsable(nowMs));
    if (other === undefined) return;
    const question = { ...questionOf(query), probes: 'trial' } as const;
    const second = await new Promise<ForwardOutcome>((resolve) =>
      new Flight(this.#flightContext, question, [other], 'trial', resolve).start(),
    );
    this.#opinions.compare(name, first, second);
  }

  #unlimited(query: Query, group: UpstreamGroup): Promise<ForwardOutcome> {
    return new Promise((resolve) => this.#forward(query, group, Number.POSITIVE_INFINITY, resolve));
  }

  #forward(query: Query, group: Route, limit: number, landed: Landed): void {
    const question = questionOf(query);
    const joined = this.#onTheirWay.find(questionHash(query), question, group.name);
    if (joined !== undefined) {
      this.#coalesced++;
      joined.join(landed);
      this.#onTheirWay.shares.joined(joined, query.network);
      return;
    }
    const members = this.#groups.membersOf(group);
    const refusal = this.#refusal(members, group);
    if (refusal !== undefined || members === undefined) {
      landed(refusal ?? forwardFailure('closing', 'the forwarder is closed'));
      return;
    }
    const nowMs = this.#options.clock.monotonicMs();
    const choice = chooseAsked(members, query, limit === Number.POSITIVE_INFINITY, nowMs);
    if (choice.kind === 'nobody') {
      this.#failedFast++;
      landed(choice.outcome);
      return;
    }
    const one = new OnItsWay(questionHash(query), question, group.name, landed);
    if (limit < Number.POSITIVE_INFINITY) {
      one.network = query.network;
      one.suffix = question.domain;
    }
    if (this.#hasRoomFor(one, limit)) this.#fly(one, choice);
    else landed(forwardFailure('overloaded', `${limit} questions are on their way`));
  }

  /** Whether there is room for one more question, or another one has given way. */
  #hasRoomFor({ network, suffix, question }: OnItsWay, limit: number): boolean {
    const { shares } = this.#onTheirWay;
    if (suffix === undefined) return true;
    const isFull = this.#onTheirWay.size >= limit;
    const ofSuffix = shares.oldestUnder(suffix, limit);
    // who asks without a network has no share that could be weighed against others'
    const ofNetwork = isFull && network !== NOBODY ? shares.oldestOfLargest() : undefined;
    const goes = ofSuffix ?? ofNetwork;
    if (goes === undefined) {
      if (!isFull) return true;
      this.#noteOverload('limit', question);
      return false;
    }
    this.#noteOverload(ofSuffix === undefined ? 'network' : 'suffix', goes.question);
    goes.flight?.cancel('overloaded', 'it gave way to a question of another client');
    return true;
  }

  #noteOverload(reason: Overload, { name }: Question): void {
    this.#overloaded[reason]++;
    const nowMs = this.#options.clock.monotonicMs();
    this.#limitLog.noteQuestion('forward.inFlight', nowMs, () => nameFromWire(name, 0));
  }

  /** Why no upstream is asked, even one that is up. */
  #refusal(members: readonly GroupMember[] | undefined, group: Route): ForwardOutcome | undefined {
    if (this.#isClosed) return forwardFailure('closing', 'the forwarder is closed');
    if (members !== undefined) return undefined;
    return forwardFailure('all-down', `no upstreams are configured for "${group.name}"`);
  }

  /** Asks about what is cut, where it is time for that. The client does not wait for it: most likely it is still cut. */
  #tryAgain(query: Query, members: readonly GroupMember[], nowMs: number): void {
    if (this.#isClosed || !claimTrial(members, query, nowMs)) return;
    const asked = members.filter((member) => member.mayBeTried(nowMs));
    const question = { ...questionOf(query), probes: 'trial' } as const;
    new Flight(this.#flightContext, question, asked, 'trial', () => undefined).start();
  }

  #fly(one: OnItsWay, { kind, members }: Asked): void {
    const question: Question = kind === 'trial' ? { ...one.question, probes: 'trial' } : one.question;
    one.flight = new Flight(this.#flightContext, question, members, kind, (outcome) => {
      this.#onTheirWay.delete(one);
      // what comes back in a loop is the question that is on its way, and joins it; so does many a client's
      if (one.isJoined && isUnhelpful(outcome)) for (const member of members) member.suspect();
      // it gave way within the call of another query, whose reply is being written at this moment
      if (outcome.kind === 'failed' && outcome.reason === 'overloaded')
        queueMicrotask(() => one.land(outcome));
      else one.land(outcome);
    });
    this.#onTheirWay.add(one);
    one.flight.start();
  }

  #clientContext(): ClientContext {
    const { clock, timers, random, log, ca, isCutOff, onEvidence, onUpstreamUp, onUpstreamDown } =
      this.#options;
    const { openUdp: open } = this.#options;
    const sockets = {
      clock,
      timers,
      random,
      ...(ca === undefined ? {} : { ca }),
      ...(open === undefined ? {} : { open }),
    };
    return {
      clock,
      random,
      sweep: this.#sweep,
      isCutOff: isCutOff ?? (() => false),
      isLinkCut: this.#options.isLinkCut ?? (() => false),
      transports: this.#options.transports ?? socketTransports(sockets),
      settings: () => this.#settings,
      onEvidence: (evidence) => onEvidence?.(evidence),
      onStrike: (client) => this.#probing.verify(client),
      onDoubt: (client) => this.#probing.watch(client),
      onDown: (client, failure) => {
        log.warn({ upstream: client.upstream.text, ...failure }, 'upstream is down');
        this.#probing.watchDown(client);
        onUpstreamDown?.(client.upstream);
      },
      onUp: (client) => {
        log.info({ upstream: client.upstream.text }, 'upstream is up');
        this.#groups.probeSoon(client);
        onUpstreamUp?.(client.upstream);
      },
      onEdnsDoubt: (client) => this.#probing.verify(client),
      onCaseLost: (client) => {
        log.info(
          { upstream: client.upstream.text },
          'upstream loses the case of names: a port for each question instead',
        );
      },
      onWithoutEdns: (client) => {
        log.info({ upstream: client.upstream.text }, 'upstream refuses EDNS: asking without it for a while');
      },
    };
  }
}
