/** The records as an array of JSON objects, with times for a person and ages that a program can compare. */
import { otherEndpointOf } from '../../records/cluster-identity.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import { lastConfirmedAtMs } from '../check/state.ts';
import type { ExportFormat, ExportSite } from './format.ts';

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
