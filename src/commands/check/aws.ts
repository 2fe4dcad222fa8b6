/**
 * Findings about the way to AWS, by the calls that the server itself makes: credentials, permissions, clock, proxy and
 * authorities. Also: what the sources say of each cluster.
 */
import { stat } from 'node:fs/promises';
import type { ClusterConfig } from '../../config/config.ts';
import type { FarSource } from '../../far-side/poll.ts';
import type { ClusterDetails } from '../../records/endpoint-record.ts';
import type { Observation, SourceContext } from '../../records/observation.ts';
import { SOURCE_NAMES, traitsOf } from '../../records/sources.ts';
import { ageText } from '../../report/report.ts';
import { missingStatements } from '../iam-policy.ts';
import { endingOf, type Finding, problem, warning } from './finding.ts';
import { type NamedProxy, type namedProxies, proxiesOfHost } from './host.ts';
import { runningEndpoint, type Site, type SiteEndpoint } from './site.ts';
import { describedFindings } from './state.ts';

type AwsInspection = Awaited<ReturnType<Site['farSide']['inspectAws']>>;
type CredentialFacts = AwsInspection['credentials'];
type FailedObservation = Extract<Observation, { kind: 'failed' }>;

export interface ClusterAnswers {
  readonly endpoint: SiteEndpoint;
  readonly observations: readonly Observation[];
}

export interface AwsAnswers {
  readonly inspections: readonly AwsInspection[];
  readonly clusters: readonly ClusterAnswers[];
  /** Nothing of AWS answered, or nothing was asked of it: silent upstreams may be part of a cut. */
  readonly isCut: boolean;
}

/** Asks once for each account and Region, and once for each source of each cluster, side by side. */
export async function askAws(site: Site): Promise<AwsAnswers> {
  const asked = site.endpoints.filter(({ cluster }) => sourcesOf(cluster).some(isOfAws));
  const places = new Map(
    asked.map(({ cluster: { region = '', profile } }) => [
      JSON.stringify([region, profile]),
      { region, profile },
    ]),
  );
  const [inspections, clusters] = await Promise.all([
    Promise.all([...places.values()].map((place) => site.farSide.inspectAws(place, site.deadline()))),
    Promise.all(asked.map(async (endpoint) => ({ endpoint, observations: await pollAll(site, endpoint) }))),
  ]);
  const all = clusters.flatMap(({ observations }) => observations);
  const isCut = all.every(isSilent);
  return { inspections, clusters, isCut };
}

function sourcesOf({ sources }: ClusterConfig): readonly FarSource[] {
  return SOURCE_NAMES.filter((name) => name !== 'dns' && sources.includes(name)) as FarSource[]; // all others are far
}

function isOfAws(source: FarSource): boolean {
  return traitsOf(source).service !== undefined;
}

/** The description of the cluster first: it tells the other sources where to look. */
async function pollAll(site: Site, endpoint: SiteEndpoint): Promise<readonly Observation[]> {
  const { cluster } = endpoint;
  const poll = (source: FarSource, context: SourceContext) =>
    site.farSide.poll(source, cluster, context, site.deadline());
  const sources = sourcesOf(cluster).filter(isOfAws);
  const first = sources.filter((source) => traitsOf(source).speaksOf === 'cluster');
  const described = await Promise.all(first.map((source) => poll(source, contextOf(endpoint, undefined))));
  const context = contextOf(endpoint, described[0]);
  const rest = sources.filter((source) => !first.includes(source));
  const asked = rest.filter(
    (source) => traitsOf(source).asksFor === 'cluster' || context.endpoint !== undefined,
  );
  return [...described, ...(await Promise.all(asked.map((source) => poll(source, context))))];
}

function contextOf(
  { cluster, record, name, addresses }: SiteEndpoint,
  seen: Observation | undefined,
): SourceContext {
  const details = seen?.kind === 'details' ? seen.details : record?.details;
  const endpoint = name ?? details?.endpoint;
  const vpcId = cluster.vpcId ?? details?.vpcId;
  return {
    cluster: cluster.name,
    region: cluster.region,
    endpoint,
    vpcId,
    subnetIds: details?.subnetIds ?? [],
    generation: details?.generation,
    knownAddresses: addresses,
  };
}

const SILENT: ReadonlySet<string> = new Set(['timeout', 'network']);

function isSilent(seen: Observation): boolean {
  return seen.kind === 'failed' && SILENT.has(seen.reason);
}

