/**
 * Parses queries as received octets. `parseQuery` fills one reused `Query` with offsets and numbers: no string, no object per
 * query. All octets of a client are untrusted until `parseQuery` has returned `VERDICT.OK`. The name's 255 octets, one authority
 * record and four additional records bound the work.
 * RFC 1035 section 4.1, RFC 1995 section 3, RFC 6891 section 6.1, RFC 9619 (QDCOUNT is one).
 */
import { CLASS, TYPE } from '../words/codes.ts';
import { MAX_NAME_OCTETS, nameFromWire } from '../words/name.ts';
import {
  EDNS_UDP_OCTETS,
  FIXED_RR_OCTETS,
  FLAG,
  HEADER_OCTETS,
  hashSuffixes,
  MAX_LABELS,
  PLAIN_UDP_OCTETS,
  putUint16,
  questionKey,
  skipName,
  uint16At,
} from './message.ts';

/** The verdict on a received message. */
export const VERDICT = { OK: 0, DROP: 1, FORMERR: 2, NOTIMP: 3, BADVERS: 4 } as const;
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT];

// V8 keeps typed arrays of up to 64 octets on its own heap; a larger one costs a malloc, and the collector a free
const USUAL_LABELS = 16;
const MAX_ADDITIONAL = 4; // OPT, TSIG or SIG(0), and room for what nobody has thought of yet

export const OPTION_COOKIE = 10; // RFC 7873 section 4
export const CLIENT_COOKIE_OCTETS = 8;
export const SERVER_COOKIE_OCTETS = 16; // RFC 9018 section 4
const NOTHING = new Uint8Array(0);

/** One query: the octets it came in, and where its parts lie in them. Reused: copy it to keep it. */
export class Query {
  octets: Uint8Array = NOTHING;
  start = 0;
  end = 0;
  id = 0;
  /** The 16 bits of the header's flags field. */
  flags = 0;
  /** Offset of the QNAME's first length octet, and of the octet after its root label. */
  nameStart = 0;
  nameEnd = 0;
  /** Offset of the first octet after QCLASS. */
  questionEnd = 0;
  qtype = 0;
  qclass = 0;
  /** Labels of the QNAME, the root not counted. */
  labelCount = 0;
  hasEdns = false;
  ednsVersion = 0;
  /** The octets that the client accepts over UDP, limited to the range from 512 to 1232. */
  udpLimit = PLAIN_UDP_OCTETS;
  dnssecOk = false;
  /** A number for the network of the client that asks; 0: no client's. No parsing changes it. */
  network: number;
  /** Offset of the client cookie, and the octets of the whole cookie (RFC 7873 section 4); -1 and 0 without one. */
  cookieAt = -1;
  cookieOctets = 0;
  /** `labelStarts[d]`: offset from `nameStart` at which the suffix of d labels starts. */
  labelStarts = new Uint8Array(USUAL_LABELS);
  /** `suffixHashes[d]`: hash of the lower-cased suffix of d labels, as `hashName` makes it. */
  suffixHashes = new Int32Array(USUAL_LABELS);

  constructor(network = 0) {
    this.network = network;
  }

  get recursionDesired(): boolean {
    return (this.flags & FLAG.RD) !== 0;
  }

  get checkingDisabled(): boolean {
    return (this.flags & FLAG.CD) !== 0;
  }

  /** Hash of the whole lower-cased QNAME. */
  get nameHash(): number {
    return this.suffixHashes[this.labelCount] ?? 0;
  }

  /** See `questionKey`. */
  get key(): number {
    return questionKey(this.nameHash, this.qtype, this.qclass, this.dnssecOk, this.checkingDisabled);
  }

  /** The QNAME as text in normal form. Makes a string: not for the path of a known answer. */
  nameText(): string {
    return nameFromWire(this.octets, this.nameStart);
  }

