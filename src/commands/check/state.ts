/** Finds out whether the state on disk is enough to answer through an outage and a restart. */
import { access, constants, stat } from 'node:fs/promises';
import type { ClusterConfig, Config } from '../../config/config.ts';
import {
  type ClusterDetails,
  type ClusterIdentity,
  clusterText,
  type EndpointRecord,
  identityOf,
  lastConfirmedAtMs,
  pairUp,
} from '../../records/endpoint-record.ts';
import { ageText } from '../../report/report.ts';
import { atOnce } from '../../runtime/slices.ts';
import { systemCode } from '../../runtime/system-errors.ts';
import type { Fault } from '../../store/set-aside.ts';
import type { Reading } from '../../store/state-format.ts';
import { type Finding, problem, warning } from './finding.ts';

export interface StateFacts {
  readonly directory: string;
  readonly state: DirectoryState;
  readonly reading: Reading<readonly EndpointRecord[]>;
  /** Wall ms. */
  readonly nowMs: number;
}

/** `isRunning`: the server runs, and says itself what it knows and saves. */
export function stateFindings(
  { clusters }: Pick<Config, 'clusters'>,
  facts: StateFacts,
  isRunning: boolean,
): readonly Finding[] {
  const unread = unreadBy(facts, isRunning);
  const unusable = directoryFindings(facts, unread);
  if (unusable.length > 0) return unusable;
  const { served } = facts.reading;
  const common = [...writableFindings(facts), ...fileFindings(facts, unread)];
  if (served === undefined) return common;
  const clock = clockFindings(served.writtenAtMs, facts.nowMs);
  const records = recordsOf(clusters, served.content);
  const taken = new Set(records.values());
  const left = served.content.filter((record) => record.addresses.length > 0 && !taken.has(record));
  const ofClusters = clusters.flatMap((cluster) =>
    clusterFindings(
      cluster,
      { text: clusterText(cluster, clusters), left },
      records.get(cluster),
      facts.nowMs,
    ),
  );
  return [...common, ...clock, ...ofClusters];
}

/** The records that a server takes for these clusters when it starts. */
export function recordsOf<C extends ClusterIdentity>(
  clusters: readonly C[],
  records: readonly EndpointRecord[],
): ReadonlyMap<C, EndpointRecord> {
  return atOnce(pairUp(clusters, records, identityOf));
}

const LEARN = 'start the server while AWS can be reached, until "outpost-dns status" says that it is ready';
const DENIED: ReadonlySet<string> = new Set(['EACCES', 'EPERM']);
const AS_SERVER = "run the check as the server's user: sudo -u outpost-dns outpost-dns check";

/** The severity of what cannot be read, by the system's code. */
type Unread = (code: string) => typeof problem | typeof warning;

/**
 * What another user may not read is no problem of the site while the server runs. The server's own user, which owns the directory,
 * sees what the next start will see; and a disk that gives nothing gives it to no user.
 */
function unreadBy({ state }: StateFacts, isRunning: boolean): Unread {
  return (code) => (isRunning && DENIED.has(code) && !isOfThisUser(state) ? warning : problem);
}

function isOfThisUser(state: DirectoryState): boolean {
  return state.kind === 'present' && state.isOwner;
}

function directoryFindings({ directory, state }: StateFacts, unread: Unread): readonly Finding[] {
  switch (state.kind) {
    case 'present':
      return [];
    case 'missing':
      return problem(
        'state-directory-missing',
        `the state directory "${directory}" does not exist: after a restart no endpoint would be known`,
        LEARN,
      );
    case 'not-a-directory':
      return problem(
        'state-directory-unusable',
        `"${directory}" is not a directory: no state can be kept in it`,
        'move it away, or name another directory in state.directory',
      );
    case 'unreadable':
      return unread(state.code)(
        'state-directory-unreadable',
        `the state directory "${directory}" cannot be read by this user (${state.code})`,
        DENIED.has(state.code)
          ? AS_SERVER
          : 'check the path in state.directory, and the file system that it is on',
      );
  }
}

function writableFindings({ directory, state }: StateFacts): readonly Finding[] {
  if (state.kind !== 'present' || state.isWritable) return [];
  const text = `the state directory "${directory}" cannot be written by this user`;
  // the directory of another user is closed to this user on purpose
  if (!state.isOwner)
    return warning('state-not-writable', `${text}: whether the server can write it is not known`, AS_SERVER);
  return problem(
    'state-not-writable',
    `${text}: new addresses would not survive a restart`,
    'make it writable for the server, and check that its file system is not mounted read-only',
  );
}

