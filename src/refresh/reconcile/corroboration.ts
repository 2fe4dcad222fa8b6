/**
 * Joins the evidence of both kinds of source: decides how large a loss is, and which addresses stay although the listing of EC2
 * lacks them. Pure.
 *
 * A listing is eventually consistent: an interface may be missing for minutes while AWS patches the interface. An address that
 * the listing lacks stays:
 *
 *     the name has it                                         as long as the name has it
 *     the name had it while the listing lacked it             until the listing has lacked it for an hour
 *     the name is silent, and had it in its last answer       for a day of that silence
 *     no name ever had it, and most of the set is listed      until the listing has lacked it for an hour
 *
 * When name and listing both lack most of the set, the set is new: the guard holds the new set until the sources repeat it.
 */
import type { EndpointRecord, ServedAddress } from '../../records/endpoint-record.ts';
import {
  isInterfaceSource,
  isNameSource,
  type NameSource,
  SOURCE_NAMES,
  type SourceName,
} from '../../records/sources.ts';
import { withoutPin } from './pin.ts';

/** Far longer than EC2 takes to agree with itself, and than the patch of one instance. */
const HOUR_MS = 3_600_000;
/** How long the last answer of a silent name speaks for an address. */
const DAY_MS = 24 * HOUR_MS;
const NAME_SOURCES: readonly NameSource[] = SOURCE_NAMES.filter(isNameSource);

/** Which addresses each kind of source names at this moment; empty where a kind is silent. */
export interface Claims {
  readonly byName: ReadonlySet<string>;
  readonly byInterfaces: ReadonlySet<string>;
  /** When EC2 gave its part of `byInterfaces`; absent where EC2 is silent. */
  readonly listedAtMs?: number | undefined;
}

/** The addresses that stay although the candidate lacks them, each with the time since which the listing lacks it. */
export function sparedAddresses(
  { addresses, confirmedAtMs }: Pick<EndpointRecord, 'addresses' | 'confirmedAtMs'>,
  claims: Claims,
  corroborated: readonly string[],
  nowMs: number,
): ReadonlyMap<string, number> {
  const { byName, byInterfaces, listedAtMs } = claims;
  const isAtMostHalf = (some: readonly string[]) => some.length * 2 <= corroborated.length;
  const unlisted = corroborated.filter((address) => !byInterfaces.has(address));
  const isMostListed = isAtMostHalf(unlisted);
  const isMostListedOrNamed = isAtMostHalf(unlisted.filter((address) => !byName.has(address)));
  const spared = new Map<string, number>();
  for (const served of addresses) {
    const { address, lackedSinceMs } = served;
    if (byInterfaces.has(address)) continue;
    if (listedAtMs === undefined) {
      // a silent EC2 neither confirms nor withdraws what it said before
      if (lackedSinceMs !== undefined) spared.set(address, lackedSinceMs);
      continue;
    }
    const sinceMs = lackedSinceMs ?? listedAtMs;
    const isHourOver = listedAtMs - sinceMs >= HOUR_MS;
    const hasName = byName.size > 0;
    const isNamed = hasName ? byName.has(address) : wasLastNamed(served, confirmedAtMs, nowMs);
    const wasNamed = lackedSinceMs !== undefined && wasNamedSince(served, lackedSinceMs);
    const isInGrace = !isHourOver && (hasName ? wasNamed && isMostListedOrNamed : isMostListed);
    if (isNamed || isInGrace) spared.set(address, sinceMs);
  }
  return spared;
}

/** Whether a name source had the address while the listing already lacked it, and so contradicted the listing. */
function wasNamedSince({ provenance }: ServedAddress, sinceMs: number): boolean {
  return NAME_SOURCES.some((source) => (provenance[source]?.lastSeenMs ?? -Infinity) >= sinceMs);
}

/** Whether a name source had the address in its last answer, at most a day ago. */
function wasLastNamed(
  { provenance }: ServedAddress,
  confirmedAtMs: EndpointRecord['confirmedAtMs'],
  nowMs: number,
): boolean {
  return NAME_SOURCES.some((source) => {
    const answeredAtMs = confirmedAtMs[source];
    if (answeredAtMs === undefined || nowMs - answeredAtMs > DAY_MS) return false;
    return (provenance[source]?.lastSeenMs ?? -Infinity) >= answeredAtMs;
  });
}

/**
 * The corroborated set after both kinds have answered: an address comes in when both have it, and goes when both lack it. An
 * address that one kind alone drops stays in, so that many small losses never add up to a large one.
 *
 * @returns empty where nothing was corroborated before and `served` is not whole now
 */
export function corroborate(
  before: readonly string[],
  { byName, byInterfaces }: Claims,
  served: readonly string[],
): readonly string[] {
  const kept = before.filter((address) => byName.has(address) || byInterfaces.has(address));
  const coming = [...byName].filter((address) => byInterfaces.has(address) && !kept.includes(address));
  const after = [...kept, ...coming];
  return before.length === 0 && !served.every((address) => after.includes(address)) ? [] : after;
}

/**
 * The corroborated set of a record. A state file of an earlier version does not have it. Then it is the served set, if both
 * kinds of source have seen all of that set.
 */
export function corroboratedBefore(record: EndpointRecord): readonly string[] {
  if (record.corroborated !== undefined) return record.corroborated;
  const isSeenBy = ({ provenance }: ServedAddress, isKind: (name: SourceName) => boolean) =>
    SOURCE_NAMES.some((name) => isKind(name) && provenance[name] !== undefined);
  const { addresses } = withoutPin(record);
  const isCorroborated = addresses.every(
    (served) => isSeenBy(served, isNameSource) && isSeenBy(served, isInterfaceSource),
  );
  return isCorroborated ? addresses.map(({ address }) => address) : [];
}

/** Corroborated addresses that the names drop while an interface source lists them. */
export function contradictedBy(
  { byName, byInterfaces }: Claims,
  corroborated: readonly string[],
): readonly string[] {
  if (byName.size === 0) return [];
  return corroborated.filter((address) => byInterfaces.has(address) && !byName.has(address));
}
