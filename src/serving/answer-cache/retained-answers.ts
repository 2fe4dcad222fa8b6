/**
 * Answers that the operator wants kept under all conditions: never evicted, never expired, outside the cache's bound. The refresh
 * journey puts them here and replaces them on a schedule; a client's query finds them and changes nothing.
 */

import { HEADER_OCTETS, hashName, questionKey } from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { acceptResponse } from '../../protocol/wire/response.ts';
import { CLASS } from '../../protocol/words/codes.ts';
import { nameToWire } from '../../protocol/words/name.ts';
import {
  type AnswerParts,
  type CacheabilitySettings,
  type CachedAnswer,
  denialWithoutSoa,
  hasSameName,
  hasSameQuestion,
  haveSameQuestion,
  keptOctets,
  newAnswer,
} from './cached-answer.ts';

/** The answer to a question of class IN. */
export interface RetainedAnswer {
  /** A whole response as an upstream sent it: for queries without DO, and for all queries where there is no `signedMessage`. */
  readonly message: Uint8Array;
  /** For queries with DO, where signatures make a difference (RFC 4035 section 3.2.1). */
  readonly signedMessage?: Uint8Array | undefined;
  /** The time since the answer was received. `Infinity` where this time is not known: the answer is then stale from the start. */
  readonly ageMs: number;
  /** For a denial: the answer that clients get once upstreams can no longer confirm the denial. */
  readonly earlier?: RetainedAnswer | undefined;
}

/**
 * An answer counts as fresh for at least this time, even if its TTL is 0. The refresh asks every 5 s at most, and an upstream
 * may take 5 s more to answer. So an answer is stale only if its refresh failed. Clients see the TTL run down to 0 and keep no
 * answer longer.
 */
const MIN_LIFETIME_MS = 10_000;

interface Retained {
  readonly key: number;
  readonly plain: CachedAnswer;
  readonly signed: CachedAnswer;
  next: Retained | undefined;
}

export class RetainedAnswers {
  /** Counts calls of `put` and `remove`. */
  revision = 0;
  readonly #byKey = new Map<number, Retained>();
  /** Every type that was ever retained: a handful, so that a name is found by trying each. */
  readonly #qtypes = new Set<number>();

  /** Whether the name is known to exist, from a record of any type. */
  hasRecordsOf(query: Query): boolean {
    for (const qtype of this.#qtypes) {
      let retained = this.#byKey.get(questionKey(query.nameHash, qtype, query.qclass, false, false));
      for (; retained !== undefined; retained = retained.next) {
        const { octets, index, kind, earlier } = retained.plain;
        const isPositive = kind === 'positive' || earlier?.kind === 'positive';
        if (isPositive && hasSameName(octets, index.questionEnd, query)) return true;
      }
    }
    return false;
  }

  /** The answer to a question; CD makes no difference, because what an upstream has validated is good for all. */
  find(query: Query): CachedAnswer | undefined {
    let retained = this.#byKey.get(questionKey(query.nameHash, query.qtype, query.qclass, false, false));
    for (; retained !== undefined; retained = retained.next) {
      const answer = query.dnssecOk ? retained.signed : retained.plain;
      if (hasSameQuestion(answer.octets, answer.index.questionEnd, query)) return answer;
    }
    return undefined;
  }

  /** Replaces the answer to a question. Returns for how long it counts as fresh; `undefined`: it is no answer to the question. */
  put(
    name: string,
    qtype: number,
    answer: RetainedAnswer,
    nowMs: number,
    settings: CacheabilitySettings,
  ): number | undefined {
    this.revision++;
    const question = questionOctets(name, qtype);
    const key = questionKey(hashName(nameToWire(name)), qtype, CLASS.IN, false, false);
    const plain = retainedAnswer(answer, 'message', { question, key, nowMs, settings });
    const signed =
      answer.signedMessage === undefined && answer.earlier?.signedMessage === undefined
        ? plain
        : retainedAnswer(answer, 'signedMessage', { question, key, nowMs, settings });
    if (plain === undefined || signed === undefined) return undefined;
    this.#remove(key, question);
    this.#qtypes.add(qtype);
    this.#byKey.set(key, { key, plain, signed, next: this.#byKey.get(key) });
    return Math.min(plain.lifetimeMs, signed.lifetimeMs);
  }

  /** Lets an answer go; the question is then a question like any other. */
  remove(name: string, qtype: number): void {
    this.revision++;
    const key = questionKey(hashName(nameToWire(name)), qtype, CLASS.IN, false, false);
    this.#remove(key, questionOctets(name, qtype));
  }

  #remove(key: number, question: Uint8Array): void {
    let kept: Retained | undefined;
    for (let one = this.#byKey.get(key); one !== undefined; one = one.next) {
      if (!isFor(one.plain, question)) kept = { ...one, next: kept };
    }
    if (kept === undefined) this.#byKey.delete(key);
    else this.#byKey.set(key, kept);
  }
}

interface Making {
  readonly question: Uint8Array;
  readonly key: number;
  readonly nowMs: number;
  readonly settings: CacheabilitySettings;
}

function retainedAnswer(
  answer: RetainedAnswer,
  which: 'message' | 'signedMessage',
  making: Making,
): CachedAnswer | undefined {
  const parts = partsOf(answer[which] ?? answer.message, making);
  if (parts === undefined) return undefined;
  const earlier = answer.earlier && retainedAnswer(answer.earlier, which, making);
  const aspects = { dnssecOk: which === 'signedMessage', checkingDisabled: false };
  return newAnswer(making.key, aspects, { ...parts, earlier }, making.nowMs - answer.ageMs, true);
}

function partsOf(message: Uint8Array, { question, settings }: Making): AnswerParts | undefined {
  const accepted = acceptResponse(message);
  if (accepted.kind === 'fault') return undefined;
  const { index } = accepted;
  const verdict = denialWithoutSoa(index, settings);
  if (verdict.kind === 'none' || verdict.kind === 'failure') return undefined;
  // a bare NXDOMAIN is no ground to change the answer that every client gets
  if (verdict.kind === 'nxdomain' && index.negativeTtlSeconds === undefined) return undefined;
  const octets = keptOctets(accepted.octets, index, verdict.maxTtlSeconds);
  if (!haveSameQuestion(octets, index.questionEnd, question, question.length)) return undefined;
  return {
    kind: verdict.kind,
    octets,
    index,
    lifetimeMs: Math.max(verdict.lifetimeSeconds * 1000, MIN_LIFETIME_MS),
    earlier: undefined,
  };
}

/** A header, whose octets do not matter, and the question. */
function questionOctets(name: string, qtype: number): Uint8Array {
  const wire = nameToWire(name);
  const question = [qtype >>> 8, qtype & 0xff, 0, CLASS.IN];
  return Uint8Array.from([...new Array<number>(HEADER_OCTETS).fill(0), ...wire, ...question]);
}

function isFor(answer: CachedAnswer, question: Uint8Array): boolean {
  return haveSameQuestion(answer.octets, answer.index.questionEnd, question, question.length);
}
