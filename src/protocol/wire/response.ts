/**
 * Responses from upstreams as received octets: one pass finds what the cache and the reply need, and proves
 * that every record lies inside the message. RDATA is never read, save where a TTL, an address or an alias
 * is asked for, and nothing is ever composed again (RFC 3597).
 */
import { lower } from '../words/name.ts';
import { TYPE } from '../words/types.ts';
import { AliasNote, aliasChain, followsAliases } from './alias-chain.ts';
import { FLAG, HEADER_OCTETS, uint16At, uint32At } from './header.ts';
import { skipName } from './query.ts';

const FIXED_RR_OCTETS = 10; // TYPE, CLASS, TTL, RDLENGTH
const MAX_RECORDS = 4096; // 65,535 octets hold at most 5,957 records of eleven octets; none that is honest comes near
const MAX_TTL = 0x7fff_ffff; // RFC 2181 section 8
const NONE = -1; // no TTL

/** Where a response's parts lie; offsets count from the message's first octet. */
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
  /** Additional records in front of OPT; what follows OPT is additional too and is left out. */
  readonly additionalCount: number;
  /** Behind the last record that is kept: OPT is hop by hop (RFC 6891 section 6.1.1) and never part of it. */
  readonly end: number;
  /** Offset of every kept record's TTL field. Shared with other messages: never change it. */
  readonly ttlOffsets: Uint16Array;
  /** The smallest TTL of answer and authority; `undefined` without such records. */
  readonly minimumTtlSeconds: number | undefined;
  /** The smaller of the SOA's own TTL and its MINIMUM (RFC 2308 section 5); `undefined` without SOA. */
  readonly negativeTtlSeconds: number | undefined;
  /** Whether the answer section has a record of the QTYPE (any, for ANY). */
  readonly answersQtype: boolean;
  /** Where the answer has aliases that lead away from the QNAME; most have none. */
  readonly aliases: AliasNote | undefined;
  readonly hasEdns: boolean;
}

/** Why a message is not usable as a response; `reason` is a constant text. */
export interface ResponseFault {
  readonly kind: 'fault';
  readonly reason:
    | 'too short'
    | 'not a response'
    | 'question broken'
    | 'record broken'
    | 'too many records'
    | 'opt broken';
}

const fault = (reason: ResponseFault['reason']): ResponseFault => ({ kind: 'fault', reason });

/** What one pass finds; one for all messages, as none is looked at while another is. */
const scan = {
  /** Offsets of the TTL fields so far. */
  ttlOffsets: new Uint16Array(MAX_RECORDS),
  ttls: 0,
  minimumTtl: NONE,
  negativeTtl: NONE,
  answersQtype: false,
  hasAlias: false,
  hasOpt: false,
  extendedRcode: 0,
  keptAdditional: 0,
  end: 0,
};

/** Indexes the whole of `message`. */
export function indexResponse(message: Uint8Array): ResponseIndex | ResponseFault {
  if (message.length < HEADER_OCTETS) return fault('too short');
  const flags = uint16At(message, 2);
  if ((flags & FLAG.QR) === 0) return fault('not a response');
  if (uint16At(message, 4) !== 1) return fault('question broken');
  const nameEnd = skipName(message, HEADER_OCTETS, message.length);
  if (nameEnd < 0 || nameEnd + 4 > message.length) return fault('question broken');
  const answerCount = uint16At(message, 6);
  const authorityCount = uint16At(message, 8);
  if (answerCount + authorityCount + uint16At(message, 10) > MAX_RECORDS) return fault('too many records');
  const qtype = uint16At(message, nameEnd);
  const broken = scanMessage(message, nameEnd + 4, qtype);
  if (broken !== undefined) return broken;
  const rcode = (flags & FLAG.RCODE) | (scan.extendedRcode << 4);
  const questionEnd = nameEnd + 4;
  const aliases =
    scan.hasAlias && followsAliases(qtype)
      ? noteAliases(message, { rcode, questionEnd, qtype, answerCount, authorityCount })
      : undefined;
  return {
    kind: 'response',
    rcode,
    flags,
    questionEnd,
    qtype,
    qclass: uint16At(message, nameEnd + 2),
    answerCount,
    authorityCount,
    additionalCount: scan.keptAdditional,
    end: scan.end,
    ttlOffsets: sharedOffsets(scan.ttlOffsets, scan.ttls),
    minimumTtlSeconds: scan.minimumTtl === NONE ? undefined : scan.minimumTtl,
    negativeTtlSeconds: scan.negativeTtl === NONE ? undefined : scan.negativeTtl,
    answersQtype: scan.answersQtype,
    aliases,
    hasEdns: scan.hasOpt,
  };
}

