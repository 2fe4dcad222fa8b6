/**
 * Joins several responses to the one reply that a client gets; each response is about the alias target of the response before.
 * Every record keeps its octets and its TTL. The writer rewrites only compressible names, because pointers in later messages
 * refer to their own message. This file refuses to know where the parts come from.
 */

import { CLASS, type ExtendedErrors, RCODE, TYPE } from '../words/codes.ts';
import type { AliasChain } from './aliases.ts';
import {
  expandName,
  FIXED_RR_OCTETS,
  FLAG,
  HEADER_OCTETS,
  isAtOrUnderKey,
  MAX_MESSAGE_OCTETS,
  MAX_POINTED,
  nameKey,
  putUint16,
  putUint32,
} from './message.ts';
import type { Query } from './query.ts';
import {
  errorsThatFit,
  optLength,
  writeEmptyReply,
  writeHeaderAndQuestion,
  writeOpt,
  writeTruncatedReply,
} from './reply.ts';
import {
  coveredType,
  forEachRecord,
  isDenial,
  type RecordPlace,
  type ResponseIndex,
  SECTION,
  walkRdata,
} from './response-records.ts';

export interface ReplyPart {
  /** A whole reply, as it would go to a client that asks for this part alone. */
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
  readonly chain: AliasChain;
  /** How many aliases of `chain` are used. */
  readonly aliases: number;
  /** The records about the target of the last alias are left out, because the next part answers for it. */
  readonly isShortened: boolean;
  readonly extendedError: ExtendedErrors | undefined;
}

/** Writes the reply to `query` from `parts`, of which there is at least one. Returns the octets written. */
export function writeJoinedReply(
  query: Query,
  parts: readonly ReplyPart[],
  limit: number,
  reply: Uint8Array,
  replyStart: number,
): number {
  const first = parts[0];
  const last = parts.at(-1);
  if (first === undefined || last === undefined) throw new Error('no parts of a reply to join');
  const { rcode } = last.index;
  const extendedError =
    last.extendedError ?? parts.find((part) => part.extendedError !== undefined)?.extendedError;
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) {
    return writeEmptyReply(query, rcode, extendedError, reply, replyStart);
  }
  const flags = joinedFlags(first, parts) | rcode;
  // RFC 2181 section 9: extended errors and authority records that are not needed go before the answer does
  const isWhole = last.chain.end === 'data';
  for (const isShort of [false, isWhole]) {
    const joined = joinSections(query, parts, isShort);
    const end = isShort && !query.dnssecOk ? joined.answerEnd : joined.end;
    if (end + optLength(query, undefined) > limit) continue;
    reply.set(joined.octets.subarray(0, end), replyStart);
    writeHeaderAndQuestion(query, flags, reply, replyStart);
    putUint16(reply, replyStart + 6, joined.answers);
    putUint16(reply, replyStart + 8, end === joined.end ? joined.authorities : 0);
    putUint16(reply, replyStart + 10, query.hasEdns ? 1 : 0);
    if (!query.hasEdns) return end;
    const errors = errorsThatFit(query, extendedError, end, limit);
    return writeOpt(reply, replyStart + end, rcode, query, errors) - replyStart;
  }
  return writeTruncatedReply(query, rcode, extendedError, limit, reply, replyStart, flags & FLAG.AA);
}

/** RFC 1034 section 4.3.2 and RFC 1035 section 4.1.1: AA is about the first owner name; AD is about all (RFC 4035 section 3.2.3). */
function joinedFlags(first: ReplyPart, parts: readonly ReplyPart[]): number {
  const isAuthenticated = parts.every(({ index }) => (index.flags & FLAG.AD) !== 0);
  return (first.index.flags & FLAG.AA) | (isAuthenticated ? FLAG.AD : 0);
}

interface Joined {
  readonly octets: Uint8Array;
  readonly answers: number;
  readonly answerEnd: number;
  readonly authorities: number;
  readonly end: number;
}

/** With `proofsOnly`, the last part's authority records are left out too, except those that prove something. */
function joinSections(query: Query, parts: readonly ReplyPart[], proofsOnly: boolean): Joined {
  const writer = new MessageWriter(query);
  let answers = 0;
  for (const part of parts) answers += addAnswers(writer, part);
  const answerEnd = writer.at;
  let authorities = 0;
  for (const part of parts) authorities += addAuthorities(writer, part, !proofsOnly && part === parts.at(-1));
  return { octets: writer.octets, answers, answerEnd, authorities, end: writer.at };
}

function addAnswers(writer: MessageWriter, part: ReplyPart): number {
  const { octets, index, chain, aliases } = part;
  const owners = part.isShortened ? ownersBefore(part) : undefined;
  let count = 0;
  let isVerbatim = writer.at === index.questionEnd;
  forEachRecord(octets, index, (record) => {
    if (record.section !== SECTION.answer) return;
    const isKept = owners === undefined || isOf(owners, octets, record);
    // the records of the first part stand where they stood, so that their octets stay as they are
    isVerbatim &&= isKept;
    if (!isKept) return;
    if (isVerbatim) writer.copyRecord(octets, record);
    else writer.record(octets, record);
    count++;
  });
  for (const alias of chain.aliases.slice(0, aliases)) {
    if (!alias.isMissing) continue;
    writer.alias(aliasOwner(part, alias), alias.target, alias.ttlSeconds);
    count++;
  }
  return count;
}

function aliasOwner({ octets, chain }: ReplyPart, alias: AliasChain['aliases'][number]): Uint8Array {
  const before = chain.aliases[chain.aliases.indexOf(alias) - 1];
  return before?.target ?? expandName(octets, HEADER_OCTETS) ?? Uint8Array.of(0);
}

