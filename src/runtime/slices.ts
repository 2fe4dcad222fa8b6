/**
 * Runs long work in pieces, so that a query never waits for all of the work. A generator yields after each small step, and its
 * caller decides when other work has a turn of the event loop.
 */
import { type Clock, turnBound } from './clock.ts';

/** Work whose steps take some microseconds each, and which ends with its result. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Gives all other work a turn, as one argument. Resolves once waiting I/O has been served. */
export type Pause = () => Promise<void>;

/**
 * At least three turns: the first may be in a turn that has already asked which sockets are readable. A socket that the second turn
 * finds readable is read at the end of that turn, after the promise of that turn has resolved (libc.ts).
 */
const LEAST_TURNS = 3;
/** A shorter turn had nothing to do, or a single query. */
const IDLE_TURN_MS = 0.05;
/** While every turn has something to do, work in pieces gets a quarter of the time. A piece that waited for a disk seems long. */
const TIMES_AS_LONG = 3;
const LONGEST_PAUSE_MS = 10;

/** Lasts until a turn of the loop is idle, but at most three times as long as the work since the last pause. */
export function pauseUntilIdle(nowMs: () => number, turn: () => Promise<void>): Pause {
  let resumedMs = nowMs();
  return async () => {
    const pausedMs = nowMs();
    const untilMs = pausedMs + Math.min(TIMES_AS_LONG * (pausedMs - resumedMs), LONGEST_PAUSE_MS);
    let endedMs = pausedMs;
    for (let turns = 1; ; turns++) {
      const beganMs = endedMs;
      await turn();
      endedMs = nowMs();
      if (turns >= LEAST_TURNS && (endedMs - beganMs < IDLE_TURN_MS || endedMs >= untilMs)) break;
    }
    resumedMs = endedMs;
  };
}

export const systemPause: Pause = pauseUntilIdle(
  () => performance.now(),
  () => new Promise((resolve) => setImmediate(resolve)),
);

/**
 * Steps between two turns of the loop: half a millisecond where a step takes ten microseconds. A query may have to wait ten
 * times as long.
 */
export const STEPS_PER_TURN = 50;

/**
 * Runs the work to its end; after every `stepsPerTurn` steps, and after a millisecond, all other work has a turn, but not after
 * the last.
 *
 * @param pause without one the work ends in this turn
 * @param stepsPerTurn fewer for steps that take longer
 */
export async function inSlices<T>(
  steps: Steps<T>,
  pause: Pause | undefined,
  stepsPerTurn = STEPS_PER_TURN,
): Promise<T> {
  if (pause === undefined) return atOnce(steps);
  for (;;) {
    const isOver = turnBound();
    for (let step = 0; step < stepsPerTurn; step++) {
      const { done, value } = steps.next();
      if (done) return value;
      if (isOver()) break;
    }
    await pause();
  }
}

/** Runs the work to its end without a pause: at a start, in commands and in tests, where nobody waits. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Wraps short work, for a caller that expects steps. */
export function* inOneStep<T>(run: () => T): Steps<T> {
  yield;
  return run();
}

/**
 * Lets work that comes in bursts through, first come first served, with a bound for each turn of the event loop. A thousand
 * answers that arrive together are taken in one by one, with queries between them.
 */
export class Turnstile {
  readonly #pause: Pause | undefined;
  readonly #perTurn: number;
  readonly #waiting: (() => void)[] = [];
  #isPausing = false;

  /** @param pause without one everything passes at once */
  constructor(perTurn: number, pause?: Pause) {
    this.#perTurn = perTurn;
    this.#pause = pause;
  }

  /** Resolves when it is the turn of the caller. */
  pass(): Promise<void> {
    if (this.#pause === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (!this.#isPausing) this.#admit();
    });
  }

  async #admit(): Promise<void> {
    this.#isPausing = true;
    while (this.#waiting.length > 0) {
      for (const resolve of this.#waiting.splice(0, this.#perTurn)) resolve();
      await this.#pause?.();
    }
    this.#isPausing = false;
  }
}

export interface SliceFigures {
  readonly slices: number;
  readonly longestSliceMs: number;
}