/** Whether the answer has what was asked for, or an alias of whose target nothing is said. */
export function isPositive({ answersQtype, aliases, negativeTtlSeconds }: ResponseIndex): boolean {
  return answersQtype || (aliases?.isOpen === true && negativeTtlSeconds === undefined);
}

function noteAliases(message: Uint8Array, sections: Parameters<typeof aliasChain>[1]): AliasNote | undefined {
  const { aliases, end } = aliasChain(message, sections);
  return aliases.length === 0 ? undefined : new AliasNote(end === 'open');
}

/** All three sections, into `scan`. */
function scanMessage(message: Uint8Array, from: number, qtype: number): ResponseFault | undefined {
  scan.ttls = 0;
  scan.minimumTtl = NONE;
  scan.negativeTtl = NONE;
  scan.answersQtype = false;
  scan.hasAlias = false;
  scan.hasOpt = false;
  scan.extendedRcode = 0;
  scan.keptAdditional = 0;
  scan.end = from;
  let at = from;
  for (let section = 0; section < 3; section++) {
    for (let left = uint16At(message, 6 + section * 2); left > 0; left--) {
      const ownerEnd = skipName(message, at, message.length);
      if (ownerEnd < 0 || ownerEnd + FIXED_RR_OCTETS > message.length) return fault('record broken');
      const next = ownerEnd + FIXED_RR_OCTETS + uint16At(message, ownerEnd + 8);
      if (next > message.length) return fault('record broken');
      if (uint16At(message, ownerEnd) === TYPE.OPT) {
        if (section !== 2 || scan.hasOpt || ownerEnd !== at + 1) return fault('opt broken');
        scan.hasOpt = true;
        scan.extendedRcode = message[ownerEnd + 4] ?? 0;
      } else if (!scan.hasOpt) {
        noteRecord(message, ownerEnd, next, section, qtype);
        scan.end = next;
      }
      at = next;
    }
  }
  return undefined;
}

function noteRecord(message: Uint8Array, typeAt: number, next: number, section: number, qtype: number): void {
  const type = uint16At(message, typeAt);
  const ttl = boundedTtl(uint32At(message, typeAt + 4));
  scan.ttlOffsets[scan.ttls++] = typeAt + 4;
  if (section === 2) {
    scan.keptAdditional++;
    return;
  }
  if (scan.minimumTtl === NONE || ttl < scan.minimumTtl) scan.minimumTtl = ttl;
  if (section === 0) {
    if (type === qtype || qtype === TYPE.ANY) scan.answersQtype = true;
    else if (type === TYPE.CNAME || type === TYPE.DNAME) scan.hasAlias = true;
  }
  if (section === 1 && type === TYPE.SOA && next - typeAt >= FIXED_RR_OCTETS + 22) {
    scan.negativeTtl = Math.min(ttl, boundedTtl(uint32At(message, next - 4)));
  }
}

/** Answers of one shape have their TTLs in the same places: the arrays of the usual ones are shared by all of them. */
const shared = new Map<number, Uint16Array>();
const MAX_SHARED = 4096;

