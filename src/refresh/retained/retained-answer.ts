/** What is known of one retained question, and how what an upstream says now changes it. Pure. */
import { FLAG } from '../../protocol/wire/header.ts';
import { ownQuery, type Query } from '../../protocol/wire/query.ts';
import { indexResponse, isPositive, withoutProofs } from '../../protocol/wire/response.ts';
import type { ResponseIndex } from '../../protocol/wire/response-records.ts';
import { nameToWire } from '../../protocol/words/name.ts';
import { RCODE, rcodeName } from '../../protocol/words/rcodes.ts';
import type { RetainedRecord } from '../../records/retained-record.ts';
import { contentOf } from '../../records/retained-record.ts';
import type { Stamp } from '../reconcile/timeline.ts';

/** A response worth believing. */
export interface Heard {
  /** `nodata` is NOERROR without a record of the type asked for (RFC 2308 section 2.2). */
  readonly kind: 'positive' | 'nodata' | 'nxdomain';
  /** For queries without DO, and for all where there is no `signedMessage`. */
  readonly message: Uint8Array;
  readonly signedMessage?: Uint8Array | undefined;
}

export interface Known extends Heard {
  /** When an upstream last said so, and since when it says so. */
  readonly confirmed: Stamp;
  readonly changed: Stamp;
  /** Not said since this process began. */
  readonly isLoaded: boolean;
  /** With a denial that is not adopted: the good answer before it. */
  readonly earlier?: Known | undefined;
  /**
   * Since when the denial is repeated and not believed: `earlier` is the answer. Without it the denial is the answer for as
   * long as it is fresh.
   */
  readonly doubtedSince?: Stamp;
}

export type Verdict = { readonly kind: Heard['kind'] } | { readonly kind: 'failed'; readonly detail: string };

/** The largest message that is retained: there may be thousands of them, in memory and in a file. */
const MAX_OCTETS = 4096;

/** What a response is good for. */
export function judge(octets: Uint8Array, index: ResponseIndex): Verdict {
  const failed = (detail: string): Verdict => ({ kind: 'failed', detail });
  if ((index.flags & FLAG.TC) !== 0) return failed('truncated');
  if (octets.length > MAX_OCTETS) return failed(`${octets.length} octets, more than ${MAX_OCTETS}`);
  const isDenied = index.negativeTtlSeconds !== undefined;
  if (index.rcode === RCODE.NXDOMAIN) return isDenied ? { kind: 'nxdomain' } : failed('NXDOMAIN without SOA');
  if (index.rcode !== RCODE.NOERROR) return failed(rcodeName(index.rcode));
  if (isPositive(index)) return { kind: 'positive' };
  // some servers on the site deny without SOA; with records in it, it could be a referral or half an alias
  const isEmpty = index.answerCount === 0 && index.authorityCount === 0;
  return isDenied || isEmpty ? { kind: 'nodata' } : failed('neither an answer nor a denial');
}

/**
 * An empty answer is believed once it has been repeated for the time of the good answer's TTL, and for no less than this:
 * a zone that is loaded again after a reconnect is empty for minutes, and a filter may be set up by mistake.
 */
export const MIN_REPEATED_MS = 600_000;

export interface Doubt {
  /** A denial or an empty answer is never believed once there was a good answer. */
  readonly ignoreDenials: boolean;
  /** For how long the good answer counts as fresh. */
  readonly lifetimeMs: number;
  /** An upstream failed since the last answer: what is said now does not continue what was said then. */
  readonly isInterrupted: boolean;
}

/**
 * What is known once `heard` was said. Without `ignoreDenials` an NXDOMAIN is the truth while it is fresh, and never takes
 * a good answer away for good (see answer-cache/cached-answer.ts).
 */
export function learn(before: Known | undefined, heard: Heard, now: Stamp, doubt: Doubt): Known {
  const content = contentOf(heard.message);
  const said = [before, before?.earlier].find(
    (one) => one?.kind === heard.kind && contentOf(one.message) === content,
  );
  const known = { ...heard, confirmed: now, changed: said?.changed ?? now, isLoaded: false };
  const good = goodAnswer(before, heard.kind);
  if (heard.kind === 'positive' || good === undefined) return known;
  if (heard.kind === 'nxdomain' && !doubt.ignoreDenials) return { ...known, earlier: good };
  const isRepeated = before?.kind === heard.kind && !doubt.isInterrupted;
  const doubtedSince = (isRepeated ? before.doubtedSince : undefined) ?? now;
  const repeatedMs = now.monotonicMs - doubtedSince.monotonicMs;
  const isBelieved = !doubt.ignoreDenials && repeatedMs >= Math.max(MIN_REPEATED_MS, doubt.lifetimeMs);
  return isBelieved ? known : { ...known, earlier: good, doubtedSince };
}

/** The answer that a denial would take away. A denial is not worth being given in place of the same or of a weaker one. */
function goodAnswer(before: Known | undefined, denial: Heard['kind']): Known | undefined {
  const good = before?.earlier ?? before;
  return good === undefined || good.kind === 'nxdomain' || good.kind === denial ? undefined : good;
}

/** What is worth keeping on the disk: the last good answer. */
export function lastGood(known: Known): Known | undefined {
  return known.earlier ?? (known.kind === 'nxdomain' ? undefined : known);
}

/** What a record says, before anybody has confirmed it; `undefined` for one that says nothing. */
export function knownFrom(
  { message, signedMessage }: RetainedRecord,
  confirmed: Stamp,
  changed: Stamp,
): Known | undefined {
  const index = indexResponse(message);
  if (index.kind === 'fault') return undefined;
  const { kind } = judge(message, index);
  return kind === 'failed' ? undefined : { kind, message, signedMessage, confirmed, changed, isLoaded: true };
}

/** The answer to give. */
export function believed(known: Known): Known {
  return known.doubtedSince === undefined ? known : (known.earlier ?? known);
}

/** A question that the operator wants answered whatever happens, and asking it once. */
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
