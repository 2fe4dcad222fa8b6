/** Which responses are worth keeping, as what, and for how long. Pure: a table of cases, each with its RFC. */
import { FLAG } from '../../protocol/wire/header.ts';
import { isPositive, type ResponseIndex } from '../../protocol/wire/response.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { AnswerKind } from './cached-answer.ts';

export interface CacheabilitySettings {
  readonly maxTtlSeconds: number;
  readonly negativeTtlSeconds: number;
}

export type Cacheability =
  | {
      readonly kind: Exclude<AnswerKind, 'failure'>;
      /** 0: stale from the start. */
      readonly lifetimeSeconds: number;
      /** Longer TTLs are cut to this in what is kept. */
      readonly maxTtlSeconds: number;
    }
  /** Remembered for a moment, in a table of its own. */
  | { readonly kind: 'failure' }
  | { readonly kind: 'none'; readonly reason: 'truncated' | 'rcode' | 'no soa' };

/** Judges a response that has been indexed, so its structure holds; whether it answers the question is not seen here. */
export function cacheability(index: ResponseIndex, settings: CacheabilitySettings): Cacheability {
  // RFC 2181 section 9: a truncated response is asked for again, never kept
  if ((index.flags & FLAG.TC) !== 0) return { kind: 'none', reason: 'truncated' };
  switch (index.rcode) {
    case RCODE.NOERROR:
      return isPositive(index) ? positive(index, settings) : negative('nodata', index, settings);
    case RCODE.NXDOMAIN:
      return negative('nxdomain', index, settings);
    case RCODE.SERVFAIL:
      return { kind: 'failure' };
    default:
      // REFUSED, NOTIMP and the like speak of the upstream, not of the name
      return { kind: 'none', reason: 'rcode' };
  }
}

function positive(index: ResponseIndex, settings: CacheabilitySettings): Cacheability {
  const lifetimeSeconds = Math.min(index.minimumTtlSeconds ?? 0, settings.maxTtlSeconds);
  // RFC 1035 section 3.2.1: zero is for the transaction in progress only, so nobody is given it as fresh. It is still what
  // was said last: it takes the place of what was kept, and is stale at once
  return { kind: 'positive', lifetimeSeconds, maxTtlSeconds: settings.maxTtlSeconds };
}

function negative(
  kind: 'nodata' | 'nxdomain',
  index: ResponseIndex,
  settings: CacheabilitySettings,
): Cacheability {
  // RFC 2308 section 5: without an SOA it should not be cached. Referrals and aliases that the upstream did not
  // follow to their end look the same, and are no answer to keep either
  if (index.negativeTtlSeconds === undefined) return { kind: 'none', reason: 'no soa' };
  // aliases and denials on the way may live shorter than the SOA
  const lifetimeSeconds = Math.min(
    index.negativeTtlSeconds,
    index.minimumTtlSeconds ?? 0,
    settings.negativeTtlSeconds,
  );
  // RFC 2308 section 5: the SOA's TTL counts down with the answer, so it must not outlive our belief in it
  return { kind, lifetimeSeconds, maxTtlSeconds: lifetimeSeconds };
}

/**
 * A denial without SOA should not be cached (RFC 2308 section 5), but musl and glibc take a SERVFAIL for AAAA as the
 * failure of the whole look-up: such a denial is better than none in a cut, and never more than that. Only an empty message
 * is one; with records in it, it could be a referral or half an alias.
 */
export function denialWithoutSoa(index: ResponseIndex, settings: CacheabilitySettings): Cacheability {
  const verdict = cacheability(index, settings);
  const isEmpty = index.answerCount === 0 && index.authorityCount === 0;
  if (verdict.kind !== 'none' || verdict.reason !== 'no soa' || !isEmpty) return verdict;
  const kind = index.rcode === RCODE.NXDOMAIN ? 'nxdomain' : 'nodata';
  return { kind, lifetimeSeconds: 0, maxTtlSeconds: settings.maxTtlSeconds };
}
