/**
 * A response as its readers know it: its index, what it says in a word, and a walk over its records. Below: the shapes of RDATA,
 * for each TYPE that has one, the fields in their order; unknown TYPEs have none and pass untouched (RFC 3597). Nothing here
 * decides whether a response is accepted: response.ts does.
 */
import { type ExtendedErrors, RCODE, rcodeName, TYPE } from '../words/codes.ts';
import {
  FIXED_RR_OCTETS,
  FLAG,
  HEADER_OCTETS,
  plainNameEnd,
  skipName,
  uint16At,
  wholeNameEnd,
} from './message.ts';
import { FIELD_CHECKS, type FieldCheck, stringEnd } from './rdata-fields.ts';

/** The places of a response's parts; offsets count from the message's first octet. */
export interface ResponseIndex {
  readonly kind: 'response';
  /** All 12 bits, those from OPT included. */
  readonly rcode: number;
  readonly flags: number;
  readonly questionEnd: number;
  readonly qtype: number;
  readonly qclass: number;
  readonly answerCount: number;
  readonly authorityCount: number;
  /** Additional records before OPT; records after OPT are additional too, and are left out. */
  readonly additionalCount: number;
  /** The end of the last record that is kept: OPT is hop by hop (RFC 6891 section 6.1.1) and never part of it. */
  readonly end: number;
  /** Offset of every kept record's TTL field. Shared with other messages: never change it. */
  readonly ttlOffsets: Uint16Array;
  /** The smallest TTL of answer and authority; `undefined` without such records. */
  readonly minimumTtlSeconds: number | undefined;
  /** The smaller of the SOA's own TTL and its MINIMUM (RFC 2308 section 5); `undefined` without SOA. */
  readonly negativeTtlSeconds: number | undefined;
  /** Whether the answer section has a record of the QTYPE (any, for ANY). */
  readonly answersQtype: boolean;
  /** The aliases that lead away from the QNAME; most responses have none. */
  readonly aliases: AliasNote | undefined;
  readonly hasEdns: boolean;
  /** Those in OPT (RFC 8914). */
  readonly extendedError: ExtendedErrors | undefined;
  /** Every record belongs to the question, and no name is compressed where it must not be. */
  readonly isTidy: boolean;
}

/** Whether the answer has the type asked for, or an alias whose target the response does not answer. */
export function isPositive({ answersQtype, aliases, negativeTtlSeconds }: ResponseIndex): boolean {
  return answersQtype || (aliases?.isOpen === true && negativeTtlSeconds === undefined);
}

/** Whether a response is about the name that was asked for; all others are about the server that was asked. */
export function isAboutName(index: ResponseIndex): boolean {
  const { rcode } = index;
  // RFC 6672 section 2.2: YXDOMAIN says that a DNAME made the name too long
  return (
    (rcode === RCODE.NOERROR && !isReferral(index)) || rcode === RCODE.NXDOMAIN || rcode === RCODE.YXDOMAIN
  );
}

/**
 * Whether a server without authority for the name, and without recursion, points to other servers (RFC 2308 section 2.2: no
 * answer, and an authority section without SOA). The name may well exist. A resolver (RA) has asked those servers itself.
 */
export function isReferral({
  rcode,
  flags,
  answerCount,
  authorityCount,
  negativeTtlSeconds,
}: ResponseIndex): boolean {
  if (rcode !== RCODE.NOERROR || answerCount > 0 || authorityCount === 0) return false;
  return negativeTtlSeconds === undefined && (flags & (FLAG.AA | FLAG.RA)) === 0;
}

/**
 * The index of a response that points to the servers of the root, with flags that say so, for `isReferral`. Forwarders pass such
 * a response of a server without recursion on as their own. No server that has the answer gives the root's servers alone.
 */
export function asReferral(octets: Uint8Array, index: ResponseIndex): ResponseIndex {
  if (octets[index.questionEnd] !== 0 || octets[HEADER_OCTETS] === 0) return index;
  const upward = { ...index, flags: index.flags & ~(FLAG.AA | FLAG.RA) };
  return isReferral(upward) ? upward : index;
}

