/** Answers on their way out of the process and back into another one: plain data with ages in place of moments. */
import { FLAG, HEADER_OCTETS } from '../../protocol/wire/header.ts';
import { hashName } from '../../protocol/wire/name-hash.ts';
import { acceptResponse, isPositive, type ResponseIndex } from '../../protocol/wire/response.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import { haveSameQuestion, isSameQuestion, keyOf } from './cache-key.ts';
import { type AnswerKind, type AnswerParts, type CachedAnswer, newAnswer } from './cached-answer.ts';
import type { Failures } from './failures.ts';
import { type FreshnessSettings, freshness, RECHECK_MS } from './freshness.ts';
import { byRecency } from './recency.ts';
import type { Segments } from './segments.ts';

/** Failures are not worth keeping for so long. */
export type EntryKind = Exclude<AnswerKind, 'failure'>;

export interface EntryAnswer {
  readonly kind: EntryKind;
  /** A whole message, as `CachedAnswer.octets`. Shared with the cache on the way out, copied on the way in. */
  readonly octets: Uint8Array;
  /** Since it was stored; not negative. */
  readonly ageMs: number;
  readonly lifetimeMs: number;
}

export interface AnswerEntry extends EntryAnswer {
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
  readonly hits: number;
  /** Since it was last used; not negative. */
  readonly idleMs: number;
  readonly earlier?: EntryAnswer;
}

/**
 * `undefined` for what is not worth keeping. `isUsed`: somebody has asked for it, perhaps before it was last renewed; then
 * it has a hit, so that it is such an answer in the next process, too.
 */
export function entryOf(answer: CachedAnswer, isUsed: boolean, nowMs: number): AnswerEntry | undefined {
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
  // an answer stored since the look began counts as old as that: older, never younger
  return kind === 'failure'
    ? undefined
    : { kind, octets, ageMs: Math.max(0, nowMs - answer.storedAtMs), lifetimeMs };
}

/**
 * The answer that an entry stands for. Whoever keeps entries may hand back anything: `undefined` for what could not have
 * come from `entryOf`.
 */
export function answerOf(entry: AnswerEntry, nowMs: number): CachedAnswer | undefined {
  const { dnssecOk, checkingDisabled, hits, idleMs } = entry;
  const parts = partsOf(entry);
  if (parts === undefined || !isAge(idleMs) || !isAge(hits)) return undefined;
  const { octets, index } = parts;
  const name = octets.subarray(HEADER_OCTETS, index.questionEnd - 4);
  const key = keyOf(hashName(name), index.qtype, index.qclass, dnssecOk, checkingDisabled);
  const asked = { key, dnssecOk, checkingDisabled, isRetained: false };
  let earlier: CachedAnswer | undefined;
  if (entry.earlier !== undefined) {
    const before = partsOf(entry.earlier);
    if (before === undefined || before.kind === 'nxdomain' || entry.kind !== 'nxdomain') return undefined;
    if (!haveSameQuestion(octets, index.questionEnd, before.octets, before.index.questionEnd)) {
      return undefined;
    }
    earlier = newAnswer(asked, before, nowMs - entry.earlier.ageMs);
  }
  const answer = newAnswer(asked, { ...parts, earlier }, nowMs - entry.ageMs);
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

/** What a response is, going by itself alone. */
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
 * What became of an entry that was loaded:
 *
 * - `kept`        it is in the cache, or hidden by a newer denial
 * - `expired`     its time is over
 * - `superseded`  something newer is there
 * - `full`        there is no room, and older answers go before newer ones: nor is there for what was used less recently
 * - `refused`     it is none that `entries` gave
 */
export type LoadVerdict = 'kept' | 'expired' | 'superseded' | 'full' | 'refused';

/** Used last first. See AnswerCache.entries. */
export function* entriesOf(
  answers: Segments,
  nowMs: number,
  settings: FreshnessSettings,
): Generator<AnswerEntry | undefined, void> {
  for (const group of yield* byRecency(answers.all, nowMs)) {
    for (const answer of group) {
      const isWorthIt = answers.all.has(answer) && freshness(answer, nowMs, settings) !== 'expired';
      yield isWorthIt ? entryOf(answer, answers.isUsed(answer), nowMs) : undefined;
    }
  }
}

/** See AnswerCache.restoreOrder. */
export function* restoreOrder(answers: Segments, nowMs: number): Generator<undefined, void> {
  const groups = yield* byRecency(answers.all, nowMs);
  for (const group of groups.toReversed()) {
    for (const answer of group.toReversed()) {
      if (answers.all.has(answer)) answers.get(answer.key);
      yield undefined;
    }
  }
}

/** See AnswerCache.load. */
export function loadInto(
  answers: Segments,
  failures: Failures,
  entry: AnswerEntry,
  nowMs: number,
  settings: FreshnessSettings,
): LoadVerdict {
  const loaded = answerOf(entry, nowMs);
  if (loaded === undefined) return 'refused';
  if (freshness(loaded, nowMs, settings) === 'expired') return 'expired';
  const key = answers.freeKey(loaded.key, (resident) => isSameQuestion(resident, loaded));
  if (key === undefined) return 'superseded';
  const answer = key === loaded.key ? loaded : { ...loaded, key };
  const resident = answers.peek(key);
  if (resident !== undefined) return loadBeside(answers, resident, answer);
  // an upstream was asked before this was read: the answer is better than its failure, and need not be rechecked so soon
  const failedAtMs = failures.notedAtMs(loaded.key);
  if (failedAtMs !== undefined) answer.nextRecheckMs = failedAtMs + RECHECK_MS;
  failures.forget(loaded.key);
  return keepIfRoom(answers, answer);
}

function loadBeside(answers: Segments, resident: CachedAnswer, loaded: CachedAnswer): LoadVerdict {
  const good = loaded.kind === 'nxdomain' ? loaded.earlier : loaded;
  if (resident.kind !== 'nxdomain' || resident.earlier !== undefined || good === undefined) {
    return 'superseded';
  }
  return keepIfRoom(answers, { ...resident, earlier: good });
}

function keepIfRoom(answers: Segments, answer: CachedAnswer): LoadVerdict {
  return answers.putIfRoom(answer, answer.hits > 0) ? 'kept' : 'full';
}
