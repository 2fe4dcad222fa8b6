/**
 * Holds the parts that all polls over HTTPS share: their input, and the loop that reads a listing to its end. Beside them the
 * question to AWS about an Outpost: plain data that crosses into the thread, too.
 */
import {
  answeredBut,
  type FailureReason,
  type Observation,
  type SourceContext,
  type SourceError,
  unanswered,
} from '../records/observation.ts';
import type { SourceName } from '../records/sources.ts';
import type { Clock } from '../runtime/clock.ts';
import type { AwsServices } from './aws/clients.ts';
import type { AwsPlace } from './aws/credentials.ts';
import type { LocalFiles } from './local-files.ts';

/** Sources that speak HTTPS. The source `dns` is absent, because the forwarder asks the upstreams for it. */
export type FarSource = Exclude<SourceName, 'dns'>;

export interface PollDeps {
  readonly aws: AwsServices;
  readonly files: LocalFiles;
  readonly clock: Clock;
  /** Hosted zones that were found by name, by what they were found for. */
  readonly zones: Map<string, string>;
  /** The port to ask in place of the port in the kubeconfig, or of 443 without one. */
  readonly apiServerPort?: number;
}

export interface SharedSettings {
  /** Profile of the AWS configuration files; left out: the one of the environment. */
  readonly profile?: string | undefined;
}

/** `Own`: the settings that the poll reads beside the shared ones, such as `{ route53?: ... }`: plain data, because they cross into the thread. */
export interface Asked<Own = unknown> {
  readonly settings: SharedSettings & Own;
  readonly context: SourceContext;
  readonly signal: AbortSignal;
}

export type PollFunction<Own = unknown> = (asked: Asked<Own>, deps: PollDeps) => Promise<Observation>;

/** One page of a listing, and the place where the next one starts. */
export interface Page<Item, Token> {
  readonly items: readonly Item[];
  readonly next?: Token | undefined;
}

/** A listing for one cluster has a page or two; where a service filters its pages afterwards, most of them are empty. */
const MOST_PAGES = 50;

/**
 * Reads a listing to its end: all of it, or the error that ended it, never a part. A service that hands out a token
 * twice would keep us for ever.
 */
export async function allPages<Item, Token>(
  fetch: (token: Token | undefined) => Promise<Page<Item, Token>>,
): Promise<Item[]> {
  const items: Item[] = [];
  const seen = new Set<string>();
  let token: Token | undefined;
  for (let count = 0; count < MOST_PAGES; count++) {
    const page = await fetch(token);
    items.push(...page.items);
    token = page.next;
    if (token === undefined) return items;
    const key = JSON.stringify(token);
    if (seen.has(key)) throw answeredBut('malformed', 'reading the listing failed: a page token came twice');
    seen.add(key);
  }
  throw answeredBut('malformed', `reading the listing failed: more than ${MOST_PAGES} pages`);
}

interface Output {
  readonly $metadata: { readonly requestId?: string | undefined };
}

/** The error of an answer that lacks what AWS always sends. Without a mark of AWS it is such as the page of a captive portal. */
export function unlike({ $metadata }: Output, detail: string): SourceError {
  if ($metadata.requestId !== undefined) return answeredBut('malformed', detail);
  const between = 'it has no mark of aws: something in between, such as a captive portal, may have answered';
  return unanswered('proxy', `${detail}: ${between}`);
}

/** A list of the answer that AWS always sends, empty or not. Any other page with status 200 parses as an answer without it. */
export function present<T>(list: readonly T[] | undefined, output: Output, what: string): readonly T[] {
  if (list !== undefined) return list;
  throw unlike(output, `listing ${what} failed: the answer holds no list of them`);
}

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
