/** The records as master-file text (RFC 1035 section 5): a zone of its own for each endpoint name, to be loaded by another server. */
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { EndpointsFile } from '../store/endpoints-format.ts';
import { endpointNames, recordTitle } from './export-hosts.ts';

// dns-rules.md, endpoint names: the source's TTL between these
const LEAST_TTL_SECONDS = 5;
const MOST_TTL_SECONDS = 60;

/** `nowMs` is wall time. */
export function zoneText(file: EndpointsFile, nowMs: number): string {
  const written = new Date(file.writtenAtMs).toISOString();
  const head = [
    `; outpost-dns export: generation ${file.generation}, written ${written}`,
    '; each $ORIGIN line begins a zone of its own: with several, cut here and load one file a zone',
  ];
  return `${[...head, ...file.records.flatMap((record) => zoneLines(record, file, nowMs))].join('\n')}\n`;
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
    // a zone must have both (RFC 1035 section 5.2); localhost, so that nobody is notified and nobody is asked
    `@ IN SOA localhost. root.localhost. ${serial} 3600 600 604800 ${ttl}`,
    '@ IN NS localhost.',
    ...addresses.map(({ address }) => `@ IN A ${address}`),
  ]);
}
