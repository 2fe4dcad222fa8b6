/** The index of a response, a walk over its records, the addresses that they answer with, and the names inside messages. */
import { TYPE } from '../words/codes.ts';
import { lower, MAX_NAME_OCTETS } from '../words/name.ts';
import { type AliasNote, MAX_ALIASES } from './alias-chain.ts';
import { HEADER_OCTETS, uint16At, uint32At } from './header.ts';
import { skipName } from './query.ts';

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

/** Calls `visit` for each record of an indexed message, in its order; OPT and records after it are left out. */
export function forEachRecord(
  message: Uint8Array,
  index: ResponseIndex,
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
      record.rdataAt = record.typeAt + 10;
      record.end = record.rdataAt + uint16At(message, record.typeAt + 8);
      record.type = uint16At(message, record.typeAt);
      visit(record);
      record.ordinal++;
    }
  }
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

// Names inside messages, which may end in compression pointers (RFC 1035 section 4.1.4). The functions say whether a name is
// whole, whether two names are equal, and whether a name lies under another. No function makes a string except `nameKey`, and all work is bounded.

/**
 * Pointers that one name may follow. Go's resolver gives up after ten, so a name with more reaches no client; compressors
 * need one pointer for a name, seldom two.
 */
const MAX_POINTERS = 10;

export const POINTER = 0xc0;

/** Octets of the names that `wholeNameEnd` has found whole, written out: what work with them will cost. */
export const walked = { octets: 0 };

/**
 * The offset after the name at `start`, or -1 when any part of it is broken. Each pointer has to point back, and the labels
 * have to lie inside the message. The whole name has to fit 255 octets.
 */
export function wholeNameEnd(message: Uint8Array, start: number): number {
  let at = start;
  let segment = start;
  let end = -1;
  let octets = 1;
  let pointers = 0;
  while (at < message.length) {
    const length = message[at] ?? 0;
    if (length === 0) {
      walked.octets += octets;
      return end < 0 ? at + 1 : end;
    }
    if (length >= POINTER) {
      if (at + 2 > message.length || ++pointers > MAX_POINTERS) return -1;
      const target = pointerAt(message, at);
      if (target >= segment || target < HEADER_OCTETS) return -1;
      if (end < 0) end = at + 2;
      segment = target;
      at = target;
      continue;
    }
    if (length > 63) return -1;
    octets += length + 1;
    if (octets > MAX_NAME_OCTETS) return -1;
    at += length + 1;
  }
  return -1;
}

/** Whether the name at `start` is written without a pointer, and ends at `end`. */
export function isPlainName(message: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const length = message[at] ?? 0;
    if (length === 0) return at + 1 === end;
    if (length > 63) return false;
    at += length + 1;
  }
  return false;
}

/** Whether a pointer stands at `at`, in place of a label. */
export function isPointer(message: Uint8Array, at: number): boolean {
  return (message[at] ?? 0) >= POINTER;
}

/** Returns the target offset of the pointer at `at`. */
export function pointerAt(message: Uint8Array, at: number): number {
  return (((message[at] ?? 0) & 0x3f) << 8) | (message[at + 1] ?? 0);
}

/** Follows pointers from `start` and returns the offset of the next label's length octet. The caller has checked the name. */
export function labelAt(message: Uint8Array, start: number): number {
  let at = start;
  while ((message[at] ?? 0) >= POINTER) {
    const target = pointerAt(message, at);
    if (target >= at) return at; // not in a whole name
    at = target;
  }
  return at;
}

/** Whether two checked names are equal; the case of letters does not count (RFC 4343). */
export function isSameName(message: Uint8Array, left: number, right: number): boolean {
  let one = labelAt(message, left);
  let other = labelAt(message, right);
  while (one !== other) {
    const length = message[one] ?? 0;
    if (length !== (message[other] ?? 0)) return false;
    if (length === 0) return true;
    for (let i = 1; i <= length; i++) {
      if (lower(message[one + i] ?? 0) !== lower(message[other + i] ?? 0)) return false;
    }
    one = labelAt(message, one + length + 1);
    other = labelAt(message, other + length + 1);
  }
  return true;
}

/** Whether the checked name at `name` equals the name at `apex`, or lies under that name. */
export function isAtOrUnderName(message: Uint8Array, name: number, apex: number): boolean {
  const top = labelAt(message, apex);
  let surplus = labelsOf(message, name) - labelsOf(message, top);
  if (surplus < 0) return false;
  let at = labelAt(message, name);
  for (; surplus > 0; surplus--) at = labelAt(message, at + (message[at] ?? 0) + 1);
  return isSameName(message, at, top);
}

function labelsOf(message: Uint8Array, name: number): number {
  let labels = 0;
  for (let at = labelAt(message, name); (message[at] ?? 0) !== 0; labels++) {
    at = labelAt(message, at + (message[at] ?? 0) + 1);
  }
  return labels;
}

/** Makes a key for a checked name: its labels with their lengths, without the root, in lower case. No person sees this key. */
export function nameKey(message: Uint8Array, start: number): string {
  let key = '';
  for (let at = labelAt(message, start); (message[at] ?? 0) !== 0; ) {
    const length = message[at] ?? 0;
    key += String.fromCharCode(length);
    for (let i = 1; i <= length; i++) key += String.fromCharCode(lower(message[at + i] ?? 0));
    at = labelAt(message, at + length + 1);
  }
  return key;
}
