/**
 * Holds what all polls over HTTPS share: their input, the loop that reads a listing to its end, and the ends of the credentials that
 * a poll needed. Beside them the questions to AWS of which an answer is no observation: about an Outpost, and the way to AWS for
 * `outpost-dns check`. Plain data that crosses into the thread.
 */
import { X509Certificate } from 'node:crypto';
import {
  answeredBut,
  type Ending,
  type FailureReason,
  type Observation,
  type SourceContext,
  type SourceError,
  unanswered,
} from '../records/observation.ts';
import { type SourceName, traitsOf } from '../records/sources.ts';
import type { Clock } from '../runtime/clock.ts';
import type { AwsIdentities, AwsServices } from './aws/clients.ts';
import type { AwsPlace } from './aws/credentials.ts';
import { classifyAwsFailure } from './aws/failure.ts';
import { headWithDate } from './head.ts';
import { certificateEnd, type KubernetesSettings } from './kubernetes/identity.ts';
import { type LocalFiles, type SharedFiles, whyUnread } from './local-files.ts';
import type { Outbound } from './outbound.ts';

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

// When the credentials of a poll end. These are the client certificate for the API server, the certificate of IAM Roles Anywhere,
// and the session of any provider. Each poll reports them, so that the operator hears of an end while AWS can still be reached. No
// warning is given here: refresh/ knows the limits. `outpost-dns check` asks the same of this host by itself.

export interface EndingDeps {
  readonly aws: AwsServices & AwsIdentities;
  readonly shared: SharedFiles;
  readonly files: LocalFiles;
  readonly clock: Clock;
}

/** What tells which credentials a poll needed. */
export interface CredentialUse {
  readonly source: SourceName;
  readonly settings: SharedSettings & KubernetesSettings;
  readonly context: Pick<SourceContext, 'region'>;
}

/** A thousand clusters share a profile: its files are read once a minute. */
const KEPT_MS = 60_000;

export class Endings {
  readonly #deps: EndingDeps;
  readonly #known = new Map<string, { readonly atMs: number; readonly found: Promise<readonly Ending[]> }>();

  constructor(deps: EndingDeps) {
    this.#deps = deps;
  }

  /** The observation with the ends of the credentials that it needed. Never rejects. */
  async added(request: CredentialUse, observation: Observation, signal: AbortSignal): Promise<Observation> {
    const endings = await this.#of(request, observation, signal).catch(() => []);
    return endings.length === 0 ? observation : { ...observation, endings };
  }

  #of(
    { source, settings: { profile, kubernetes }, context: { region } }: CredentialUse,
    observation: Observation,
    signal: AbortSignal,
  ): Promise<readonly Ending[]> {
    if (source === 'kubernetes') {
      if (kubernetes === undefined) return Promise.resolve([]);
      return this.#shared(JSON.stringify(kubernetes), async () => {
        const endsAtMs = await certificateEnd(kubernetes, this.#deps.files);
        return endsAtMs === undefined ? [] : [{ what: 'kubernetes-certificate', endsAtMs, isRenewed: false }];
      });
    }
    if (region === undefined || !traitsOf(source).needsCredentials) return Promise.resolve([]);
    // after a failed poll the providers are not asked again: a `credential_process` may take seconds
    const isWorking = observation.kind !== 'failed';
    return this.#shared(JSON.stringify([region, profile, isWorking]), async () => {
      const place = { region, profile };
      const deps = { ...this.#deps, wallMs: () => this.#deps.clock.wallMs() };
      const facts: CredentialFacts = isWorking
        ? await credentialFacts(place, deps, signal)
        : await processFacts(place, deps);
      return endingsIn(facts);
    });
  }

  #shared(key: string, find: () => Promise<readonly Ending[]>): Promise<readonly Ending[]> {
    const nowMs = this.#deps.clock.monotonicMs();
    const known = this.#known.get(key);
    if (known !== undefined && nowMs - known.atMs < KEPT_MS) return known.found;
    const found = find();
    this.#known.set(key, { atMs: nowMs, found });
    return found;
  }
}

/** Exported for its table of tests. */
export function endingsIn(facts: CredentialFacts): readonly Ending[] {
  if (facts.kind === 'none') return [];
  const { kind, endsAtMs, file, certificate } = facts;
  const endings: Ending[] = [];
  if (certificate?.endsAtMs !== undefined) {
    endings.push({ what: 'roles-anywhere-certificate', endsAtMs: certificate.endsAtMs, isRenewed: false });
  }
  if (endsAtMs !== undefined) {
    // keys in the environment are renewed by nobody; an agent renews those in a file, a provider asks for others
    const isRenewed = kind !== 'static' && !(kind === 'session' && file === undefined);
    endings.push({ what: 'session', endsAtMs, isRenewed });
  }
  return endings;
}

