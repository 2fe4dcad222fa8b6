/**
 * The registered domain of a name: "example.com", "example.co.uk", a reverse zone of 16 bits. The shape of the name decides;
 * a list of public suffixes would only move the border by one label.
 */
import type { Query } from '../../protocol/wire/query.ts';
import { lower } from '../../protocol/words/name.ts';

const IN_ADDR_LABELS = 4; // 16 bits of an IPv4 address under in-addr.arpa
const IP6_LABELS = 10; // 32 bits of an IPv6 address under ip6.arpa
const COUNTRY_OCTETS = 2;
/** Registries below a country's: "co", "ac", "com", "gov". */
const REGISTRY_OCTETS = 3;

/** Labels of the registered domain; `first` and `second` are the offsets of the name's last two labels. */
export function domainDepth(octets: Uint8Array, first: number, second: number, labelCount: number): number {
  return Math.min(labelCount, usualDepth(octets, first, second, labelCount));
}

/** As `domainDepth`, for the name of a query. */
export function queryDomainDepth({ octets, nameStart, labelStarts, labelCount }: Query): number {
  const first = nameStart + (labelStarts[1] ?? 0);
  return domainDepth(octets, first, nameStart + (labelStarts[2] ?? 0), labelCount);
}

export function domainHash(query: Query): number {
  return query.suffixHashes[queryDomainDepth(query)] ?? 0;
}

function usualDepth(octets: Uint8Array, first: number, second: number, labelCount: number): number {
  if (labelCount < 3) return 2;
  if (isLabel(octets, first, ARPA)) {
    if (isLabel(octets, second, IN_ADDR)) return IN_ADDR_LABELS;
    return isLabel(octets, second, IP6) ? IP6_LABELS : 2;
  }
  const isBelowCountry = octets[first] === COUNTRY_OCTETS && (octets[second] ?? 0) <= REGISTRY_OCTETS;
  return isBelowCountry ? 3 : 2;
}

const ARPA = Buffer.from('arpa');
const IN_ADDR = Buffer.from('in-addr');
const IP6 = Buffer.from('ip6');

function isLabel(octets: Uint8Array, at: number, label: Uint8Array): boolean {
  if (octets[at] !== label.length) return false;
  for (let i = 0; i < label.length; i++) if (lower(octets[at + 1 + i] ?? 0) !== label[i]) return false;
  return true;
}
