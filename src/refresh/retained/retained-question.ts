/** A question that the operator wants answered whatever happens, and asking it once. */
import { ownQuery, type Query } from '../../protocol/wire/query.ts';
import type { ResponseIndex } from '../../protocol/wire/response.ts';
import { nameToWire } from '../../protocol/words/name.ts';
import { type Heard, hasSignatures, judge } from './retained-answer.ts';

export interface RetainedQuestion {
  /** A domain name in normal form; the class is IN. */
  readonly name: string;
  readonly qtype: number;
}

/** Sends a query upstream, past our own cache. Never rejects; keeps `query` until it resolves. */
export type Ask = (query: Query) => Promise<AskOutcome>;

export type AskOutcome =
  | { readonly kind: 'response'; readonly octets: Uint8Array; readonly index: ResponseIndex }
  | { readonly kind: 'failed'; readonly detail: string };

export type Hearing =
  | { readonly kind: 'heard'; readonly heard: Heard }
  | { readonly kind: 'failed'; readonly detail: string };

/** The same text for the same question. */
export function questionText({ name, qtype }: RetainedQuestion): string {
  return `${name} ${qtype}`;
}

/**
 * Asks with DO. Where the response has no signatures, it is the one for queries without DO as well, and one exchange
 * has served for both; otherwise it asks again without.
 */
export async function hear(question: RetainedQuestion, ask: Ask): Promise<Hearing> {
  const signed = await hearOnce(question, ask, true);
  if (signed.kind === 'failed') return signed;
  const { verdict, octets, index } = signed;
  if (!hasSignatures(octets, index)) return { kind: 'heard', heard: { kind: verdict, message: octets } };
  const plain = await hearOnce(question, ask, false);
  if (plain.kind === 'failed') return plain;
  if (plain.verdict !== verdict) return { kind: 'failed', detail: 'another answer with DO than without' };
  return { kind: 'heard', heard: { kind: verdict, message: plain.octets, signedMessage: octets } };
}

type HearingOnce =
  | {
      readonly kind: 'heard';
      readonly verdict: Heard['kind'];
      readonly octets: Uint8Array;
      readonly index: ResponseIndex;
    }
  | { readonly kind: 'failed'; readonly detail: string };

async function hearOnce(question: RetainedQuestion, ask: Ask, dnssecOk: boolean): Promise<HearingOnce> {
  const outcome = await ask(ownQuery(nameToWire(question.name), question.qtype, dnssecOk));
  if (outcome.kind === 'failed') return { kind: 'failed', detail: outcome.detail };
  const { octets, index } = outcome;
  const verdict = judge(octets, index);
  if (verdict.kind === 'failed') return verdict;
  return { kind: 'heard', verdict: verdict.kind, octets, index };
}
