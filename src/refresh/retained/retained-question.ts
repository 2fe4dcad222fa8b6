/** A question that the operator wants answered whatever happens, and asking it once. */
import { withoutProofs } from '../../protocol/wire/leave-out.ts';
import { ownQuery, type Query } from '../../protocol/wire/query.ts';
import type { ResponseIndex } from '../../protocol/wire/response.ts';
import { nameToWire } from '../../protocol/words/name.ts';
import { type Heard, judge } from './retained-answer.ts';

export interface RetainedQuestion {
  /** A domain name in normal form; the class is IN. */
  readonly name: string;
  readonly qtype: number;
  /** A denial or an empty answer never takes a good answer away. */
  readonly ignoreDenials?: boolean;
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
 * Asks with DO. The answer for queries without DO is the same without the records that prove something (RFC 4035
 * section 3.2.1), so that one exchange serves both. Asks without DO where an upstream may have a better answer only then:
 * it may refuse DO, sign more than can be kept, or follow an alias only halfway.
 */
export async function hear(question: RetainedQuestion, ask: Ask): Promise<Hearing> {
  const signed = await hearOnce(question, ask, true);
  if (signed.kind === 'silent') return { kind: 'failed', detail: signed.detail };
  const heard = signed.kind === 'heard' ? heardWithDo(signed) : undefined;
  const isHalf = signed.kind === 'heard' && signed.index.aliases?.isOpen === true;
  if (heard !== undefined && !isHalf) return { kind: 'heard', heard };
  const unsigned = await hearOnce(question, ask, false);
  if (unsigned.kind === 'heard') {
    return { kind: 'heard', heard: { kind: unsigned.verdict, message: unsigned.octets } };
  }
  return heard === undefined ? { kind: 'failed', detail: unsigned.detail } : { kind: 'heard', heard };
}

function heardWithDo(signed: HearingOnce & { readonly kind: 'heard' }): Heard | undefined {
  const plain = withoutProofs(signed);
  if (plain === undefined) return undefined;
  const isSigned = plain.octets !== signed.octets;
  const signedMessage = isSigned ? { signedMessage: signed.octets } : {};
  return { kind: signed.verdict, message: plain.octets, ...signedMessage };
}

type HearingOnce =
  | {
      readonly kind: 'heard';
      readonly verdict: Heard['kind'];
      readonly octets: Uint8Array;
      readonly index: ResponseIndex;
    }
  /** There was a response, and it is of no use. */
  | { readonly kind: 'useless'; readonly detail: string }
  | { readonly kind: 'silent'; readonly detail: string };

async function hearOnce(question: RetainedQuestion, ask: Ask, dnssecOk: boolean): Promise<HearingOnce> {
  const outcome = await ask(ownQuery(nameToWire(question.name), question.qtype, dnssecOk));
  if (outcome.kind === 'failed') return { kind: 'silent', detail: outcome.detail };
  const { octets, index } = outcome;
  const verdict = judge(octets, index);
  if (verdict.kind === 'failed') return { kind: 'useless', detail: verdict.detail };
  return { kind: 'heard', verdict: verdict.kind, octets, index };
}
