/**
 * Checks responses from upstreams as received octets. One pass finds the facts that the cache and the reply need. It proves that
 * every record lies inside the message and has the shape of its TYPE, and decides whether all records belong to the question.
 * Every received response goes through `acceptResponse`: the server keeps and passes on no other response.
 */

import {
  CLASS,
  type ExtendedErrors,
  OPTION_EXTENDED_ERROR,
  RCODE,
  TYPE,
  withExtendedError,
} from '../words/codes.ts';
import { aliasChain } from './aliases.ts';
import { HOST_TYPES, leaveOut, relevantRecords, SIGNER } from './leave-out.ts';
import {
  FIXED_RR_OCTETS,
  FLAG,
  HEADER_OCTETS,
  isAtOrUnderName,
  isCutOffName,
  isPointer,
  isSameName,
  pointerAt,
  skipName,
  uint16At,
  uint32At,
  walked,
  wholeNameEnd,
} from './message.ts';
import {
  AliasNote,
  asReferral,
  boundedTtl,
  coveredType,
  followsAliases,
  hasShape,
  isDenial,
  isReferral,
  MAX_ALIASES,
  type ResponseIndex,
  SECTION,
  seen,
} from './response-records.ts';

export const MAX_RECORDS = 4096; // 65,535 octets hold at most 5,957 records of eleven octets; none that is honest comes near
/**
 * Octets of all names, written out, in a response whose records do not plainly belong to its question; with more it is
 * refused. To compare names of 255 octets in 4,000 records took the loop half a second; a thousand names of usual length fit.
 */
const MAX_DOUBTFUL_OCTETS = 128 * 1024;
const TYPE_SIG = 24;
const TYPE_TKEY = 249;
const NONE = -1; // no TTL

/** Why a message is not usable as a response; `reason` is a constant text. */
export interface ResponseFault {
  readonly kind: 'fault';
  readonly reason:
    | 'too short'
    | 'not a response'
    | 'question broken'
    | 'record broken'
    | 'cut off'
    | 'rdata broken'
    | 'class of a record differs from the question'
    | 'type of a record is for questions'
    | 'no record of the name'
    | 'too many records'
    | 'opt broken';
}

const fault = (reason: ResponseFault['reason']): ResponseFault => ({ kind: 'fault', reason });

/** The findings of one pass; one object for all messages, because passes do not overlap. */
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
  extendedError: NONE,
  isWronglyCompressed: false,
};

export interface AcceptedResponse {
  readonly kind: 'accepted';
  /** The received octets, or a copy with fewer records. */
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
}

/** A received response, or one read from a disk, with nothing in it that does not belong to its question. */
export function acceptResponse(octets: Uint8Array): AcceptedResponse | ResponseFault {
  const found = indexResponse(octets, MAX_DOUBTFUL_OCTETS);
  if (found.kind === 'fault') return found;
  const index = asReferral(octets, found);
  // no client gets a referral, and without the zone that it points to, however unrelated, it would be an empty answer
  if (index.isTidy || isReferral(index)) return { kind: 'accepted', octets, index };
  return tidied(octets, index);
}

function tidied(octets: Uint8Array, index: ResponseIndex): AcceptedResponse | ResponseFault {
  const isKept = relevantRecords(octets, index);
  if (isKept.every(Boolean) && !scan.isWronglyCompressed) return { kind: 'accepted', octets, index };
  const tidy = leaveOut(octets, index, (_type, _section, ordinal) => isKept[ordinal] === false);
  const again = tidy === undefined ? fault('too many records') : indexResponse(tidy);
  if (tidy === undefined || again.kind === 'fault')
    return again.kind === 'fault' ? again : fault('record broken');
  // RFC 2181 section 5.4.1 has such records left out; an empty answer in their place would deny the name
  if (index.answerCount > 0 && again.answerCount === 0) return fault('no record of the name');
  // nor does the SOA of a zone that the name is not in, when its server has no authority and does not recurse: lame like a referral
  const lame = { ...index, negativeTtlSeconds: undefined };
  if (again.authorityCount === 0 && isReferral(lame)) return { kind: 'accepted', octets, index: lame };
  const { rcode, hasEdns, extendedError } = index; // OPT is not in the copy
  return { kind: 'accepted', octets: tidy, index: { ...again, rcode, hasEdns, extendedError } };
}

