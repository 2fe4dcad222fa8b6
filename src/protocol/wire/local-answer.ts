/**
 * Composes the answers that this server authors itself. dns2 composes each answer once, when a table is built. For each query
 * the server copies these octets after the client's own question.
 */

import { Packet } from 'dns2';
import { CLASS, TYPE } from '../words/codes.ts';
import type { ResourceRecord } from '../words/resource-record.ts';
import { HEADER_OCTETS, uint16At } from './header.ts';
import type { LocalAnswer } from './reply.ts';
import { indexResponse } from './response.ts';

export interface LocalAnswerParts {
  readonly rcode: number;
  /** The QNAME of the answer; for an answer to names under an apex, this apex. */
  readonly name: string;
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  /** The number of first answers that rotate; they all have the same owner, type and size. */
  readonly rotated?: number;
  readonly isOpen?: boolean;
}

/** Composes the sections. Throws when dns2 dropped a record: an author's mistake, found when the table is built. */
export function composeLocalAnswer(parts: LocalAnswerParts): LocalAnswer {
  const message = composeWithDns2(parts);
  const index = indexResponse(message);
  if (index.kind === 'fault' || index.ttlOffsets.length !== parts.answers.length + parts.authorities.length) {
    throw new Error(`cannot compose the answer for "${parts.name}"`);
  }
  const octets = message.subarray(index.questionEnd);
  const rotated = parts.rotated ?? 0;
  return {
    rcode: parts.rcode,
    answerCount: parts.answers.length,
    authorityCount: parts.authorities.length,
    octets,
    composedNameOctets: index.questionEnd - HEADER_OCTETS - 4,
    pointerOffsets: pointerOffsets(message, index.questionEnd),
    rotation:
      rotated > 1 ? { recordOctets: octets.length / parts.answers.length, records: rotated } : undefined,
    isOpen: parts.isOpen ?? false,
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

export interface MessageParts {
  readonly rcode: number;
  readonly name: string;
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
}

/** Composes with the question `name` A IN, so that names compress against it. Throws on what dns2 cannot write. */
export function composeWithDns2(parts: MessageParts): Uint8Array {
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
