/**
 * Converts answers for the disk, and back for a later process: plain data with ages in place of times. The conversion gives the
 * answers in the order of their last use, in small steps, while the cache goes on changing.
 */

import { FLAG, HEADER_OCTETS, hashName, questionKey } from '../../protocol/wire/message.ts';
import { acceptResponse } from '../../protocol/wire/response.ts';
import { isPositive, type ResponseIndex } from '../../protocol/wire/response-records.ts';
import { RCODE } from '../../protocol/words/codes.ts';
import {
  type AnswerKind,
  type AnswerParts,
  type CachedAnswer,
  type FreshnessSettings,
  freshness,
  haveSameQuestion,
  isSameQuestion,
  newAnswer,
  RECHECK_MS,
} from './cached-answer.ts';
import type { Failures, Segments } from './segments.ts';

/** Failures are not kept as long. */
type EntryKind = Exclude<AnswerKind, 'failure'>;

interface EntryAnswer {
  readonly kind: EntryKind;
  /** A whole message. On the way out it is valid until the next call of the cache; on the way in it is copied. */
  readonly octets: Uint8Array;
  /** The time since the cache stored the answer; never negative. */
  readonly ageMs: number;
  readonly lifetimeMs: number;
}

export interface AnswerEntry extends EntryAnswer {
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
  readonly hits: number;
  /** The time since the answer was last used; never negative. */
  readonly idleMs: number;
  readonly earlier?: EntryAnswer;
}

/**
 * `undefined` for a failure. `isUsed`: a client has asked for the answer, perhaps before its last renewal. The entry then has a
 * hit, so that the next process also counts the answer as used.
 */
function entryOf(answer: CachedAnswer, isUsed: boolean, nowMs: number): AnswerEntry | undefined {
  const own = entryAnswer(answer, nowMs);
  if (own === undefined) return undefined;
  const earlier = answer.earlier && entryAnswer(answer.earlier, nowMs);
  return {
    ...own,
    dnssecOk: answer.dnssecOk,
    checkingDisabled: answer.checkingDisabled,
    hits: isUsed ? Math.max(1, answer.hits) : answer.hits,
    idleMs: Math.max(0, nowMs - answer.usedAtMs),
    ...(earlier === undefined ? {} : { earlier }),
  };
}

function entryAnswer(answer: CachedAnswer, nowMs: number): EntryAnswer | undefined {
  const { kind, octets, lifetimeMs } = answer;
  // an answer stored since the iteration began counts as old as that: older, never younger
  if (kind === 'failure') return undefined;
  const message = octets.subarray(0, answer.index.end);
  return { kind, octets: message, ageMs: Math.max(0, nowMs - answer.storedAtMs), lifetimeMs };
}

/** The answer that an entry stands for; `undefined` for an entry that could not have come from `entryOf`. */
function answerOf(entry: AnswerEntry, nowMs: number): CachedAnswer | undefined {
  const { dnssecOk, checkingDisabled, hits, idleMs } = entry;
  const parts = partsOf(entry);
  if (parts === undefined || !isAge(idleMs) || !isAge(hits)) return undefined;
  const { octets, index } = parts;
  const name = octets.subarray(HEADER_OCTETS, index.questionEnd - 4);
  const key = questionKey(hashName(name), index.qtype, index.qclass, dnssecOk, checkingDisabled);
  let earlier: CachedAnswer | undefined;
  if (entry.earlier !== undefined) {
    const before = partsOf(entry.earlier);
    if (before === undefined || before.kind === 'nxdomain' || entry.kind !== 'nxdomain') return undefined;
    if (!haveSameQuestion(octets, index.questionEnd, before.octets, before.index.questionEnd)) {
      return undefined;
    }
    earlier = newAnswer(key, entry, before, nowMs - entry.earlier.ageMs);
  }
  const answer = newAnswer(key, entry, { ...parts, earlier }, nowMs - entry.ageMs);
  answer.hits = hits;
  answer.usedAtMs = nowMs - idleMs;
  return answer;
}

function partsOf({ kind, octets, ageMs, lifetimeMs }: EntryAnswer): AnswerParts | undefined {
  if (!isAge(ageMs) || !isAge(lifetimeMs)) return undefined;
  const accepted = acceptResponse(new Uint8Array(octets));
  if (accepted.kind === 'fault') return undefined;
  const { octets: own, index } = accepted;
  if (index.end !== own.length || kindOf(index) !== kind) return undefined;
  return { kind, octets: own, index, lifetimeMs, earlier: undefined };
}

/** Returns the kind of a response, from its own content alone. */
function kindOf(index: ResponseIndex): EntryKind | undefined {
  if ((index.flags & FLAG.TC) !== 0) return undefined;
  if (index.rcode === RCODE.NXDOMAIN) return 'nxdomain';
  if (index.rcode !== RCODE.NOERROR) return undefined;
  return isPositive(index) ? 'positive' : 'nodata';
}

function isAge(value: number): boolean {
  return Number.isFinite(value) && value >= 0;
}

/**
 * The result of loading an entry:
 *
 * - `kept`        the entry is in the cache, or a newer denial hides it
 * - `expired`     the time of the entry is over
 * - `superseded`  the cache has a newer answer, or forgets answers about the name just now
 * - `full`        the cache has no room for the entry, nor for entries that were used less recently
 * - `refused`     `entries` gave no such entry
 */