/** Indexes the whole of `message`; `maxDoubtful`: octets that its names may have where it is not plain what they belong to. */
export function indexResponse(
  message: Uint8Array,
  maxDoubtful = Number.POSITIVE_INFINITY,
): ResponseIndex | ResponseFault {
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
  const qclass = uint16At(message, nameEnd + 2);
  const broken = scanMessage(message, nameEnd + 4, qtype, qclass);
  if (broken !== undefined) {
    // RFC 2181 section 9: a truncated response is asked for again, wherever its sender has cut it off
    return (flags & FLAG.TC) === 0 ? broken : truncatedIndex(flags, nameEnd + 4, qtype, qclass);
  }
  const rcode = (flags & FLAG.RCODE) | (scan.extendedRcode << 4);
  const questionEnd = nameEnd + 4;
  const hasAliases = scan.hasAlias && followsAliases(qtype);
  const isPlain = relevance.isWhole && (!hasAliases || isEndSeen(message, rcode));
  if (!isPlain && walked.octets > maxDoubtful) return fault('too many records');
  const aliases = hasAliases
    ? noteAliases(message, { rcode, questionEnd, qtype, answerCount, authorityCount, additionalCount: 0 })
    : undefined;
  return {
    kind: 'response',
    rcode,
    flags,
    questionEnd,
    qtype,
    qclass,
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
    extendedError: scan.extendedError === NONE ? undefined : scan.extendedError,
    isTidy: relevance.isWhole && !scan.isWronglyCompressed,
  };
}

function noteAliases(message: Uint8Array, sections: Parameters<typeof aliasChain>[1]): AliasNote | undefined {
  if (isEndSeen(message, sections.rcode)) return new AliasNote(false);
  const { aliases, end } = aliasChain(message, sections);
  return aliases.length === 0 ? undefined : new AliasNote(end === 'open');
}

/**
 * Whether the pass has seen the aliases and the records at their end, as in nearly every response. To read the chain again would
 * take ten times as long.
 */
function isEndSeen(message: Uint8Array, rcode: number): boolean {
  if (!relevance.isWhole || relevance.aliases === 0) return false;
  if (scan.answersQtype || rcode !== RCODE.NOERROR) return true;
  return scan.negativeTtl !== NONE && relevance.isZoneOfEnd(message);
}

function truncatedIndex(flags: number, questionEnd: number, qtype: number, qclass: number): ResponseIndex {
  return {
    kind: 'response',
    rcode: flags & FLAG.RCODE,
    flags,
    questionEnd,
    qtype,
    qclass,
    answerCount: 0,
    authorityCount: 0,
    additionalCount: 0,
    end: questionEnd,
    ttlOffsets: sharedOffsets(scan.ttlOffsets, 0),
    minimumTtlSeconds: undefined,
    negativeTtlSeconds: undefined,
    answersQtype: false,
    aliases: undefined,
    hasEdns: scan.hasOpt,
    extendedError: undefined,
    isTidy: true,
  };
}

/** All three sections, into `scan` and `relevance`. */
function scanMessage(
  message: Uint8Array,
  from: number,
  qtype: number,
  qclass: number,
): ResponseFault | undefined {
  startScan(from);
  let at = from;
  for (let section = 0; section < 3; section++) {
    for (let left = uint16At(message, 6 + section * 2); left > 0; left--) {
      const ownerEnd = wholeNameEnd(message, at);
      if (ownerEnd < 0) return fault(isCutOffName(message, at) ? 'cut off' : 'record broken');
      if (ownerEnd + FIXED_RR_OCTETS > message.length) return fault('cut off');
      const rdata = ownerEnd + FIXED_RR_OCTETS;
      const next = rdata + uint16At(message, ownerEnd + 8);
      if (next > message.length) return fault('cut off');
      const type = uint16At(message, ownerEnd);
      if (type === TYPE.OPT) {
        if (section !== 2 || scan.hasOpt || ownerEnd !== at + 1) return fault('opt broken');
        if (!noteOpt(message, ownerEnd, next)) return fault('opt broken');
      } else {
        const broken = recordFault(message, section, ownerEnd, next, qclass);
        if (broken !== undefined) return broken;
        if (!scan.hasOpt) {
          if (qclass === CLASS.IN) relevance.note(message, section, at, type, rdata);
          noteRecord(message, ownerEnd, next, section, qtype);
          scan.end = next;
        }
      }
      at = next;
    }
  }
  relevance.finish(message);
  return undefined;
}

function startScan(questionEnd: number): void {
  scan.ttls = 0;
  scan.minimumTtl = NONE;
  scan.negativeTtl = NONE;
  scan.answersQtype = false;
  scan.hasAlias = false;
  scan.hasOpt = false;
  scan.extendedRcode = 0;
  scan.keptAdditional = 0;
  scan.end = questionEnd;
  scan.extendedError = NONE;
  scan.isWronglyCompressed = false;
  walked.octets = 0;
  relevance.start(questionEnd);
}

