/**
 * The index of a response, a walk over its records, and what they say: whether they are about the name, the aliases of the
 * question's name, and the addresses of their end.
 */
import { RCODE, rcodeName, TYPE } from '../words/codes.ts';
import { MAX_NAME_OCTETS } from '../words/name.ts';
import { FIXED_RR_OCTETS, FLAG, HEADER_OCTETS, uint16At, uint32At } from './header.ts';
import { expandName, isAtOrUnderKey, nameKey, skipName } from './message-names.ts';

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
  /** INFO-CODE of the first extended error in OPT (RFC 8914). */
  readonly extendedError: number | undefined;
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

interface AnswerAddresses {
  /** IPv4 addresses reached from the question's name, through aliases, in the order of the message. */
  readonly addresses: readonly string[];
  /** The smallest TTL on the way; 0 without addresses. */
  readonly ttlSeconds: number;
}

/** Reads the A records that answer the question, aliases followed inside this one message. */
export function readAddresses(message: Uint8Array, index: ResponseIndex): AnswerAddresses {
  const owners = new Map<string, { addresses: string[]; alias?: string; ttl: number }>();
  forEachRecord(message, index, ({ section, type, ownerAt, typeAt, rdataAt, end }) => {
    if (section !== SECTION.answer || (type !== TYPE.A && type !== TYPE.CNAME)) return;
    const owner = nameKey(message, ownerAt);
    const entry = owners.get(owner) ?? { addresses: [], ttl: Number.POSITIVE_INFINITY };
    if (type === TYPE.A) entry.addresses.push(message.subarray(rdataAt, end).join('.'));
    else entry.alias = nameKey(message, rdataAt);
    entry.ttl = Math.min(entry.ttl, boundedTtl(uint32At(message, typeAt + 4)));
    owners.set(owner, entry);
  });
  return followAliases(owners, nameKey(message, HEADER_OCTETS));
}

function followAliases(
  owners: ReadonlyMap<string, { addresses: string[]; alias?: string; ttl: number }>,
  start: string,
): AnswerAddresses {
  let name = start;
  let ttlSeconds = Number.POSITIVE_INFINITY;
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

// The aliases of one response: where they lead, and whether the response answers for their end. RFC 1034 section 3.6.2
// (CNAME), RFC 6672 section 3 (DNAME), RFC 2308 section 2 and RFC 6604 (what a negative answer is about).

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

export interface Alias {
  /** Uncompressed, in the case of the message. */
  readonly target: Uint8Array;
  /** A DNAME came without the CNAME that it implies: the writer adds this CNAME, with the TTL of the DNAME. */
  readonly isMissing: boolean;
  readonly ttlSeconds: number;
}

export interface AliasChain {
  /** In the order in which they follow each other; the first belongs to the QNAME. */
  readonly aliases: readonly Alias[];
  /** `data`: records of the QTYPE are at the end. `denied`: the response denies such records. */
  readonly end: 'data' | 'denied' | 'open';
}

/** Whether aliases are followed for a QTYPE: those that ask for the alias itself end at it (RFC 1034 section 3.6.2). */
export function followsAliases(qtype: number): boolean {
  return qtype !== TYPE.CNAME && qtype !== TYPE.ANY;
}

/** Follows the aliases of a message that has been indexed. */
export function aliasChain(
  message: Uint8Array,
  sections: Sections & Pick<ResponseIndex, 'rcode' | 'qtype'>,
): AliasChain {
  const records = readRecords(message, sections);
  const answers = records.filter(({ section }) => section === SECTION.answer);
  const aliases: Alias[] = [];
  const seen = new Set<string>();
  let name = expandName(message, HEADER_OCTETS);
  while (name !== undefined && aliases.length < MAX_ALIASES) {
    const key = nameKey(name);
    if (seen.has(key)) break;
    seen.add(key);
    if (answers.some((record) => record.owner === key && record.type === sections.qtype)) {
      return { aliases, end: 'data' };
    }
    const alias = followsAliases(sections.qtype) ? aliasOf(message, name, key, answers) : undefined;
    if (alias === undefined)
      return { aliases, end: sections.rcode !== RCODE.NOERROR || isDenied(key, records) ? 'denied' : 'open' };
    aliases.push(alias);
    name = alias.target;
  }
  return { aliases, end: 'open' };
}

interface OwnedRecord {
  readonly owner: string;
  readonly section: number;
  readonly type: number;
  readonly typeAt: number;
}

/** The answers, and the SOA of a denial. */
function readRecords(message: Uint8Array, sections: Sections): readonly OwnedRecord[] {
  const records: OwnedRecord[] = [];
  forEachRecord(message, sections, ({ ownerAt, section, type, typeAt }) => {
    if (section !== SECTION.answer && (section !== SECTION.authority || type !== TYPE.SOA)) return;
    records.push({ owner: nameKey(message, ownerAt), section, type, typeAt });
  });
  return records;
}

function aliasOf(
  message: Uint8Array,
  name: Uint8Array,
  key: string,
  records: readonly OwnedRecord[],
): Alias | undefined {
  for (const { owner, type, typeAt } of records) {
    if (type !== TYPE.CNAME || owner !== key) continue;
    const target = expandName(message, typeAt + FIXED_RR_OCTETS);
    return target && { target, isMissing: false, ttlSeconds: uint32At(message, typeAt + 4) };
  }
  for (const { owner, type, typeAt } of records) {
    if (type !== TYPE.DNAME || owner.length >= key.length || !key.endsWith(owner)) continue;
    const labels = labelsBefore(name, key.length - owner.length);
    const redirected = expandName(message, typeAt + FIXED_RR_OCTETS);
    if (labels === undefined || redirected === undefined) continue;
    // RFC 6672 section 2.2: a name that becomes too long is YXDOMAIN, and leads nowhere
    if (labels.length + redirected.length > MAX_NAME_OCTETS) continue;
    const target = new Uint8Array(labels.length + redirected.length);
    target.set(labels);
    target.set(redirected, labels.length);
    return { target, isMissing: true, ttlSeconds: uint32At(message, typeAt + 4) };
  }
  return undefined;
}

/** The labels of `name` before the offset `end`, which must be where a label starts. */
function labelsBefore(name: Uint8Array, end: number): Uint8Array | undefined {
  let at = 0;
  while (at < end) at += (name[at] ?? 0) + 1;
  return at === end ? name.subarray(0, end) : undefined;
}

/**
 * An SOA of a zone that contains the last name is about that name (RFC 2308 section 2.2). So is NXDOMAIN (RFC 6604 section 3).
 */
function isDenied(end: string, records: readonly OwnedRecord[]): boolean {
  return records.some(({ section, owner }) => section === SECTION.authority && isAtOrUnderKey(end, owner));
}
