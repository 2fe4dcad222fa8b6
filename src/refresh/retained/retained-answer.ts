/** Holds the facts about one retained question: asks the question once, and decides how an answer changes these facts. */

import { FLAG } from '../../protocol/wire/message.ts';
import { ownQuery, type Query } from '../../protocol/wire/query.ts';
import { withoutProofs } from '../../protocol/wire/reply.ts';
import { indexResponse } from '../../protocol/wire/response.ts';
import { isPositive, type ResponseIndex } from '../../protocol/wire/response-records.ts';
import { isStaleError, RCODE, rcodeName } from '../../protocol/words/codes.ts';
import { nameToWire } from '../../protocol/words/name.ts';
import { contentOf, type RetainedRecord } from '../../records/retained-record.ts';
import type { Stamp } from '../../runtime/clock.ts';

/** A question that the operator wants answered in every outage. */
export interface RetainedQuestion {
  /** A domain name in normal form; the class is IN. */
  readonly name: string;
  readonly qtype: number;
  /** A denial or an empty answer never replaces a good answer. */
  readonly ignoreDenials?: boolean;
}

/** The same text for the same question. */
export function questionText({ name, qtype }: RetainedQuestion): string {
  return `${name} ${qtype}`;
}

/** Sends a query upstream, past our own cache. Never rejects; keeps `query` until it resolves. */
export type Ask = (query: Query) => Promise<AskOutcome>;

export type AskOutcome =
  | { readonly kind: 'response'; readonly octets: Uint8Array; readonly index: ResponseIndex }
  | { readonly kind: 'failed'; readonly detail: string };

/** A response that can be kept. */
export interface UpstreamAnswer {
  /** `nodata` is NOERROR without a record of the type asked for (RFC 2308 section 2.2). */
  readonly kind: 'positive' | 'nodata' | 'nxdomain';
  /** For queries without DO, and for all queries where there is no `signedMessage`. */
  readonly message: Uint8Array;
  readonly signedMessage?: Uint8Array | undefined;
}

export type AskResult =
  | {
      readonly kind: 'answered';
      readonly answer: UpstreamAnswer;
      /** The upstream says that the answer has expired and cannot be confirmed (RFC 8914 sections 4.4 and 4.20). */
      readonly isStale: boolean;
    }
  | { readonly kind: 'failed'; readonly detail: string };

/**
 * Asks with DO. The answer for queries without DO is the same without its signatures (RFC 4035 section 3.2.1), so one
 * exchange serves both. Asks again without DO where that may give a better answer. An upstream may refuse DO, sign more than
 * can be kept, or follow an alias only halfway.
 */
export async function askUpstream(question: RetainedQuestion, ask: Ask): Promise<AskResult> {
  const signed = await askOnce(question, ask, true);
  if (signed.kind === 'silent') return { kind: 'failed', detail: signed.detail };
  const answer = signed.kind === 'answered' ? answeredWith(signed) : undefined;
  const isHalf = signed.kind === 'answered' && signed.index.aliases?.isOpen === true;
  if (answer !== undefined && !isHalf) return answer;
  const unsigned = await askOnce(question, ask, false);
  if (unsigned.kind === 'answered') {
    const { answerKind: kind, octets, index } = unsigned;
    return {
      kind: 'answered',
      answer: { kind, message: octets },
      isStale: isStaleError(index.extendedError),
    };
  }
  return answer ?? { kind: 'failed', detail: unsigned.detail };
}

interface Exchange {
  readonly kind: 'answered';
  readonly answerKind: UpstreamAnswer['kind'];
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
}

/** `useless`: there was a response, but it cannot be kept. `silent`: there was none. */
type Failure = { readonly kind: 'useless' | 'silent'; readonly detail: string };

async function askOnce(question: RetainedQuestion, ask: Ask, dnssecOk: boolean): Promise<Exchange | Failure> {
  const outcome = await ask(ownQuery(nameToWire(question.name), question.qtype, dnssecOk));
  if (outcome.kind === 'failed') return { kind: 'silent', detail: outcome.detail };
  const { octets, index } = outcome;
  const classified = classify(octets, index);
  if (classified.kind === 'failed') return { kind: 'useless', detail: classified.detail };
  return { kind: 'answered', answerKind: classified.kind, octets, index };
}

function answeredWith(signed: Exchange): AskResult | undefined {
  const plain = withoutProofs(signed);
  if (plain === undefined) return undefined;
  const signedMessage = plain.octets === signed.octets ? undefined : signed.octets;
  const answer = { kind: signed.answerKind, message: plain.octets, signedMessage };
  return { kind: 'answered', answer, isStale: isStaleError(signed.index.extendedError) };
}

/** Thousands of messages may be kept in memory and in a file. */
const MAX_OCTETS = 4096;

