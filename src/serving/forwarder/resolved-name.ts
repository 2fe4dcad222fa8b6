/** What a forwarded query of our own says about a name, for the refresh journey. */

import { readAddresses } from '../../protocol/wire/answer-addresses.ts';
import { ownQuery, type Query } from '../../protocol/wire/query.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { NameError, nameToWire } from '../../protocol/words/name.ts';
import { RCODE, rcodeName } from '../../protocol/words/rcodes.ts';
import type { ForwardFailureReason, ForwardOutcome } from './forward-outcome.ts';

export type ResolvedName =
  | {
      readonly kind: 'addresses';
      readonly addresses: readonly string[];
      readonly ttlSeconds: number;
      /** The upstream that answered, as configured. */
      readonly upstream?: string;
    }
  | { readonly kind: 'no-addresses'; readonly rcode: number }
  | {
      readonly kind: 'failed';
      readonly reason: 'timeout' | 'network' | 'servfail' | 'malformed';
      readonly detail: string;
    };

/** The query for a name, or why there cannot be one. */
export function queryAbout(name: string, qtype: number): Query | ResolvedName {
  try {
    return ownQuery(nameToWire(name), qtype, false);
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    return { kind: 'failed', reason: 'malformed', detail: error.message };
  }
}

const REASONS: Readonly<Record<ForwardFailureReason, 'timeout' | 'network' | 'malformed'>> = {
  timeout: 'timeout',
  'all-down': 'timeout',
  overloaded: 'timeout',
  closing: 'network',
  network: 'network',
  loop: 'network',
  malformed: 'malformed',
};

export function resolvedName(outcome: ForwardOutcome): ResolvedName {
  if (outcome.kind === 'failed') {
    return { kind: 'failed', reason: REASONS[outcome.reason], detail: outcome.detail };
  }
  const { octets, index, upstream } = outcome;
  if (isStale(outcome))
    return { kind: 'failed', reason: 'network', detail: `"${upstream}": its answer is stale` };
  if (index.rcode === RCODE.NOERROR || index.rcode === RCODE.NXDOMAIN) {
    const { addresses, ttlSeconds } = readAddresses(octets, index);
    if (addresses.length > 0) return { kind: 'addresses', addresses, ttlSeconds, upstream };
    return { kind: 'no-addresses', rcode: index.rcode };
  }
  // no word about the name: whoever looks must not take it for one
  return { kind: 'failed', reason: 'servfail', detail: `"${upstream}": ${rcodeName(index.rcode)}` };
}

/** Whether the upstream says that its answer has expired and cannot be confirmed (RFC 8914 sections 4.4 and 4.20). */
export function isStale(outcome: ForwardOutcome): boolean {
  if (outcome.kind === 'failed') return false;
  const { extendedError } = outcome.index;
  return extendedError === EXTENDED_ERROR.STALE_ANSWER || extendedError === EXTENDED_ERROR.STALE_NXDOMAIN;
}

export function hasAnswer(outcome: ForwardOutcome): boolean {
  return outcome.kind === 'response' && outcome.index.rcode === RCODE.NOERROR && outcome.index.answersQtype;
}
