/** The SOA of every zone that this server answers for with authority. */
import type { ResourceRecord } from './resource-record.ts';

/**
 * Names and numbers as in RFC 6303 section 3: they keep clients from sending updates anywhere, and always fit. Negative
 * answers carry it, and its TTL and MINIMUM bound how long they are kept (RFC 2308 section 3).
 */
export function ownSoa(apex: string, ttlSeconds: number, serial = 1): ResourceRecord {
  return {
    owner: apex,
    ttlSeconds,
    type: 'SOA',
    primary: apex,
    mailbox: 'nobody.invalid',
    serial,
    refreshSeconds: 3600,
    retrySeconds: 1200,
    expireSeconds: 604_800,
    minimumSeconds: ttlSeconds,
  };
}
