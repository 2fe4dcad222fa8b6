/**
 * Names that the operator retains, such as the local registry, the OIDC issuer and NTP. Each name is asked for on a
 * schedule, even if no client asks. Its answer is kept on the disk, and is given however long an outage lasts.
 *
 *     due -> ask (with DO, and without it where that differs) -> classify -> learn -> publish, then save
 *
 * The room refuses to know how a query is answered, which upstream is asked, how a file is written, and the link. An answer
 * from the state file is stale until it is confirmed. RFC 2308 and RFC 8767, without their limits.
 */
import TinyQueue from 'tinyqueue';
import type { Log } from '../../log/log.ts';
import { typeName } from '../../protocol/words/codes.ts';
import type { RetainedRecord } from '../../records/retained-record.ts';
import { inBackground } from '../../runtime/background.ts';
import { type Clock, sleep, stampFrom, stampNow, type Timers, wallTime } from '../../runtime/clock.ts';
import { jitter, type Random } from '../../runtime/random.ts';
import { atOnce, inSlices, type Pause, type Steps } from '../../runtime/slices.ts';
import { nextDelayMs } from '../cluster-sources.ts';
import {
  type Ask,
  type AskResult,
  answerToGive,
  askUpstream,
  type KnownAnswer,
  knownFrom,
  lastGood,
  learn,
  questionText,
  type RetainedQuestion,
} from './retained-answer.ts';
import {
  composeSnapshot,
  RetainedLog,
  type RetainedMember,
  type RetainedSnapshot,
} from './retained-report.ts';

/** The answer to give from now on. */
export interface PublishedAnswer {
  /** A whole response: for queries without DO, and for all queries where there is no `signedMessage`. */
  readonly message: Uint8Array;
  readonly signedMessage?: Uint8Array | undefined;
  /** `Infinity` until this process has confirmed the answer. */
  readonly ageMs: number;
  /** With a denial: the answer to give when the denial can no longer be confirmed. */
  readonly earlier?: PublishedAnswer | undefined;
}

export type RetainedChange = 'new' | 'changed' | 'confirmed';

export interface RetainedRefresherOptions {
  readonly questions: readonly RetainedQuestion[];
  readonly ask: Ask;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly pause?: Pause;
  /**
   * Saves all records that must survive, including records of questions that are not retained now. `new`: a question has its
   * first answer, or the questions have changed. `confirmed`: only an age has changed. The change decides how soon the save runs.
   */
  readonly save: (compose: () => Steps<readonly RetainedRecord[]>, change: RetainedChange) => void;
  /** Returns how long the answer is fresh, in ms, or `undefined` where it does not answer the question. */
  readonly publish: (question: RetainedQuestion, answer: PublishedAnswer) => number | undefined;
  /** Called when a question is no longer retained. */
  readonly withdraw: (question: RetainedQuestion) => void;
}

/** The part of the lifetime after which a refresh starts, so that the answer stays fresh while an upstream answers. */
const REFRESH_AT = 0.8;
/** Minimum lifetime left when a refresh starts: one exchange can take this long. */
const SPARE_MS = 5_000;
/** Shortest interval for any TTL: load-balanced names have TTLs of seconds, and an operator may retain thousands of questions. */
const MIN_INTERVAL_MS = 5_000;
const MAX_INTERVAL_MS = 3_600_000;
const JITTER = 0.1;
const RETRY = { intervalMs: 30_000, jitterPercent: 20, retryMinMs: 5_000, retryMaxMs: 120_000 };
/** While a denial is not believed: short enough to see it withdrawn or repeated. */
const DOUBT_INTERVAL_MS = 60_000;
/** The first questions after a start or a kick spread over this time, because many servers may share one link. */
const SPREAD_MS = 1_000;
/** Questions asked at a time: the slots of the forwarder are for clients. */
const MAX_ASKING = 16;
/** The deadline of an `ask`, because an `ask` with a defect may never resolve. */
const ASK_MS = 15_000;
const MAX_PARKED = 1_000;
/** Questions added, removed or loaded in one turn of the event loop: each takes up to 50 microseconds. */
const QUESTIONS_PER_TURN = 10;

