import { hashName } from '../../../src/protocol/wire/message.ts';
import { composeQuery, parseQuery, Query } from '../../../src/protocol/wire/query.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import type { ResponseIndex } from '../../../src/protocol/wire/response-records.ts';
import { typeFromText } from '../../../src/protocol/words/codes.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { AnswerCache, type AnswerCacheSettings } from '../../../src/serving/answer-cache/answer-cache.ts';
import { type CachedAnswer, freshness } from '../../../src/serving/answer-cache/cached-answer.ts';
import { StoredAnswer } from '../../../src/serving/answer-cache/stored-answers.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { message, rawRecord, soaData } from '../../helpers/zone-text.ts';

export const settings: AnswerCacheSettings = {
  sizeOctets: 1024 * 1024,
  maxTtlSeconds: 86_400,
  negativeTtlSeconds: 60,
  staleForMs: 86_400_000,
  staleTtlSeconds: 30,
  prefetch: true,
};

export interface Aspects {
  readonly dnssecOk?: boolean;
  readonly checkingDisabled?: boolean;
  readonly qclass?: number;
  /** Leaves the name as it is written here, and not in lower case. */
  readonly upperCase?: boolean;
}

/** A parsed query, as the listener would have received it. */
export function asked(name: string, type = 'A', aspects: Aspects = {}): Query {
  const wire = nameToWire(name);
  if (aspects.upperCase) {
    // length octets are below 64 and stay
    for (let at = 0; at < wire.length; at++) {
      const octet = wire[at]!;
      if (octet >= 0x61 && octet <= 0x7a) wire[at] = octet & ~0x20;
    }
  }
  const octets = composeQuery({
    id: 0x4242,
    name: wire,
    qtype: typeFromText(type)!,
    qclass: aspects.qclass ?? 1,
    recursionDesired: true,
    checkingDisabled: aspects.checkingDisabled ?? false,
    ...(aspects.dnssecOk === undefined ? {} : { edns: { dnssecOk: aspects.dnssecOk } }),
  });
  const query = new Query();
  parseQuery(query, octets, 0, octets.length);
  return query;
}

/** The index of a message that has to be well formed. */
export function indexed(octets: Uint8Array): ResponseIndex {
  const index = indexResponse(octets);
  if (index.kind === 'fault') throw new Error(`the test's own message is broken: ${index.reason}`);
  return index;
}

export const NXDOMAIN = 0x8183;
export const SERVFAIL = 0x8182;

export const positive = (name: string, ttlSeconds: number, address = [10, 0, 0, 1]) =>
  message({ question: [name, 'A'], answers: [rawRecord(name, 'A', ttlSeconds, address)] });

export const nxdomain = (name: string, ttlSeconds: number) =>
  message({
    flags: NXDOMAIN,
    question: [name, 'A'],
    authorities: [rawRecord('.', 'SOA', ttlSeconds, soaData(ttlSeconds))],
  });

export const nodata = (name: string, ttlSeconds: number) =>
  message({
    question: [name, 'A'],
    authorities: [rawRecord('.', 'SOA', ttlSeconds, soaData(ttlSeconds))],
  });

export const servfail = (name: string) => message({ flags: SERVFAIL, question: [name, 'A'] });

/** Two names with one hash, found by trying: some 80,000 names do. */
export function collidingNames(): [string, string] {
  const seen = new Map<number, string>();
  for (let n = 0; ; n++) {
    const text = `${Math.imul(n, 0x9e3779b1) >>> 0}.${n.toString(36)}.example`;
    const hash = hashName(nameToWire(text));
    const other = seen.get(hash);
    if (other !== undefined) return [other, text];
    seen.set(hash, text);
  }
}

const BENCH_NAME = 'www.example.com';

/** A cache and its clock, used as the resolver uses them. */
export function bench(changed: Partial<AnswerCacheSettings> = {}) {
  const time = new VirtualTime();
  const cache = new AnswerCache({ ...settings, ...changed });
  const held = holder();
  return {
    time,
    cache,
    find: (query = asked(BENCH_NAME)) => held(cache.find(query, time.monotonicMs())),
    store: (octets: Uint8Array, query = asked(BENCH_NAME)) =>
      held(cache.store(query, octets, indexed(octets), time.monotonicMs())),
    fail: (query = asked(BENCH_NAME)) => cache.noteFailure(query, time.monotonicMs()),
    state: (answer: CachedAnswer | undefined) =>
      answer === undefined ? 'none' : freshness(answer, time.monotonicMs(), cache.settings),
  };
}

/**
 * Makes a function that gives an object of its own for each stored answer, and the same object again for the same answer.
 * The cache itself gives one object for all answers.
 */
export function holder() {
  const known = new Map<number, CachedAnswer>();
  return (answer: CachedAnswer | undefined): CachedAnswer | undefined => {
    if (!(answer instanceof StoredAnswer)) return answer;
    const held = known.get(answer.serial) ?? answer.hold();
    known.set(answer.serial, held);
    return held;
  };
}