  /**
   * The same query with octets of its own, for longer than this call; not parsed again. `copy` may be a query that an earlier call
   * has filled: its octets may go on after `end`.
   */
  copy(copy = new Query()): Query {
    const { octets, start, end, labelCount } = this;
    const length = end - start;
    // not slice(): on a Buffer that would share its memory; octet by octet: a view would cost more than the copy
    const own = copy.octets.length < length ? new Uint8Array(length) : copy.octets;
    for (let at = 0; at < length; at++) own[at] = octets[start + at] ?? 0;
    copy.network = this.network;
    copy.octets = own;
    copy.end = length;
    copy.id = this.id;
    copy.flags = this.flags;
    copy.nameStart = this.nameStart - start;
    copy.nameEnd = this.nameEnd - start;
    copy.questionEnd = this.questionEnd - start;
    copy.qtype = this.qtype;
    copy.qclass = this.qclass;
    copy.labelCount = labelCount;
    copy.hasEdns = this.hasEdns;
    copy.ednsVersion = this.ednsVersion;
    copy.udpLimit = this.udpLimit;
    copy.dnssecOk = this.dnssecOk;
    copy.cookieAt = this.cookieAt < 0 ? -1 : this.cookieAt - start;
    copy.cookieOctets = this.cookieOctets;
    if (labelCount >= copy.labelStarts.length) makeRoomForLabels(copy);
    for (let depth = 0; depth <= labelCount; depth++) {
      copy.labelStarts[depth] = this.labelStarts[depth] ?? 0;
      copy.suffixHashes[depth] = this.suffixHashes[depth] ?? 0;
    }
    return copy;
  }
}

/**
 * Parses the message in `octets` from `start` to `end` into `query`. Sets the header's `id` and `flags` for every verdict
 * except DROP, and the offsets into the question only for OK and BADVERS.
 */
export function parseQuery(query: Query, octets: Uint8Array, start: number, end: number): Verdict {
  if (end - start < HEADER_OCTETS) return VERDICT.DROP;
  readHeader(query, octets, start, end);
  if ((query.flags & FLAG.QR) !== 0) return VERDICT.DROP; // a response: answering it could start a loop
  if ((query.flags & FLAG.OPCODE) !== 0) return VERDICT.NOTIMP;
  // RFC 9619: exactly one question; a query carries no answer
  if (uint16At(octets, start + 4) !== 1 || uint16At(octets, start + 6) !== 0) return VERDICT.FORMERR;
  if (!parseQuestion(query)) return VERDICT.FORMERR;
  const authority = uint16At(octets, start + 8);
  const at = authority === 0 ? query.questionEnd : stepOverAuthority(query, authority);
  if (at < 0) return VERDICT.FORMERR;
  const additional = uint16At(octets, start + 10);
  if (additional === 0) return VERDICT.OK;
  const verdict = parseAdditional(query, at, additional);
  if (verdict === VERDICT.FORMERR) query.cookieAt = -1; // its reply has no OPT, and so no place for a cookie
  return verdict;
}

/**
 * Whether the message is a query without a question that has a COOKIE option, for which RFC 7873 section 5.4 makes an
 * exception. Its header and its options are in `query` then.
 */
export function parseCookieQuery(query: Query, octets: Uint8Array, start: number, end: number): boolean {
  if (end - start < HEADER_OCTETS) return false;
  readHeader(query, octets, start, end);
  for (let count = 4; count <= 8; count += 2) if (uint16At(octets, start + count) !== 0) return false;
  const additional = uint16At(octets, start + 10);
  if (parseAdditional(query, start + HEADER_OCTETS, additional) !== VERDICT.OK) return false;
  return query.cookieAt >= 0;
}

function readHeader(query: Query, octets: Uint8Array, start: number, end: number): void {
  query.octets = octets;
  query.start = start;
  query.end = end;
  query.id = uint16At(octets, start);
  query.flags = uint16At(octets, start + 2);
  query.questionEnd = 0;
  query.hasEdns = false;
  query.dnssecOk = false;
  query.cookieAt = -1;
  query.cookieOctets = 0;
  query.udpLimit = PLAIN_UDP_OCTETS;
}

