/** The outcomes of a forwarded question. */
import type { ResponseIndex } from '../../protocol/wire/response-records.ts';
import { EXTENDED_ERROR, isAboutName } from '../../protocol/words/codes.ts';

export type ForwardFailureReason =
  | 'timeout'
  | 'network'
  | 'all-down'
  | 'overloaded'
  | 'loop'
  | 'malformed'
  | 'closing';

interface ForwardedResponse {
  readonly kind: 'response';
  /** The message of the upstream, unchanged: with its ID, question case and OPT. All clients that asked share it, so nobody may change it. */
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
  /** The text of the upstream that answered. */
  readonly upstream: string;
  readonly rttMs: number;
}

export interface ForwardFailure {
  readonly kind: 'failed';
  /** INFO-CODE for the SERVFAIL that the client gets (RFC 8914). */
  readonly extendedError: number;
  readonly reason: ForwardFailureReason;
  readonly detail: string;
  /** `false`: no upstream was asked, because of earlier failures. Nothing new is known of the name. */
  readonly wasAsked?: false;
}

export type ForwardOutcome = ForwardedResponse | ForwardFailure;

const EXTENDED_ERRORS: Readonly<Record<ForwardFailureReason, number>> = {
  timeout: EXTENDED_ERROR.NO_REACHABLE_AUTHORITY,
  'all-down': EXTENDED_ERROR.NO_REACHABLE_AUTHORITY,
  network: EXTENDED_ERROR.NETWORK_ERROR,
  loop: EXTENDED_ERROR.NETWORK_ERROR,
  malformed: EXTENDED_ERROR.NETWORK_ERROR,
  // RFC 8914 has no code for being too busy
  overloaded: EXTENDED_ERROR.OTHER,
  closing: EXTENDED_ERROR.NOT_READY,
};

export function forwardFailure(reason: ForwardFailureReason, detail: string): ForwardFailure {
  return { kind: 'failed', reason, detail, extendedError: EXTENDED_ERRORS[reason] };
}

/** As `forwardFailure`, where no upstream was asked. */
export function notAsked(
  reason: ForwardFailureReason,
  detail: string,
  extendedErrorOf = reason,
): ForwardFailure {
  return { kind: 'failed', reason, detail, extendedError: EXTENDED_ERRORS[extendedErrorOf], wasAsked: false };
}

/** Whether the outcome says nothing about the name. */
export function isUnhelpful(outcome: ForwardOutcome): boolean {
  return outcome.kind === 'failed' || !isAboutName(outcome.index.rcode);
}
