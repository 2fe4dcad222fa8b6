/**
 * Forwarded answers, kept as the octets in which they came and found without a string or an object per query.
 * The room refuses to know upstreams, the link, sockets and the wall clock. It gets responses and the monotonic time of their
 * arrival, and gives answers. The resolver decides whether to wait, to ask again or to give a stale answer.
 * It is bounded in octets, and answers that were used least recently go first. RFC 2308, RFC 8767, RFC 9520, RFC 2181.
 *
 *     find -> freshness -> fresh: writePatchedReply with ageSeconds      forwarder -> store | noteFailure
 *                          stale: writePatchedReply of answerWhileStale  refresher -> retain | release
 *     entries -> (disk) -> load, restoreOrder
 */
import { LRUCache } from 'lru-cache';
import {
  askedNameAt,
  FLAG,
  HEADER_OCTETS,
  MAX_MESSAGE_OCTETS,
  NameMap,
  questionKey,
} from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { hasProofs, withoutProofs } from '../../protocol/wire/reply.ts';
import type { ResponseIndex } from '../../protocol/wire/response-records.ts';
import { nameFromWire } from '../../protocol/words/name.ts';
import { atOnce, type Steps } from '../../runtime/slices.ts';
import {
  answerWhileStale,
  type CacheabilitySettings,
  type CachedAnswer,
  cacheability,
  denialWithoutSoa,
  type FreshnessSettings,
  freshGiven,
  freshness,
  type GivenAnswer,
  givenAnswer,
  hasSameQuestion,
  isAnswerTo,
  keptOctets,
  mayRecheck,
  newAnswer,
  RECHECK_MS,
  type StaleSettings,
  sizeOf,
  staleGiven,
} from './cached-answer.ts';
import { type AnswerEntry, entriesOf, type LoadVerdict, loadInto, restoreOrder } from './entries.ts';
import { type RetainedAnswer, RetainedAnswers } from './retained-answers.ts';
import { type Earlier, FAILURE_MS, Failures, type LinkCut, Segments } from './segments.ts';

export interface AnswerCacheSettings extends CacheabilitySettings, StaleSettings {
  /** Bound of all answers together, their overhead included; 0 keeps none. */
  readonly sizeOctets: number;
}

export interface AnswerCacheStats {
  readonly entries: number;
  readonly octets: number;
  /** Counts of queries that found a fresh answer, a stale answer, and no usable answer. */
  readonly hits: number;
  readonly staleHits: number;
  readonly misses: number;
  /** Answers that made room for others. */
  readonly evictions: number;
  readonly prefetches: number;
}

/** The part of the cache that the resolver uses. */
export type AnswerStore = Pick<
  AnswerCache,
  | 'settings'
  | 'find'
  | 'findAny'
  | 'peekAny'
  | 'giveRetained'
  | 'hasRetainedRecordsOf'
  | 'retainedRevision'
  | 'store'
  | 'noteFailure'
  | 'mayRecheck'
  | 'claimPrefetch'
>;

export class AnswerCache {
  #settings: AnswerCacheSettings;
  readonly #answers: Segments;
  readonly #retained = new RetainedAnswers();
  readonly #failures = new Failures();
  readonly #variants: Variants;
  /** The message that is about to be put into the store: space that is used again. */
  readonly #kept = new Uint8Array(MAX_MESSAGE_OCTETS);
  /** What is being forgotten in steps. */
  readonly #flushes = new Set<{ readonly isWanted: (message: Uint8Array) => boolean }>();
  /** The recheck of an answer does not wait for a time up to this one: the failure was of upstreams that are replaced. */
  #forgottenMs = 0;
  #revision = 0;
  #hits = 0;
  #staleHits = 0;
  #misses = 0;
  #prefetches = 0;

  /** `link`: in a cut, upstreams could not be asked for kept names. Read when an answer is stored. */
  constructor(settings: AnswerCacheSettings, link: LinkCut = { isAnyCut: false }) {
    this.#settings = settings;
    this.#answers = new Segments(settings.sizeOctets, link);
    this.#variants = new Variants((query, key) => this.#answers.store.find(key, query)?.hold());
  }

  get settings(): AnswerCacheSettings {
    return this.#settings;
  }