function fileFindings(facts: StateFacts, unread: Unread): readonly Finding[] {
  const { directory, reading, state } = facts;
  const { served, faults } = reading;
  const of = ({ kind, reason }: Fault) =>
    served !== undefined ? warning : kind === 'unreadable' ? unread(reason.toUpperCase()) : problem;
  const found = faults.flatMap((fault) =>
    of(fault)('state-file-unusable', faultText(fault), faultFix(fault, state)),
  );
  if (served === undefined && faults.length === 0) {
    return problem(
      'state-missing',
      `no state has been saved in "${directory}": after a restart no endpoint would be known`,
      LEARN,
    );
  }
  if (served?.from !== 'previous') return found;
  const cause = faults.length === 0 ? ': the current one is missing' : '';
  const text = `the server would start from the previous generation of the state (${served.generation})${cause}`;
  return [
    ...found,
    ...warning(
      'state-previous-generation',
      text,
      'start the server while AWS can be reached: it writes a new one',
    ),
  ];
}

function faultText({ path, kind, reason, detail }: Fault): string {
  return `the state file "${path}" cannot be used (${kind}, ${reason}): ${detail}`;
}

function faultFix({ path, kind, reason }: Fault, state: DirectoryState): string {
  switch (kind) {
    case 'unreadable':
      if (!DENIED.has(reason.toUpperCase())) return 'check the disk that it is on: dmesg';
      return isOfThisUser(state)
        ? `give it to the user of the server: chown outpost-dns: "${path}"`
        : AS_SERVER;
    case 'newer':
      return `run the version that wrote it; this version would set it aside when it saves`;
    case 'foreign':
      return `move it away: mv "${path}" "${path}.foreign"; then ${LEARN}`;
    case 'corrupt':
      return `${LEARN}; it sets the file aside; check the disk`;
  }
}

const CLOCK_TOLERANCE_MS = 300_000; // AWS refuses signatures whose time differs by more (SigV4)

function clockFindings(writtenAtMs: number, nowMs: number): readonly Finding[] {
  const aheadMs = writtenAtMs - nowMs;
  if (aheadMs <= CLOCK_TOLERANCE_MS) return [];
  return warning(
    'state-in-the-future',
    `the state was written ${ageText(aheadMs / 1000)} in the future: the clock of this host is wrong, or was`,
    'check it with timedatectl: AWS refuses requests when it is wrong by 5 min, and the ages here are wrong',
  );
}

function clusterFindings(
  cluster: ClusterConfig,
  { text, left }: { readonly text: string; readonly left: readonly EndpointRecord[] },
  record: EndpointRecord | undefined,
  nowMs: number,
): readonly Finding[] {
  // a pinned name is answered, with or without an answer from a source
  const endpoint = cluster.endpoint ?? record?.endpoint;
  const isAnsweredByPin = cluster.pin.length > 0 && endpoint !== undefined;
  if (isAnsweredByPin) return [];
  if (record === undefined) {
    return problem(
      'cluster-unknown',
      `cluster "${text}" is not ready for an outage: the state has no record of it`,
      left.length === 0 ? LEARN : `${correctName(left)}; otherwise ${LEARN}`,
    );
  }
  if (endpoint === undefined) {
    return problem(
      'endpoint-name-unknown',
      `cluster "${text}" is not ready for an outage: the name of its endpoint is not known`,
      `name it in clusters[].endpoint, or allow eks:DescribeCluster; then ${LEARN}`,
    );
  }
  if (record.addresses.length === 0) {
    return problem(
      'endpoint-without-addresses',
      `endpoint "${endpoint}" is not ready for an outage: no address of it is known`,
      LEARN,
    );
  }
  return [
    ...renameFindings(cluster, record),
    ...describedFindings(cluster, record.details),
    ...ageFindings(endpoint, record, nowMs),
    ...heldFindings(endpoint, record, nowMs),
    ...pinFindings(endpoint, record, nowMs),
  ];
}

const MOST_NAMED = 3;