/** The offset after the SOA that an IXFR carries (RFC 1995 section 3), or -1: no other query has an authority record. */
function stepOverAuthority({ octets, start, questionEnd, end, qtype }: Query, count: number): number {
  if (qtype !== TYPE.IXFR || count !== 1) return -1;
  return recordEnd(octets, skipName(octets, questionEnd, end, start), end);
}

function parseQuestion(query: Query): boolean {
  const { octets, end } = query;
  let { labelStarts } = query;
  const nameStart = query.start + HEADER_OCTETS;
  let at = nameStart;
  let labels = 0;
  for (;;) {
    if (at >= end) return false;
    const length = octets[at] ?? 0;
    if (length === 0) break;
    // RFC 1035 section 4.1.4: 11 is a pointer, with nothing before it to point to; 01 and 10 are reserved
    if (length > 63) return false;
    labelStarts[labels++] = at - nameStart;
    if (labels === labelStarts.length) labelStarts = makeRoomForLabels(query);
    at += length + 1;
    if (at - nameStart >= MAX_NAME_OCTETS) return false;
  }
  at += 1;
  if (at + 4 > end) return false;
  query.nameStart = nameStart;
  query.nameEnd = at;
  query.questionEnd = at + 4;
  query.qtype = uint16At(octets, at);
  query.qclass = uint16At(octets, at + 2);
  query.labelCount = labels;
  hashAllSuffixes(query, labels);
  return true;
}

/** For a name with more labels than usual; the query keeps the room for the next one. */
function makeRoomForLabels(query: Query): Uint8Array<ArrayBuffer> {
  const labelStarts = new Uint8Array(MAX_LABELS);
  labelStarts.set(query.labelStarts);
  query.labelStarts = labelStarts;
  query.suffixHashes = new Int32Array(MAX_LABELS);
  return labelStarts;
}

/** Turns label starts (first label first) into suffix starts (by number of labels) and hashes each suffix. */
function hashAllSuffixes(query: Query, labels: number): void {
  const { octets, nameStart, labelStarts, suffixHashes } = query;
  for (let left = 0, right = labels - 1; left < right; left++, right--) {
    const first = labelStarts[left] ?? 0;
    labelStarts[left] = labelStarts[right] ?? 0;
    labelStarts[right] = first;
  }
  hashSuffixes(octets, nameStart, labelStarts, labels, suffixHashes);
  for (let depth = labels; depth >= 1; depth--) labelStarts[depth] = labelStarts[depth - 1] ?? 0;
  labelStarts[0] = query.nameEnd - nameStart - 1;
}

function parseAdditional(query: Query, start: number, count: number): Verdict {
  if (count > MAX_ADDITIONAL) return VERDICT.FORMERR;
  const { octets, end } = query;
  let at = start;
  for (let record = 0; record < count; record++) {
    const ownerEnd = skipName(octets, at, end, query.start);
    const next = recordEnd(octets, ownerEnd, end);
    if (next < 0) return VERDICT.FORMERR;
    if (uint16At(octets, ownerEnd) === TYPE.OPT) {
      // RFC 6891 section 6.1.1: more than one OPT is FORMERR; section 6.1.2: its owner is the root
      if (query.hasEdns || ownerEnd !== at + 1) return VERDICT.FORMERR;
      readOpt(query, ownerEnd);
      // a later version may lay its options out in another way
      if (query.ednsVersion === 0 && !readOptions(query, ownerEnd + FIXED_RR_OCTETS, next))
        return VERDICT.FORMERR;
    }
    at = next;
  }
  // RFC 6891 section 6.1.3: a version that we do not have is BADVERS, not FORMERR
  return query.hasEdns && query.ednsVersion > 0 ? VERDICT.BADVERS : VERDICT.OK;
}

/** The offset after the record whose owner ends at `ownerEnd`, or -1 when it is broken or its owner is (-1). */
function recordEnd(octets: Uint8Array, ownerEnd: number, end: number): number {
  if (ownerEnd < 0 || ownerEnd + FIXED_RR_OCTETS > end) return -1;
  const next = ownerEnd + FIXED_RR_OCTETS + uint16At(octets, ownerEnd + 8);
  return next > end ? -1 : next;
}

