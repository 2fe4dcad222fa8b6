/** `outpost-dns export`: writes the records of the state file in a form that another program can serve. No server has to run. */
import type { Command } from 'commander';
import { otherEndpointOf } from '../records/cluster-identity.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import { ageText } from '../report/report.ts';
import { ENDPOINTS, type EndpointsFile } from '../store/endpoints-format.ts';
import type { Fault } from '../store/set-aside.ts';
import { FileReader } from '../store/state-backend.ts';
import { readState } from '../store/state-format.ts';
import { lastConfirmedAtMs } from './check/state.ts';
import { findPlace } from './running-server.ts';
import { EXIT, type ExitCode, OPTION, type Run, stateOption } from './subcommand.ts';
import { explain, printable } from './terminal.ts';

/** A new format is a function and a line here. `nowMs` is wall time. */
const FORMATS: Readonly<Record<string, (file: EndpointsFile, nowMs: number) => string>> = {
  hosts: hostsText,
  json: jsonText,
  zone: zoneText,
};

interface ExportOptions {
  readonly format: string;
  readonly config?: string;
  readonly state?: string;
}

export function define(command: Command, { ended }: Run): void {
  command
    .addOption(command.createOption('-f, --format <format>').choices(Object.keys(FORMATS)).default('hosts'))
    .option(...OPTION.config)
    .addOption(stateOption(command))
    .action(async (options: ExportOptions) => ended(await exportRecords(options)));
}

async function exportRecords({ format, config, state }: ExportOptions): Promise<ExitCode> {
  const directory = await findPlace('stateDirectory', state, config);
  if (typeof directory === 'number') return directory;
  const { served, faults } = await readState(new FileReader(directory), ENDPOINTS);
  for (const fault of faults)
    explain(`the state file "${fault.path}" cannot be used (${fault.reason}): ${fault.detail}`);
  if (served === undefined) {
    explain(nothingText(directory, faults));
    return EXIT.finding;
  }
  if (served.from === 'previous')
    explain(`these are the records of the previous generation (${served.generation})`);
  if (!served.content.some(({ endpoint, addresses }) => endpoint !== undefined && addresses.length > 0)) {
    explain(`nothing to export: the state in "${directory}" holds no endpoint with an address`);
    return EXIT.finding;
  }
  process.stdout.write(FORMATS[format]?.(served, Date.now()) ?? '');
  return EXIT.well;
}

function nothingText(directory: string, faults: readonly Fault[]): string {
  if (faults.length > 0) return `nothing to export: no state file in "${directory}" can be used`;
  return `nothing to export: there is no state file in "${directory}": name its directory with --state, or start the server while AWS can be reached`;
}

/** Lines of a hosts file (hosts(5)): for a machine that has to reach the cluster without any DNS. */
export function hostsText(
  { generation, writtenAtMs, content: records }: EndpointsFile,
  nowMs: number,
): string {
  const head = [
    `# outpost-dns export: generation ${generation}, written ${new Date(writtenAtMs).toISOString()}`,
    '# such lines win over DNS and are never refreshed: remove them after the outage',
  ];
  return `${[...head, ...records.flatMap((record) => recordLines(record, nowMs))].join('\n')}\n`;
}

function recordLines(record: EndpointRecord, nowMs: number): string[] {
  const { endpoint, addresses } = record;
  const head = `# ${recordTitle(record, nowMs)}`;
  if (endpoint === undefined) return [`${head}: its endpoint name is not known`];
  if (addresses.length === 0) return [`${head}: no address is known`];
  const names = endpointNames(record);
  const unfit = names.find((name) => !/^[a-z0-9._-]+$/.test(name));
  if (unfit !== undefined) return [`${head}: "${unfit}" cannot stand in a hosts file`];
  return [head, ...names.flatMap((name) => addresses.map(({ address }) => `${address} ${name}`))];
}