export class RetainedRefresher {
  readonly #options: RetainedRefresherOptions;
  readonly #log: RetainedLog;
  readonly #members = new Map<string, RetainedMember>();
  /** Questions that are not being asked, the next due first. A question that is no longer retained is skipped. */
  #queue = new TinyQueue<RetainedMember>([], byDueTime);
  /** Records of questions that are not retained now; a question that returns finds its own. */
  #parked = new Map<string, RetainedRecord>();
  #asking = 0;
  #timer: Disposable | undefined;
  #isStarted = false;
  #isStopped = false;

  constructor(options: RetainedRefresherOptions) {
    this.#options = options;
    this.#log = new RetainedLog(options.log);
    atOnce(this.#admitAll(options.questions));
  }

  /** Takes the records of the state file and publishes them, a few in each turn. Nothing is asked yet. */
  async load(records: readonly RetainedRecord[]): Promise<void> {
    for (const record of records) this.#parked.set(questionText(record), record);
    await this.#inSlices(this.#unparkAll([...this.#members.values()]));
  }

  /** Starts to ask. */
  start(): void {
    this.#isStarted = true;
    for (const member of this.#members.values()) member.dueAtMs = Number.POSITIVE_INFINITY;
    this.#dueSoon(() => true);
    this.#run();
  }

  /** Asks again because something has changed: `stale` after a restored link, `all` after a change of upstreams. */
  kick(reason: string, which: 'stale' | 'all' = 'stale'): void {
    const nowMs = this.#options.clock.monotonicMs();
    const kicked = this.#dueSoon(
      ({ failures, freshUntilMs }) => which === 'all' || failures > 0 || freshUntilMs <= nowMs,
    );
    this.#log.kicked(reason, kicked);
    if (this.#isStarted) this.#run();
  }

  /** Asks again about these names; returns their questions, such as `www.example.com A`. The answer that is kept stays until then. */
  askAgain(isWanted: (name: string) => boolean): readonly string[] {
    const members = [...this.#members.values()].filter(({ question }) => isWanted(question.name));
    const asked = new Set(members);
    this.#dueSoon((member) => asked.has(member));
    if (this.#isStarted) this.#run();
    return members.map(({ question: { name, qtype } }) => `${name} ${typeName(qtype)}`);
  }

  /** Takes new questions, a few in each turn. A question that stays keeps its answer. */
  async reconfigure(questions: readonly RetainedQuestion[]): Promise<void> {
    const isChanged = await this.#inSlices(this.#taking(questions));
    if (!isChanged) return;
    this.#save('new');
    if (this.#isStarted) this.#run();
  }

  /** The last good answer to each question, in wall time: what is saved. */
  records(): readonly RetainedRecord[] {
    return atOnce(this.#composing());
  }

  snapshot(): RetainedSnapshot {
    return atOnce(this.snapshotting());
  }

  /** As `snapshot`, a step for each question. */
  snapshotting(): Steps<RetainedSnapshot> {
    return composeSnapshot(this.#members.values(), this.#options.clock);
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.[Symbol.dispose]();
  }

  #save(change: RetainedChange): void {
    if (!this.#isStopped) this.#options.save(() => this.#composing(), change);
  }

  #soon(): number {
    return this.#options.clock.monotonicMs() + this.#options.random.fraction() * SPREAD_MS;
  }

  #inSlices<T>(steps: Steps<T>): Promise<T> {
    return inSlices(steps, this.#options.pause, QUESTIONS_PER_TURN);
  }

  *#composing(): Steps<readonly RetainedRecord[]> {
    const records: RetainedRecord[] = [];
    for (const member of this.#members.values()) {
      for (const record of this.#recordOf(member)) records.push(record);
      yield;
    }
    return [...records, ...this.#parked.values()];
  }

  /** Returns whether the questions have changed. */
  *#taking(questions: readonly RetainedQuestion[]): Steps<boolean> {
    const wanted = new Set<string>();
    for (const question of questions) {
      wanted.add(questionText(question));
      yield;
    }
    let gone = 0;
    for (const [key, member] of this.#members) {
      yield;
      if (wanted.has(key)) continue;
      gone++;
      this.#members.delete(key);
      for (const record of this.#recordOf(member)) this.#parked.set(key, record);
      this.#options.withdraw(member.question);
      this.#log.withdrawn(member);
    }
    const coming = yield* this.#admitAll(questions);
    yield* this.#unparkAll(coming);
    return gone + coming.length > 0;
  }

  *#unparkAll(members: readonly RetainedMember[]): Steps<void> {
    for (const member of members) {
      if (this.#isStopped) return;
      this.#unpark(member);
      yield;
    }
    this.#forgetParked();
  }

  /** Makes these questions due within a second. Returns how many they are. */
  #dueSoon(which: (member: RetainedMember) => boolean): number {
    let count = 0;
    const waiting: RetainedMember[] = [];
    for (const member of this.#members.values()) {
      if (which(member)) {
        count++;
        member.failures = 0;
        member.dueAtMs = Math.min(member.dueAtMs, this.#soon());
      }
      if (!member.isAsking) waiting.push(member);
    }
    this.#queue = new TinyQueue(waiting, byDueTime);
    return count;
  }

  /** Returns the new members. */
  *#admitAll(questions: readonly RetainedQuestion[]): Steps<readonly RetainedMember[]> {
    const coming: RetainedMember[] = [];
    for (const question of questions) {
      yield;
      const key = questionText(question);
      const staying = this.#members.get(key);
      if (staying !== undefined) {
        staying.question = question;
        continue;
      }
      const member: RetainedMember = {
        question,
        known: undefined,
        freshUntilMs: Number.NEGATIVE_INFINITY,
        lifetimeMs: 0,
        isInterrupted: false,
        dueAtMs: this.#soon(),
        isAsking: false,
        failures: 0,
        failuresInARow: 0,
        lastFailure: undefined,
        asked: 0,
        failed: 0,
        denialsIgnored: 0,
      };
      this.#members.set(key, member);
      this.#queue.push(member);
      coming.push(member);
    }
    return coming;
  }

  #unpark(member: RetainedMember): void {
    const { clock } = this.#options;
    const key = questionText(member.question);
    const record = this.#parked.get(key);
    if (record === undefined) return;
    this.#parked.delete(key);
    const confirmed = stampFrom(record.confirmedAtMs, clock);
    const loaded = knownFrom(record, confirmed, stampFrom(record.changedAtMs, clock));
    const known = loaded && withLoaded(member, loaded);
    const lifetimeMs = known && this.#publish(member, known);
    if (lifetimeMs === undefined) return;
    member.known = known;
    member.lifetimeMs = lifetimeMs;
  }

  /** The records that were parked first go first. */
  #forgetParked(): void {
    for (const key of this.#parked.keys()) {
      if (this.#parked.size <= MAX_PARKED) return;
      this.#parked.delete(key);
    }
  }

  #recordOf({ question, known }: RetainedMember): RetainedRecord[] {
    const good = known && lastGood(known);
    if (good === undefined) return [];
    const { clock } = this.#options;
    const { message, signedMessage } = good;
    return [
      {
        ...question,
        message,
        ...(signedMessage === undefined ? {} : { signedMessage }),
        confirmedAtMs: wallTime(good.confirmed, clock),
        changedAtMs: wallTime(good.changed, clock),
      },
    ];
  }

  /** Asks all due questions, `MAX_ASKING` at a time, and waits for the next. */
  #run(): void {
    this.#timer?.[Symbol.dispose]();
    if (this.#isStopped) return;
    const nowMs = this.#options.clock.monotonicMs();
    for (let next = this.#queue.peek(); next !== undefined; next = this.#queue.peek()) {
      const isRetained = this.#isRetained(next);
      if (isRetained && this.#asking >= MAX_ASKING) return; // each question that ends calls this again
      if (isRetained && next.dueAtMs > nowMs) {
        this.#timer = this.#options.timers.after(next.dueAtMs - nowMs, () => this.#run());
        return;
      }
      this.#queue.pop();
      if (isRetained) this.#refresh(next);
    }
  }

  #isRetained(member: RetainedMember): boolean {
    return this.#members.get(questionText(member.question)) === member;
  }

  async #refresh(member: RetainedMember): Promise<void> {
    member.isAsking = true;
    member.asked++;
    this.#asking++;
    const result = await this.#ask(member.question);
    this.#asking--;
    if (this.#isStopped) return;
    member.dueAtMs = this.#options.clock.monotonicMs() + MAX_INTERVAL_MS; // in case a defect ends the settling early
    if (this.#isRetained(member)) {
      await inBackground('retained', () => this.#settle(member, result));
      this.#queue.push(member);
    }
    member.isAsking = false;
    this.#run();
  }

  async #ask(question: RetainedQuestion): Promise<AskResult> {
    const { ask, timers } = this.#options;
    const enough = new AbortController();
    const tooLong = sleep(timers, ASK_MS, enough.signal).then((): AskResult => {
      return { kind: 'failed', detail: `no outcome within ${ASK_MS / 1000} s` };
    });
    const result = await Promise.race([askUpstream(question, ask).catch(asFailure), tooLong]);
    enough.abort();
    return result;
  }

  #settle(member: RetainedMember, result: AskResult): void {
    if (result.kind === 'failed') {
      this.#failed(member, result.detail);
      return;
    }
    if (result.isStale && member.known !== undefined) {
      this.#failed(member, 'the upstream gave a stale answer');
      return;
    }
    const settings = { ...member, ignoreDenials: member.question.ignoreDenials ?? false };
    const known = learn(member.known, result.answer, stampNow(this.#options.clock), settings);
    const lifetimeMs = this.#publish(member, known);
    if (lifetimeMs === undefined) this.#failed(member, 'not an answer to the question');
    else this.#learned(member, known, lifetimeMs);
  }

  #learned(member: RetainedMember, known: KnownAnswer, lifetimeMs: number): void {
    const { clock, random } = this.#options;
    const { known: before } = member;
    const nowMs = clock.monotonicMs();
    const spread = jitter(random, JITTER);
    member.known = known;
    const isDoubted = known.doubtedSince !== undefined;
    if (isDoubted) member.denialsIgnored++;
    if (isDoubted || known.kind === 'positive') member.lifetimeMs = lifetimeMs;
    member.isInterrupted = false;
    member.freshUntilMs = nowMs + (isDoubted ? 2 * DOUBT_INTERVAL_MS : lifetimeMs);
    const wantedMs = isDoubted
      ? DOUBT_INTERVAL_MS * spread
      : Math.min(lifetimeMs * REFRESH_AT * spread, lifetimeMs - SPARE_MS);
    member.dueAtMs = nowMs + Math.min(Math.max(wantedMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS);
    member.failures = 0;
    const isChanged = known.changed === known.confirmed;
    this.#save(before === undefined ? 'new' : isChanged ? 'changed' : 'confirmed');
    this.#log.learned(member, known, before);
  }

  #failed(member: RetainedMember, detail: string): void {
    const { clock, random } = this.#options;
    const nowMs = clock.monotonicMs();
    member.failed++;
    member.failures++;
    member.isInterrupted = true;
    member.lastFailure = { detail, atMs: nowMs };
    const progress = { consecutiveFailures: member.failures, unsettled: 0 };
    member.dueAtMs = nowMs + nextDelayMs(progress, RETRY, random.fraction());
    this.#log.failed(member, detail);
  }

  #publish({ question }: RetainedMember, known: KnownAnswer): number | undefined {
    return this.#options.publish(question, this.#published(answerToGive(known)));
  }

  #published({ message, signedMessage, confirmed, isLoaded, earlier }: KnownAnswer): PublishedAnswer {
    const ageMs = this.#options.clock.monotonicMs() - confirmed.monotonicMs;
    return {
      message,
      signedMessage,
      ageMs: isLoaded ? Number.POSITIVE_INFINITY : ageMs,
      earlier: earlier && this.#published(earlier),
    };
  }
}

/** The answer of a file; where the file was read late, and an answer has come meanwhile, that answer after it. */
function withLoaded(
  { known, question: { ignoreDenials = false }, lifetimeMs, isInterrupted }: RetainedMember,
  loaded: KnownAnswer,
): KnownAnswer | undefined {
  if (known === undefined) return loaded;
  const hasNewerGood = known.kind === 'positive' || known.earlier !== undefined;
  return hasNewerGood
    ? undefined
    : learn(loaded, known, known.confirmed, { ignoreDenials, lifetimeMs, isInterrupted });
}

function byDueTime(one: RetainedMember, other: RetainedMember): number {
  return one.dueAtMs - other.dueAtMs;
}

function asFailure(error: unknown): AskResult {
  return { kind: 'failed', detail: error instanceof Error ? error.message : String(error) };
}
