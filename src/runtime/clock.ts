/**
 * Offers the two clocks of the machine and its timers as arguments, so that tests can run all waiting code in virtual time; and
 * one timer for many deadlines. Time counts the suspends of the host, which suspends.ts finds. At the end: events that are passed on
 * sparingly, and times that outlive the process.
 */
import { inBackground } from './background.ts';
import { SuspendMeter, suspendClocks } from './suspends.ts';

export interface Clock {
  /** Milliseconds since an arbitrary moment; never goes back, does not follow the wall clock, and counts suspends. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch; may jump in either direction. */
  wallMs(): number;
}

/** All suspends that this process has seen. */
let suspendedTotalMs = 0;

export const systemClock: Clock = {
  monotonicMs: () => performance.now() + suspendedTotalMs,
  wallMs: () => Date.now(),
};

const MEASURE_EVERY_MS = 1000;

/** Calls `onResume` soon after each suspend, with its length; `systemClock` has moved on by then. */
export function watchSuspends(onResume: (suspendedMs: number) => void): Disposable {
  const clocks = suspendClocks();
  if (clocks === undefined) return { [Symbol.dispose]: () => undefined };
  const meter = new SuspendMeter(clocks);
  const timer = setInterval(() => {
    const suspendedMs = meter.measure();
    if (suspendedMs === 0) return;
    suspendedTotalMs += suspendedMs;
    onResume(suspendedMs);
  }, MEASURE_EVERY_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/**
 * A step that runs for the first time has its code compiled, and takes a hundred times as long: a reload had turns of 7 ms, a
 * first scrape of 12.
 */
const MOST_MS_PER_TURN = 1;

/**
 * What queries, replies and deadlines have of one turn of the loop together. Each has a share of its own, but a collection of V8 makes
 * one of them 3 ms longer, and each address that is listened on has its queries: the others then have less.
 */
const MOST_MS_TOGETHER = 3;
const LEAST_SHARE_MS = 0.25;

/** What such work has had of this turn. */
let usedMs = 0;

/** A turn begins: the system has told which sockets are readable. */
export function beginTurn(): void {
  usedMs = 0;
}

/** Does work whose time counts for all that follow in this turn. */
export function inTurn(work: () => void): void {
  const beganMs = performance.now();
  work();
  usedMs += performance.now() - beganMs;
}

/** Milliseconds that work may take which has `mostMs` to itself. */
export function shareOfTurn(mostMs: number): number {
  return Math.max(LEAST_SHARE_MS, Math.min(mostMs, MOST_MS_TOGETHER - usedMs));
}

/** Tells, of work that begins now, whether it has lasted long enough. */
export function turnBound(mostMs = MOST_MS_PER_TURN): () => boolean {
  const untilMs = performance.now() + shareOfTurn(mostMs);
  return () => performance.now() > untilMs;
}

export interface Timers {
  /** Runs `run` once after `delayMs`; dispose to cancel. Never keeps the process alive, and never ends it (background.ts). */
  after(delayMs: number, run: () => unknown): Disposable;
}

/** The longest delay of setTimeout: a longer one would run at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Node's timers stand still while the host is suspended; `catchUp` brings them in step with `clock`. */
export class SystemTimers implements Timers {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #pending = new Set<SystemTimer>();

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  after(delayMs: number, run: () => unknown): Disposable {
    const timer = new SystemTimer(this.#pending, this.#clock.monotonicMs() + Math.max(0, delayMs), run);
    timer.arm(delayMs);
    return timer;
  }

  /** Runs at once the timers that have become due, in their order; the other timers run at their time. */
  catchUp(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const timer of [...this.#pending].toSorted((a, b) => a.dueMs - b.dueMs)) {
      if (timer.dueMs <= nowMs) timer.fire();
      else timer.arm(timer.dueMs - nowMs);
    }
  }
}

class SystemTimer implements Disposable {
  readonly dueMs: number;
  readonly #pending: Set<SystemTimer>;
  readonly #run: () => unknown;
  #timeout: NodeJS.Timeout | undefined;

  constructor(pending: Set<SystemTimer>, dueMs: number, run: () => unknown) {
    this.dueMs = dueMs;
    this.#pending = pending;
    this.#run = run;
    pending.add(this);
  }

  arm(delayMs: number): void {
    clearTimeout(this.#timeout);
    const restMs = delayMs - MAX_DELAY_MS;
    this.#timeout = setTimeout(
      () => (restMs > 0 ? this.arm(restMs) : this.fire()),
      Math.min(Math.max(0, delayMs), MAX_DELAY_MS),
    );
    this.#timeout.unref();
  }

  /** Does nothing where an earlier timer of the same moment has disposed of this one. */
  fire(): void {
    if (!this.#pending.has(this)) return;
    this[Symbol.dispose]();
    inBackground('timer', this.#run);
  }

  [Symbol.dispose](): void {
    this.#pending.delete(this);
    clearTimeout(this.#timeout);
  }
}

export const systemTimers = new SystemTimers(systemClock);

/** Resolves after `delayMs`, or at once when `signal` is aborted; never rejects. */
export function sleep(timers: Timers, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = timers.after(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
    function done(): void {
      timer[Symbol.dispose]();
      signal?.removeEventListener('abort', done);
      resolve();
    }
  });
}

/**
 * Ends work early: aborted with the signal of the work around it, by itself, and when it is disposed of. Stands in place of
 * AbortSignal.any: Node (26.10) keeps such a signal, with all that its listeners hold, until it is aborted.
 */
export class InnerAbort extends AbortController implements Disposable {
  readonly #leave: () => void;

  constructor(outer: AbortSignal) {
    super();
    const abort = () => this.abort();
    outer.addEventListener('abort', abort, { once: true });
    this.#leave = () => outer.removeEventListener('abort', abort);
    if (outer.aborted) abort();
  }

  [Symbol.dispose](): void {
    this.#leave();
    this.abort();
  }
}

/** Resolves to whether `work` has ended within `limitMs`; the work goes on. Rejects as `work` does in that time. */
export async function endsWithin(
  timers: Timers,
  work: Promise<unknown> | undefined,
  limitMs: number,
): Promise<boolean> {
  const enough = new AbortController();
  try {
    const late = sleep(timers, limitMs, enough.signal).then(() => false);
    return await Promise.race([Promise.resolve(work).then(() => true), late]);
  } finally {
    enough.abort();
  }
}

/**
 * Waits for `work`, but no longer than `signal` allows. Rejects with the error of `late` as soon as the signal is aborted. The
 * work may ignore the signal, as a hanging credentials provider does. A later result of the work is ignored.
 */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    function onAbort(): void {
      reject(late());
    }
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

// Runs many deadlines under one timer: the timer waits for the nearest deadline, and then calls every deadline that
// is due.

export interface Deadline {
  /** Monotonic. May be changed while waiting, followed by `add` when it moved closer. */
  dueAtMs: number;
  /** Only the sweep writes it: the place in its heap, below 0 when it has left. A deadline is in one sweep only. */
  place?: number;
  /** Called once; the entry has left the sweep by then and may be added again. */
  onDue(nowMs: number): void;
}

/** Time between two sweeps at least; attempt timeouts start at 200 ms, so that they are late by a twentieth at most. */
const GRANULARITY_MS = 10;
/** The runtime's timer counts whole milliseconds and may be early by less than that. */
const EARLY_MS = 1;
/**
 * Deadlines that one turn of the loop calls at most: each may send a datagram or answer a client, in 30 to 100 microseconds.
 * Thousands are due together when an upstream falls silent under load.
 */
const DUE_PER_TURN = 64;
const SWEEP_MS = 1;
/** Places of a deadline that is in no heap. */
const GONE = -1;
const BEING_CALLED = -2;

export class DeadlineSweep {
  readonly #clock: Clock;
  readonly #timers: Timers;
  /**
   * A heap, the nearest first: each of thousands of upstreams may have one. Unlike that of TinyQueue it gives up any of them,
   * because most queries are answered in time.
   */
  readonly #waiting: Deadline[] = [];
  /** By place: when it was due as it came there. It may have moved away since. */
  readonly #keysMs: number[] = [];
  #timer: Disposable | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  readonly #sweepInTurn = (): void => inTurn(() => this.#sweep());

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  get size(): number {
    return this.#waiting.length;
  }

  add(deadline: Deadline): void {
    const { place, dueAtMs } = deadline;
    if (!isWaiting(place)) this.#rise(this.#waiting.length, deadline, dueAtMs);
    else if (dueAtMs < (this.#keysMs[place] ?? 0)) this.#rise(place, deadline, dueAtMs);
    // with timeouts of similar length a timer that was set for an older entry is nearly always close enough
    if (dueAtMs < this.#timerAtMs - GRANULARITY_MS) this.#arm(dueAtMs);
  }

  delete(deadline: Deadline): void {
    const { place } = deadline;
    deadline.place = GONE;
    if (!isWaiting(place)) return;
    const last = this.#waiting.pop();
    const keyMs = this.#keysMs.pop() ?? 0;
    if (last === undefined || last === deadline) return;
    if (keyMs < (this.#keysMs[place] ?? 0)) this.#rise(place, last, keyMs);
    else this.#sink(place, last, keyMs);
  }

  /** Puts it at this place, or nearer to the top. */
  #rise(from: number, deadline: Deadline, keyMs: number): void {
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const aboveMs = this.#keysMs[above] ?? 0;
      const other = this.#waiting[above];
      if (other === undefined || aboveMs <= keyMs) break;
      this.#put(place, other, aboveMs);
      place = above;
    }
    this.#put(place, deadline, keyMs);
  }

  /** Puts it at this place, or further from the top. */
  #sink(from: number, deadline: Deadline, keyMs: number): void {
    let place = from;
    for (;;) {
      let below = 2 * place + 1;
      if ((this.#keysMs[below + 1] ?? Number.POSITIVE_INFINITY) < (this.#keysMs[below] ?? 0)) below++;
      const other = this.#waiting[below];
      const belowMs = this.#keysMs[below] ?? 0;
      if (other === undefined || belowMs >= keyMs) break;
      this.#put(place, other, belowMs);
      place = below;
    }
    this.#put(place, deadline, keyMs);
  }

  #put(place: number, deadline: Deadline, keyMs: number): void {
    this.#waiting[place] = deadline;
    this.#keysMs[place] = keyMs;
    deadline.place = place;
  }

  /** Forgets all deadlines without calling them. */
  close(): void {
    for (const deadline of this.#waiting.splice(0)) deadline.place = GONE;
    this.#keysMs.length = 0;
    this.#disarm();
  }

  #arm(dueAtMs: number): void {
    this.#disarm();
    const delayMs = Math.max(dueAtMs - this.#clock.monotonicMs(), GRANULARITY_MS);
    this.#timerAtMs = this.#clock.monotonicMs() + delayMs;
    this.#timer = this.#timers.after(delayMs, this.#sweepInTurn);
  }

  #disarm(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#timerAtMs = Number.POSITIVE_INFINITY;
  }

  #sweep(): void {
    this.#disarm();
    const nowMs = this.#clock.monotonicMs();
    // what is added by one that is called waits for the next sweep
    const due = this.#takeDue(nowMs);
    const isOver = turnBound(SWEEP_MS);
    let isCut = due.length === DUE_PER_TURN;
    let called = 0;
    try {
      for (const deadline of due) {
        // one that was called before may have deleted it, or added it again
        if (deadline.place !== BEING_CALLED) continue;
        if (called++ > 0 && isOver()) break;
        deadline.place = GONE;
        deadline.onDue(nowMs);
      }
    } finally {
      // no time is left, or one of them had a defect, which must not cost the others
      for (const later of due) {
        if (later.place !== BEING_CALLED) continue;
        this.#rise(this.#waiting.length, later, later.dueAtMs);
        isCut = true;
      }
      this.#armNext(nowMs, isCut);
    }
  }

  /** @param isCut the turn had no time for all that is due */
  #armNext(nowMs: number, isCut: boolean): void {
    const nearestMs = this.#keysMs[0] ?? Number.POSITIVE_INFINITY;
    if (isCut && nearestMs <= nowMs + EARLY_MS) {
      this.#disarm();
      this.#timerAtMs = nowMs;
      this.#timer = this.#timers.after(0, this.#sweepInTurn);
    } else if (nearestMs < this.#timerAtMs) this.#arm(nearestMs);
  }

  /** Takes those that are due out of the heap, the nearest first, as many as one turn may call. */
  #takeDue(nowMs: number): Deadline[] {
    const due: Deadline[] = [];
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if ((this.#keysMs[0] ?? 0) > nowMs + EARLY_MS || due.length === DUE_PER_TURN) break;
      if (first.dueAtMs > nowMs + EARLY_MS) {
        this.#sink(0, first, first.dueAtMs); // it has moved away
        continue;
      }
      this.delete(first);
      first.place = BEING_CALLED;
      due.push(first);
    }
    return due;
  }
}

function isWaiting(place: number | undefined): place is number {
  return place !== undefined && place >= 0;
}

// Lines and work of a thing that can go and come for days: they must not push all others out.
//
//     the first events of a key          passed on at once
//     further ones, until it is quiet    the latest, once in `everyMs`, with the number of events since the one before

interface SpacingOptions<Event> {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly atOnce: number;
  /** After as long a time without an event the next is the first again. */
  readonly everyMs: number;
  /** `left`: events before this one that were not passed on; absent where there are none. */
  readonly pass: (event: Event, counted: { readonly left?: number }, agoMs: number) => void;
}

interface Spaced<Event> {
  /** Since the last quiet time. */
  readonly passed: number;
  readonly lastMs: number;
  /** The latest event, which was not passed on yet. */
  readonly waiting?: { readonly event: Event; readonly atMs: number; readonly left: number };
  readonly timer?: Disposable;
}

export class Spacing<Event> implements Disposable {
  readonly #options: SpacingOptions<Event>;
  readonly #byKey = new Map<string, Spaced<Event>>();
  #isClosed = false;

  constructor(options: SpacingOptions<Event>) {
    this.#options = options;
  }

  note(key: string, event: Event): void {
    if (this.#isClosed) return;
    const { clock, timers, atOnce, everyMs, pass } = this.#options;
    const nowMs = clock.monotonicMs();
    const before = this.#byKey.get(key);
    const isQuiet = before === undefined || nowMs - before.lastMs >= everyMs;
    const passed = isQuiet ? 0 : before.passed;
    if (before?.waiting === undefined && passed < atOnce) {
      this.#forgetQuiet(nowMs);
      this.#byKey.set(key, { passed: passed + 1, lastMs: nowMs });
      pass(event, {}, 0);
      return;
    }
    const left = (before?.waiting?.left ?? -1) + 1;
    const timer = before?.timer ?? timers.after(everyMs, () => this.#passLatest(key));
    this.#byKey.set(key, { passed, lastMs: nowMs, waiting: { event, atMs: nowMs, left }, timer });
  }

  /** An event that waits is not passed on. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const { timer } of this.#byKey.values()) timer?.[Symbol.dispose]();
    this.#byKey.clear();
  }

  #passLatest(key: string): void {
    const { waiting, passed = 0, lastMs = 0 } = this.#byKey.get(key) ?? {};
    if (waiting === undefined) return;
    this.#byKey.set(key, { passed, lastMs });
    const { event, atMs, left } = waiting;
    const agoMs = this.#options.clock.monotonicMs() - atMs;
    this.#options.pass(event, left === 0 ? {} : { left }, agoMs);
  }

  /** Keys that come and go for months leave nothing behind. */
  #forgetQuiet(nowMs: number): void {
    for (const [key, { lastMs, waiting }] of this.#byKey)
      if (waiting === undefined && nowMs - lastMs >= this.#options.everyMs) this.#byKey.delete(key);
  }
}

// Times that outlive the process: monotonic inside it, wall time on the disk.

/** The time of one event that outlives the process: monotonic inside it, wall time on the disk. */
export interface Stamp {
  /** Negative for a time before this process. */
  readonly monotonicMs: number;
  /** The time of the file, to write it back unchanged. */
  readonly wallMs?: number;
}

export function stampNow(clock: Clock): Stamp {
  return { monotonicMs: clock.monotonicMs() };
}

/** Makes a stamp from a wall time; the stamp is never in the future, even if the clocks disagree. */
export function stampFrom(wallMs: number, clock: Clock): Stamp {
  return { monotonicMs: clock.monotonicMs() - Math.max(0, clock.wallMs() - wallMs), wallMs };
}

export function wallTime(stamp: Stamp, clock: Clock): number {
  return writable(stamp.wallMs ?? clock.wallMs() - agoMs(stamp, clock));
}

export function agoMs({ monotonicMs }: Stamp, clock: Clock): number {
  return ageMs(monotonicMs, clock.monotonicMs());
}

/** Returns the age of a time; never negative, even if a file contains a time in the future. */
export function ageMs(ms: number, nowMs: number): number {
  return Math.max(0, Math.round(nowMs - ms));
}

/** The state file has four digits for a year. */
const LATEST_WALL_MS = Date.UTC(9999, 11, 31);
/** A wall time as a file can hold it. */
export function writable(wallMs: number): number {
  return Math.min(Math.max(0, Math.round(wallMs)), LATEST_WALL_MS);
}
