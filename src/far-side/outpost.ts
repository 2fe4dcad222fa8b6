/** The question to AWS about an Outpost, and its answer: plain data that crosses into the thread. */
import type { FailureReason } from '../records/observation.ts';
import type { AwsPlace } from './aws/credentials.ts';

export interface OutpostRequest {
  readonly place: AwsPlace;
  /** Such as `op-0123456789abcdef0`. */
  readonly outpost: string;
}

export type OutpostView =
  /** `connected`: the share of the last minute that is known, from 0 to 1. */
  | { readonly kind: 'seen'; readonly connected: number; readonly atMs: number }
  /** AWS has no value of the last minutes: the Outpost is another account's, or AWS does not hear of it. */
  | { readonly kind: 'no-data' }
  | { readonly kind: 'failed'; readonly reason: FailureReason; readonly detail: string };
