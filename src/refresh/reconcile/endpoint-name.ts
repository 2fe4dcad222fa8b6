/** What becomes of a record when the endpoint has another name than before. */
import type { EndpointRecord } from '../../records/endpoint-record.ts';

/** Far more renamings than any cluster sees while its clients still know the first name. */
const MAX_FORMER = 8;

/** The old name is remembered; and when it was last confirmed says nothing about the new one. */
export function withEndpoint(
  record: EndpointRecord,
  { endpoint: before, formerEndpoints = [] }: EndpointRecord,
  endpoint: string,
): EndpointRecord {
  if (before === undefined || before === endpoint) return { ...record, endpoint };
  const { dns: _, route53: __, ...confirmedAtMs } = record.confirmedAtMs;
  const former = [...new Set([before, ...formerEndpoints])].filter((name) => name !== endpoint);
  return { ...record, endpoint, formerEndpoints: former.slice(0, MAX_FORMER), confirmedAtMs };
}
