/**
 * The addresses that EC2's own names carry: `ip-10-0-3-10` as a label, and the labels of a reverse name. Straight from
 * the question's octets, bounded by the length of a label, without a string or an object.
 */
import type { Query } from '../../protocol/wire/query.ts';
import { lower } from '../../protocol/words/name.ts';

const SHORTEST = 'ip-0-0-0-0'.length;
const LONGEST = 'ip-255-255-255-255'.length;
const [LETTER_I, LETTER_P, HYPHEN, ZERO, NINE] = [0x69, 0x70, 0x2d, 0x30, 0x39];

/** No address: what both parsers return for a label that is not of their kind. */
export const NONE = -1;

/** The address in the label whose length octet stands at `at`, as an unsigned 32-bit integer, or NONE. */
export function addressOfLabel(octets: Uint8Array, at: number): number {
  const length = octets[at] ?? 0;
  if (length < SHORTEST || length > LONGEST) return NONE;
  // RFC 4343: the case of the question says nothing
  if (lower(octets[at + 1] ?? 0) !== LETTER_I || lower(octets[at + 2] ?? 0) !== LETTER_P) return NONE;
  const end = at + 1 + length;
  let address = 0;
  let next = at + 3;
  for (let part = 0; part < 4; part++) {
    if (octets[next] !== HYPHEN) return NONE;
    const start = ++next;
    while (next < end && octets[next] !== HYPHEN) next++;
    const value = octetIn(octets, start, next);
    if (value === NONE) return NONE;
    address = address * 256 + value;
  }
  return next === end ? address : NONE;
}

/** The number from 0 to 255 that the label of a reverse name at `at` (its length octet) stands for, or NONE. */
export function octetOfLabel(octets: Uint8Array, at: number): number {
  return octetIn(octets, at + 1, at + 1 + (octets[at] ?? 0));
}

/** Decimal without leading zeros, as EC2 writes it and RFC 1035 section 3.5 has it. */
function octetIn(octets: Uint8Array, start: number, end: number): number {
  if (end - start < 1 || end - start > 3) return NONE;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = octets[at] ?? 0;
    if (digit < ZERO || digit > NINE) return NONE;
    value = value * 10 + (digit - ZERO);
  }
  const hasLeadingZero = end - start > 1 && octets[start] === ZERO;
  return hasLeadingZero || value > 255 ? NONE : value;
}

/** The offset of the length octet of the first label of the query's suffix of `depth` labels. */
export function labelAt(query: Query, depth: number): number {
  return query.nameStart + (query.labelStarts[depth] ?? 0);
}
