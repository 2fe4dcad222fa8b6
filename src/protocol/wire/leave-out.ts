/**
 * Decides for each record of a response whether it belongs to the question, in any order, and copies a message without some of
 * its records. The answer section may have the name and its aliases, and the authority section the zones above them. The
 * additional section may have the hosts that those records name. All other records could only mislead a client (RFC 2181 section
 * 5.4.1, RFC 5452 section 6). `Relevance` of response.ts reads the same rule during its pass, without an object; this file is for
 * the few responses about which it is in doubt, and for records that a client does not want.
 */
import { TYPE } from '../words/codes.ts';
import {
  HEADER_OCTETS,
  isPointer,
  MAX_MESSAGE_OCTETS,
  MAX_POINTED,
  nameKey,
  pointerAt,
  putUint16,
} from './message.ts';
import {
  coveredType,
  forEachRecord,
  hasShape,
  isDenial,
  MAX_ALIASES,
  type RdataCopier,
  type RecordPlace,
  type ResponseIndex,
  SECTION,
  seen,
  walkRdata,
} from './response-records.ts';

export const SIGNER = 18; // octets of RRSIG's RDATA before the signer's name (RFC 4034 section 3.1)

/** TYPEs that an additional section has about a host: addresses, and those of RFC 2782, 6763 and 9460. */
export const HOST_TYPES: ReadonlySet<number> = new Set([
  TYPE.A,
  TYPE.AAAA,
  TYPE.CNAME,
  TYPE.TXT,
  TYPE.SRV,
  TYPE.RRSIG,
  TYPE.TLSA,
  TYPE.SVCB,
  TYPE.HTTPS,
]);

interface Place {
  readonly section: number;
  readonly type: number;
  /** The type that an RRSIG covers, or else the record's own. */
  readonly covered: number;
  readonly owner: string;
  /** The target of a CNAME or DNAME. */
  readonly target: string;
  readonly host: string | undefined;
  readonly signer: string | undefined;
}

/** For each record of the message, in its order, whether it belongs to the question. */
export function relevantRecords(message: Uint8Array, index: ResponseIndex): readonly boolean[] {
  const places = placesOf(message, index);
  const chain = chainOf(nameKey(message, HEADER_OCTETS), places);
  const above = new Set([...chain].flatMap(suffixesOf));
  const inAnswer = ({ owner, covered }: Place): boolean =>
    chain.has(owner) || (covered === TYPE.DNAME && above.has(owner));
  const zones = new Set(
    places
      .filter(({ section }) => section === SECTION.authority)
      .map(({ type, owner, signer }) => (type === TYPE.SOA ? owner : signer))
      .filter((zone) => zone !== undefined && above.has(zone)),
  );
  const inZone = (name: string): boolean => suffixesOf(name).some((suffix) => zones.has(suffix));
  const inAuthority = ({ owner, covered }: Place): boolean =>
    above.has(owner) || (isDenial(covered) && inZone(owner));
  const hosts = new Set(chain);
  return places.map((place) => {
    let isKept: boolean;
    if (place.section === SECTION.answer) isKept = inAnswer(place);
    else if (place.section === SECTION.authority) isKept = inAuthority(place);
    else isKept = HOST_TYPES.has(place.type) && hosts.has(place.owner);
    if (isKept && place.host !== undefined) hosts.add(place.host);
    return isKept;
  });
}

function placesOf(message: Uint8Array, index: ResponseIndex): readonly Place[] {
  const places: Place[] = [];
  forEachRecord(message, index, ({ section, type, ownerAt, rdataAt, end }) => {
    hasShape(message, type, rdataAt, end);
    const isAlias = type === TYPE.CNAME || type === TYPE.DNAME;
    places.push({
      section,
      type,
      covered: coveredType(message, type, rdataAt),
      owner: nameKey(message, ownerAt),
      target: isAlias ? nameKey(message, rdataAt) : '',
      host: seen.hostAt === 0 ? undefined : nameKey(message, seen.hostAt),
      signer: type === TYPE.RRSIG ? nameKey(message, rdataAt + SIGNER) : undefined,
    });
  });
  return places;
}

/** Finds the name and its aliases; the message may have them in any order. */
function chainOf(name: string, places: readonly Place[]): ReadonlySet<string> {
  const aliases = new Map<string, string>();
  const subtrees = new Map<string, string>();
  for (const { section, type, owner, target } of places) {
    if (section !== SECTION.answer) continue;
    if (type === TYPE.CNAME && !aliases.has(owner)) aliases.set(owner, target);
    if (type === TYPE.DNAME && !subtrees.has(owner)) subtrees.set(owner, target);
  }
  const chain = new Set([name]);
  let last = name;
  for (let step = 0; step < MAX_ALIASES; step++) {
    const next = aliases.get(last) ?? redirected(last, subtrees);
    if (next === undefined || chain.has(next)) break;
    chain.add(next);
    last = next;
  }
  return chain;
}

