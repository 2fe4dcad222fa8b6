/** What local zones say to a question, and how it is kept by type so that finding it makes no object. */
import type { LocalAnswer } from '../../protocol/wire/local-answer.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';

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