/** Slices by time instead of by steps, with figures: for work whose steps differ much in length. */
export class Slices {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #pause: Pause | undefined;
  readonly #sliceMs: number;
  #beganMs: number;
  #longestMs = 0;
  #count = 0;

  /** Without `pause` the work is one slice. */
  constructor(clock: Pick<Clock, 'monotonicMs'>, pause: Pause | undefined, sliceMs: number) {
    this.#clock = clock;
    this.#pause = pause;
    this.#sliceMs = sliceMs;
    this.#beganMs = clock.monotonicMs();
  }

  /** Runs the work to its end, in as many slices as it takes. */
  async run<T>(steps: Steps<T>): Promise<T> {
    this.begin();
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
      if (this.isOver) await this.next();
    }
  }

  /** Whether this slice has lasted long enough: then call `next` before going on. */
  get isOver(): boolean {
    return this.#pause !== undefined && this.#clock.monotonicMs() - this.#beganMs >= this.#sliceMs;
  }

  /** Ends the slice, gives other work its turn, and begins the next slice. */
  async next(): Promise<void> {
    this.end();
    await this.#pause?.();
    this.begin();
  }

  /** Ends the slice early, because the work waits for I/O. */
  end(): void {
    this.#count++;
    this.#longestMs = Math.max(this.#longestMs, this.#clock.monotonicMs() - this.#beganMs);
  }

  begin(): void {
    this.#beganMs = this.#clock.monotonicMs();
  }

  get figures(): SliceFigures {
    return { slices: this.#count, longestSliceMs: this.#longestMs };
  }
}

// Long texts: a page of a thousand clusters has megabytes. A text comes as a list of short texts, none of which grows with the
// configuration.

/** Characters that are made and encoded in one turn of the loop: a fraction of a millisecond. */
export const PIECE_CHARACTERS = 16_384;

/** Encodes a text; the loop has its turn after each piece. */
export async function inPieces(texts: Iterable<string>, pause: Pause): Promise<readonly Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  let piece = '';
  let isOver = turnBound();
  for (const text of texts) {
    piece += text;
    if (piece.length < PIECE_CHARACTERS && !isOver()) continue;
    pieces.push(Buffer.from(piece));
    piece = '';
    await pause();
    isOver = turnBound();
  }
  pieces.push(Buffer.from(piece));
  return pieces;
}

/** The deepest list that grows with the configuration: the addresses of an endpoint, the rows of a panel, the records of a zone. */
const DEEPEST_LIST = 4;

interface TextForm {
  readonly indent: string;
  readonly replacer?: (key: string, value: unknown) => unknown;
}

/**
 * The text of `JSON.stringify(value, replacer, indent)`. A member of an object and an item of a list come one by one, down to the
 * depth of `DEEPEST_LIST`; the replacer sees single values and what lies deeper.
 */
export function* jsonTexts(value: unknown, form: TextForm = { indent: '  ' }, depth = 0): Iterable<string> {
  const { indent, replacer } = form;
  const line = indent === '' ? '' : `\n${indent.repeat(depth)}`;
  if (depth >= DEEPEST_LIST || typeof value !== 'object' || value === null) {
    yield (JSON.stringify(value, replacer, indent) ?? 'null').replaceAll('\n', line);
    return;
  }
  const isList = isIterable(value); // an array, or a list that is kept as octets (json-list.ts)
  const entries = isList ? numbered(value) : Object.entries(value);
  const [open, close] = isList ? '[]' : '{}';
  const colon = indent === '' ? ':' : ': ';
  let isEmpty = true;
  for (const [key, item] of entries) {
    if (!isList && item === undefined) continue;
    yield `${isEmpty ? open : ','}${line}${indent}${isList ? '' : `${JSON.stringify(key)}${colon}`}`;
    yield* jsonTexts(item, form, depth + 1);
    isEmpty = false;
  }
  yield isEmpty ? `${open}${close}` : `${line}${close}`;
}

function isIterable(value: object): value is Iterable<unknown> {
  return Symbol.iterator in value;
}

function* numbered(items: Iterable<unknown>): Iterable<readonly [string, unknown]> {
  for (const item of items) yield ['', item];
}