const CLOCK_TOLERANCE_MS = 60_000;
/** The agent of Systems Manager writes new keys every half hour; a file that is older has no writer any more. */
const SESSION_FILE_MS = 12 * 3_600_000;

export async function awsFindings(
  site: Site,
  answers: AwsAnswers,
  proxies = proxiesOfHost,
): Promise<readonly Finding[]> {
  const { inspections, clusters, isCut } = answers;
  const credentials = await Promise.all(
    inspections.map(({ credentials }) => credentialFindings(credentials, site.nowMs, isCut)),
  );
  const clocks = inspections.flatMap(({ clockAheadMs = 0 }) => clockFindings(clockAheadMs));
  const failures = await Promise.all(
    clusters.flatMap(({ endpoint, observations }) =>
      observations.map((seen) => failureFindings(seen, endpoint, site, proxies)),
    ),
  );
  return [...credentials.flat(), ...clocks, ...failures.flat()];
}

const AS_SERVER =
  'put them where the server finds them (docs/install.md), and run the check as the user of the server: sudo -u outpost-dns outpost-dns check';

async function credentialFindings(
  facts: CredentialFacts,
  nowMs: number,
  isCut: boolean,
): Promise<readonly Finding[]> {
  if (facts.kind === 'none') return noCredentials(facts, isCut);
  const { certificate, endsAtMs } = facts;
  if (facts.kind === 'roles-anywhere' && certificate !== undefined)
    return certificateFindings(certificate, nowMs);
  const kind = KINDS[facts.kind];
  if (facts.kind === 'session' && facts.file !== undefined) {
    const changedMs = await stat(facts.file).then(
      ({ mtimeMs }) => mtimeMs,
      () => nowMs,
    );
    if (nowMs - changedMs <= SESSION_FILE_MS) return [];
    const age = ageText((nowMs - changedMs) / 1000);
    const text = `the credentials (${kind}) in "${facts.file}" were written ${age} ago, and nothing renews them`;
    return warning('credentials-ending', text, 'see that the agent runs: systemctl status amazon-ssm-agent');
  }
  if (facts.kind === 'session' && endsAtMs === undefined) {
    const text = `the credentials (${kind}) in the environment end within hours, and nothing renews them`;
    return warning('credentials-ending', text, 'use credentials that renew themselves: docs/install.md');
  }
  // a session of a role, of SSO or of a process is renewed by its provider
  if (endsAtMs === undefined || facts.kind !== 'static') return [];
  return endFindings(
    `the credentials (${kind})`,
    endsAtMs,
    nowMs,
    'create a new access key, and replace the old one',
  );
}

const KINDS: Readonly<Record<Exclude<CredentialFacts['kind'], 'none'>, string>> = {
  static: 'static keys',
  'roles-anywhere': 'IAM Roles Anywhere',
  session: 'keys of a session, as the SSM agent writes them',
  process: 'a credential_process',
  sso: 'IAM Identity Center',
  role: 'a role',
  other: 'of another kind',
};

function noCredentials(
  { reason, detail }: { readonly reason: string; readonly detail: string },
  isCut: boolean,
) {
  // a provider that has to ask AWS fails in a cut, and says so as a failure of the network
  if (SILENT.has(reason) || isCut) return [];
  // a thread that is starved, or hangs, says nothing of credentials
  if (reason === 'internal')
    return warning('source-failing', `the credentials for AWS could not be inspected: ${detail}`, LATER);
  if (reason === 'expired-credentials')
    return problem('credentials-expired', `the credentials have expired: ${detail}`, AS_SERVER);
  return problem('credentials-missing', `there are no credentials for AWS: ${detail}`, AS_SERVER);
}

function certificateFindings(
  { file, endsAtMs, fault }: { readonly file: string; readonly endsAtMs?: number; readonly fault?: string },
  nowMs: number,
): readonly Finding[] {
  const what = `the certificate of IAM Roles Anywhere, "${file}"`;
  const fix = `issue a new certificate, and replace the file: openssl x509 -enddate -noout -in ${file}`;
  if (fault !== undefined)
    return problem(
      'credentials-missing',
      `${what}, cannot be read: ${fault}`,
      `make it readable for the server: ls -l ${file}`,
    );
  return endsAtMs === undefined ? [] : endFindings(what, endsAtMs, nowMs, fix);
}

