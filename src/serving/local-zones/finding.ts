/**
 * What this room says to a question, and how it is written: findings of local zones, kept by type so that a lookup makes no
 * object, and findings for a question whose upstreams are known not to answer.
 *
 * Nothing of the latter is authoritative: the authority is on the far side of the link and will speak again (RFC 1035
 * section 4.1.1, and RFC 2181 section 5.4.1 for what a cache of a client makes of it). So AA is clear, RA is set, and
 * negative answers carry an SOA all the same, because nobody may keep them without it (RFC 2308 section 5).
 */

import { FLAG, putUint16, uint16At } from '../../protocol/wire/header.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { type LocalAnswer, writeEmptyReply, writeLocalReply } from '../../protocol/wire/reply.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { Turn } from '../turn.ts';

export type LocalFinding<Route> =
  /** To be written with `writeLocalReply`. */
  | { readonly kind: 'answer'; readonly answer: LocalAnswer }
  /** To be written with `writeEmptyReply`. */
  | { readonly kind: 'rcode'; readonly rcode: number; readonly extendedError: number }
  /** To be asked of the upstreams that the rule names. */
  | { readonly kind: 'forward'; readonly route: Route };

/** The findings for one name, or for all names under one. */
export interface FindingsByType<Route> {
  readonly byType: ReadonlyMap<number, LocalFinding<Route>>;
  readonly otherTypes: LocalFinding<Route>;
}

/** A rule of the operator's that takes a name away (RFC 8914 section 4.16: blocked by the operator). */
export const SERVFAIL_BY_RULE = {
  kind: 'rcode',
  rcode: RCODE.SERVFAIL,
  extendedError: EXTENDED_ERROR.BLOCKED,
} as const;

export const REFUSED_BY_RULE = {
  kind: 'rcode',
  rcode: RCODE.REFUSED,
  extendedError: EXTENDED_ERROR.BLOCKED,
} as const;

/** Findings for names that we speak for: `types` as given, `otherTypes` for all the rest. */
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
 * Where a finding stands beside the answer cache:
 *
 * - `before-cache`  a rule of the operator's: it holds while disconnected, whatever an upstream said before
 * - `before-stale`  an answer that is still fresh is given; one whose time is over is not
 * - `after-stale`  whatever is kept is given, fresh or stale; this is for what is not kept
 */
export type Standing = 'before-cache' | 'before-stale' | 'after-stale';

/** RFC 8767 section 5.2 has 30 s for stale answers; what is said in an upstream's place ends as soon. */
export const DISCONNECTED_TTL_SECONDS = 30;

export type DisconnectedFinding =
  /** No rule: what is kept is given, fresh or stale, and a failure where nothing is. */
  { readonly kind: 'stale' } | SpokenFinding;

/** To be written with `writeDisconnectedReply`. */
export type SpokenFinding = { readonly standing: Standing } & (
  | { readonly kind: 'rcode'; readonly rcode: number; readonly extendedError: number }
  | { readonly kind: 'answer'; readonly answer: LocalAnswer }
  /** One record worked out from the question's own octets; always fits the smallest reply. */
  | { readonly kind: 'computed'; readonly write: WriteComputed }
);

/** Returns the octets written. */
export type WriteComputed = (query: Query, reply: Uint8Array, replyStart: number) => number;

export const STALE: DisconnectedFinding = { kind: 'stale' };

/** Writes the finding into the turn's reply space; `first` is the record that the answer begins with. Returns the octets written. */
export function writeDisconnectedReply(turn: Turn, finding: SpokenFinding, first: number): number {
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
