/** What is known of one retained question, and how what an upstream says now changes it. Pure. */
import { FLAG } from '../../protocol/wire/header.ts';
import { indexResponse, isPositive, type ResponseIndex } from '../../protocol/wire/response.ts';
import { RCODE, rcodeName } from '../../protocol/words/rcodes.ts';
import { contentOf } from '../../store/answer-records.ts';
import type { RetainedRecord } from '../../store/retained-record.ts';
import type { Stamp } from './stamp.ts';

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
  /** With a denial that is not adopted: the answer to give once nobody can confirm the denial. */
  readonly earlier?: Known | undefined;
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

/** A denial is adopted once it has been repeated after this time: a link about to fail makes upstreams forget names. */
const REPEATED_MS = 20_000;

/**
 * What is known once `heard` was said. An NXDOMAIN never takes a good answer away for good, and a NODATA only when it is
 * repeated; while they are fresh, both are the truth (see answer-cache/freshness.ts).
 */
export function learn(before: Known | undefined, heard: Heard, now: Stamp): Known {
  const content = contentOf(heard.message);
  const said = [before, before?.earlier].find(
    (one) => one?.kind === heard.kind && contentOf(one.message) === content,
  );
  const known = { ...heard, confirmed: now, changed: said?.changed ?? now, isLoaded: false };
  if (heard.kind === 'positive' || before === undefined) return known;
  const isRepeated =
    heard.kind === 'nodata' &&
    before.kind === 'nodata' &&
    now.monotonicMs - before.changed.monotonicMs >= REPEATED_MS;
  return isRepeated ? known : { ...known, earlier: before.earlier ?? goodAnswer(before, heard.kind) };
}

function goodAnswer(before: Known, denial: Heard['kind']): Known | undefined {
  // a NODATA that is said again needs nothing behind it, and neither does one in place of another
  return before.kind === 'nxdomain' || before.kind === denial ? undefined : before;
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
