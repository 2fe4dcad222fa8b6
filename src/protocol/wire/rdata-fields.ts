/**
 * Fields of RDATA that are neither names nor of fixed size: whether their content is whole. response-records.ts says which TYPE has
 * which fields. What the fields mean is nobody's business here.
 */
import { plainNameEnd, uint16At, uint32At } from './message.ts';

/** The offset after a field that starts at `at`, in RDATA that ends at `end`; -1 when it is broken. */
export type FieldCheck = (message: Uint8Array, at: number, end: number) => number;

/** By the words that the table of shapes uses. */
export const FIELD_CHECKS: Readonly<Record<string, FieldCheck>> = {
  string: stringEnd,
  strings: (message, at, end) => {
    let next = stringEnd(message, at, end);
    while (next >= 0 && next < end) next = stringEnd(message, next, end);
    return next;
  },
  some: (_message, at, end) => (end > at ? end : -1),
  any: (_message, at, end) => (end >= at ? end : -1),
  location: isLocation,
  a6: isA6,
  prefixes: arePrefixes,
  digest: (message, at, end) => digestEnd(DS_DIGESTS, message, at, end),
  fingerprint: (message, at, end) => digestEnd(FINGERPRINTS, message, at, end),
  gateway0: (message, at, end) => gatewayEnd(message, at, end, 0, 0x7f),
  gateway1: (message, at, end) => gatewayEnd(message, at, end, 1, 0xff),
  types: (message, at, end) => (end > at ? typeBitmapEnd(message, at, end) : -1),
  typesornone: typeBitmapEnd,
  hash: (message, at, end) => ((message[at] ?? 0) > 0 ? stringEnd(message, at, end) : -1),
  hip: isHip,
  zonedigest: (message, at, end) => {
    const next = digestEnd(ZONE_DIGESTS, message, at, end);
    return next - at > 12 ? next : -1; // RFC 8976 section 2.2.4: at least 12 octets
  },
  params: serviceParamsEnd,
  tag: (message, at, end) => {
    const next = stringEnd(message, at, end);
    // RFC 8659 section 4.1: a tag has letters and digits, and is not empty
    if (next <= at + 1) return -1;
    for (let i = at + 1; i < next; i++) if (!isAlphanumeric(message[i] ?? 0)) return -1;
    return next;
  },
};

export function stringEnd(message: Uint8Array, at: number, end: number): number {
  if (at >= end) return -1;
  const next = at + 1 + (message[at] ?? 0);
  return next > end ? -1 : next;
}

function isAlphanumeric(octet: number): boolean {
  const letter = octet | 0x20;
  return (octet >= 0x30 && octet <= 0x39) || (letter >= 0x61 && letter <= 0x7a);
}

/** Octets of a digest by its type, which is the octet before it: RFC 4034, 4509, 6605; RFC 4255, 6594; RFC 8976. */
const DS_DIGESTS: Readonly<Record<number, number>> = { 1: 20, 2: 32, 4: 48 };
const FINGERPRINTS: Readonly<Record<number, number>> = { 1: 20, 2: 32 };
const ZONE_DIGESTS: Readonly<Record<number, number>> = { 1: 48, 2: 64 };

/** The type of the digest is the field's first octet. */
function digestEnd(
  sizes: Readonly<Record<number, number>>,
  message: Uint8Array,
  at: number,
  end: number,
): number {
  const octets = end - at - 1;
  const wanted = sizes[message[at] ?? 0];
  return octets >= 1 && (wanted === undefined || octets === wanted) ? end : -1;
}

/** RFC 1876 section 2. A version other than 0 may have another form. */
function isLocation(message: Uint8Array, at: number, end: number): number {
  if (at >= end) return -1;
  if ((message[at] ?? 0) !== 0) return end;
  if (end - at !== 16) return -1;
  for (let i = at + 1; i < at + 4; i++) {
    const octet = message[i] ?? 0;
    if (octet >>> 4 > 9 || (octet & 0x0f) > 9) return -1;
  }
  const degrees = (from: number): number => Math.abs(uint32At(message, from) - 0x8000_0000) / 3_600_000;
  return degrees(at + 4) <= 90 && degrees(at + 8) <= 180 ? end : -1;
}

