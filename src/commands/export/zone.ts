/** Master-file text (RFC 1035 section 5): for each endpoint name a zone of its own, for another server to load. */
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import type { EndpointsFile } from '../../store/endpoints-format.ts';
import { type ExportFormat, type ExportSite, endpointNames, headLine, recordTitle } from './format.ts';

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
