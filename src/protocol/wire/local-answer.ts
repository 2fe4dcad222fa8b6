/**
 * Composes the answers that this server authors itself. dns2 composes each answer once, when a table is built. For each query
 * the server copies these octets after the client's own question.
 */
import { Packet } from 'dns2';
import { CLASS, RCODE, type ResourceRecord, TYPE } from '../words/codes.ts';
import { MAX_NAME_OCTETS, nameToWire } from '../words/name.ts';
import { HEADER_OCTETS, putUint32, uint16At } from './message.ts';
import type { LocalAnswer } from './reply.ts';
import { indexResponse } from './response.ts';

interface LocalAnswerParts {
  /** NOERROR, unless given. */
  readonly rcode?: number;
  /** The QNAME of the answer; for an answer to names under an apex, this apex. */
  readonly name: string;
  readonly answers: readonly ResourceRecord[];
  readonly authorities?: readonly ResourceRecord[];
  /** The number of first answers that rotate; they all have the same owner, type and size. */
  readonly rotated?: number;
  readonly isOpen?: boolean;
}

/** Composes the sections. Throws when dns2 dropped a record: an author's mistake, found when the table is built. */
export function composeLocalAnswer({
  rcode = RCODE.NOERROR,
  name,
  answers,
  authorities = [],
  rotated = 0,
  isOpen = false,
}: LocalAnswerParts): LocalAnswer {
  const message = composeWithDns2({ rcode, name, answers, authorities });
  const index = indexResponse(message);
  if (index.kind === 'fault' || index.ttlOffsets.length !== answers.length + authorities.length) {
    throw new Error(`cannot compose the answer for "${name}"`);
  }
  const octets = message.subarray(index.questionEnd);
  return {
    rcode,
    answerCount: answers.length,
    authorityCount: authorities.length,
    octets,
    composedNameOctets: index.questionEnd - HEADER_OCTETS - 4,
    pointerOffsets: pointerOffsets(message, index.questionEnd),
    rotation: rotated > 1 ? { recordOctets: octets.length / answers.length, records: rotated } : undefined,
    isOpen,
  };
}

/** Finds the compression pointers after `from`, in owners and in names inside RDATA. Returns their offsets, counted from `from`. */
function pointerOffsets(message: Uint8Array, from: number): number[] {
  const found: number[] = [];
  const note = (start: number): number => {
    let at = start;
    while ((message[at] ?? 0) !== 0) {
      if ((message[at] ?? 0) >= 0xc0) {
        found.push(at - from);
        return at + 2;
      }
      at += (message[at] ?? 0) + 1;
    }
    return at + 1;
  };
  for (let at = from; at < message.length; ) {
    const typeAt = note(at);
    const type = uint16At(message, typeAt);
    const rdata = typeAt + 10;
    if (type === TYPE.SOA) note(note(rdata));
    if (type === TYPE.CNAME || type === TYPE.PTR || type === TYPE.NS) note(rdata);
    if (type === TYPE.MX) note(rdata + 2);
    at = rdata + uint16At(message, typeAt + 8);
  }
  return found;
}

/** Composes with the question `name` A IN, so that names compress against it. Throws on what dns2 cannot write. */
function composeWithDns2(parts: Required<Omit<LocalAnswerParts, 'rotated' | 'isOpen'>>): Uint8Array {
  const packet = new Packet();
  packet.header.qr = 1;
  packet.header.rcode = parts.rcode;
  packet.questions = [new Packet.Question(nameForDns2(parts.name), TYPE.A, CLASS.IN)];
  packet.answers = parts.answers.map(toDns2);
  packet.authorities = parts.authorities.map(toDns2);
  return new Uint8Array(packet.toBuffer());
}

/** dns2's declarations ask for a `toBuffer` on every resource and for text in `data`; its composer does neither. */
function toDns2(record: ResourceRecord): Packet['answers'][number] {
  // hence the assertion: the declared type is narrower than what dns2's own `Resource.encode` reads
  return fieldsForDns2(record) as unknown as Packet['answers'][number];
}

function fieldsForDns2(record: ResourceRecord) {
  const common = {
    name: nameForDns2(record.owner),
    type: TYPE[record.type],
    class: CLASS.IN,
    ttl: record.ttlSeconds,
  };
  switch (record.type) {
    case 'A':
    case 'AAAA':
      return { ...common, address: record.address };
    case 'CNAME':
    case 'PTR':
      return { ...common, domain: nameForDns2(record.target) };
    case 'NS':
      return { ...common, ns: nameForDns2(record.target) };
    case 'MX':
      return { ...common, priority: record.preference, exchange: nameForDns2(record.exchange) };
    case 'TXT':
      return { ...common, data: record.strings.map((text) => Buffer.from(text, 'utf8')) };
    case 'HINFO':
      // dns2 has no composer for HINFO and copies `data` as RDATA: two character strings (RFC 1035 section 3.3.2)
      return { ...common, data: Buffer.concat([record.cpu, record.os].map(characterString)) };
    case 'SOA':
      return {
        ...common,
        primary: nameForDns2(record.primary),
        admin: nameForDns2(record.mailbox),
        serial: record.serial,
        refresh: record.refreshSeconds,
        retry: record.retrySeconds,
        expiration: record.expireSeconds,
        minimum: record.minimumSeconds,
      };
  }
}

function characterString(text: string): Buffer {
  const octets = Buffer.from(text, 'utf8');
  if (octets.length > 255)
    throw new Error(`cannot compose a character string of ${octets.length} octets: 255 fit`);
  return Buffer.concat([Buffer.of(octets.length), octets]);
}

