/**
 * A response without some of its records. Every record that stays keeps its octets, except that compression pointers are
 * set to where their targets are now; a target that went with a record is written out in full at its first use. It
 * refuses to know why a record is left out.
 */
import { MAX_NAME_OCTETS } from '../words/name.ts';
import { TYPE } from '../words/types.ts';
import { HEADER_OCTETS, putUint16, uint16At } from './header.ts';
import { skipName } from './query.ts';
import { indexResponse, type ResponseIndex } from './response.ts';

/** `section` is 0 for answer, 1 for authority, 2 for additional. */
export type IsLeftOut = (type: number, section: number) => boolean;

/**
 * The kept part of `message` without the records that `isLeftOut` names; OPT is left out in any case. The result is never
 * longer than the message. `undefined` where a name in a record that stays cannot be read.
 */
export function leaveOut(
  message: Uint8Array,
  index: ResponseIndex,
  isLeftOut: IsLeftOut,
): Uint8Array | undefined {
  const copy = new ShorterCopy(message, index.end);
  copy.question(index.questionEnd);
  const counts = [index.answerCount, index.authorityCount, index.additionalCount];
  let at = index.questionEnd;
  for (const [section, count] of counts.entries()) {
    let kept = 0;
    for (let left = count; left > 0; left--) {
      const typeAt = skipName(message, at, index.end);
      const next = typeAt + FIXED_RR_OCTETS + uint16At(message, typeAt + 8);
      if (!isLeftOut(uint16At(message, typeAt), section)) {
        if (!copy.record(at, typeAt, next)) return undefined;
        kept++;
      }
      at = next;
    }
    copy.count(section, kept);
  }
  return copy.octets();
}

export interface IndexedResponse {
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
}

/**
 * A response to a query with DO as a query without DO gets it: RFC 4035 section 3.2.1 has all authenticating records
 * left out, except those of a type that the query asks for. `undefined` where a record that stays is broken.
 */
export function withoutProofs({ octets, index }: IndexedResponse): IndexedResponse | undefined {
  if (!hasProofs(octets, index)) return { octets, index };
  const rest = leaveOut(octets, index, (type, section) => isProof(type, section, index.qtype));
  const restIndex = rest && indexResponse(rest);
  return rest === undefined || restIndex?.kind !== 'response'
    ? undefined
    : { octets: rest, index: restIndex };
}

/** Whether a response has what a query without DO must not get. */
export function hasProofs(octets: Uint8Array, index: ResponseIndex): boolean {
  for (let at = 0; at < index.ttlOffsets.length; at++) {
    const section = at < index.answerCount ? 0 : 1;
    if (isProof(uint16At(octets, (index.ttlOffsets[at] ?? 0) - 4), section, index.qtype)) return true;
  }
  return false;
}

function isProof(type: number, section: number, qtype: number): boolean {
  if (type === qtype || (qtype === TYPE.ANY && section === 0)) return false;
  switch (type) {
    case TYPE.DS:
    case TYPE.RRSIG:
    case TYPE.NSEC:
    case TYPE.DNSKEY:
    case TYPE.NSEC3:
      return true;
    default:
      return false;
  }
}

const FIXED_RR_OCTETS = 10; // TYPE, CLASS, TTL, RDLENGTH
const MAX_POINTED = 0x3fff; // RFC 1035 section 4.1.4: an offset has 14 bits
const MAX_JUMPS = 32; // each pointer has to point further back, so this only bounds hostile chains

/** Where names stand in RDATA: octets in front of the first, then character strings, then so many names. */
interface Layout {
  readonly skip: number;
  readonly strings?: number;
  readonly names: number;
}

/**
 * All types whose names may be compressed (RFC 1035 section 3.3) or have to be decompressed all the same (RFC 3597
 * section 4), and those of DNSSEC. Names in types that nobody knows must not be compressed.
 */
