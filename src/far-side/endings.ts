/**
 * Finds out which credentials this host has, their kind, and when they end. These are the certificate of IAM Roles Anywhere, and the
 * session of any provider; kubernetes/identity.ts knows the certificate for the API servers. Each poll reports the ends, so that
 * the operator hears of an end while AWS can still be reached. It warns of nothing: refresh/ knows the limits. `outpost-dns check`
 * asks the same of this host by itself.
 */

import { X509Certificate } from 'node:crypto';
import type { Ending } from '../records/observation.ts';
import type { AwsIdentities, AwsServices } from './aws/clients.ts';
import type { AwsPlace } from './aws/credentials.ts';
import { classifyAwsFailure } from './aws/failure.ts';
import { headWithDate } from './head.ts';
import { type LocalFiles, type SharedFiles, whyUnread } from './local-files.ts';
import type { Outbound } from './outbound.ts';

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

export type CredentialFacts =
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

export async function credentialFacts(
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
export async function processFacts(
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