/** Whether a reply to a question with EDNS says that its server does not take EDNS (RFC 6891 sections 6.1.3 and 7). */
export function refusesEdns({ rcode }: ResponseIndex): boolean {
  return rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP || rcode === RCODE.BADVERS;
}

/** Bounded, because each is a metric label. */
export type UnhelpfulReply = 'SERVFAIL' | 'REFUSED' | 'referral';

/** A failure that is not of the network: the server says that it could not, or would not, answer this question. */
export function unhelpfulReply(index: ResponseIndex): UnhelpfulReply | undefined {
  if (index.rcode === RCODE.SERVFAIL) return 'SERVFAIL';
  if (index.rcode === RCODE.REFUSED) return 'REFUSED';
  return isReferral(index) ? 'referral' : undefined;
}

/** What a response says, in a word. */
export function replyName(index: ResponseIndex): string {
  return isReferral(index) ? 'referral' : rcodeName(index.rcode);
}

/** Sections of a response after its question. */
export const SECTION = { answer: 0, authority: 1, additional: 2 } as const;

/** A record in its message. Reused: valid only during the call that it is handed to. */
export interface RecordPlace {
  section: number;
  /** The place among the records of the message that are kept, from 0. */
  ordinal: number;
  /** Offsets of the owner, of TYPE, of the RDATA, and of the octet after it. */
  ownerAt: number;
  typeAt: number;
  rdataAt: number;
  end: number;
  type: number;
}

/** Where the records of a message stand. */
export type Sections = Pick<
  ResponseIndex,
  'questionEnd' | 'answerCount' | 'authorityCount' | 'additionalCount'
>;

/** Calls `visit` for each record of an indexed message, in its order; OPT and records after it are left out. */
export function forEachRecord(
  message: Uint8Array,
  index: Sections,
  visit: (record: RecordPlace) => void,
): void {
  const record = {
    section: 0,
    ordinal: 0,
    ownerAt: 0,
    typeAt: 0,
    rdataAt: 0,
    end: index.questionEnd,
    type: 0,
  };
  const counts = [index.answerCount, index.authorityCount, index.additionalCount];
  for (const [section, count] of counts.entries()) {
    record.section = section;
    for (let left = count; left > 0; left--) {
      record.ownerAt = record.end;
      record.typeAt = skipName(message, record.ownerAt, message.length);
      record.rdataAt = record.typeAt + FIXED_RR_OCTETS;
      record.end = record.rdataAt + uint16At(message, record.typeAt + 8);
      record.type = uint16At(message, record.typeAt);
      visit(record);
      record.ordinal++;
    }
  }
}

/** The type that an RRSIG covers, or else the record's own (RFC 4034 section 3.1.1). */
export function coveredType(message: Uint8Array, type: number, rdataAt: number): number {
  return type === TYPE.RRSIG ? uint16At(message, rdataAt) : type;
}

/** Whether a record proves that something is not there: its owner may be any name of the zone. */
export function isDenial(type: number): boolean {
  return type === TYPE.NSEC || type === TYPE.NSEC3;
}

const MAX_TTL = 0x7fff_ffff; // RFC 2181 section 8

/** RFC 8767 section 4: a TTL with its top bit set is a large one (RFC 2181 section 8 had it as zero). */
export function boundedTtl(ttl: number): number {
  return Math.min(ttl, MAX_TTL);
}

/** Aliases that are followed for one question: real chains have a handful, and a longer one is a loop or a mistake. */
export const MAX_ALIASES = 16;

/** Remembered with a kept response that has aliases, so that a cache hit needs no search. */
export class AliasNote {
  /** The response ends in an alias without an answer for its target: the target has to be asked for. */
  readonly isOpen: boolean;
  /** For the resolver: numbers of the tables and of the retained names by which nobody else answers for any target. */
  clearAtTables = -1;
  clearAtRetained = -1;

  constructor(isOpen: boolean) {
    this.isOpen = isOpen;
  }
}

/** The note of an answer that is known to end in an alias. */
export const OPEN_ALIAS = new AliasNote(true);

/** Whether aliases are followed for a QTYPE: those that ask for the alias itself end at it (RFC 1034 section 3.6.2). */
export function followsAliases(qtype: number): boolean {
  return qtype !== TYPE.CNAME && qtype !== TYPE.ANY;
}

// The shapes of RDATA.

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