/** Writes the records as an array of JSON objects, with times for a person and ages that a program can compare. */
export function jsonText({ content: records }: EndpointsFile, nowMs: number): string {
  return `${JSON.stringify(
    records.map((record) => recordObject(record, nowMs)),
    null,
    2,
  )}\n`;
}

function recordObject(record: EndpointRecord, nowMs: number): object {
  const { held, details } = record;
  const confirmedAtMs = lastConfirmedAtMs(record);
  return {
    cluster: record.cluster,
    region: record.region,
    endpoint: record.endpoint,
    describedEndpoint: otherEndpointOf(record),
    addresses: record.addresses.map(({ address }) => address),
    basis: record.basis,
    ttlSeconds: record.ttlSeconds,
    changedAt: momentText(record.changedAtMs),
    confirmedAt: Object.fromEntries(
      Object.entries(record.confirmedAtMs).map(([source, ms]) => [source, momentText(ms)]),
    ),
    confirmedAgeSeconds:
      confirmedAtMs === undefined ? undefined : Math.max(0, Math.round((nowMs - confirmedAtMs) / 1000)),
    lastRefreshFailed: record.lastRefreshFailed,
    held: held && { addresses: held.addresses, reason: held.reason, since: momentText(held.sinceMs) },
    clusterId: details?.id,
    vpcId: details?.vpcId,
    subnetIds: details?.subnetIds,
    generation: details?.generation,
    certificateAuthority: details?.certificateAuthority,
  };
}

function momentText(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

// the TTL of an exported record is the source's TTL between these, as in the server's own answers
const LEAST_TTL_SECONDS = 5;
const MOST_TTL_SECONDS = 60;

/** Master-file text (RFC 1035 section 5): for each endpoint name a zone of its own, for another server to load. */
export function zoneText(file: EndpointsFile, nowMs: number): string {
  const written = new Date(file.writtenAtMs).toISOString();
  const head = [
    `; outpost-dns export: generation ${file.generation}, written ${written}`,
    '; each $ORIGIN line begins a zone of its own: with several, cut here and load one file a zone',
  ];
  return `${[...head, ...file.content.flatMap((record) => zoneLines(record, file, nowMs))].join('\n')}\n`;
}

function zoneLines(record: EndpointRecord, file: EndpointsFile, nowMs: number): string[] {
  const { endpoint, addresses } = record;
  const title = `; ${recordTitle(record, nowMs)}`;
  if (endpoint === undefined) return ['', `${title}: its endpoint name is not known`];
  if (addresses.length === 0) return ['', `${title}: no address is known`];
  const ttl = Math.min(MOST_TTL_SECONDS, Math.max(LEAST_TTL_SECONDS, record.ttlSeconds));
  const serial = Math.floor((record.changedAtMs ?? file.writtenAtMs) / 1000) >>> 0;
  return endpointNames(record).flatMap((name) => [
    '',
    title,
    `$ORIGIN ${name}.`,
    `$TTL ${ttl}`,
    // a zone must have both (RFC 1035 section 5.2); localhost, so that no NOTIFY and no query leaves the host
    `@ IN SOA localhost. root.localhost. ${serial} 3600 600 604800 ${ttl}`,
    '@ IN NS localhost.',
    ...addresses.map(({ address }) => `@ IN A ${address}`),
  ]);
}

/** Returns the endpoint's name, and the name in DescribeCluster if it differs: the server answers both names. */
export function endpointNames(record: EndpointRecord): readonly string[] {
  return [record.endpoint ?? [], otherEndpointOf(record) ?? []].flat();
}

/** Cluster, Region and how long ago a source confirmed the addresses: one line for a comment. */
export function recordTitle(record: EndpointRecord, nowMs: number): string {
  const { cluster, region } = record;
  const confirmedAtMs = lastConfirmedAtMs(record);
  const age =
    confirmedAtMs === undefined
      ? 'never confirmed'
      : `confirmed ${ageText((nowMs - confirmedAtMs) / 1000)} ago`;
  return printable(`${cluster}${region === undefined ? '' : ` (${region})`}, ${age}`);
}
