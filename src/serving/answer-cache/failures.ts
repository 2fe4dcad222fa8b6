/**
 * Questions that no upstream could answer, remembered for a short time in a table of their own (RFC 9520): a flood of
 * names that fail takes no room from answers.
 */
import { LRUCache } from 'lru-cache';
import type { Query } from '../../protocol/wire/query.ts';
import { cacheKey, isAnswerTo } from './cache-key.ts';
import { type CachedAnswer, cachedAnswer, failureParts } from './cached-answer.ts';

/** RFC 9520 section 3.2 asks for at least 1 s and at most 5 min. */
export const FAILURE_MS = 5_000;

/** Some 4 MiB. A name that fails and is not in it costs the upstreams a question, and nothing else. */
const MAX_FAILURES = 4_096;

export class Failures {
  readonly #byKey = new LRUCache<number, CachedAnswer>({ max: MAX_FAILURES });

  get size(): number {
    return this.#byKey.size;
  }

  /** The failure remembered for this question, as a SERVFAIL that can be given. */
  find(query: Query, nowMs: number): CachedAnswer | undefined {
    if (this.#byKey.size === 0) return undefined;
    const failure = this.#byKey.get(cacheKey(query));
    if (failure === undefined || !isAnswerTo(failure, query)) return undefined;
    return nowMs < failure.storedAtMs + failure.lifetimeMs ? failure : undefined;
  }

  note(query: Query, lifetimeMs: number, nowMs: number, extendedError: number | undefined): CachedAnswer {
    const parts = {
      kind: 'failure',
      ...failureParts(query, extendedError),
      lifetimeMs,
      earlier: undefined,
    } as const;
    const failure = cachedAnswer(query, cacheKey(query), parts, nowMs);
    this.#byKey.set(failure.key, failure);
    return failure;
  }

  /** The question has an answer now. */
  forget(key: number): void {
    this.#byKey.delete(key);
  }

  /** When a failure was noted under this key, if one is remembered. */
  notedAtMs(key: number): number | undefined {
    return this.#byKey.peek(key)?.storedAtMs;
  }

  clear(): void {
    this.#byKey.clear();
  }
}
