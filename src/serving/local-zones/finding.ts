/**
 * Defines the findings of this room for a question, and writes them. Findings of local zones are kept by type, because a lookup
 * makes no object. A second kind is for questions whose upstreams are known not to answer.
 *
 * Findings of the second kind are not authoritative (RFC 1035 section 4.1.1, RFC 2181 section 5.4.1). The authority is on
 * the far side of the link and answers again later. So AA is clear and RA is set. Negative answers still have an SOA,
 * because a cache may not keep a negative answer without SOA (RFC 2308 section 5).
 */

import { FLAG, putUint16, uint16At } from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { type LocalAnswer, writeEmptyReply, writeLocalReply } from '../../protocol/wire/reply.ts';
import type { Turn } from '../turn.ts';

export type LocalFinding<Route> =
  /** Written with `writeLocalReply`. */
  | { readonly kind: 'answer'; readonly answer: LocalAnswer }
  /** Written with `writeEmptyReply`. */
  | { readonly kind: 'rcode'; readonly rcode: number; readonly extendedError: number }
  /** Forwarded to the upstreams of the rule. */
  | { readonly kind: 'forward'; readonly route: Route };

/** The findings for a name, or for all names under it. */
export interface FindingsByType<Route> {
  readonly byType: ReadonlyMap<number, LocalFinding<Route>>;
  readonly otherTypes: LocalFinding<Route>;
}

/** Findings for names of our own: `types` as given, `otherTypes` for all other types. */
export function ownFindings(
  otherTypes: LocalAnswer,
  types: readonly (readonly [type: number, answer: LocalAnswer])[] = [],
): FindingsByType<never> {
  const byType = new Map<number, LocalFinding<never>>();
  for (const [type, answer] of types) byType.set(type, { kind: 'answer', answer });
  return { byType, otherTypes: { kind: 'answer', answer: otherTypes } };
}

/** The same finding for every type. */
export function anyType<Route>(finding: LocalFinding<Route>): FindingsByType<Route> {
  return { byType: none, otherTypes: finding };
}

const none: ReadonlyMap<number, never> = new Map<number, never>();

/**
 * The place of a finding beside the answer cache:
 *
 * - `before-cache`  the operator's rule holds while disconnected; cached answers do not count
 * - `before-stale`  a fresh answer is given; an expired answer is not
 * - `after-stale`   a cached answer is given, fresh or stale; the finding holds for names without a cached answer
 */
export type Standing = 'before-cache' | 'before-stale' | 'after-stale';

/** RFC 8767 section 5.2 has 30 s for stale answers; an answer in place of an upstream's has the same TTL. */
export const DISCONNECTED_TTL_SECONDS = 30;

export type DisconnectedFinding =
  /** No rule: a cached answer is given, fresh or stale, and a failure where there is none. */
  { readonly kind: 'stale' } | RuleFinding;

/** Written with `writeDisconnectedReply`. */
export type RuleFinding = { readonly standing: Standing } & (
  | { readonly kind: 'rcode'; readonly rcode: number; readonly extendedError: number }
  | { readonly kind: 'answer'; readonly answer: LocalAnswer }
  /** One record, computed from the question's octets. It fits the smallest reply. */
  | { readonly kind: 'computed'; readonly write: WriteComputed }
);

/** Returns the octets written. */
export type WriteComputed = (query: Query, reply: Uint8Array, replyStart: number) => number;

export const STALE: DisconnectedFinding = { kind: 'stale' };

/** Writes the finding into the turn's reply space; `first` is the record that the answer begins with. Returns the octets written. */
export function writeDisconnectedReply(turn: Turn, finding: RuleFinding, first: number): number {
  const { query, limit, space, spaceStart } = turn;
  switch (finding.kind) {
    case 'rcode':
      return writeEmptyReply(query, finding.rcode, finding.extendedError, space, spaceStart);
    case 'computed':
      return finding.write(query, space, spaceStart);
    case 'answer': {
      const length = writeLocalReply(query, finding.answer, first, limit, space, spaceStart);
      putUint16(space, spaceStart + 2, uint16At(space, spaceStart + 2) & ~FLAG.AA);
      return length;
    }
  }
}