/** RFC 6672 section 2.2: the part below the owner of a DNAME, put before its target. */
function redirected(name: string, subtrees: ReadonlyMap<string, string>): string | undefined {
  if (subtrees.size === 0) return undefined;
  for (const suffix of suffixesOf(name).slice(1)) {
    const target = subtrees.get(suffix);
    if (target !== undefined) return name.slice(0, name.length - suffix.length) + target;
  }
  return undefined;
}

/** The name itself and all above it, up to the root, as keys. */
function suffixesOf(name: string): string[] {
  const suffixes = [name];
  for (let rest = name; rest !== ''; ) {
    rest = rest.slice(1 + rest.charCodeAt(0));
    suffixes.push(rest);
  }
  return suffixes;
}

// Copies received messages without some of their records. The other records keep their octets, except compression pointers.
// The copy sets each pointer again, because its target moves, and writes out a name whose target has gone.

/** Whether a record is to go: by its TYPE, its section, its place among the records of the message, and its RDATA's offset. */
export type IsLeftOut = (type: number, section: number, ordinal: number, rdataAt: number) => boolean;

/**
 * A whole message of its own: the header, the question and the records that stay; OPT is left out in any case. `undefined`
 * in the rare case that it would be longer than a message can be, because names had to be written out.
 */
export function leaveOut(
  message: Uint8Array,
  index: ResponseIndex,
  isLeftOut: IsLeftOut,
): Uint8Array | undefined {
  const copy = new Copy(message, index.questionEnd);
  const counts = [0, 0, 0];
  forEachRecord(message, index, (record) => {
    const { section } = record;
    if (copy.isFull || isLeftOut(record.type, section, record.ordinal, record.rdataAt)) return;
    counts[section] = (counts[section] ?? 0) + 1;
    copy.record(record);
  });
  return copy.finish(counts);
}

const scratch = new Uint8Array(MAX_MESSAGE_OCTETS);

class Copy implements RdataCopier {
  isFull = false;
  readonly #message: Uint8Array;
  #length: number;
  /** Maps the offset of a label in the message to its offset in the copy. */
  readonly #labels = new Map<number, number>();

  constructor(message: Uint8Array, questionEnd: number) {
    this.#message = message;
    this.#length = questionEnd;
    for (let at = 0; at < questionEnd; at++) scratch[at] = message[at] ?? 0;
    for (let at = HEADER_OCTETS; at < questionEnd - 5; at += (message[at] ?? 0) + 1) this.#labels.set(at, at);
  }

  record({ ownerAt, typeAt, rdataAt, end, type }: RecordPlace): void {
    this.name(ownerAt, true);
    this.octets(typeAt, rdataAt);
    const start = this.#length;
    walkRdata(this.#message, type, rdataAt, end, this);
    if (!this.isFull) putUint16(scratch, start - 2, this.#length - start);
  }

  octets(from: number, to: number): void {
    if (this.#length + to - from > scratch.length) this.isFull = true;
    if (this.isFull) return;
    for (let at = from; at < to; at++) scratch[this.#length++] = this.#message[at] ?? 0;
  }

  name(start: number, mayCompress: boolean): void {
    const message = this.#message;
    let at = start;
    while ((message[at] ?? 0) !== 0) {
      const target = this.#labels.get(at);
      if (target !== undefined && mayCompress) {
        this.#pointer(target);
        return;
      }
      if (isPointer(message, at)) {
        at = pointerAt(message, at);
        continue;
      }
      if (target === undefined && this.#length <= MAX_POINTED) this.#labels.set(at, this.#length);
      const next = at + (message[at] ?? 0) + 1;
      this.octets(at, next);
      if (this.isFull) return;
      at = next;
    }
    this.octets(at, at + 1);
  }

  finish(counts: readonly number[]): Uint8Array | undefined {
    if (this.isFull) return undefined;
    for (const [section, count] of counts.entries()) putUint16(scratch, 6 + section * 2, count);
    return scratch.slice(0, this.#length);
  }

  #pointer(target: number): void {
    if (this.#length + 2 > scratch.length) this.isFull = true;
    if (this.isFull) return;
    putUint16(scratch, this.#length, 0xc000 | target);
    this.#length += 2;
  }
}