export function classify(
  octets: Uint8Array,
  index: ResponseIndex,
): { readonly kind: UpstreamAnswer['kind'] } | { readonly kind: 'failed'; readonly detail: string } {
  const failed = (detail: string) => ({ kind: 'failed', detail }) as const;
  if ((index.flags & FLAG.TC) !== 0) return failed('truncated');
  if (octets.length > MAX_OCTETS) return failed(`${octets.length} octets, more than ${MAX_OCTETS}`);
  const isDenied = index.negativeTtlSeconds !== undefined;
  if (index.rcode === RCODE.NXDOMAIN) return isDenied ? { kind: 'nxdomain' } : failed('NXDOMAIN without SOA');
  if (index.rcode !== RCODE.NOERROR) return failed(rcodeName(index.rcode));
  if (isPositive(index)) return { kind: 'positive' };
  // some servers on a site deny without SOA; a response with records may be a referral or half an alias
  const isEmpty = index.answerCount === 0 && index.authorityCount === 0;
  return isDenied || isEmpty ? { kind: 'nodata' } : failed('neither an answer nor a denial');
}

export interface KnownAnswer extends UpstreamAnswer {
  /** When an upstream last gave this answer. */
  readonly confirmed: Stamp;
  /** When an upstream first gave this answer. */
  readonly changed: Stamp;
  /** From the state file, and not confirmed by this process. */
  readonly isLoaded: boolean;
  /** With a denial that is not adopted: the good answer before it. */
  readonly earlier?: KnownAnswer | undefined;
  /** The time of the first denial that is repeated and not believed: `earlier` is then the answer. Without this field a fresh denial is the answer. */
  readonly doubtedSince?: Stamp;
}

/**
 * An empty answer is believed when it has been repeated for the TTL of the good answer, and at least for this time. A zone
 * that is loaded again after a cut is empty for minutes. A filter may be set by mistake.
 */
const MIN_REPEATED_MS = 600_000;

export interface DenialSettings {
  /** A denial or an empty answer never replaces a good answer. */
  readonly ignoreDenials: boolean;
  /** How long the good answer counts as fresh. */
  readonly lifetimeMs: number;
  /** An upstream failed since the last answer, so a denial now does not continue the denial from before. */
  readonly isInterrupted: boolean;
}

/**
 * The state of a question after an answer. Without `ignoreDenials` an NXDOMAIN is the answer while it is fresh, and the good
 * answer is kept beside it (see answer-cache/cached-answer.ts).
 */
export function learn(
  before: KnownAnswer | undefined,
  answer: UpstreamAnswer,
  now: Stamp,
  settings: DenialSettings,
): KnownAnswer {
  const content = contentOf(answer.message);
  const same = [before, before?.earlier].find(
    (known) => known?.kind === answer.kind && contentOf(known.message) === content,
  );
  const known = { ...answer, confirmed: now, changed: same?.changed ?? now, isLoaded: false };
  const good = goodAnswer(before, answer.kind);
  if (answer.kind === 'positive' || good === undefined) return known;
  if (answer.kind === 'nxdomain' && !settings.ignoreDenials) return { ...known, earlier: good };
  const isRepeated = before?.kind === answer.kind && !settings.isInterrupted;
  const doubtedSince = (isRepeated ? before.doubtedSince : undefined) ?? now;
  const repeatedMs = now.monotonicMs - doubtedSince.monotonicMs;
  const isBelieved = !settings.ignoreDenials && repeatedMs >= Math.max(MIN_REPEATED_MS, settings.lifetimeMs);
  return isBelieved ? known : { ...known, earlier: good, doubtedSince };
}

/** The answer that a denial would replace. A denial does not hide a denial of the same kind or an NXDOMAIN. */
function goodAnswer(
  before: KnownAnswer | undefined,
  denial: UpstreamAnswer['kind'],
): KnownAnswer | undefined {
  const good = before?.earlier ?? before;
  return good === undefined || good.kind === 'nxdomain' || good.kind === denial ? undefined : good;
}

/** The last good answer: what the state file keeps. */
export function lastGood(known: KnownAnswer): KnownAnswer | undefined {
  return known.earlier ?? (known.kind === 'nxdomain' ? undefined : known);
}

/** The answer in a record of the state file, or `undefined` where the record has none. */
export function knownFrom(
  { message, signedMessage }: RetainedRecord,
  confirmed: Stamp,
  changed: Stamp,
): KnownAnswer | undefined {
  const index = indexResponse(message);
  if (index.kind === 'fault') return undefined;
  const { kind } = classify(message, index);
  return kind === 'failed' ? undefined : { kind, message, signedMessage, confirmed, changed, isLoaded: true };
}

export function answerToGive(known: KnownAnswer): KnownAnswer {
  return known.doubtedSince === undefined ? known : (known.earlier ?? known);
}
