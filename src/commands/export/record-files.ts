/** The formats of `export` that hold the records themselves: a master file, a hosts file, JSON. */

import { type EndpointRecord, lastConfirmedAtMs, otherEndpointOf } from '../../records/endpoint-record.ts';
import type { EndpointsFile } from '../../store/endpoints-format.ts';
import { type ExportFormat, type ExportSite, endpointNames, headLine, recordTitle } from './format.ts';

// Master-file text (RFC 1035 section 5): for each endpoint name a zone of its own, for another server to load.

export const ZONE: ExportFormat = { about: 'a master file with a zone for each endpoint', text: zoneText };

// the TTL of an exported record is the source's TTL between these, as in the server's own answers
const LEAST_TTL_SECONDS = 5;
const MOST_TTL_SECONDS = 60;

export function zoneText(site: Pick<ExportSite, 'file' | 'nowMs'>): string {
  const { file, nowMs } = site;
  const head = [
    `; ${headLine(site)}`,
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

// Lines of a hosts file (hosts(5)): for a machine that has to reach the cluster without any DNS.

export const HOSTS: ExportFormat = {
  about: 'a block of /etc/hosts, for a machine without DNS',
  text: hostsText,
};

/** A marked block, so that the next export can take its place. */
export function hostsText(site: Pick<ExportSite, 'file' | 'nowMs'>): string {
  const lines = [
    '# outpost-dns begin',
    `# ${headLine(site)}`,
    '# such lines win over DNS and are never refreshed: remove them after the outage',
    ...site.file.content.flatMap((record) => hostLines(record, site.nowMs)),
    '# outpost-dns end',
  ];
  return `${lines.join('\n')}\n`;
}

/** A comment, and a line for each name and address; a comment alone where the record cannot stand in a hosts file. */
export function hostLines(record: EndpointRecord, nowMs: number): string[] {
  const { endpoint, addresses } = record;
  const head = `# ${recordTitle(record, nowMs)}`;
  if (endpoint === undefined) return [`${head}: its endpoint name is not known`];
  if (addresses.length === 0) return [`${head}: no address is known`];
  const names = endpointNames(record);
  const unfit = names.find((name) => !/^[a-z0-9._-]+$/.test(name));
  if (unfit !== undefined) return [`${head}: "${unfit}" cannot stand in a hosts file`];
  return [head, ...names.flatMap((name) => addresses.map(({ address }) => `${address} ${name}`))];
}

// The records as an array of JSON objects, with times for a person and ages that a program can compare.

export const JSON_RECORDS: ExportFormat = { about: 'the records with their times', text: jsonText };

export function jsonText({ file: { content: records }, nowMs }: Pick<ExportSite, 'file' | 'nowMs'>): string {
  return `${JSON.stringify(
    records.map((record) => recordObject(record, nowMs)),
    null,
    2,
  )}\n`;
}

function recordObject(record: EndpointRecord, nowMs: number): object {
  const { held, details, pin } = record;
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
    pin: pin && {
      addresses: pin.addresses,
      why: pin.why,
      by: pin.by,
      since: momentText(pin.sinceMs),
      until: momentText(pin.untilMs),
    },
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
