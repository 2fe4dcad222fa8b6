/**
 * The shapes of RDATA: for each TYPE that has one, the fields in their order. Whether RDATA has the shape of its TYPE is
 * decided here; unknown TYPEs have none and pass untouched (RFC 3597). What the fields mean is nobody's business here.
 */

import { FIELD_CHECKS, type FieldCheck, stringEnd } from './rdata-fields.ts';
import { isPlainName, wholeNameEnd } from './response-records.ts';

/**
 * TYPE, mnemonic, fields. A number is as many octets. The words:
 *
 * - `name`, `host`     a name that may be compressed; the additional section may have the addresses of a `host`
 * - `plain`, `plainhost`  a name that no sender may compress (RFC 3597 section 4); where one did, it is written out
 * - `string`, `strings`   one, or one and more to the end, of the strings with a length octet (RFC 1035 section 3.3)
 * - `some`, `any`      octets to the end: at least one, or perhaps none
 * - the others are named after the field that they check
 */
const TABLE = `
  1 A 4
  2 NS host
  3 MD host
  4 MF host
  5 CNAME host
  6 SOA name name 20
  7 MB host
  8 MG name
  9 MR name
  11 WKS 5 any
  12 PTR host
  13 HINFO string string
  14 MINFO name name
  15 MX 2 host
  16 TXT strings
  17 RP plain plain
  18 AFSDB 2 plainhost
  19 X25 string
  20 ISDN strings
  21 RT 2 plainhost
  22 NSAP some
  23 NSAP-PTR plain
  24 SIG 18 plain any
  25 KEY 4 any
  26 PX 2 plain plain
  27 GPOS string string string
  28 AAAA 16
  29 LOC location
  30 NXT plain some
  33 SRV 6 plainhost
  34 ATMA some
  35 NAPTR 4 string string string plainhost
  36 KX 2 plainhost
  37 CERT 5 some
  38 A6 a6
  39 DNAME plain
  42 APL prefixes
  43 DS 3 digest
  44 SSHFP 1 fingerprint
  45 IPSECKEY 1 gateway1
  46 RRSIG 18 plain some
  47 NSEC plain types
  48 DNSKEY 4 some
  49 DHCID some
  50 NSEC3 4 string hash typesornone
  51 NSEC3PARAM 4 string
  52 TLSA 3 some
  53 SMIMEA 3 some
  55 HIP hip
  56 NINFO strings
  57 RKEY 4 some
  58 TALINK plain plain
  59 CDS 3 digest
  60 CDNSKEY 4 some
  61 OPENPGPKEY some
  62 CSYNC 6 typesornone
  63 ZONEMD 5 zonedigest
  64 SVCB 2 plainhost params
  65 HTTPS 2 plainhost params
  66 DSYNC 5 plain
  99 SPF strings
  104 NID 10
  105 L32 6
  106 L64 10
  107 LP 2 plainhost
  108 EUI48 6
  109 EUI64 8
  256 URI 4 some
  257 CAA 1 tag any
  258 AVC strings
  259 DOA 9 string any
  260 AMTRELAY 1 gateway0
  261 RESINFO strings
  262 WALLET strings
  263 CLA strings
  264 IPN 8
  32768 TA 3 digest
  32769 DLV 3 digest
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
  const [type, , ...fields] = line.trim().split(' ');
  shapes.set(Number(type), fields.map(fieldOf));
}

function fieldOf(word: string): Field {
  const field = NAME_KINDS[word] ?? FIELD_CHECKS[word] ?? Number(word);
  if (Number.isNaN(field)) throw new Error(`no such field of RDATA: "${word}"`);
  return field;
}

/** TYPEs of the usual answers, which are recognized without the table. */
const A = 1;
const AAAA = 28;

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
  if (type === A) return end - start === 4;
  if (type === AAAA) return end - start === 16;
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
  if (kind <= PLAIN && !isPlainName(message, at, next)) seen.isWronglyCompressed = true;
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