function readOpt(query: Query, typeAt: number): void {
  const { octets } = query;
  query.hasEdns = true;
  const offered = uint16At(octets, typeAt + 2);
  // RFC 6891 section 6.2.3: values below 512 are taken as 512
  query.udpLimit = Math.min(Math.max(offered, PLAIN_UDP_OCTETS), EDNS_UDP_OCTETS);
  query.ednsVersion = octets[typeAt + 5] ?? 0;
  query.dnssecOk = ((octets[typeAt + 6] ?? 0) & 0x80) !== 0; // RFC 3225 section 3
}

/**
 * Reads the options from `start` to `end` into `query`; false where they are broken. RFC 6891 section 7: half an option
 * header, or an option that overruns the record, is a malformed message. Section 6.1.2: other options are ignored.
 */
function readOptions(query: Query, start: number, end: number): boolean {
  const { octets } = query;
  let at = start;
  while (at < end) {
    if (at + 4 > end) return false;
    const length = uint16At(octets, at + 2);
    const next = at + 4 + length;
    if (next > end) return false;
    if (uint16At(octets, at) === OPTION_COOKIE && query.cookieAt < 0) {
      if (!isCookieLength(length)) return false;
      query.cookieAt = at + 4;
      query.cookieOctets = length;
    }
    at = next;
  }
  return true;
}

/** RFC 7873 section 5.2.2: a client cookie alone, or with a server cookie of 8 to 32 octets; any other length is FORMERR. */
function isCookieLength(length: number): boolean {
  return length === CLIENT_COOKIE_OCTETS || (length >= 16 && length <= 40);
}

export interface QueryParts {
  readonly id: number;
  /** QNAME on the wire, in the case in which it is to be asked. */
  readonly name: Uint8Array;
  readonly qtype: number;
  readonly qclass: number;
  readonly recursionDesired: boolean;
  readonly checkingDisabled: boolean;
  /** Adds an OPT record that offers 1232 octets. With `undefined` the query has no EDNS. */
  readonly edns?: { readonly dnssecOk: boolean };
}

/** A question of our own (class IN, RD set, EDNS offered), to be asked as a client's would be. */
export function ownQuery(name: Uint8Array, qtype: number, dnssecOk: boolean): Query {
  const octets = composeOwnQuery(name, qtype, { dnssecOk });
  const query = new Query();
  parseQuery(query, octets, 0, octets.length);
  return query;
}

/** Composes a question of our own, as a plain client asks it: class IN, RD set. */
export function composeOwnQuery(name: Uint8Array, qtype: number, edns?: QueryParts['edns']): Uint8Array {
  return composeQuery({
    id: 0,
    name,
    qtype,
    qclass: CLASS.IN,
    recursionDesired: true,
    checkingDisabled: false,
    ...(edns === undefined ? {} : { edns }),
  });
}

/** Composes a query of our own, for an upstream. */
export function composeQuery(parts: QueryParts): Uint8Array {
  const questionEnd = HEADER_OCTETS + parts.name.length + 4;
  const message = new Uint8Array(questionEnd + (parts.edns === undefined ? 0 : 11));
  putUint16(message, 0, parts.id);
  putUint16(message, 2, (parts.recursionDesired ? FLAG.RD : 0) | (parts.checkingDisabled ? FLAG.CD : 0));
  putUint16(message, 4, 1);
  message.set(parts.name, HEADER_OCTETS);
  putUint16(message, questionEnd - 4, parts.qtype);
  putUint16(message, questionEnd - 2, parts.qclass);
  if (parts.edns !== undefined) {
    putUint16(message, 10, 1);
    putUint16(message, questionEnd + 1, TYPE.OPT);
    putUint16(message, questionEnd + 3, EDNS_UDP_OCTETS);
    if (parts.edns.dnssecOk) message[questionEnd + 7] = 0x80;
  }
  return message;
}