/** dns2 splits names at every dot and knows no escapes. */
function nameForDns2(name: string): string {
  if (name.includes('\\')) throw new Error(`cannot compose the name "${name}": it has an escaped octet`);
  return name === '.' ? '' : name;
}

// Composes the answers that all zones of ours share, endpoints included: no such type, no such name, SOA, NS and
// HINFO. The server composes these answers once, for a stand-in apex. They fit any apex after a change of the length
// alone: every name of the zone in them is a compression pointer into the question. To compose the answers for each
// of the hundred zones would take 50 ms before the first answer.

/** TTL of answers that no record gives, and of denials: a rule changed by a reload is seen everywhere a minute later. */
export const LOCAL_TTL_SECONDS = 60;

export interface ApexAnswers {
  /** NOERROR without answers, for a name that exists. */
  readonly noData: LocalAnswer;
  /** NXDOMAIN, for the apex and for names under it. */
  readonly noName: LocalAnswer;
  /** The apex's own SOA and NS. */
  readonly soa: LocalAnswer;
  readonly ns: LocalAnswer;
  /** The answer to ANY, for any name (RFC 8482 section 4.2). */
  readonly hinfo: LocalAnswer;
}

const STAND_IN = 'zone'; // shares no label with `nobody.invalid`, so the mailbox is written out

const standIns = new Map<number, ApexAnswers>();

function standInFor(ttlSeconds: number): ApexAnswers {
  const composing = composingApexAnswers(ttlSeconds);
  for (;;) {
    const { done, value } = composing.next();
    if (done) return value;
  }
}

/** What `apexAnswers` composes when it is first called with this TTL, an answer a step: dns2 is slow while its code is new. */
export function* composingApexAnswers(
  ttlSeconds = LOCAL_TTL_SECONDS,
): Generator<undefined, ApexAnswers, undefined> {
  const known = standIns.get(ttlSeconds);
  if (known !== undefined) return known;
  const soa = ownSoa(STAND_IN, ttlSeconds);
  const owned = { owner: STAND_IN, ttlSeconds };
  const noData = composed(RCODE.NOERROR, [], [soa]);
  yield;
  const noName = composed(RCODE.NXDOMAIN, [], [soa]);
  yield;
  const ownSoaAnswer = composed(RCODE.NOERROR, [soa], []);
  yield;
  const ns = composed(RCODE.NOERROR, [{ ...owned, type: 'NS', target: STAND_IN }], []);
  yield;
  const hinfo = composed(RCODE.NOERROR, [{ ...owned, type: 'HINFO', cpu: 'RFC8482', os: '' }], []);
  const made: ApexAnswers = { noData, noName, soa: ownSoaAnswer, ns, hinfo: ownedByQname(hinfo) };
  standIns.set(ttlSeconds, made);
  return made;
}

function composed(
  rcode: number,
  answers: readonly ResourceRecord[],
  authorities: readonly ResourceRecord[],
): LocalAnswer {
  return composeLocalAnswer({ rcode, name: STAND_IN, answers, authorities });
}

/** Answers with the first serial by their TTL and the octets of the apex: zones whose names are as long share them. */
const shared = new Map<number, ApexAnswers>();

/** Composes the answers of the zone at `apex`, which is in normal form. Each answer has this TTL. */
export function apexAnswers(apex: string, ttlSeconds = LOCAL_TTL_SECONDS, serial = 1): ApexAnswers {
  const octets = nameToWire(apex).length;
  if (serial !== 1) return answersFor(octets, ttlSeconds, serial);
  const key = ttlSeconds * (MAX_NAME_OCTETS + 1) + octets;
  const known = shared.get(key) ?? answersFor(octets, ttlSeconds, serial);
  shared.set(key, known);
  return known;
}

function answersFor(composedNameOctets: number, ttlSeconds: number, serial: number): ApexAnswers {
  const standIn = standInFor(ttlSeconds);
  const withSoa = (answer: LocalAnswer): LocalAnswer => {
    return { ...answer, octets: withSerial(answer.octets, serial), composedNameOctets };
  };
  return {
    noData: withSoa(standIn.noData),
    noName: withSoa(standIn.noName),
    soa: withSoa(standIn.soa),
    ns: { ...standIn.ns, composedNameOctets },
    hinfo: standIn.hinfo,
  };
}

/** RFC 1035 section 3.3.13: SERIAL is the first of the five numbers in which an SOA ends. */
function withSerial(octets: Uint8Array, serial: number): Uint8Array {
  if (serial === 1) return octets;
  const copy = new Uint8Array(octets);
  putUint32(copy, copy.length - 20, serial);
  return copy;
}

/**
 * Makes the QNAME the owner of every record in the answer, also where the QNAME is longer than the composed name. The answer
 * may contain no names except owners equal to the composed name: their pointers stay on the first octet of the question.
 */
export function ownedByQname(answer: LocalAnswer): LocalAnswer {
  return { ...answer, pointerOffsets: [] };
}

/**
 * The SOA of every zone of ours, with the short names and the numbers of RFC 6303 section 3. With them no client sends updates
 * anywhere. Negative answers carry the SOA; its TTL and MINIMUM bound how long they are kept (RFC 2308 section 3).
 */
export function ownSoa(apex: string, ttlSeconds: number, serial = 1): ResourceRecord {
  return {
    owner: apex,
    ttlSeconds,
    type: 'SOA',
    primary: apex,
    mailbox: 'nobody.invalid',
    serial,
    refreshSeconds: 3600,
    retrySeconds: 1200,
    expireSeconds: 604_800,
    minimumSeconds: ttlSeconds,
  };
}
