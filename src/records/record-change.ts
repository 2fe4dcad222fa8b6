import { canonicalJson } from './canonical-json.ts';
import type { EndpointRecord, ServedAddress } from './endpoint-record.ts';

/**
 * How much two sets of records differ: not at all, in what ages by itself (when things were last seen, confirmed,
 * learned; the TTL, which counts down at a source behind a cache; whether the last refresh failed), or in content.
 * Order, of clusters or of addresses, is no content.
 */
export type RecordChange = 'none' | 'ageing' | 'content';

export function compareRecords(
  before: readonly EndpointRecord[],
  after: readonly EndpointRecord[],
): RecordChange {
  if (keyOf(before, contentOf) !== keyOf(after, contentOf)) return 'content';
  return keyOf(before, persistedOf) === keyOf(after, persistedOf) ? 'none' : 'ageing';
}

function keyOf(records: readonly EndpointRecord[], of: (record: EndpointRecord) => object): string {
  return records
    .map((record) => canonicalJson(of(record)))
    .sort()
    .join('\n');
}

function contentOf(record: EndpointRecord): object {
  const {
    confirmedAtMs,
    ttlSeconds,
    lastRefreshFailed,
    details,
    addresses,
    unpinned,
    corroborated,
    ...rest
  } = record;
  return {
    ...rest,
    details: details && { ...details, learnedAtMs: undefined },
    addresses: namesIn(addresses),
    unpinned: unpinned && namesIn(unpinned),
    corroborated: corroborated?.toSorted(),
  };
}

function namesIn(addresses: readonly ServedAddress[]): readonly string[] {
  return addresses
    .map(({ address, provenance, lackedSinceMs }) => {
      const seenBy = Object.entries(provenance).map(([source, { status = '' }]) => `${source} ${status}`);
      return [address, ...seenBy.sort(), lackedSinceMs === undefined ? '' : 'lacked'].join(' ');
    })
    .sort();
}

function persistedOf(record: EndpointRecord): object {
  const addresses = record.addresses.map(({ dead: _, ...kept }) => canonicalJson(kept));
  return { ...record, addresses: addresses.sort() };
}