  /**
   * Finds the answer to this question, unless it has expired (see `freshness`); otherwise finds the remembered failure. The
   * answer is valid until the next call of this cache: a hit makes no object.
   */
  find(query: Query, nowMs: number): CachedAnswer | undefined {
    const answer = this.#retainedFor(query) ?? this.#own(query);
    const found = (answer && this.#used(answer, nowMs)) ?? this.#failures.find(query, nowMs);
    if (found === undefined) this.#misses++;
    else if (found !== answer) this.#hits++;
    return found;
  }

  /**
   * The answer when no upstream is asked. It is the best answer to the question with any DO and CD, made fit for this query
   * (see `Variants` below). To be called after `find` found nothing fresh. `isCut`: no upstream can be asked.
   */
  findAny(query: Query, nowMs: number, isCut: boolean): GivenAnswer | undefined {
    const found = this.#variants.best(query, nowMs, isCut, this.#settings);
    if (found === undefined) return undefined;
    if (!isAnswerTo(found.kept, query)) this.#used(found.kept, nowMs);
    return found.given;
  }

  /** As `findAny`, counted neither as a query nor as a use: `find` was called for the same query. */
  peekAny(query: Query, nowMs: number, isCut: boolean): GivenAnswer | undefined {
    const retained = this.#retainedFor(query);
    if (retained !== undefined) return givenAnswer(retained, nowMs, this.#settings);
    return this.#variants.best(query, nowMs, isCut, this.#settings)?.given;
  }

  /** The same answers for a rehearsal: nothing is counted, nothing counts as used, and nothing is kept. */
  withoutTrace(): AnswerStore {
    const best = (query: Query, nowMs: number, isCut: boolean) =>
      this.#variants.best(query, nowMs, isCut, this.#settings)?.given;
    return {
      settings: this.#settings,
      retainedRevision: this.retainedRevision,
      find: (query, nowMs) =>
        this.#retainedFor(query) ?? this.#ownKept(query, nowMs) ?? this.#failures.find(query, nowMs),
      findAny: best,
      peekAny: (query, nowMs, isCut) => this.peekAny(query, nowMs, isCut),
      giveRetained: (query, nowMs) => {
        const retained = this.#retainedFor(query);
        return retained === undefined ? undefined : givenAnswer(retained, nowMs, this.#settings);
      },
      hasRetainedRecordsOf: (query) => this.hasRetainedRecordsOf(query),
      store: () => undefined,
      noteFailure: () => undefined,
      mayRecheck: (answer, nowMs) => this.mayRecheck(answer, nowMs),
      claimPrefetch: () => undefined,
    };
  }

  /**
   * Keeps a response to `query`. Returns the answer to reply from, valid until the next call of this cache. Returns `undefined`
   * when nothing was kept. Then the response is not cacheable, is no response to this question, or is a failure while a good
   * answer is kept. The answer that was kept before stays.
   */
  store(query: Query, message: Uint8Array, index: ResponseIndex, nowMs: number): CachedAnswer | undefined {
    if (!hasSameQuestion(message, index.questionEnd, query)) return undefined;
    const before = this.#answers.store.find(query.key, query);
    if (this.#isForgotten(message)) {
      // nor does an older answer stay until its turn comes
      if (before !== undefined) this.#answers.delete(before.slot);
      return undefined;
    }
    const own = before !== undefined && this.#isKept(before, nowMs) ? before : undefined;
    const kept = own ? cacheability(index, this.#settings) : denialWithoutSoa(index, this.#settings);
    if (kept.kind === 'none') return undefined;
    if (kept.kind === 'failure') return this.noteFailure(query, nowMs, index.extendedError);
    const earlier = kept.kind === 'nxdomain' && own !== undefined ? this.#lastGood(own, nowMs) : 'none';
    const slot = before?.slot;
    const parts = {
      kind: kept.kind,
      octets: keptOctets(message, index, kept.maxTtlSeconds, this.#kept),
      index,
      lifetimeMs: kept.lifetimeSeconds * 1000,
      earlier: undefined,
    };
    this.#revision++;
    const answer = this.#answers.put(newAnswer(query.key, query, parts, nowMs), slot, earlier);
    this.#failures.forget(query.key);
    return answer;
  }

  /**
   * No upstream could answer `query`. A good answer that is kept stays, and is not rechecked for a while (RFC 8767 section 5);
   * this returns `undefined` then. Otherwise the cache remembers the failure itself for 5 s (RFC 9520). Where it keeps an answer
   * to the question with another DO or CD, it remembers the failure until the recheck.
   */
  noteFailure(query: Query, nowMs: number, extendedError?: number): CachedAnswer | undefined {
    const own = this.#ownKept(query, nowMs);
    if (own !== undefined) {
      own.nextRecheckMs = nowMs + RECHECK_MS;
      return undefined;
    }
    const hasOther = this.peekAny(query, nowMs, false) !== undefined;
    return this.#failures.note(query, hasOther ? RECHECK_MS : FAILURE_MS, nowMs, extendedError);
  }

  /** Whether an upstream may be asked about a stale answer now. */
  mayRecheck(answer: CachedAnswer, nowMs: number): boolean {
    return mayRecheck(answer, nowMs, this.#forgottenMs);
  }

  /**
   * Other upstreams are asked from now on, or the same can be reached again: earlier failures say nothing, nor does a failure within
   * `pendingMs`, for which questions to those before may still be on their way.
   */
  forgetFailures(nowMs: number, pendingMs: number): void {
    this.#failures.clear();
    this.#forgottenMs = Math.max(this.#forgottenMs, nowMs + pendingMs + RECHECK_MS);
  }

  /** To be called before a prefetch: no other prefetch of this answer is due until this one has had time to end. */
  claimPrefetch(answer: CachedAnswer, nowMs: number): void {
    answer.nextPrefetchMs = nowMs + RECHECK_MS;
    this.#prefetches++;
  }

  /**
   * Gives this answer to the question (class IN), before any other stored answer, until another answer is retained or the
   * question is released. Returns the ms for which the answer counts as fresh, without subtracting its age. Returns `undefined`
   * where the message does not answer the question; the earlier answer then stays.
   */
  retain(name: string, qtype: number, answer: RetainedAnswer, nowMs: number): number | undefined {
    return this.#retained.put(name, qtype, answer, nowMs, this.#settings);
  }

  /** Returns the retained answer to this question, if any, fresh or stale, ready for a reply; `find` returns the same answer. */
  giveRetained(query: Query, nowMs: number): GivenAnswer | undefined {
    const answer = this.#retainedFor(query);
    if (answer === undefined) return undefined;
    this.#used(answer, nowMs);
    return givenAnswer(answer, nowMs, this.#settings);
  }

  /** Whether an answer with records of any type is retained for the query's name. */
  hasRetainedRecordsOf(query: Query): boolean {
    return this.#retained.revision > 0 && this.#retained.hasRecordsOf(query);
  }

  /** Finds the retained answer. Most sites retain no names; a query there skips the search. */
  #retainedFor(query: Query): CachedAnswer | undefined {
    return this.#retained.revision > 0 ? this.#retained.find(query) : undefined;
  }

  /** Counts calls of `retain` and `release`. */
  get retainedRevision(): number {
    return this.#retained.revision;
  }

  /** The question is a question like any other again. */
  release(name: string, qtype: number): void {
    this.#retained.remove(name, qtype);
  }

  /** Counts changes that the snapshot needs: answers kept and forgotten; not failures, not loaded answers. */
  get revision(): number {
    return this.#revision;
  }

  /**
   * The answers for the snapshot, used last first; retained answers are not among them. Yields `undefined` where there is
   * nothing to give but the caller may pause. The cache may change between two steps: every answer that is there from the
   * first to the last step is given once. An answer that is renewed while two iterations go on may be given twice.
   */
  entries(nowMs: number): Generator<AnswerEntry | undefined, void> {
    return entriesOf(this.#answers, nowMs, this.#settings);
  }

  /**
   * Takes back an entry that `entries` of another process gave, with its ages brought up to date; the most recently used come first.
   * It replaces no newer answer, and evicts none.
   */
  load(entry: AnswerEntry, nowMs: number): LoadVerdict {
    const isForgotten = ({ octets }: CachedAnswer) => this.#isForgotten(octets);
    return loadInto(this.#answers, this.#failures, entry, nowMs, this.#settings, isForgotten);
  }

  /**
   * Run this after loading: the answer that was loaded first is the most recently used, and lru-cache takes it for the oldest.
   * Yields where the caller may pause.
   */
  restoreOrder(nowMs: number): Generator<undefined, void> {
    return restoreOrder(this.#answers, nowMs);
  }

  /**
   * Forgets the answers about these names and all names under them, except retained answers, and every remembered failure.
   * After a reload other upstreams may answer for these names. After the last step the cache holds no such answer, not even
   * an answer that arrived during the steps.
   */
  *forgettingUnder(apexes: readonly string[]): Steps<void> {
    if (apexes.length === 0) return;
    const forgotten = new NameMap<true>();
    for (const apex of apexes) {
      forgotten.set(apex, true);
      yield; // what arrives now is found below
    }
    yield* this.#flushing((message) => forgotten.closest(askedNameAt(message, HEADER_OCTETS)) === true);
  }

  /**
   * Forgets the answers about these names, of any type and with any DO and CD, except retained answers. Returns how many. Also
   * forgets every remembered failure. From the first step to the last, no answer about these names is kept.
   */
  flushing(isWanted: (name: string) => boolean): Steps<number> {
    return this.#flushing((message) => isWanted(nameFromWire(message, HEADER_OCTETS)));
  }

  /** @param isWanted gets a message that has the question */
  *#flushing(isWanted: (message: Uint8Array) => boolean): Steps<number> {
    this.#revision++;
    this.#failures.clear();
    // what arrives during the steps is not kept, so that the last step has nothing left to do
    const flush = { isWanted };
    this.#flushes.add(flush);
    try {
      let count = 0;
      for (const slot of this.#answers.slots()) {
        if (slot !== undefined && isWanted(this.#answers.store.open(slot).octets)) {
          this.#answers.delete(slot);
          count++;
        }
        yield;
      }
      this.#failures.clear();
      return count;
    } finally {
      this.#flushes.delete(flush);
    }
  }

  /** Whether answers about the name that the message asks for are being forgotten in steps now. */
  #isForgotten(message: Uint8Array): boolean {
    if (this.#flushes.size === 0) return false;
    for (const { isWanted } of this.#flushes) if (isWanted(message)) return true;
    return false;
  }

  /** Forgets every answer except the retained ones. */
  flush(): void {
    this.#answers.clear();
    this.#failures.clear();
    this.#revision++;
  }

  /** Takes new settings. Answers that no longer fit go step by step; lifetimes already given stay, everything else follows. */
  *reconfiguring(settings: AnswerCacheSettings): Steps<void> {
    this.#settings = settings;
    yield* this.#answers.resizing(settings.sizeOctets);
  }

  /** As `reconfiguring`, at once. */
  reconfigure(settings: AnswerCacheSettings): void {
    atOnce(this.reconfiguring(settings));
  }

  stats(): AnswerCacheStats {
    return {
      entries: this.#answers.entries,
      octets: this.#answers.octets,
      hits: this.#hits,
      staleHits: this.#staleHits,
      misses: this.#misses,
      evictions: this.#answers.evictions,
      prefetches: this.#prefetches,
    };
  }

  #used(answer: CachedAnswer, nowMs: number): CachedAnswer | undefined {
    switch (freshness(answer, nowMs, this.#settings)) {
      case 'expired':
        return undefined;
      case 'stale':
        this.#staleHits++;
        break;
      default:
        this.#hits++;
        answer.usedAtMs = nowMs;
        // only the first hit moves an answer to the used segment; a later hit moves no answer between segments
        if (answer.hits++ > 0) return answer;
    }
    answer.usedAtMs = nowMs;
    this.#answers.noteUse(answer);
    return answer;
  }

  /** Finds the answer to exactly this question, expired or not, but no retained answer. Counts this as a use of the answer. */
  #own(query: Query): CachedAnswer | undefined {
    const found = this.#answers.store.find(query.key, query);
    if (found !== undefined) this.#answers.touchFound(found);
    return found;
  }

  /** As `#own`, unless it has expired, and leaving no trace. */
  #ownKept(query: Query, nowMs: number): CachedAnswer | undefined {
    const own = this.#answers.store.find(query.key, query);
    return own !== undefined && this.#isKept(own, nowMs) ? own : undefined;
  }

  #isKept(answer: CachedAnswer, nowMs: number): boolean {
    return freshness(answer, nowMs, this.#settings) !== 'expired';
  }

  /** Finds the good answer that a new NXDOMAIN would hide, as long as this answer is within its own stale time. */
  #lastGood(own: CachedAnswer, nowMs: number): Earlier {
    const last = answerWhileStale(own, nowMs, this.#settings);
    if (last.kind === 'nxdomain' || !this.#isKept(last, nowMs)) return 'none';
    return last === own ? 'before' : 'of before';
  }
}

// Holds the answers for one question, asked with and without DO and CD. Chooses the variant that answers a query when the server
// asks no upstream.
//
// - Any variant answers a query with CD, and a variant without CD answers any query: an answer that an upstream gave as good is
//   good without checking, too.
// - A variant with CD was not validated (RFC 4035 section 3.2.2). It answers a query without CD where its AD bit says that
//   it was validated, and in a cut, when no upstream can validate. While an upstream could validate, a SERVFAIL
//   may mean that the data are bogus, and they are not given.
// - A query without DO gets no authenticating records that it did not ask for (RFC 4035 section 3.2.1). A query with DO may
//   get an answer without them: a client that validates refuses it, and all others have their answer.
// - AD is passed on as in every answer (protocol/wire/reply.ts): it stays true when records are left out.

interface FoundVariant {
  readonly kept: CachedAnswer;
  readonly given: GivenAnswer;
}

/**
 * Octets of answers made fit lately: in a cut the same names are asked for repeatedly. They count beside `cache.size`, which
 * knows nothing of them.
 */
const FITTED_OCTETS = 2 * 1024 * 1024;

class Variants {
  readonly #peek: (query: Query, key: number) => CachedAnswer | undefined;
  /** By serial number. */
  readonly #fitted = new LRUCache<number, CachedAnswer>({ maxSize: FITTED_OCTETS, sizeCalculation: sizeOf });
  /** The best variant so far, while `best` goes through the variants. A field saves an object for each call. */
  #says: CachedAnswer | undefined;
  #isFresh = false;
  #rank = 0;

  /** `peek` gives what is kept under a key for the query's question, as an object of its own. */
  constructor(peek: (query: Query, key: number) => CachedAnswer | undefined) {
    this.#peek = peek;
  }

  /** The best variant that this query may have; `isCut`: no upstream can be asked. */
  best(query: Query, nowMs: number, isCut: boolean, settings: StaleSettings): FoundVariant | undefined {
    const { nameHash, qtype, qclass, dnssecOk, checkingDisabled } = query;
    let best: CachedAnswer | undefined;
    for (let variant = 0; variant < 4; variant++) {
      // the query's own first
      const hasDo = (variant & 1) === 0 ? dnssecOk : !dnssecOk;
      const hasCd = (variant & 2) === 0 ? checkingDisabled : !checkingDisabled;
      const kept = this.#peek(query, questionKey(nameHash, qtype, qclass, hasDo, hasCd));
      if (kept === undefined || !mayAnswer(kept, query, isCut)) continue;
      if (this.#isBetter(kept, best, query, nowMs, settings)) best = kept;
    }
    if (best === undefined || this.#says === undefined) return undefined;
    const answer = this.#fit(this.#says, query);
    if (answer === undefined) return undefined;
    return { kept: best, given: this.#isFresh ? freshGiven(answer, nowMs) : staleGiven(answer, settings) };
  }

  /**
   * Compares with the best so far, and notes what the better variant says: itself, or the good answer before a denial that has
   * expired. The order: a denial that has expired comes last, because it may have been the first sign of a cut. With DO,
   * signed answers come before unsigned answers, because a client that validates can use no other. Then fresh comes before
   * stale, and newer before older.
   */
  #isBetter(
    kept: CachedAnswer,
    best: CachedAnswer | undefined,
    query: Query,
    nowMs: number,
    settings: FreshnessSettings,
  ): boolean {
    const state = freshness(kept, nowMs, settings);
    if (state === 'expired') return false;
    const isFresh = state !== 'stale';
    const says = isFresh ? kept : answerWhileStale(kept, nowMs, settings);
    const rank =
      (isFresh || says.kind !== 'nxdomain' ? 4 : 0) +
      (query.dnssecOk && hasProofs(says.octets, says.index) ? 2 : 0) +
      (isFresh ? 1 : 0);
    const isNewer = best !== undefined && says.storedAtMs > (this.#says?.storedAtMs ?? 0);
    const isBetter = best === undefined || rank > this.#rank || (rank === this.#rank && isNewer);
    if (!isBetter) return false;
    this.#says = says;
    this.#isFresh = isFresh;
    this.#rank = rank;
    return true;
  }

  /** The answer as this query may have it; `undefined` where the rest would be no answer. */
  #fit(answer: CachedAnswer, query: Query): CachedAnswer | undefined {
    if (query.dnssecOk || !answer.dnssecOk) return answer;
    const known = this.#fitted.get(answer.serial);
    if (known !== undefined) return known;
    const rest = withoutProofs(answer);
    if (rest === undefined) return undefined;
    const { key, kind, lifetimeMs, storedAtMs } = answer;
    const parts = { kind, lifetimeMs, earlier: undefined, ...rest };
    const fitted = rest.octets === answer.octets ? answer : newAnswer(key, answer, parts, storedAtMs);
    this.#fitted.set(answer.serial, fitted);
    return fitted;
  }
}

function mayAnswer(answer: CachedAnswer, query: Query, isCut: boolean): boolean {
  if (!answer.checkingDisabled || query.checkingDisabled) return true;
  return isCut || (answer.index.flags & FLAG.AD) !== 0;
}
