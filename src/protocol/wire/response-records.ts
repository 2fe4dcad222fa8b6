/** The index of a response, a walk over its records, and the addresses that they answer with. */

import { TYPE } from '../words/codes.ts';
import { type AliasNote, MAX_ALIASES } from './alias-chain.ts';
import { nameKey } from './compressed-name.ts';
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

export interface AnswerAddresses {
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
