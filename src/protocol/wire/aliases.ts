/**
 * The aliases of one response: where they lead, whether the response answers for their end, and the addresses there. RFC 1034
 * section 3.6.2 (CNAME), RFC 6672 section 3 (DNAME), RFC 2308 section 2 and RFC 6604 (what a negative answer is about). Nearly
 * every response is known without this: the pass of response.ts has seen the end of its aliases.
 */
import { RCODE, TYPE } from '../words/codes.ts';
import { MAX_NAME_OCTETS } from '../words/name.ts';
import { expandName, FIXED_RR_OCTETS, HEADER_OCTETS, isAtOrUnderKey, nameKey, uint32At } from './message.ts';
import {
  boundedTtl,
  followsAliases,
  forEachRecord,
  MAX_ALIASES,
  type ResponseIndex,
  SECTION,
  type Sections,
} from './response-records.ts';

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
