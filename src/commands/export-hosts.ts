/** The records as lines of a hosts file (hosts(5)): for a machine that has to reach the cluster without any DNS. */
import { ageText } from '../admin/status-words.ts';
import { otherEndpointOf } from '../records/cluster-identity.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { EndpointsFile } from '../store/endpoints-format.ts';
import { lastConfirmedAtMs } from './state-findings.ts';
import { printable } from './terminal-text.ts';

/** `nowMs` is wall time. */
export function hostsText({ generation, writtenAtMs, records }: EndpointsFile, nowMs: number): string {
  const head = [
    `# outpost-dns export: generation ${generation}, written ${new Date(writtenAtMs).toISOString()}`,
    '# such lines win over DNS and are never refreshed: take them out again after the outage',
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

/** The endpoint's name, and the one that AWS says where another is configured: the server answers both. */
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