function endFindings(what: string, endsAtMs: number, nowMs: number, fix: string): readonly Finding[] {
  const ending = endingOf(what, endsAtMs, nowMs);
  if (ending === undefined) return [];
  const { hasEnded, text } = ending;
  return hasEnded ? problem('credentials-expired', text, fix) : warning('credentials-ending', text, fix);
}

function clockFindings(aheadMs: number): readonly Finding[] {
  if (Math.abs(aheadMs) <= CLOCK_TOLERANCE_MS) return [];
  const off = `${ageText(Math.abs(aheadMs) / 1000)} ${aheadMs > 0 ? 'ahead of' : 'behind'}`;
  const text = `the clock of this host is ${off} the clock of AWS`;
  return problem(
    'clock-wrong',
    text,
    'set it: systemctl enable --now chrony (or systemd-timesyncd), then chronyc makestep',
  );
}

async function failureFindings(
  seen: Observation,
  endpoint: SiteEndpoint,
  site: Site,
  proxies: typeof namedProxies,
): Promise<readonly Finding[]> {
  if (seen.kind !== 'failed') return [];
  const { reason, detail, source } = seen;
  switch (reason) {
    case 'denied':
      return deniedFindings(seen, endpoint);
    case 'refused-credentials':
      return problem('credentials-refused', `AWS does not accept the credentials: ${detail}`, REFUSED);
    case 'expired-credentials':
      return problem('credentials-expired', `the credentials have expired: ${detail}`, AS_SERVER);
    case 'no-credentials':
      return []; // the inspection of the credentials says so
    case 'clock-skew':
      return problem('clock-wrong', `the clock of this host is wrong: ${detail}`, SET_CLOCK);
    case 'proxy':
      return problem('proxy-refused', `something between this host and AWS refuses: ${detail}`, PROXY);
    case 'untrusted-certificate': {
      const text = `the certificate that AWS shows is not trusted here: ${detail}`;
      return problem('authority-unknown', text, AUTHORITY);
    }
    case 'timeout':
    case 'network':
      return unreachable(detail, site, await proxies(site));
    case 'not-found':
      return problem('cluster-not-found', `AWS knows no such cluster, zone or name: ${detail}`, COMPARE);
    default:
      return warning(
        'source-failing',
        `the source ${source} of cluster "${endpoint.cluster.name}" fails: ${detail}`,
        LATER,
      );
  }
}

const LATER = 'run the check again in some minutes; "outpost-dns status" shows since when';
const REFUSED = 'compare the access key with IAM: it may be deactivated, deleted, or of another partition';
const SET_CLOCK = 'set it: systemctl enable --now chrony, then chronyc makestep';
const PROXY =
  'set HTTPS_PROXY, with user and password where the proxy wants them, or NO_PROXY, in /etc/outpost-dns/environment';
const AUTHORITY =
  'write the authority of the proxy to a file, and name it in AWS_CA_BUNDLE in /etc/outpost-dns/environment';
const COMPARE = 'compare clusters[] with: aws eks list-clusters --region REGION';

function deniedFindings(
  { detail, source }: FailedObservation,
  { cluster: { name, region, route53 } }: SiteEndpoint,
): readonly Finding[] {
  const action = /perform: ([a-z0-9-]+:\w+)/i.exec(detail)?.[1];
  if (action === undefined && ACCOUNT_REFUSED.test(detail))
    return problem('permission-denied', `AWS refuses the account: ${detail}`, ASK_ABOUT_ACCOUNT);
  const text = `AWS denies ${action ?? `the source ${source}`} for cluster "${name}"`;
  const policy = denyingPolicy(detail);
  if (policy !== undefined) {
    const by = `${text} by ${/^[aeiou]/.test(policy.kind) ? 'an' : 'a'} ${policy.kind}`;
    return problem(
      'permission-denied',
      policy.arn === undefined ? by : `${by}: ${policy.arn}`,
      `have the ${policy.kind} changed by those who own it: while it denies, a statement that allows does not help`,
    );
  }
  const account = /arn:[a-z-]+:(?:iam|sts)::(\d{12}):/.exec(detail)?.[1];
  const statements = missingStatements(source, { name, region, zoneId: route53?.zoneId }, action, account);
  const missing = JSON.stringify(statements.length === 1 ? statements[0] : statements);
  return problem(
    'permission-denied',
    text,
    `add this statement to the policy of the server's role or user: ${missing}`,
  );
}

