/**
 * Forwarded answers, kept as the octets in which they came and found again without a string or an object per query.
 * The room refuses to know upstreams, the link, sockets and the wall clock: it is told what was received and when
 * (monotonic), and says what it holds; whether to wait, to ask again or to give a stale answer is the resolver's.
 * It is bounded in octets, and what was used least recently goes first. RFC 2308, RFC 8767, RFC 9520, RFC 2181.
 *
 *     find -> freshness -> fresh: writePatchedReply with ageSeconds      forwarder -> store | noteFailure
 *                          stale: writePatchedReply of answerWhileStale
 */
import { LRUCache } from 'lru-cache';
import type { Query } from '../../protocol/wire/query.ts';
import type { ResponseIndex } from '../../protocol/wire/response.ts';
import { cacheKey, hasSameQuestion, isAnswerTo } from './cache-key.ts';
import { type CacheabilitySettings, cacheability, FAILURE_SECONDS } from './cacheability.ts';
import { type CachedAnswer, cachedAnswer, failureParts, keptOctets, sizeOf } from './cached-answer.ts';
import { answerWhileStale, type FreshnessSettings, freshness, RECHECK_MS } from './freshness.ts';

export interface AnswerCacheSettings extends CacheabilitySettings, FreshnessSettings {
  /** Bound of all answers together, their overhead included; 0 keeps none. */
  readonly sizeOctets: number;
  /** TTL of every record in a stale answer (RFC 8767 section 4: 30 s recommended). */
  readonly staleTtlSeconds: number;
}

export interface AnswerCacheStats {
  readonly entries: number;
  readonly octets: number;
  /** Look-ups that found a fresh answer, a stale one, and none of use. */
  readonly hits: number;
  readonly staleHits: number;
  readonly misses: number;
  /** Answers that made room for others. */
  readonly evictions: number;
  readonly prefetches: number;
}

/** lru-cache writes to the options of a look-up, so they cannot be frozen; shared, they cost no object per query. */
const lookup: LRUCache.GetOptions<number, CachedAnswer, unknown> = {};

export class AnswerCache {
  #settings: AnswerCacheSettings;
  #answers: LRUCache<number, CachedAnswer>;
  #hits = 0;
  #staleHits = 0;
  #misses = 0;
  #evictions = 0;
  #prefetches = 0;

  constructor(settings: AnswerCacheSettings) {
    this.#settings = settings;
    this.#answers = this.#bounded(settings.sizeOctets);
  }

  get settings(): AnswerCacheSettings {
    return this.#settings;
  }

  /** The answer kept for this question, unless it has expired; `freshness` says what it is good for. */
  find(query: Query, nowMs: number): CachedAnswer | undefined {
    const answer = this.#answers.get(cacheKey(query), lookup);
    if (answer === undefined || !isAnswerTo(answer, query)) {
      this.#misses++;
      return undefined;
    }
    switch (freshness(answer, nowMs, this.#settings)) {
      case 'expired':
        this.#misses++;
        return undefined;
      case 'stale':
        this.#staleHits++;
        return answer;
      default:
        this.#hits++;
        answer.hits++;
        return answer;
    }
  }

  /**
   * Keeps a response to `query`. Returns the answer to reply from, or `undefined` when nothing was kept: the response
   * is not cacheable, is no response to this question, or is a failure and a good answer is there. What was kept
   * before stays in all of these cases.
   */
  store(query: Query, message: Uint8Array, index: ResponseIndex, nowMs: number): CachedAnswer | undefined {
    if (!hasSameQuestion(message, index.questionEnd, query)) return undefined;
    const verdict = cacheability(index, this.#settings);
    if (verdict.kind === 'none') return undefined;
    if (verdict.kind === 'failure') return this.noteFailure(query, nowMs);
    const parts = {
      kind: verdict.kind,
      octets: keptOctets(message, index, verdict.maxTtlSeconds),
      index,
      lifetimeMs: verdict.lifetimeSeconds * 1000,
      earlier: verdict.kind === 'nxdomain' ? this.#lastGood(query, nowMs) : undefined,
    };
    return this.#keep(query, cachedAnswer(query, parts, nowMs));
  }

  /**
   * No upstream could answer `query`. Where a good answer is kept it stays and is not rechecked for a while
   * (RFC 8767 section 5), and `undefined` comes back; otherwise the failure itself is kept for 5 s (RFC 9520).
   */
  noteFailure(query: Query, nowMs: number): CachedAnswer | undefined {
    const resident = this.#answers.peek(cacheKey(query));
    if (resident !== undefined && freshness(resident, nowMs, this.#settings) !== 'expired') {
      // a failure displaces nothing that is of use, not even another question's answer under the same key
      if (!isAnswerTo(resident, query)) return undefined;
      if (resident.kind !== 'failure') {
        resident.nextRecheckMs = nowMs + RECHECK_MS;
        return undefined;
      }
    }
    const parts = { kind: 'failure', ...failureParts(query), lifetimeMs: FAILURE_SECONDS * 1000 } as const;
    return this.#keep(query, cachedAnswer(query, { ...parts, earlier: undefined }, nowMs));
  }

  /** To be called before a prefetch: no other one for this answer is due until it has had time to end. */
  claimPrefetch(answer: CachedAnswer, nowMs: number): void {
    answer.nextPrefetchMs = nowMs + RECHECK_MS;
    this.#prefetches++;
  }

  /** Forgets every answer. */
  flush(): void {
    this.#answers.clear();
  }

  /**
   * Takes new settings without losing answers, save those that no longer fit. Lifetimes already given stay; staleness,
   * prefetch and what is stored from now on follow the new settings. A new size costs a pass over all answers.
   */
  reconfigure(settings: AnswerCacheSettings): void {
    const previous = this.#settings;
    this.#settings = settings;
    if (settings.sizeOctets === previous.sizeOctets) return;
    const kept = this.#answers;
    this.#answers = this.#bounded(settings.sizeOctets);
    // least recently used first; lru-cache's own dump and load would take time with the square of the answers
    for (const key of kept.rkeys()) {
      const answer = kept.peek(key);
      if (answer !== undefined) this.#answers.set(key, answer);
    }
  }

  stats(): AnswerCacheStats {
    return {
      entries: this.#answers.size,
      octets: this.#answers.calculatedSize,
      hits: this.#hits,
      staleHits: this.#staleHits,
      misses: this.#misses,
      evictions: this.#evictions,
      prefetches: this.#prefetches,
    };
  }

  #keep(query: Query, answer: CachedAnswer): CachedAnswer {
    // under one key the newest wins: two questions that share it cost each other a miss
    this.#answers.set(cacheKey(query), answer);
    return answer;
  }

  /** The good answer that an NXDOMAIN is about to hide: one at most, and only within its own stale time. */
  #lastGood(query: Query, nowMs: number): CachedAnswer | undefined {
    const resident = this.#answers.peek(cacheKey(query));
    if (resident === undefined || !isAnswerTo(resident, query)) return undefined;
    const last = answerWhileStale(resident, nowMs, this.#settings);
    if (last.kind === 'nxdomain' || last.kind === 'failure') return undefined;
    return freshness(last, nowMs, this.#settings) === 'expired' ? undefined : last;
  }

  #bounded(sizeOctets: number): LRUCache<number, CachedAnswer> {
    return new LRUCache<number, CachedAnswer>({
      maxSize: Math.max(1, sizeOctets),
      sizeCalculation: sizeOf,
      dispose: (_answer, _key, reason) => {
        if (reason === 'evict') this.#evictions++;
      },
    });
  }
}