/** False for an option that overruns the record. */
function noteOpt(message: Uint8Array, typeAt: number, end: number): boolean {
  scan.hasOpt = true;
  scan.extendedRcode = message[typeAt + 4] ?? 0;
  const isWhole = readExtendedErrors(message, typeAt + FIXED_RR_OCTETS, end);
  if (found.extendedErrors !== undefined) scan.extendedError = found.extendedErrors;
  return isWhole;
}

const QUESTION_TYPES_FROM = 249; // RFC 6895 section 3.1: TKEY, TSIG, and types that only questions have, up to 255

/** Why no reader can use a record. */
function recordFault(
  message: Uint8Array,
  section: number,
  typeAt: number,
  end: number,
  qclass: number,
): ResponseFault | undefined {
  const type = uint16At(message, typeAt);
  const rdata = typeAt + FIXED_RR_OCTETS;
  // these records belong to one hop, have a class of their own, and are left out:
  // RFC 8945 section 5.1, RFC 2930 section 2, RFC 2931 section 3
  const isOfHop =
    section === SECTION.additional && (type === TYPE.TSIG || type === TYPE_TKEY || type === TYPE_SIG);
  if (type >= QUESTION_TYPES_FROM && type <= TYPE.ANY && !isOfHop)
    return fault('type of a record is for questions');
  if (uint16At(message, typeAt + 2) !== qclass && !isOfHop)
    return fault('class of a record differs from the question');
  if (qclass !== CLASS.IN || isOfHop) {
    seen.hostAt = 0;
    return undefined;
  }
  if (!hasShape(message, type, rdata, end)) return fault('rdata broken');
  if (seen.isWronglyCompressed) scan.isWronglyCompressed = true;
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
  // addresses of one name stand at equal distances: first offset, distance and count then describe all offsets
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

const OPT_OCTETS = 11; // root owner, TYPE, CLASS, TTL, RDLENGTH

/** The extended errors in the OPT that starts at `at`, in a reply of our own; `undefined` without one. */
export function extendedErrorsIn(reply: Uint8Array, at: number): ExtendedErrors | undefined {
  if (uint16At(reply, at + 1) !== TYPE.OPT || at + OPT_OCTETS > reply.length) return undefined;
  readExtendedErrors(reply, at + OPT_OCTETS, reply.length);
  return found.extendedErrors;
}

/** What `readExtendedErrors` has read. */
const found: { extendedErrors: ExtendedErrors | undefined } = { extendedErrors: undefined };

/**
 * Reads the RDATA of an OPT record (RFC 6891 section 6.1.2) into `found`. Returns false where an option overruns the record or
 * has half a header. The content of other options does not matter.
 */
function readExtendedErrors(message: Uint8Array, rdata: number, end: number): boolean {
  found.extendedErrors = undefined;
  let at = rdata;
  while (at + 4 <= end) {
    const value = at + 4;
    const next = value + uint16At(message, at + 2);
    if (next > end) return false;
    // RFC 8914 section 2: there may be several, each of at least two octets; a shorter one is ignored
    if (uint16At(message, at) === OPTION_EXTENDED_ERROR && next - value >= 2)
      found.extendedErrors = withExtendedError(found.extendedErrors, uint16At(message, value));
    at = next;
  }
  return at === end;
}

// Which records of a response belong to its question (leave-out.ts has the rule), as far as one pass without an object can tell.

const MAX_HOSTS = 64; // more is left to the other reading
/** Comparisons of an owner with hosts: names of 255 octets that differ at their end took the loop 70 ms. */
const MAX_COMPARED = 4096;
const MAX_DENIALS = 16;

/** Judges one message at a time: the caller notes its records in order, each just after `hasShape` has read the record. */
class Relevance {
  /** False when a record does not belong to the question, or when only the other reading can decide. */
  isWhole = true;
  readonly #chain = new Uint16Array(MAX_ALIASES + 1);
  #aliases = 0;
  readonly #hosts = new Uint16Array(MAX_HOSTS);
  #hostCount = 0;
  #compared = 0;
  readonly #denials = new Uint16Array(MAX_DENIALS);
  #denialCount = 0;
  /** Owner of an SOA, or a signer, above a name of the chain; 0 before there is any. */
  #zoneAt = 0;
  #questionEnd = 0;

  start(questionEnd: number): void {
    this.isWhole = true;
    this.#questionEnd = questionEnd;
    this.#chain[0] = HEADER_OCTETS;
    this.#aliases = 0;
    this.#hostCount = 0;
    this.#compared = 0;
    this.#denialCount = 0;
    this.#zoneAt = 0;
  }

  note(message: Uint8Array, section: number, ownerAt: number, type: number, rdataAt: number): void {
    if (!this.isWhole) return;
    if (section === SECTION.answer) this.#noteAnswer(message, ownerAt, type, rdataAt);
    else if (section === SECTION.authority) this.#noteAuthority(message, ownerAt, type, rdataAt);
    else this.#noteAdditional(message, ownerAt, type);
    if (seen.hostAt !== 0 && type !== TYPE.CNAME) this.#noteHost(seen.hostAt);
  }

  /** Aliases that lead on from the QNAME by CNAME. */
  get aliases(): number {
    return this.#aliases;
  }

  /** Whether an SOA, or a signer where there is none, is at or above the last name of the chain. */
  isZoneOfEnd(message: Uint8Array): boolean {
    return this.#zoneAt !== 0 && isAtOrUnderName(message, this.#chain[this.#aliases] ?? 0, this.#zoneAt);
  }

  /** To be called after the last record. */
  finish(message: Uint8Array): void {
    for (let at = 0; at < this.#denialCount && this.isWhole; at++) {
      const owner = this.#denials[at] ?? 0;
      this.isWhole = this.#zoneAt !== 0 && isAtOrUnderName(message, owner, this.#zoneAt);
    }
  }

  #noteAnswer(message: Uint8Array, ownerAt: number, type: number, rdataAt: number): void {
    const last = this.#chain[this.#aliases] ?? 0;
    if (isSameName(message, ownerAt, last)) {
      if (type !== TYPE.CNAME) return;
      if (this.#aliases === MAX_ALIASES) this.isWhole = false;
      else this.#chain[++this.#aliases] = rdataAt;
      return;
    }
    // signatures of an alias follow it, when the chain has gone on
    if (this.#isInChain(message, ownerAt)) {
      if (type === TYPE.CNAME) this.isWhole = false;
      return;
    }
    const isDname = type === TYPE.DNAME || coveredType(message, type, rdataAt) === TYPE.DNAME;
    // RFC 6672 section 2.2: the alias that a DNAME makes follows it
    this.isWhole = isDname && this.#isAboveChain(message, ownerAt);
  }

  #noteAuthority(message: Uint8Array, ownerAt: number, type: number, rdataAt: number): void {
    if (type === TYPE.RRSIG && this.#zoneAt === 0 && this.#isAboveChain(message, rdataAt + SIGNER)) {
      this.#zoneAt = rdataAt + SIGNER;
    }
    if (this.#isAboveChain(message, ownerAt)) {
      if (type === TYPE.SOA) this.#zoneAt = ownerAt;
    } else if (isDenial(type) || isDenial(coveredType(message, type, rdataAt))) {
      if (this.#denialCount === MAX_DENIALS) this.isWhole = false;
      else this.#denials[this.#denialCount++] = ownerAt;
    } else {
      this.isWhole = false;
    }
  }

  #noteAdditional(message: Uint8Array, ownerAt: number, type: number): void {
    this.isWhole =
      HOST_TYPES.has(type) && (this.#isHost(message, ownerAt) || this.#isInChain(message, ownerAt));
  }

  #noteHost(at: number): void {
    if (this.#hostCount === MAX_HOSTS) this.isWhole = false;
    else this.#hosts[this.#hostCount++] = at;
  }

  #isHost(message: Uint8Array, ownerAt: number): boolean {
    const target = isPointer(message, ownerAt) ? pointerAt(message, ownerAt) : ownerAt;
    for (let at = 0; at < this.#hostCount; at++) if (this.#hosts[at] === target) return true;
    this.#compared += this.#hostCount;
    if (this.#compared > MAX_COMPARED) return false;
    for (let at = 0; at < this.#hostCount; at++)
      if (isSameName(message, ownerAt, this.#hosts[at] ?? 0)) return true;
    return false;
  }

  #isInChain(message: Uint8Array, ownerAt: number): boolean {
    for (let at = this.#aliases; at >= 0; at--)
      if (isSameName(message, ownerAt, this.#chain[at] ?? 0)) return true;
    return false;
  }

  /** Whether the name is in the chain, or above a name in it. */
  #isAboveChain(message: Uint8Array, nameAt: number): boolean {
    if (message[nameAt] === 0) return true;
    // a pointer into the question makes it a suffix of the question's name
    if (isPointer(message, nameAt) && pointerAt(message, nameAt) < this.#questionEnd) return true;
    for (let at = this.#aliases; at >= 0; at--)
      if (isAtOrUnderName(message, this.#chain[at] ?? 0, nameAt)) return true;
    return false;
  }
}

const relevance = new Relevance();
