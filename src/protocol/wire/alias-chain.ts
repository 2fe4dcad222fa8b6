/**
 * The aliases of one response: where they lead, and whether the response answers for their end. RFC 1034 section 3.6.2
 * (CNAME), RFC 6672 section 3 (DNAME), RFC 2308 section 2 and RFC 6604 (what a negative answer is about).
 */

import { RCODE, TYPE } from '../words/codes.ts';
import { lower, MAX_NAME_OCTETS } from '../words/name.ts';
import { HEADER_OCTETS, uint16At, uint32At } from './header.ts';
import { skipName } from './query.ts';

/** Aliases that are followed for one question: real chains have a handful, and a longer one is a loop or a mistake. */
export const MAX_ALIASES = 16;
const FIXED_RR_OCTETS = 10; // TYPE, CLASS, TTL, RDLENGTH

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

/** The parts of an index that are needed here. */
interface Sections {
  readonly rcode: number;
  readonly questionEnd: number;
  readonly qtype: number;
  readonly answerCount: number;
  readonly authorityCount: number;
}

/** Follows the aliases of a message that has been indexed. */
export function aliasChain(message: Uint8Array, sections: Sections): AliasChain {
  const records = readRecords(message, sections.questionEnd, sections.answerCount);
  const aliases: Alias[] = [];
  const seen = new Set<string>();
  let name = expandName(message, HEADER_OCTETS);
  while (name !== undefined && aliases.length < MAX_ALIASES) {
    const key = nameKey(name);
    if (seen.has(key)) break;
    seen.add(key);
    if (records.some((record) => record.owner === key && record.type === sections.qtype)) {
      return { aliases, end: 'data' };
    }
    const alias = followsAliases(sections.qtype) ? aliasOf(message, name, key, records) : undefined;
    if (alias === undefined) return { aliases, end: isDenied(message, sections, key) ? 'denied' : 'open' };
    aliases.push(alias);
    name = alias.target;
  }
  return { aliases, end: 'open' };
}

interface AnswerRecord {
  readonly owner: string;
  readonly type: number;
  readonly typeAt: number;
}

function readRecords(message: Uint8Array, from: number, count: number): readonly AnswerRecord[] {
  const records: AnswerRecord[] = [];
  let at = from;
  for (let left = count; left > 0; left--) {
    const typeAt = skipName(message, at, message.length);
    const owner = expandName(message, at);
    if (owner !== undefined) records.push({ owner: nameKey(owner), type: uint16At(message, typeAt), typeAt });
    at = typeAt + FIXED_RR_OCTETS + uint16At(message, typeAt + 8);
  }
  return records;
}

function aliasOf(
  message: Uint8Array,
  name: Uint8Array,
  key: string,
  records: readonly AnswerRecord[],
): Alias | undefined {
  for (const { owner, type, typeAt } of records) {
    if (type !== TYPE.CNAME || owner !== key) continue;
    const target = expandName(message, typeAt + FIXED_RR_OCTETS);
    return target && { target, isMissing: false, ttlSeconds: uint32At(message, typeAt + 4) };
  }
  for (const { owner, type, typeAt } of records) {
    if (type !== TYPE.DNAME || owner.length >= key.length || !key.endsWith(owner)) continue;
    const labels = labelsBefore(name, name.length - owner.length);
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

/** NXDOMAIN is about the last name (RFC 6604 section 3). So is an SOA of a zone that contains the last name (RFC 2308 section 2.2). */
function isDenied(message: Uint8Array, sections: Sections, end: string): boolean {
  if (sections.rcode !== RCODE.NOERROR) return true;
  let at = sections.questionEnd;
  for (let left = sections.answerCount; left > 0; left--) at = recordEnd(message, at);
  for (let left = sections.authorityCount; left > 0; left--, at = recordEnd(message, at)) {
    const typeAt = skipName(message, at, message.length);
    if (uint16At(message, typeAt) !== TYPE.SOA) continue;
    const apex = expandName(message, at);
    if (apex !== undefined && isAtOrUnderKey(end, nameKey(apex))) return true;
  }
  return false;
}

function recordEnd(message: Uint8Array, at: number): number {
  const typeAt = skipName(message, at, message.length);
  return typeAt + FIXED_RR_OCTETS + uint16At(message, typeAt + 8);
}

/** Both as `nameKey` makes them. */
export function isAtOrUnderKey(name: string, apex: string): boolean {
  if (!name.endsWith(apex)) return false;
  let at = 0;
  while (at < name.length - apex.length) at += name.charCodeAt(at) + 1;
  return at === name.length - apex.length;
}

const MAX_JUMPS = 32; // each pointer has to point further back, so this only bounds hostile chains

/** The octets of a name that may be compressed, written out; `undefined` where it is broken. */
export function expandName(message: Uint8Array, start: number): Uint8Array | undefined {
  const octets: number[] = [];
  let at = start;
  let jumps = 0;
  for (;;) {
    if (at >= message.length) return undefined;
    const length = message[at] ?? 0;
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | (message[at + 1] ?? 0);
      if (target >= at || target < HEADER_OCTETS || ++jumps > MAX_JUMPS) return undefined;
      at = target;
      continue;
    }
    if (length > 63 || octets.length + length + 1 > MAX_NAME_OCTETS) return undefined;
    octets.push(length);
    if (length === 0) return Uint8Array.from(octets);
    for (let i = 1; i <= length; i++) octets.push(message[at + i] ?? 0);
    at += length + 1;
  }
}

/** A key for an uncompressed name: its octets in lower case (RFC 4343). */
export function nameKey(name: Uint8Array): string {
  let key = '';
  for (const octet of name) key += String.fromCharCode(lower(octet));
  return key;
}
