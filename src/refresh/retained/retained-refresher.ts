/**
 * Names that the operator retains: the local registry, the OIDC issuer, NTP. They are asked for on a schedule while an
 * upstream answers, whether or not anybody wants them, kept on the disk, and answered however long nobody can be asked.
 *     due -> ask (with DO, and without where that makes a difference) -> judge -> learn -> publish, and save behind it
 * It refuses to know how a query is answered, which upstream is asked, how a file is written, and the link: a failure is
 * a failure, and a kick says that trying again is worth while. An answer that was loaded is stale until it is confirmed.
 * RFC 2308 and RFC 8767, without their limits.
 */
import TinyQueue from 'tinyqueue';
import type { Log } from '../../log/log.ts';
import type { RetainedRecord } from '../../records/retained-record.ts';
import { inBackground } from '../../runtime/background.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import { atOnce, inSlices, type Pause, type Steps } from '../../runtime/slices.ts';
import { sleep, type Timers } from '../../runtime/timers.ts';
import { nextDelayMs } from '../reconcile/schedule.ts';
import { stampFrom, stampNow, wallTime } from '../reconcile/timeline.ts';
import {
  type Ask,
  believed,
  type Hearing,
  hear,
  type Known,
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

/** What is to be answered from now on. */
export interface PublishedAnswer {
  /** For queries without DO, and for all where there is no `signedMessage`: a whole response. */
  readonly message: Uint8Array;
  readonly signedMessage?: Uint8Array | undefined;
  /** `Infinity` where it has not been confirmed by this process. */
  readonly ageMs: number;
  /** With a denial: what to answer once it cannot be confirmed any more. */
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
   * Saves all records that shall survive, those of questions that are not retained now included, as soon as the change is worth
   * a write. `new`: a question has its first answer, or there is a question more or less; `confirmed`: only an age is another.
   */
  readonly save: (compose: () => Steps<readonly RetainedRecord[]>, change: RetainedChange) => void;
  /** Returns for how long the answer is fresh, in ms; `undefined` where it is no answer to the question. */
  readonly publish: (question: RetainedQuestion, answer: PublishedAnswer) => number | undefined;
  /** The question is retained no longer. */
  readonly withdraw: (question: RetainedQuestion) => void;
}

/** So much of its time is over when an answer is asked for again, so that it stays fresh while somebody can be asked. */
const REFRESH_AT = 0.8;
/** And so much of it is left then at the least: an exchange may take as long. */
const SPARE_MS = 5_000;
/** Whatever the TTL: load-balanced names have TTLs of seconds, and a thousand questions may be retained. */
const MIN_INTERVAL_MS = 5_000;
const MAX_INTERVAL_MS = 3_600_000;
const JITTER = 0.1;
const RETRY = { intervalMs: 30_000, jitterPercent: 20, retryMinMs: 5_000, retryMaxMs: 120_000 };
/** After a start or a kick: many questions, and many servers behind one link, must not be asked in the same instant. */
/** While a denial is not believed: soon enough to see it taken back, and to see it repeated. */
const DOUBT_INTERVAL_MS = 60_000;
const SPREAD_MS = 1_000;
/** Questions on their way at a time; the forwarder's room is for clients. */
const MAX_ASKING = 16;
/** For an `ask` that never settles. */
const ASK_MS = 15_000;
const MAX_PARKED = 1_000;
/** Questions that come, go or are loaded in one turn of the event loop: each takes up to 50 microseconds. */
const QUESTIONS_PER_TURN = 10;

export class RetainedRefresher {
  readonly #options: RetainedRefresherOptions;
  readonly #log: RetainedLog;
  readonly #members = new Map<string, RetainedMember>();
  /** Those that are not being asked, the one that has waited longest first; one that is retained no longer is passed over. */
  #queue = new TinyQueue<RetainedMember>([], byDueTime);
  /** Records of questions that are not retained now: one that comes back finds its own again. */
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

  /** Takes what the state file had, and publishes it, between queries where there is a `pause`; nobody is asked yet. */
  async load(records: readonly RetainedRecord[]): Promise<void> {
    for (const record of records) this.#parked.set(questionText(record), record);
    await this.#inSlices(this.#unparkAll([...this.#members.values()]));
  }

  /** Begins to ask. */
  start(): void {
    this.#isStarted = true;
    for (const member of this.#members.values()) member.dueAtMs = Number.POSITIVE_INFINITY;
    this.#dueSoon(() => true);
    this.#run();
  }

  /**
   * Something says that asking is worth while again, such as a link that has come back: what is fresh can wait. With
   * `all`, such as other upstreams, nothing can.
   */
  kick(reason: string, which: 'stale' | 'all' = 'stale'): void {
    const nowMs = this.#options.clock.monotonicMs();
    const kicked = this.#dueSoon(
      ({ failures, freshUntilMs }) => which === 'all' || failures > 0 || freshUntilMs <= nowMs,
    );
    this.#log.kicked(reason, kicked);
    if (this.#isStarted) this.#run();
  }

  /** Questions may come and go, a few in each turn; one that stays keeps its answer. */
  async reconfigure(questions: readonly RetainedQuestion[]): Promise<void> {
    const isChanged = await this.#inSlices(this.#taking(questions));
    if (!isChanged) return;
    this.#save('new');
    if (this.#isStarted) this.#run();
  }

  /** What is worth keeping: the last good answer to each question, in wall time. */
  records(): readonly RetainedRecord[] {
    return atOnce(this.#composing());
  }

  snapshot(): RetainedSnapshot {
    return atOnce(this.snapshotting());
  }

  /** Of thousands of questions it is composed in slices. */
  snapshotting(): Steps<RetainedSnapshot> {
    return composeSnapshot(this.#members.values(), this.#options.clock);
  }

  /** Asks nobody any more. */
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

  /** Returns whether any question came or went. */
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

  /** Brings the time forward at which these are asked. Returns how many they are. */
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

  /** Returns those that are new. */
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
    const known = knownFrom(record, confirmed, stampFrom(record.changedAtMs, clock));
    const lifetimeMs = known && this.#publish(member, known);
    if (lifetimeMs === undefined) return;
    member.known = known;
    member.lifetimeMs = lifetimeMs;
  }

  /** Those parked first go first. */
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

  /** Asks all that are due, as many as may be asked at a time, and waits for the next. */
  #run(): void {
    this.#timer?.[Symbol.dispose]();
    if (this.#isStopped) return;
    const nowMs = this.#options.clock.monotonicMs();
    for (let next = this.#queue.peek(); next !== undefined; next = this.#queue.peek()) {
      const isRetained = this.#isRetained(next);
      if (isRetained && this.#asking >= MAX_ASKING) return; // the next one that ends comes by here
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
    const hearing = await this.#hear(member.question);
    this.#asking--;
    member.isAsking = false;
    if (this.#isStopped) return;
    member.dueAtMs = this.#options.clock.monotonicMs() + MAX_INTERVAL_MS; // where a defect cuts it short
    if (this.#isRetained(member)) {
      await inBackground('retained', () => this.#settle(member, hearing));
      this.#queue.push(member);
    }
    this.#run();
  }

  async #hear(question: RetainedQuestion): Promise<Hearing> {
    const { ask, timers } = this.#options;
    const enough = new AbortController();
    const tooLong = sleep(timers, ASK_MS, enough.signal).then((): Hearing => {
      return { kind: 'failed', detail: `no outcome within ${ASK_MS / 1000} s` };
    });
    const hearing = await Promise.race([hear(question, ask).catch(asFailure), tooLong]);
    enough.abort();
    return hearing;
  }

  #settle(member: RetainedMember, hearing: Hearing): void {
    if (hearing.kind === 'failed') {
      this.#failed(member, hearing.detail);
      return;
    }
    const doubt = { ...member, ignoreDenials: member.question.ignoreDenials ?? false };
    const known = learn(member.known, hearing.heard, stampNow(this.#options.clock), doubt);
    const lifetimeMs = this.#publish(member, known);
    if (lifetimeMs === undefined) this.#failed(member, 'not an answer to the question');
    else this.#learned(member, known, lifetimeMs);
  }

  #learned(member: RetainedMember, known: Known, lifetimeMs: number): void {
    const { clock, random } = this.#options;
    const { known: before } = member;
    const nowMs = clock.monotonicMs();
    const jitter = 1 - JITTER + 2 * JITTER * random.fraction();
    member.known = known;
    const isDoubted = known.doubtedSince !== undefined;
    if (isDoubted) member.denialsIgnored++;
    if (isDoubted || known.kind === 'positive') member.lifetimeMs = lifetimeMs;
    member.isInterrupted = false;
    member.freshUntilMs = nowMs + (isDoubted ? 2 * DOUBT_INTERVAL_MS : lifetimeMs);
    const wantedMs = isDoubted
      ? DOUBT_INTERVAL_MS * jitter
      : Math.min(lifetimeMs * REFRESH_AT * jitter, lifetimeMs - SPARE_MS);
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

  #publish({ question }: RetainedMember, known: Known): number | undefined {
    return this.#options.publish(question, this.#published(believed(known)));
  }

  #published({ message, signedMessage, confirmed, isLoaded, earlier }: Known): PublishedAnswer {
    const ageMs = this.#options.clock.monotonicMs() - confirmed.monotonicMs;
    return {
      message,
      signedMessage,
      ageMs: isLoaded ? Number.POSITIVE_INFINITY : ageMs,
      earlier: earlier && this.#published(earlier),
    };
  }
}

function byDueTime(one: RetainedMember, other: RetainedMember): number {
  return one.dueAtMs - other.dueAtMs;
}

function asFailure(error: unknown): Hearing {
  return { kind: 'failed', detail: error instanceof Error ? error.message : String(error) };
}