/** The names whose records are kept where the rest of a chain comes from elsewhere. */
function ownersBefore({ octets, chain, aliases }: ReplyPart): readonly string[] {
  const qname = expandName(octets, HEADER_OCTETS);
  const names = [qname, ...chain.aliases.slice(0, aliases - 1).map(({ target }) => target)];
  return names.flatMap((name) => (name === undefined ? [] : [nameKey(name)]));
}

/** Whether the record belongs to an alias of one of these names: the alias itself, a DNAME above, or their signatures. */
function isOf(
  owners: readonly string[],
  octets: Uint8Array,
  { ownerAt, type, rdataAt }: RecordPlace,
): boolean {
  const key = nameKey(octets, ownerAt);
  if (owners.includes(key)) return true;
  const isDname = coveredType(octets, type, rdataAt) === TYPE.DNAME;
  return isDname && owners.some((owner) => owner !== key && isAtOrUnderKey(owner, key));
}

/** Adds from a middle part only the proofs. A validator needs proofs for an alias from a wildcard (RFC 4035 section 3.1.3.3). */
function addAuthorities(writer: MessageWriter, part: ReplyPart, isAll: boolean): number {
  const { octets, index } = part;
  let count = 0;
  forEachRecord(octets, index, (record) => {
    if (record.section !== SECTION.authority) return;
    if (!isAll && !isDenial(coveredType(octets, record.type, record.rdataAt))) return;
    writer.record(octets, record);
    count++;
  });
  return count;
}

/** All replies share this space, because the server joins one reply at a time. */
const space = new Uint8Array(MAX_MESSAGE_OCTETS);

/** A message that grows record by record; names are compressed against the names that stand there already. */
class MessageWriter {
  readonly octets = space;
  at: number;
  /** The offset of each written name, by the octets of the name: the case of letters stays. */
  readonly #places = new Map<string, number>();

  constructor(query: Query) {
    this.at = HEADER_OCTETS;
    this.#name(query.octets.subarray(query.nameStart, query.nameEnd), true);
    this.#copy(query.octets, query.nameEnd, query.questionEnd);
  }

  /** A record that stands at this very offset in its message. */
  copyRecord(from: Uint8Array, { ownerAt, type, rdataAt, end }: RecordPlace): void {
    this.#notePlaces(from, ownerAt);
    if (type === TYPE.CNAME) this.#notePlaces(from, rdataAt);
    this.#copy(from, ownerAt, end);
  }

  record(from: Uint8Array, { ownerAt, typeAt, type, rdataAt, end }: RecordPlace): void {
    this.#nameAt(from, ownerAt, true);
    const lengthAt = this.at + 8;
    this.#copy(from, typeAt, rdataAt);
    walkRdata(from, type, rdataAt, end, {
      octets: (start, end) => this.#copy(from, start, end),
      name: (at, mayCompress) => this.#nameAt(from, at, mayCompress),
    });
    putUint16(this.octets, lengthAt, this.at - lengthAt - 2);
  }

  /** Writes the CNAME that a DNAME implies (RFC 6672 section 3.1). */
  alias(owner: Uint8Array, target: Uint8Array, ttlSeconds: number): void {
    this.#name(owner, true);
    const at = this.at;
    putUint16(this.octets, at, TYPE.CNAME);
    putUint16(this.octets, at + 2, CLASS.IN);
    putUint32(this.octets, at + 4, ttlSeconds);
    this.at += FIXED_RR_OCTETS;
    this.#name(target, true);
    putUint16(this.octets, at + 8, this.at - at - FIXED_RR_OCTETS);
  }

  #nameAt(from: Uint8Array, start: number, mayCompress: boolean): void {
    const name = expandName(from, start);
    if (name === undefined) throw new Error('a name in a reply that was found whole is broken');
    this.#name(name, mayCompress);
  }

  #name(name: Uint8Array, mayCompress: boolean): void {
    for (let at = 0; ; at += (name[at] ?? 0) + 1) {
      const length = name[at] ?? 0;
      if (length === 0) break;
      const suffix = suffixKey(name, at);
      const place = this.#places.get(suffix);
      if (place !== undefined && mayCompress) {
        this.#put(0xc0 | (place >>> 8));
        this.#put(place & 0xff);
        return;
      }
      if (place === undefined && this.at <= MAX_POINTED) this.#places.set(suffix, this.at);
      this.#copy(name, at, at + length + 1);
    }
    this.#put(0);
  }

  /** The labels that stand at `start` themselves: those after a pointer stand elsewhere. */
  #notePlaces(from: Uint8Array, start: number): void {
    const name = expandName(from, start);
    if (name === undefined) return;
    let at = start;
    for (let offset = 0; (from[at] ?? 0) !== 0 && (from[at] ?? 0) < 0xc0; ) {
      const suffix = suffixKey(name, offset);
      if (at <= MAX_POINTED && !this.#places.has(suffix)) this.#places.set(suffix, at);
      const step = (from[at] ?? 0) + 1;
      at += step;
      offset += step;
    }
  }

  #copy(from: Uint8Array, start: number, end: number): void {
    // an octet after the end of the array is dropped, and counted: so the reply is known to be too long
    for (let at = start; at < end; at++) this.#put(from[at] ?? 0);
  }

  #put(octet: number): void {
    this.octets[this.at++] = octet;
  }
}

function suffixKey(name: Uint8Array, start: number): string {
  return String.fromCharCode(...name.subarray(start));
}
