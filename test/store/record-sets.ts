import { canonicalJson, type EndpointRecord, type KnownAddress } from '../../src/records/endpoint-record.ts';

const START_MS = Date.UTC(2026, 0, 1);

/** A record with the addresses given, all else at its plainest. */
export function record(cluster: string, addresses: readonly string[], seenMs = START_MS): EndpointRecord {
  return {
    cluster,
    region: 'us-west-2',
    endpoint: `${cluster}.example.net`,
    addresses: addresses.map((address) => served(address, seenMs)),
    ttlSeconds: 60,
    basis: 'name',
    changedAtMs: START_MS,
    confirmedAtMs: { dns: seenMs },
    lastRefreshFailed: false,
  };
}

export function served(address: string, seenMs = START_MS): KnownAddress {
  return { address, provenance: { dns: { firstSeenMs: START_MS, lastSeenMs: seenMs } } };
}

/**
 * The whole set with this number. Every part of it follows from the number, so that a reader can tell a whole set from a
 * mixture, and an older set from a newer set.
 */
export function wholeSet(number: number): EndpointRecord[] {
  return [0, 1, 2].map((cluster) => {
    const count = 1 + ((number + cluster) % 7);
    const addresses = Array.from({ length: count }, (_, at) => {
      return `10.${(number >> 8) & 255}.${number & 255}.${cluster * 16 + at + 1}`;
    });
    return { ...record(`cluster-${cluster}`, addresses), changedAtMs: START_MS + number };
  });
}

/** The number of the whole set that these records are; undefined for anything less, more or mixed. */
export function setNumber(records: readonly EndpointRecord[]): number | undefined {
  const number = (records[0]?.changedAtMs ?? Number.NaN) - START_MS;
  return canonicalJson(records) === canonicalJson(wholeSet(number)) ? number : undefined;
}