const ACCOUNT_REFUSED = /"(Blocked|PendingVerification|OptInRequired|Account\w+)"/;
const ASK_ABOUT_ACCOUNT =
  'see the bill, the mail and the support cases of the account; the endpoint is answered from what is kept meanwhile';

/**
 * The policy that denies, where a statement in the policy of the role or user would not help. AWS names one kind at a time, and
 * its ARN within the account or organization (IAM User Guide, "Troubleshoot access denied error messages").
 */
function denyingPolicy(
  detail: string,
): { readonly kind: string; readonly arn: string | undefined } | undefined {
  const [, denies, allowsNot] =
    /with an explicit deny in an? ([\w -]+)|because no ([\w -]+) allows/.exec(detail) ?? [];
  const kind = denies ?? allowsNot;
  if (kind === undefined || allowsNot === 'identity-based policy') return undefined;
  return { kind, arn: /explicit deny in [\w -]+: (arn:\S+)/.exec(detail)?.[1] };
}

function unreachable(detail: string, { config }: Site, named: readonly NamedProxy[]): readonly Finding[] {
  const [proxy] = named;
  if (config.outbound.httpsProxy === undefined && proxy !== undefined) {
    return problem(
      'proxy-needed',
      `AWS cannot be reached directly (${detail}), and "${proxy.file}" names the proxy ${proxy.url}`,
      `echo HTTPS_PROXY=${proxy.url} >> /etc/outpost-dns/environment; systemctl restart outpost-dns`,
    );
  }
  return warning(
    'aws-unreachable',
    `AWS cannot be reached now: ${detail}`,
    'run the check again when the link is up; where it is, name a proxy in HTTPS_PROXY, or open the firewall for HTTPS',
  );
}

/** What AWS says of the clusters, against the configuration and against the upstreams. */
export function clusterFindings(
  { clusters }: AwsAnswers,
  site: Pick<Site, 'server'>,
  byName: readonly string[],
): readonly Finding[] {
  return clusters.flatMap(({ endpoint, observations }) => [
    ...describedFindings(endpoint.cluster, detailsIn(observations)),
    ...interfaceFindings(endpoint, observations),
    ...disagreementFindings(endpoint, observations, site, byName),
  ]);
}

function detailsIn(seen: readonly Observation[]): ClusterDetails | undefined {
  return seen.find((one) => one.kind === 'details')?.details;
}

function interfaceFindings(
  { cluster: { name } }: SiteEndpoint,
  seen: readonly Observation[],
): readonly Finding[] {
  const listed = seen.filter((one) => one.kind === 'addresses');
  const owned = listed.flatMap(({ customerOwned = [] }) => customerOwned);
  const isDoubtful = listed.some((one) => one.isDoubtful);
  return [
    ...(isDoubtful
      ? warning(
          'interfaces-doubtful',
          `no interface has the exact description of cluster "${name}": interfaces whose description contains its text are used`,
          `compare them: aws ec2 describe-network-interfaces --filters "Name=description,Values=*Amazon EKS ${name}*"`,
        )
      : []),
    ...(owned.length > 0
      ? warning(
          'customer-owned-addresses',
          `the interfaces of cluster "${name}" also have the customer-owned addresses ${owned.join(', ')}`,
          'try from a machine of the site whether the private addresses are reached; where they are not, pin the customer-owned ones in clusters[].pin',
        )
      : []),
  ];
}

function disagreementFindings(
  { cluster, name }: SiteEndpoint,
  seen: readonly Observation[],
  { server }: Pick<Site, 'server'>,
  byName: readonly string[],
): readonly Finding[] {
  const listed = seen.flatMap((one) => (one.kind === 'addresses' ? [one.addresses] : []))[0];
  const running = runningEndpoint(server, cluster);
  const onlyByName = listed === undefined ? [] : byName.filter((address) => !listed.includes(address));
  if (onlyByName.length === 0 && running?.disagreement !== true) return [];
  const says =
    onlyByName.length === 0
      ? 'as the running server says'
      : `the name has ${onlyByName.join(', ')}, and EC2 lists ${listed?.join(', ')}`;
  return warning(
    'sources-disagree',
    `the sources of "${name ?? cluster.name}" disagree: ${says}`,
    '"outpost-dns status" shows the addresses of each source; a public endpoint or a filter in between is the usual cause',
  );
}
