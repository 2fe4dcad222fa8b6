/** Which answers a question can be given: a number to look up by, and the comparison that decides. */
import { HEADER_OCTETS } from '../../protocol/wire/header.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { lower } from '../../protocol/words/name.ts';
import type { CachedAnswer } from './cached-answer.ts';

/**
 * A 32-bit signed integer, which V8 keeps without an object, mixed from QNAME (in lower case), QTYPE, QCLASS, DO and
 * CD. Two questions may share one, so whatever is found by it is compared; for one name every QTYPE, DO and CD has
 * a number of its own.
 */
export function cacheKey(query: Query): number {
  return keyOf(query.nameHash, query.qtype, query.qclass, query.dnssecOk, query.checkingDisabled);
}

export function keyOf(
  nameHash: number,
  qtype: number,
  qclass: number,
  dnssecOk: boolean,
  checkingDisabled: boolean,
): number {
  const aspects = qtype | (dnssecOk ? 0x1_0000 : 0) | (checkingDisabled ? 0x2_0000 : 0) | (qclass << 18);
  // an odd factor keeps different aspects different
  return nameHash ^ Math.imul(aspects, 0x9e3779b1);
}

/** Whether `answer` was stored for the question that `query` asks. */
export function isAnswerTo(answer: CachedAnswer, query: Query): boolean {
  return (
    answer.dnssecOk === query.dnssecOk &&
    answer.checkingDisabled === query.checkingDisabled &&
    hasSameQuestion(answer.octets, answer.index.questionEnd, query)
  );
}

/** Whether two kept answers are for one question, so that either could be given for it. */
export function isSameQuestion(one: CachedAnswer, other: CachedAnswer): boolean {
  return (
    one.dnssecOk === other.dnssecOk &&
    one.checkingDisabled === other.checkingDisabled &&
    haveSameQuestion(one.octets, one.index.questionEnd, other.octets, other.index.questionEnd)
  );
}

/** Whether two messages whose names are in lower case carry the same question. */
export function haveSameQuestion(
  one: Uint8Array,
  oneEnd: number,
  other: Uint8Array,
  otherEnd: number,
): boolean {
  if (oneEnd !== otherEnd) return false;
  for (let at = HEADER_OCTETS; at < oneEnd; at++) if (one[at] !== other[at]) return false;
  return true;
}

/** Whether `message` carries the query's question: the name in any case (RFC 4343), QTYPE and QCLASS exactly. */
export function hasSameQuestion(message: Uint8Array, questionEnd: number, query: Query): boolean {
  if (!hasSameName(message, questionEnd, query)) return false;
  const { octets, nameEnd } = query;
  let at = questionEnd - (query.questionEnd - nameEnd);
  for (let from = nameEnd; from < query.questionEnd; from++, at++) {
    if (message[at] !== octets[from]) return false;
  }
  return true;
}

/** Whether the question in `message` is about the query's name, in any case (RFC 4343). */
export function hasSameName(message: Uint8Array, questionEnd: number, query: Query): boolean {
  const { octets, start, nameEnd } = query;
  if (questionEnd !== query.questionEnd - start) return false;
  let at = HEADER_OCTETS;
  for (let from = query.nameStart; from < nameEnd; from++, at++) {
    const kept = message[at] ?? 0;
    const asked = octets[from] ?? 0;
    // most clients ask in lower case, as names are kept
    if (kept !== asked && lower(kept) !== lower(asked)) return false;
  }
  return true;
}
