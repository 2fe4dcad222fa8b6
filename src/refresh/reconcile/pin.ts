/**
 * The operator's pin: laid over the addresses that the sources found, and removed without a trace. The pin of the configuration
 * wins; a pin that a command sets is part of the record and ends by itself. Pure.
 */
import type { EndpointRecord, SeenBy, ServedAddress } from '../../records/endpoint-record.ts';

/** The addresses that are served in place of those from the sources; empty without a pin. */
export function pinOf(
  { pin }: Pick<EndpointRecord, 'pin'>,
  settings: {
    readonly pin: readonly string[];
    readonly refusalOf: (address: string) => string | undefined;
  },
): readonly string[] {
  if (settings.pin.length > 0 || pin === undefined) return settings.pin;
  // a reload may have narrowed allowedAddresses since the command
  return pin.addresses.filter((address) => settings.refusalOf(address) === undefined);
}

/** Without a pin whose time is up. */
export function endedPin(record: EndpointRecord, nowMs: number): EndpointRecord {
  if (record.pin === undefined || nowMs < record.pin.untilMs) return record;
  const { pin: _, ...rest } = record;
  return rest;
}

export function withPin(
  found: EndpointRecord,
  previous: EndpointRecord,
  pin: readonly string[],
  nowMs: number,
): EndpointRecord {
  const inRecord = ({ addresses }: EndpointRecord, address: string) =>
    addresses.find((served) => served.address === address);
  const addresses = pin.map((address) => {
    const [now, before] = [inRecord(found, address), inRecord(previous, address)];
    const proof = before?.proof ?? now?.proof;
    return {
      address,
      provenance: { ...now?.provenance, pin: sighting(before?.provenance.pin, nowMs) },
      ...(proof === undefined ? {} : { proof }),
    };
  });
  const observed = found.addresses.filter(isObserved);
  // addresses that only an earlier pin named are kept, too, because nothing better is known
  const kept = previous.basis === 'pin' ? (previous.unpinned ?? []) : found.addresses;
  const unpinned = observed.length > 0 ? observed : kept;
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