/** A name or a Region that was mistyped leaves a record behind, which no cluster takes. */
function correctName(left: readonly EndpointRecord[]): string {
  const names = left.slice(0, MOST_NAMED).map(({ cluster, region }) => {
    return region === undefined ? `"${cluster}"` : `"${cluster}" in ${region}`;
  });
  return `where ${names.join(' or ')} is meant, whose addresses the state has, correct clusters[].name and clusters[].region`;
}

function pinFindings(endpoint: string, { cluster, pin }: EndpointRecord, nowMs: number): readonly Finding[] {
  if (pin === undefined || pin.untilMs <= nowMs) return [];
  const left = ageText((pin.untilMs - nowMs) / 1000);
  return warning(
    'pinned-by-command',
    `the addresses of "${endpoint}" are pinned to ${pin.addresses.join(', ')} by ${pin.by} for ${left} more: ${pin.why}`,
    `when the sources are right again: outpost-dns unpin ${cluster}`,
  );
}

/** `details`: of the record in the state, or of AWS now. */
export function describedFindings(
  { endpoint }: ClusterConfig,
  details: ClusterDetails | undefined,
): readonly Finding[] {
  if (endpoint === undefined || details === undefined || details.endpoint === endpoint) return [];
  return warning(
    'endpoint-not-described',
    `the configured endpoint "${endpoint}" is not the endpoint in DescribeCluster, "${details.endpoint}": both are answered`,
    'correct clusters[].endpoint, or remove it: DescribeCluster returns it',
  );
}

function renameFindings({ endpoint }: ClusterConfig, record: EndpointRecord): readonly Finding[] {
  if (endpoint === undefined || record.endpoint === undefined || endpoint === record.endpoint) return [];
  return warning(
    'endpoint-renamed',
    `the addresses kept for "${endpoint}" were learned for "${record.endpoint}"`,
    `check clusters[].endpoint; if the new name is right, ${LEARN}`,
  );
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const AGES = [
  {
    limitMs: 30 * DAY_MS,
    of: problem,
    fix: 'refresh has been failing for long: find out why before the next outage; "outpost-dns status" names each source and its failure',
  },
  { limitMs: 7 * DAY_MS, of: warning, fix: '"outpost-dns status" names each source and its failure' },
  {
    limitMs: HOUR_MS,
    of: warning,
    fix: 'is the server running, and is AWS reachable? "outpost-dns status" names each source and its failure',
  },
] as const;

/** Addresses never expire, but without a recent confirmation they may be wrong. */
function ageFindings(endpoint: string, record: EndpointRecord, nowMs: number): readonly Finding[] {
  const confirmedAtMs = lastConfirmedAtMs(record);
  if (confirmedAtMs === undefined) {
    return warning(
      'addresses-old',
      `no source has ever confirmed the addresses kept for "${endpoint}"`,
      AGES[2].fix,
    );
  }
  const ageMs = nowMs - confirmedAtMs;
  const passed = AGES.find(({ limitMs }) => ageMs > limitMs);
  if (passed === undefined) return [];
  const text = `no source has confirmed the addresses of "${endpoint}" for ${ageText(ageMs / 1000)}`;
  return passed.of('addresses-old', text, passed.fix);
}

function heldFindings(endpoint: string, { held }: EndpointRecord, nowMs: number): readonly Finding[] {
  if (held === undefined) return [];
  const age = ageText((nowMs - held.sinceMs) / 1000);
  return warning(
    'change-held',
    `a change of "${endpoint}" to ${held.addresses.join(', ')} is held back for ${age}: ${held.reason}`,
    "compare it with the cluster's network interfaces in EC2: a right change is adopted when a refresh repeats it; clusters[].pin adopts it now",
  );
}

/** The state directory as this user sees it; nothing in it is changed. */
export type DirectoryState =
  | { readonly kind: 'present'; readonly isWritable: boolean; readonly isOwner: boolean }
  | { readonly kind: 'missing' }
  | { readonly kind: 'not-a-directory' }
  /** `code` is the system's. */
  | { readonly kind: 'unreadable'; readonly code: string };

export async function inspectDirectory(directory: string): Promise<DirectoryState> {
  try {
    const found = await stat(directory);
    if (!found.isDirectory()) return { kind: 'not-a-directory' };
    await access(directory, constants.R_OK | constants.X_OK);
    return {
      kind: 'present',
      isWritable: await isWritable(directory),
      isOwner: found.uid === process.getuid?.(),
    };
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    return code === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', code };
  }
}

async function isWritable(directory: string): Promise<boolean> {
  return access(directory, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}
