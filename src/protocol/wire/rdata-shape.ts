/**
 * The shapes of RDATA: for each TYPE that has one, the fields in their order. Whether RDATA has the shape of its TYPE is
 * decided here; unknown TYPEs have none and pass untouched (RFC 3597). What the fields mean is nobody's business here.
 */

import { TYPE } from '../words/codes.ts';
import { uint16At, uint32At } from './header.ts';
import { plainNameEnd, wholeNameEnd } from './message-names.ts';

// Fields of RDATA that are neither names nor of fixed size: whether their content is whole.

/** The offset after a field that starts at `at`, in RDATA that ends at `end`; -1 when it is broken. */
type FieldCheck = (message: Uint8Array, at: number, end: number) => number;

/** By the words that the table of shapes uses. */
const FIELD_CHECKS: Readonly<Record<string, FieldCheck>> = {
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

function stringEnd(message: Uint8Array, at: number, end: number): number {
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

/**
 * The fields of each shape, and the TYPEs that have it. A number is as many octets. The words:
 *
 * - `name`, `host`     a name that may be compressed; the additional section may have the addresses of a `host`
 * - `plain`, `plainhost`  a name that no sender may compress (RFC 3597 section 4); where one did, it is written out
 * - `string`, `strings`   one, or one and more to the end, of the strings with a length octet (RFC 1035 section 3.3)
 * - `some`, `any`      octets to the end: at least one, or perhaps none
 * - the others are named after the field that they check
 */
const TABLE = `
  4: 1 A
  host: 2 NS, 3 MD, 4 MF, 5 CNAME, 7 MB, 12 PTR
  name name 20: 6 SOA
  name: 8 MG, 9 MR
  5 any: 11 WKS
  string string: 13 HINFO
  name name: 14 MINFO
  2 host: 15 MX
  strings: 16 TXT, 20 ISDN, 56 NINFO, 99 SPF, 258 AVC, 261 RESINFO, 262 WALLET, 263 CLA
  plain plain: 17 RP, 58 TALINK
  2 plainhost: 18 AFSDB, 21 RT, 36 KX, 107 LP
  string: 19 X25
  some: 22 NSAP, 34 ATMA, 49 DHCID, 61 OPENPGPKEY
  plain: 23 NSAP-PTR, 39 DNAME
  18 plain any: 24 SIG
  4 any: 25 KEY
  2 plain plain: 26 PX
  string string string: 27 GPOS
  16: 28 AAAA
  location: 29 LOC
  plain some: 30 NXT
  6 plainhost: 33 SRV
  4 string string string plainhost: 35 NAPTR
  5 some: 37 CERT
  a6: 38 A6
  prefixes: 42 APL
  3 digest: 43 DS, 59 CDS, 32768 TA, 32769 DLV
  1 fingerprint: 44 SSHFP
  1 gateway1: 45 IPSECKEY
  18 plain some: 46 RRSIG
  plain types: 47 NSEC
  4 some: 48 DNSKEY, 57 RKEY, 60 CDNSKEY, 256 URI
  4 string hash typesornone: 50 NSEC3
  4 string: 51 NSEC3PARAM
  3 some: 52 TLSA, 53 SMIMEA
  hip: 55 HIP
  6 typesornone: 62 CSYNC
  5 zonedigest: 63 ZONEMD
  2 plainhost params: 64 SVCB, 65 HTTPS
  5 plain: 66 DSYNC
  10: 104 NID, 106 L64
  6: 105 L32, 108 EUI48
  8: 109 EUI64, 264 IPN
  1 tag any: 257 CAA
  9 string any: 259 DOA
  1 gateway0: 260 AMTRELAY
`;

/** A number of octets, a kind of name (below zero), or the check of another field. */
type Field = number | FieldCheck;

const NAME = -1;
const HOST = -2;
const PLAIN = -3;
const PLAIN_HOST = -4;
const NAME_KINDS: Readonly<Record<string, number>> = {
  name: NAME,
  host: HOST,
  plain: PLAIN,
  plainhost: PLAIN_HOST,
};

const shapes = new Map<number, readonly Field[]>();
for (const line of TABLE.trim().split('\n')) {
  const [fields = '', types = ''] = line.split(': ');
  const shape = fields.trim().split(' ').map(fieldOf);
  for (const type of types.split(', ')) shapes.set(Number.parseInt(type, 10), shape);
}

function fieldOf(word: string): Field {
  const field = NAME_KINDS[word] ?? FIELD_CHECKS[word] ?? Number(word);
  if (Number.isNaN(field)) throw new Error(`no such field of RDATA: "${word}"`);
  return field;
}

/** Findings of the last call of `hasShape` beside the shape; one object for all calls. */
export const seen = {
  /** Offset of the last host's name, or 0. */
  hostAt: 0,
  /** A name is compressed where no sender may do so. */
  isWronglyCompressed: false,
};

/** Whether the RDATA from `start` to `end` has the shape of its TYPE. Class IN is meant. */
export function hasShape(message: Uint8Array, type: number, start: number, end: number): boolean {
  seen.hostAt = 0;
  seen.isWronglyCompressed = false;
  // the usual answers, without the table
  if (type === TYPE.A) return end - start === 4;
  if (type === TYPE.AAAA) return end - start === 16;
  const shape = shapes.get(type);
  if (shape === undefined) return true;
  let at = start;
  for (let field = 0; field < shape.length && at >= 0; field++) {
    at = fieldEnd(message, shape[field] ?? 0, at, end);
    if (at > end) return false;
  }
  return at === end;
}

function fieldEnd(message: Uint8Array, field: Field, at: number, end: number): number {
  if (typeof field === 'function') return field(message, at, end);
  return field >= 0 ? at + field : nameEnd(message, field, at, end);
}

function nameEnd(message: Uint8Array, kind: number, at: number, end: number): number {
  const next = wholeNameEnd(message, at);
  if (next < 0 || next > end) return -1;
  if (kind === HOST || kind === PLAIN_HOST) seen.hostAt = at;
  if (kind <= PLAIN && plainNameEnd(message, at, next) !== next) seen.isWronglyCompressed = true;
  return next;
}

/** Takes RDATA in pieces, from the first to the last octet. */
export interface RdataCopier {
  /** Receives a range of octets that the copy keeps as they are. */
  octets(from: number, to: number): void;
  /** Receives the offset of a name, and whether the copier may compress the name. */
  name(at: number, mayCompress: boolean): void;
}

/** Walks RDATA that has the shape of its TYPE: names apart from other octets. */
export function walkRdata(
  message: Uint8Array,
  type: number,
  start: number,
  end: number,
  copier: RdataCopier,
): void {
  let at = start;
  for (const field of shapes.get(type) ?? []) {
    // no name follows a field that is neither octets nor a string
    if (typeof field === 'function' && field !== stringEnd) break;
    const next = fieldEnd(message, field, at, end);
    if (next < 0 || next > end) break;
    if (typeof field === 'number' && field < 0) copier.name(at, field === NAME || field === HOST);
    else copier.octets(at, next);
    at = next;
  }
  copier.octets(at, end);
}