function sharedOffsets(offsets: Uint16Array, count: number): Uint16Array {
  const first = offsets[0] ?? 0;
  const step = count > 1 ? (offsets[1] ?? 0) - first : 0;
  // where all are equally far from each other, as addresses of one name are, three numbers say it all
  let isRegular = count < 64 && step < 256;
  for (let at = 2; isRegular && at < count; at++)
    isRegular = (offsets[at] ?? 0) - (offsets[at - 1] ?? 0) === step;
  if (!isRegular) return offsets.slice(0, count);
  const key = (first << 14) | (step << 6) | count;
  const known = shared.get(key);
  if (known !== undefined) return known;
  const made = offsets.slice(0, count);
  if (shared.size < MAX_SHARED) shared.set(key, made);
  return made;
}

/** RFC 8767 section 4: a TTL with its top bit set is a large one (RFC 2181 section 8 had it as zero). */
function boundedTtl(ttl: number): number {
  return Math.min(ttl, MAX_TTL);
}

export interface AnswerAddresses {
  /** IPv4 addresses reached from the question's name, through aliases, in the order of the message. */
  readonly addresses: readonly string[];
  /** The smallest TTL on the way; 0 without addresses. */
  readonly ttlSeconds: number;
}

/** Reads the A records that answer the question, aliases followed inside this one message. */
export function readAddresses(message: Uint8Array, index: ResponseIndex): AnswerAddresses {
  const owners = new Map<string, { addresses: string[]; alias?: string; ttl: number }>();
  let at = index.questionEnd;
  for (let left = index.answerCount; left > 0; left--) {
    const ownerEnd = skipName(message, at, message.length);
    const rdata = ownerEnd + FIXED_RR_OCTETS;
    const length = uint16At(message, ownerEnd + 8);
    const owner = expandName(message, at);
    const entry = owners.get(owner) ?? { addresses: [], ttl: MAX_TTL };
    const type = uint16At(message, ownerEnd);
    if (type === TYPE.A && length === 4) entry.addresses.push(message.subarray(rdata, rdata + 4).join('.'));
    if (type === TYPE.CNAME) entry.alias = expandName(message, rdata);
    if (type === TYPE.A || type === TYPE.CNAME) {
      entry.ttl = Math.min(entry.ttl, boundedTtl(uint32At(message, ownerEnd + 4)));
    }
    owners.set(owner, entry);
    at = rdata + length;
  }
  return followAliases(owners, expandName(message, HEADER_OCTETS));
}

const MAX_ALIASES = 16; // a chain longer than this is a loop or a mistake

function followAliases(
  owners: ReadonlyMap<string, { addresses: string[]; alias?: string; ttl: number }>,
  start: string,
): AnswerAddresses {
  let name = start;
  let ttlSeconds = MAX_TTL;
  for (let step = 0; step < MAX_ALIASES; step++) {
    const entry = owners.get(name);
    if (entry === undefined) break;
    ttlSeconds = Math.min(ttlSeconds, entry.ttl);
    if (entry.addresses.length > 0) return { addresses: entry.addresses, ttlSeconds };
    if (entry.alias === undefined) break;
    name = entry.alias;
  }
  return { addresses: [], ttlSeconds: 0 };
}

const MAX_JUMPS = 32; // each pointer has to point further back, so this only bounds hostile chains

/** A key for a possibly compressed name: its octets without pointers, in lower case (RFC 4343); never shown to anybody. */
function expandName(message: Uint8Array, start: number): string {
  const octets: number[] = [];
  let at = start;
  let jumps = 0;
  for (;;) {
    const length = message[at] ?? 0;
    if (length === 0) return String.fromCharCode(...octets);
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | (message[at + 1] ?? 0);
      if (target >= at || ++jumps > MAX_JUMPS) return `broken at ${start}`;
      at = target;
      continue;
    }
    if (length > 63 || octets.length + length + 1 > 255) return `broken at ${start}`;
    octets.push(length);
    for (const octet of message.subarray(at + 1, at + 1 + length)) octets.push(lower(octet));
    at += length + 1;
  }
}