// The way to AWS for `outpost-dns check`: which credentials this host has, their kind and end, and the distance of
// its clock from AWS's. It keeps nothing, and changes nothing. No text of it holds a secret.

export interface AwsInspection {
  readonly credentials: CredentialFacts;
  /** The clock of this host minus the clock of AWS; absent where AWS gave no date. */
  readonly clockAheadMs?: number;
}

type CredentialFacts =
  | { readonly kind: 'none'; readonly reason: string; readonly detail: string }
  | {
      /** `session`: temporary keys in a file or in the environment, as the agent of Systems Manager writes them. */
      readonly kind: 'static' | 'roles-anywhere' | 'session' | 'process' | 'sso' | 'role' | 'other';
      readonly endsAtMs?: number;
      /** The file of `session` keys. */
      readonly file?: string;
      /** The certificate of IAM Roles Anywhere. */
      readonly certificate?: { readonly file: string; readonly endsAtMs?: number; readonly fault?: string };
    };

interface InspectionDeps {
  readonly aws: AwsServices & AwsIdentities;
  readonly shared: SharedFiles;
  readonly files: LocalFiles;
  readonly outbound: Outbound;
  readonly wallMs: () => number;
}

/** Never rejects. */
export async function inspectAws(
  place: AwsPlace,
  deps: InspectionDeps,
  signal: AbortSignal,
): Promise<AwsInspection> {
  const [credentials, clockAheadMs] = await Promise.all([
    credentialFacts(place, deps, signal),
    clockAhead(place, deps, signal),
  ]);
  return { credentials, ...(clockAheadMs === undefined ? {} : { clockAheadMs }) };
}

async function clockAhead(
  place: AwsPlace,
  { aws, shared, outbound, wallMs }: InspectionDeps,
  signal: AbortSignal,
): Promise<number | undefined> {
  const url = await aws.eks.url(place, signal).catch(() => undefined);
  if (url === undefined) return undefined;
  const seen = await headWithDate({ url, profile: place.profile }, { outbound, shared }, signal);
  return seen.dateMs === undefined ? undefined : wallMs() - seen.dateMs;
}

async function credentialFacts(
  place: AwsPlace,
  deps: Omit<InspectionDeps, 'outbound'>,
  signal: AbortSignal,
): Promise<CredentialFacts> {
  try {
    const { sources, expiration, isSession } = await deps.aws.identity(place, signal);
    const ends = expiration === undefined ? {} : { endsAtMs: expiration.getTime() };
    const has = (pattern: RegExp) => sources.some((source) => pattern.test(source));
    if (has(/SSO/)) return { kind: 'sso', ...ends };
    if (has(/PROCESS/)) return { ...ends, ...(await processFacts(place, deps)) };
    if (has(/STS|IMDS|HTTP|ASSUME/)) return { kind: 'role', ...ends };
    if (!isSession) return { kind: 'static', ...ends };
    const file = has(/PROFILE/) ? deps.shared.credentialsFile : undefined;
    return { kind: 'session', ...ends, ...(file === undefined ? {} : { file }) };
  } catch (error) {
    const { reason, detail } = classifyAwsFailure(error, deps.wallMs());
    return { kind: 'none', reason, detail };
  }
}

/** `aws_signing_helper credential-process --certificate FILE`: the session is renewed for as long as the certificate lives. */
async function processFacts(
  place: AwsPlace,
  { shared, files }: Pick<InspectionDeps, 'shared' | 'files'>,
): Promise<Exclude<CredentialFacts, { kind: 'none' }>> {
  const command = await shared.setting(place.profile, 'credential_process').catch(() => undefined);
  if (command === undefined || !/aws_signing_helper/.test(command)) return { kind: 'process' };
  const file = /--certificate[= ]+(?:"([^"]+)"|'([^']+)'|(\S+))/
    .exec(command)
    ?.slice(1)
    .find((one) => one);
  if (file === undefined) return { kind: 'roles-anywhere' };
  try {
    const { validToDate } = new X509Certificate(await files.text(file));
    return { kind: 'roles-anywhere', certificate: { file, endsAtMs: validToDate.getTime() } };
  } catch (error) {
    return { kind: 'roles-anywhere', certificate: { file, fault: whyUnread(error) } };
  }
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
