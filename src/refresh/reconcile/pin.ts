/** The operator's pin: laid over what the sources found, and taken away again without a trace. */
import type { EndpointRecord, SeenBy, ServedAddress } from '../../records/endpoint-record.ts';

export function pinOver(
  found: EndpointRecord,
  previous: EndpointRecord,
  pin: readonly string[],
  nowMs: number,
): EndpointRecord {
  const provenanceIn = ({ addresses }: EndpointRecord, address: string) =>
    addresses.find((served) => served.address === address)?.provenance;
  const addresses = pin.map((address) => ({
    address,
    provenance: {
      ...provenanceIn(found, address),
      pin: sighting(provenanceIn(previous, address)?.pin, nowMs),
    },
  }));
  const unpinned = found.addresses.filter(isObserved);
  return { ...found, addresses, ...(unpinned.length === 0 ? {} : { unpinned }), basis: 'pin' };
}

/**
 * As if nothing were pinned. Where nothing was found beneath the pin its addresses stay until a source speaks, because
 * an endpoint is never left without any; what sources vouch for as well is no longer marked as pinned.
 */
export function beneathPin({ unpinned = [], ...record }: EndpointRecord): EndpointRecord {
  if (unpinned.length > 0) return { ...record, addresses: unpinned };
  const addresses = record.addresses.map((served) => {
    const { pin: _, ...seenBySources } = served.provenance;
    return isObserved(served) ? { ...served, provenance: seenBySources } : served;
  });
  return { ...record, addresses };
}

/** Whether anybody but the operator has named the address. */
export function isObserved({ provenance }: ServedAddress): boolean {
  return provenance.pin === undefined || Object.keys(provenance).length > 1;
}

export function sighting(before: SeenBy | undefined, atMs: number): SeenBy {
  return { firstSeenMs: Math.min(before?.firstSeenMs ?? atMs, atMs), lastSeenMs: atMs };
}