/** RFC 2874 section 3.1. */
function isA6(message: Uint8Array, at: number, end: number): number {
  const prefix = message[at] ?? 0;
  if (at >= end || prefix > 128) return -1;
  const suffixEnd = at + 1 + 16 - Math.floor(prefix / 8);
  if (prefix === 0) return suffixEnd;
  return suffixEnd < end && plainNameEnd(message, suffixEnd, end) === end ? end : -1;
}

/** RFC 3123 section 4: each item has a family, a prefix, and the octets of the address without zeros at the end. */
function arePrefixes(message: Uint8Array, at: number, end: number): number {
  let next = at;
  while (next + 4 <= end) {
    const family = uint16At(message, next);
    const octets = (message[next + 3] ?? 0) & 0x7f;
    const most = family === 1 ? 4 : family === 2 ? 16 : 127;
    if (octets > most || (family <= 2 && (message[next + 2] ?? 0) > most * 8)) return -1;
    next += 4 + octets;
    if (octets > 0 && (next > end || (message[next - 1] ?? 0) === 0)) return -1;
  }
  return next;
}

/** RFC 4025 section 2.1, RFC 8777 section 4.2: the gateway's type, with `between` other octets between, then the gateway. */
function gatewayEnd(message: Uint8Array, at: number, end: number, between: number, typeMask: number): number {
  const gateway = at + 1 + between;
  if (gateway > end) return -1;
  const rest = gatewayOctets(message, (message[at] ?? 0) & typeMask, gateway, end);
  return rest < 0 || rest > end ? -1 : end;
}

function gatewayOctets(message: Uint8Array, type: number, at: number, end: number): number {
  if (type === 1) return at + 4;
  if (type === 2) return at + 16;
  return type === 3 ? plainNameEnd(message, at, end) : at;
}

/** RFC 4034 section 4.1.2: blocks of up to 32 octets in ascending order, none of which ends in a zero. */
function typeBitmapEnd(message: Uint8Array, at: number, end: number): number {
  let block = -1;
  let next = at;
  while (next + 2 < end) {
    const number = message[next] ?? 0;
    const octets = message[next + 1] ?? 0;
    if (number <= block || octets === 0 || octets > 32) return -1;
    block = number;
    next += 2 + octets;
    if (next > end || (message[next - 1] ?? 0) === 0) return -1;
  }
  return next === end ? end : -1;
}

/** RFC 8005 section 5. */
function isHip(message: Uint8Array, at: number, end: number): number {
  if (end - at < 4) return -1;
  const tag = message[at] ?? 0;
  const key = uint16At(message, at + 2);
  if (tag === 0 || key === 0) return -1;
  let next = at + 4 + tag + key;
  while (next >= 0 && next < end) next = plainNameEnd(message, next, end);
  return next;
}

/** RFC 9460 section 2.2: key, length and value, keys in ascending order. */
function serviceParamsEnd(message: Uint8Array, at: number, end: number): number {
  let last = -1;
  let next = at;
  while (next + 4 <= end) {
    const key = uint16At(message, next);
    const value = next + 4;
    const valueEnd = value + uint16At(message, next + 2);
    if (key <= last || valueEnd > end || !isServiceParam(message, key, value, valueEnd)) return -1;
    last = key;
    next = valueEnd;
  }
  return next;
}

/** RFC 9460 section 7, RFC 9461 section 5, RFC 9540 section 4: the keys whose values have a shape. */
function isServiceParam(message: Uint8Array, key: number, at: number, end: number): boolean {
  const octets = end - at;
  switch (key) {
    case 0: // mandatory: other keys, in ascending order
      if (octets === 0 || octets % 2 !== 0 || uint16At(message, at) === 0) return false;
      for (let i = at + 2; i < end; i += 2) {
        if (uint16At(message, i) <= uint16At(message, i - 2)) return false;
      }
      return true;
    case 1: // alpn: strings that are not empty
      for (let next = at; next < end; next += 1 + (message[next] ?? 0)) {
        if ((message[next] ?? 0) === 0 || next + 1 + (message[next] ?? 0) > end) return false;
      }
      return octets > 0;
    case 2: // no-default-alpn
    case 8: // ohttp
      return octets === 0;
    case 3: // port
      return octets === 2;
    case 4: // ipv4hint
      return octets > 0 && octets % 4 === 0;
    case 6: // ipv6hint
      return octets > 0 && octets % 16 === 0;
    default:
      return true;
  }
}
