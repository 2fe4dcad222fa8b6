/**
 * What two kinds of source have confirmed, and what follows from it: how large a loss is, and which addresses stay
 * although EC2's listing lacks them. Pure.
 *
 * A listing is eventually consistent, and during patching an interface may be missing from it for minutes. So an
 * address that the listing lacks stays:
 *
 *     the name has it                                         as long as the name has it
 *     the name had it while the listing lacked it             until the listing has lacked it for an hour
 *     the name is silent, and had it in its last answer       for a day of that silence
 *     no name ever had it, and most of the set is listed      until the listing has lacked it for an hour
 *
 * Where name and listing both lack most of the set, it is a new set, which the guard holds until it is repeated.
 */
import type { EndpointRecord, ServedAddress } from '../../records/endpoint-record.ts';
import { isInterfaceSource, isNameSource, SOURCE_NAMES, type SourceName } from '../../records/sources.ts';
import { beneathPin } from './pin.ts';

const HOUR_MS = 3_600_000; // far longer than EC2 takes to agree with itself, and than the patch of one instance
const DAY_MS = 24 * HOUR_MS; // how long a silent name's last answer speaks for an address

/** What both kinds of source say at this moment: addresses that may be served, empty where a kind is silent. */
export interface Said {
  readonly byName: ReadonlySet<string>;
  readonly byInterfaces: ReadonlySet<string>;
  /** When EC2 answered the listing that is part of `byInterfaces`; absent where it is silent. */
  readonly listedAtMs?: number | undefined;
}

/** The addresses that stay although the candidate has not got them, each with the moment since which the listing lacks it. */
export function spare(
  { addresses, confirmedAtMs }: Pick<EndpointRecord, 'addresses' | 'confirmedAtMs'>,
  said: Said,
  corroborated: readonly string[],
  nowMs: number,
): ReadonlyMap<string, number> {
  const { byName, byInterfaces, listedAtMs } = said;
  const isListingOf = (lacked: readonly string[]) => lacked.length * 2 <= corroborated.length;
  const unlisted = corroborated.filter((address) => !byInterfaces.has(address));
  const isMostListed = isListingOf(unlisted);
  const isMostVouched = isListingOf(unlisted.filter((address) => !byName.has(address)));
  const spared = new Map<string, number>();
  for (const served of addresses) {
    const { address, lackedSinceMs } = served;
    if (byInterfaces.has(address)) continue;
    if (listedAtMs === undefined) {
      // EC2 says nothing: what it said before is neither confirmed nor taken back
      if (lackedSinceMs !== undefined) spared.set(address, lackedSinceMs);
      continue;
    }
    const sinceMs = lackedSinceMs ?? listedAtMs;
    const isHourOver = listedAtMs - sinceMs >= HOUR_MS;
    const isNamed = byName.size > 0 ? byName.has(address) : wasLastNamed(served, confirmedAtMs, nowMs);
    const isInGrace =
      byName.size > 0
        ? lackedSinceMs !== undefined && wasNamedSince(served, lackedSinceMs) && isMostVouched && !isHourOver
        : isMostListed && !isHourOver;
    if (isNamed || isInGrace) spared.set(address, sinceMs);
  }
  return spared;
}

/** Whether a name source had the address while the listing lacked it already: then it contradicted the listing. */
function wasNamedSince({ provenance }: ServedAddress, sinceMs: number): boolean {
  return NAME_SOURCES.some(
    (source) => (provenance[source]?.lastSeenMs ?? Number.NEGATIVE_INFINITY) >= sinceMs,
  );
}

const NAME_SOURCES = SOURCE_NAMES.filter(isNameSource);

/** Whether a name source had the address in the last answer that it gave, no longer than a day ago. */
function wasLastNamed(
  { provenance }: ServedAddress,
  confirmedAtMs: EndpointRecord['confirmedAtMs'],
  nowMs: number,
): boolean {
  return NAME_SOURCES.some((source) => {
    const answeredAtMs = confirmedAtMs[source];
    if (answeredAtMs === undefined || nowMs - answeredAtMs > DAY_MS) return false;
    return (provenance[source]?.lastSeenMs ?? Number.NEGATIVE_INFINITY) >= answeredAtMs;
  });
}

/**
 * The corroborated set after both kinds have spoken: an address comes in when both have it, and goes when both lack it.
 * What one kind alone drops stays in, so that no sequence of small losses adds up to a large one.
 *
 * @returns empty where nothing was corroborated before and `served` is not whole now
 */
export function corroborate(
  before: readonly string[],
  { byName, byInterfaces }: Said,
  served: readonly string[],
): readonly string[] {
  const kept = before.filter((address) => byName.has(address) || byInterfaces.has(address));
  const coming = [...byName].filter((address) => byInterfaces.has(address) && !kept.includes(address));
  const after = [...kept, ...coming];
  return before.length === 0 && !served.every((address) => after.includes(address)) ? [] : after;
}

/** A state file of an earlier version does not tell it: then it is what is served, where both kinds of source have seen all of that. */
export function corroboratedBefore(record: EndpointRecord): readonly string[] {
  if (record.corroborated !== undefined) return record.corroborated;
  const isSeenBy = ({ provenance }: ServedAddress, isKind: (name: SourceName) => boolean) =>
    SOURCE_NAMES.some((name) => isKind(name) && provenance[name] !== undefined);
  const { addresses } = beneathPin(record);
  const isCorroborated = addresses.every(
    (served) => isSeenBy(served, isNameSource) && isSeenBy(served, isInterfaceSource),
  );
  return isCorroborated ? addresses.map(({ address }) => address) : [];
}

/** Corroborated addresses that the names drop while an interface source lists them. */
export function contradictedBy(
  { byName, byInterfaces }: Said,
  corroborated: readonly string[],
): readonly string[] {
  if (byName.size === 0) return [];
  return corroborated.filter((address) => byInterfaces.has(address) && !byName.has(address));
}
