/** Answers on their way out of the process and back into another one: plain data with ages in place of moments. */
import { FLAG, HEADER_OCTETS } from '../../protocol/wire/header.ts';
import { hashName } from '../../protocol/wire/query.ts';
import { acceptResponse, isPositive, type ResponseIndex } from '../../protocol/wire/response.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import { haveSameQuestion, keyOf } from './cache-key.ts';
import { type AnswerKind, type AnswerParts, type CachedAnswer, newAnswer } from './cached-answer.ts';

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
