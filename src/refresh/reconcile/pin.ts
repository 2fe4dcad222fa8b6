/**
 * The operator's pin: laid over the addresses that the sources found, and removed without a trace. A pin that a command sets
 * at run time would reach the plan as `PlanSettings.pin`, like that of the configuration. Pure.
 */
import type { EndpointRecord, SeenBy, ServedAddress } from '../../records/endpoint-record.ts';

export function withPin(
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
 * The record as if nothing were pinned. Where no source has found an address, the pinned addresses stay until one does,
 * because an endpoint is never left without addresses. An address that a source has found too loses only the mark of the pin.
 */
export function withoutPin({ unpinned = [], ...record }: EndpointRecord): EndpointRecord {
  if (unpinned.length > 0) return { ...record, addresses: unpinned };
  const addresses = record.addresses.map((served) => {
    const { pin: _, ...seenBySources } = served.provenance;
    return isObserved(served) ? { ...served, provenance: seenBySources } : served;
  });
  return { ...record, addresses };
}

/** Whether a source has found the address, and not only the operator named it. */
export function isObserved({ provenance }: ServedAddress): boolean {
  return provenance.pin === undefined || Object.keys(provenance).length > 1;
}

export function sighting(before: SeenBy | undefined, atMs: number): SeenBy {
  return { firstSeenMs: Math.min(before?.firstSeenMs ?? atMs, atMs), lastSeenMs: atMs };
}