const NAMES_IN_RDATA = new Map<number, Layout>([
  [TYPE.NS, { skip: 0, names: 1 }],
  [3, { skip: 0, names: 1 }], // MD
  [4, { skip: 0, names: 1 }], // MF
  [TYPE.CNAME, { skip: 0, names: 1 }],
  [TYPE.SOA, { skip: 0, names: 2 }],
  [7, { skip: 0, names: 1 }], // MB
  [8, { skip: 0, names: 1 }], // MG
  [9, { skip: 0, names: 1 }], // MR
  [TYPE.PTR, { skip: 0, names: 1 }],
  [14, { skip: 0, names: 2 }], // MINFO
  [TYPE.MX, { skip: 2, names: 1 }],
  [17, { skip: 0, names: 2 }], // RP
  [18, { skip: 2, names: 1 }], // AFSDB
  [21, { skip: 2, names: 1 }], // RT
  [24, { skip: 18, names: 1 }], // SIG
  [26, { skip: 2, names: 2 }], // PX
  [30, { skip: 0, names: 1 }], // NXT
  [TYPE.SRV, { skip: 6, names: 1 }],
  [TYPE.NAPTR, { skip: 4, strings: 3, names: 1 }],
  [36, { skip: 2, names: 1 }], // KX
  [TYPE.DNAME, { skip: 0, names: 1 }],
  [TYPE.RRSIG, { skip: 18, names: 1 }],
  [TYPE.NSEC, { skip: 0, names: 1 }],
]);

/** Writes parts of a message one after the other, each in front of or where it stood. */
class ShorterCopy {
  readonly #from: Uint8Array;
  readonly #to: Uint8Array;
  /** Where the label at an offset of the message stands now; 0 where it does not. */
  readonly #placeOf: Uint16Array;
  #at = 0;

  constructor(from: Uint8Array, end: number) {
    this.#from = from;
    this.#to = new Uint8Array(end);
    this.#placeOf = new Uint16Array(Math.min(end, MAX_POINTED + 1));
  }

  question(end: number): void {
    this.#copy(0, end);
    let at = HEADER_OCTETS;
    for (; this.#from[at] !== 0; at += (this.#from[at] ?? 0) + 1) this.#placeOf[at] = at;
    this.#placeOf[at] = at;
  }

  /** Whether the record could be copied. */
  record(start: number, typeAt: number, end: number): boolean {
    if (this.#name(start) !== typeAt) return false;
    const type = uint16At(this.#from, typeAt);
    const rdataAt = typeAt + FIXED_RR_OCTETS;
    const lengthAt = this.#at + 8;
    if (!this.#copy(typeAt, rdataAt)) return false;
    if (!this.#rdata(type, rdataAt, end)) return false;
    putUint16(this.#to, lengthAt, this.#at - lengthAt - 2);
    return true;
  }

  count(section: number, records: number): void {
    putUint16(this.#to, 6 + section * 2, records);
  }

  octets(): Uint8Array {
    return new Uint8Array(this.#to.subarray(0, this.#at));
  }

  #rdata(type: number, start: number, end: number): boolean {
    const layout = NAMES_IN_RDATA.get(type);
    // RFC 2136 section 2.4 knows records without data; such a record has no names either
    if (layout === undefined || start === end) return this.#copy(start, end);
    let at = start + layout.skip;
    for (let left = layout.strings ?? 0; left > 0; left--) at += (this.#from[at] ?? 0) + 1;
    if (at >= end || !this.#copy(start, at)) return false;
    for (let name = 0; name < layout.names; name++) {
      at = this.#name(at);
      if (at < 0 || at > end) return false;
    }
    return this.#copy(at, end);
  }

  #copy(start: number, end: number): boolean {
    if (this.#at + end - start > this.#to.length) return false;
    for (let at = start; at < end; at++) this.#to[this.#at++] = this.#from[at] ?? 0;
    return true;
  }

  /** Copies the name at `start` and returns the offset behind it in the message, or -1 where it is broken. */
  #name(start: number): number {
    let at = start;
    let behind = -1;
    let written = 0;
    for (let jumps = 0; jumps <= MAX_JUMPS; ) {
      const length = this.#from[at] ?? 0;
      const isPointer = length >= 0xc0;
      const place = behind < 0 ? 0 : (this.#placeOf[at] ?? 0);
      if (place !== 0 && !isPointer) {
        if (this.#at + 2 > this.#to.length) return -1;
        putUint16(this.#to, this.#at, 0xc000 | place);
        this.#at += 2;
        return behind;
      }
      if (isPointer) {
        if (behind < 0) behind = at + 2;
        const target = ((length & 0x3f) << 8) | (this.#from[at + 1] ?? 0);
        if (target >= at || target < HEADER_OCTETS) return -1;
        at = target;
        jumps++;
        continue;
      }
      written += length + 1;
      if (length > 63 || written > MAX_NAME_OCTETS) return -1;
      if (this.#placeOf[at] === 0 && this.#at <= MAX_POINTED) this.#placeOf[at] = this.#at;
      if (!this.#copy(at, at + length + 1)) return -1;
      if (length === 0) return behind < 0 ? at + 1 : behind;
      at += length + 1;
    }
    return -1;
  }
}
