/**
 * Finds out when the credentials of a poll end. These are the client certificate for the API server, the certificate of IAM Roles
 * Anywhere, and the session of any provider. Each poll reports them, so that the operator hears of an end while AWS can
 * still be reached. It warns of nothing: refresh/ knows the limits. `outpost-dns check` asks the same of this host by itself.
 */

import { X509Certificate } from 'node:crypto';
import type { Ending, Observation, SourceContext } from '../records/observation.ts';
import { type SourceName, traitsOf } from '../records/sources.ts';
import type { Clock } from '../runtime/clock.ts';
import type { AwsIdentities, AwsServices } from './aws/clients.ts';
import type { AwsPlace } from './aws/credentials.ts';
import { classifyAwsFailure } from './aws/failure.ts';
import { headWithDate } from './head.ts';
import { certificateEnd, type KubernetesSettings } from './kubernetes/identity.ts';
import { type LocalFiles, type SharedFiles, whyUnread } from './local-files.ts';
import type { Outbound } from './outbound.ts';
import type { SharedSettings } from './poll.ts';

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