export type LoadVerdict = 'kept' | 'expired' | 'superseded' | 'full' | 'refused';

/** See AnswerCache.entries. */
export function* entriesOf(
  answers: Segments,
  nowMs: number,
  settings: FreshnessSettings,
): Generator<AnswerEntry | undefined, void> {
  const iteration = answers.store.newIteration();
  for (const slot of yield* byRecency(answers, nowMs)) {
    // an answer that was given and then renewed may be in a slot whose turn comes later
    const isDue = answers.isThere(slot) && answers.store.givenBy(slot) !== iteration;
    if (isDue) answers.store.give(slot, iteration);
    const answer = isDue ? answers.store.open(slot) : undefined;
    const isWorthIt = answer !== undefined && freshness(answer, nowMs, settings) !== 'expired';
    yield isWorthIt ? entryOf(answer, answers.isUsed(slot), nowMs) : undefined;
  }
}

/** See AnswerCache.restoreOrder. */
export function* restoreOrder(answers: Segments, nowMs: number): Generator<undefined, void> {
  const slots = yield* byRecency(answers, nowMs);
  for (let at = slots.length - 1; at >= 0; at--) {
    const slot = slots[at];
    if (slot !== undefined) answers.touch(slot);
    yield undefined;
  }
}

/** See AnswerCache.load. */
export function loadInto(
  answers: Segments,
  failures: Failures,
  entry: AnswerEntry,
  nowMs: number,
  settings: FreshnessSettings,
  isForgotten: (answer: CachedAnswer) => boolean,
): LoadVerdict {
  const loaded = answerOf(entry, nowMs);
  if (loaded === undefined) return 'refused';
  if (isForgotten(loaded)) return 'superseded';
  if (freshness(loaded, nowMs, settings) === 'expired') return 'expired';
  const resident = answers.store.findBy(loaded.key, (answer) => isSameQuestion(answer, loaded));
  if (resident !== undefined) return loadBeside(answers, resident, loaded);
  // an upstream failed before this was read: the answer is better than the failure, and need not be rechecked so soon
  const failedAtMs = failures.notedAtMs(loaded.key);
  if (failedAtMs !== undefined) loaded.nextRecheckMs = failedAtMs + RECHECK_MS;
  failures.forget(loaded.key);
  return answers.putIfRoom(loaded, loaded.hits > 0) ? 'kept' : 'full';
}

function loadBeside(answers: Segments, resident: CachedAnswer, loaded: CachedAnswer): LoadVerdict {
  const good = loaded.kind === 'nxdomain' ? loaded.earlier : loaded;
  if (resident.kind !== 'nxdomain' || resident.earlier !== undefined || good === undefined) {
    return 'superseded';
  }
  return answers.addEarlierIfRoom(resident.slot, good) ? 'kept' : 'full';
}

/** Groups of idle times: four for each doubling; the last takes all answers that were not used for a month. */
const GROUPS = 88;
const GROUPS_A_DOUBLING = 4;
/** Slots sorted into groups between two pauses. */
const STRIDE = 256;
/** The largest group that is put in exact order; to sort a larger group would take too long at a time. */
const SORTED = 512;

/**
 * Returns slots; the answers used last come first. The order is right to a fifth of the idle time, and exact where an exact
 * order costs little. Yields where the caller may pause. Answers that arrive during the pauses may be absent; a slot may be free
 * again, or hold another answer.
 */
function* byRecency(answers: Segments, nowMs: number): Generator<undefined, Int32Array> {
  const { end } = answers.store;
  /** For each slot the number of its group, plus one; 0: there was no answer. Arrays of their size from the start: none is copied. */
  const groups = new Uint8Array(end);
  const lengths = new Int32Array(GROUPS);
  let count = 0;
  for (let slot = 0; slot < end; slot++) {
    if (slot % STRIDE === STRIDE - 1) yield undefined;
    if (!answers.isThere(slot)) continue;
    const group = groupOf(nowMs - answers.store.usedAtMs(slot));
    groups[slot] = group + 1;
    lengths[group] = (lengths[group] ?? 0) + 1;
    count++;
  }
  const places = new Int32Array(GROUPS);
  for (let group = 1; group < GROUPS; group++) {
    places[group] = (places[group - 1] ?? 0) + (lengths[group - 1] ?? 0);
  }
  const slots = new Int32Array(count);
  for (let slot = 0; slot < end; slot++) {
    if (slot % STRIDE === STRIDE - 1) yield undefined;
    const group = (groups[slot] ?? 0) - 1;
    if (group < 0) continue;
    const place = places[group] ?? 0;
    slots[place] = slot;
    places[group] = place + 1;
  }
  for (let group = 0; group < GROUPS; group++) {
    const length = lengths[group] ?? 0;
    if (length < 2 || length > SORTED) continue;
    const place = places[group] ?? 0; // the end of the group
    const idle = (slot: number) => nowMs - answers.store.usedAtMs(slot);
    slots.subarray(place - length, place).sort((one, other) => idle(one) - idle(other));
    yield undefined;
  }
  return slots;
}

function groupOf(idleMs: number): number {
  const group = Math.floor(GROUPS_A_DOUBLING * Math.log2(1 + Math.max(0, idleMs) / 1000));
  return Math.min(group, GROUPS - 1);
}
