import { type ResourceRecord, typeFromText } from '../../src/protocol/words/codes.ts';
import { nameToWire } from '../../src/protocol/words/name.ts';

/** `rr('name 60 A 10.0.0.1')`: one record of our own from zone-file text. */
export function rr(text: string): ResourceRecord {
  const [owner = '.', ttl = '0', type = '', ...data] = text.trim().split(/\s+/);
  const common = { owner: owner.replace(/(?<=.)\.$/, ''), ttlSeconds: Number(ttl) };
  switch (type) {
    case 'A':
    case 'AAAA':
      return { ...common, type, address: data[0] ?? '' };
    case 'CNAME':
    case 'PTR':
    case 'NS':
      return { ...common, type, target: data[0] ?? '' };
    case 'MX':
      return { ...common, type, preference: Number(data[0]), exchange: data[1] ?? '' };
    case 'TXT':
      return { ...common, type, strings: data };
    case 'HINFO':
      return { ...common, type, cpu: data[0] ?? '', os: data[1] ?? '' };
    case 'SOA': {
      const [serial = 0, refreshSeconds = 0, retrySeconds = 0, expireSeconds = 0, minimumSeconds = 0] = data
        .slice(2)
        .map(Number);
      return {
        ...common,
        type,
        primary: data[0] ?? '',
        mailbox: data[1] ?? '',
        serial,
        refreshSeconds,
        retrySeconds,
        expireSeconds,
        minimumSeconds,
      };
    }
    default:
      throw new Error(`rr: no such type: ${type}`);
  }
}

/** Octets of one record with an uncompressed owner and raw RDATA, for composing hostile or unknown records. */
export function rawRecord(
  owner: string,
  type: string | number,
  ttlSeconds: number,
  rdata: Uint8Array | number[],
): Buffer {
  const number = typeof type === 'number' ? type : (typeFromText(type) ?? 0);
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(number, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt32BE(ttlSeconds, 4);
  fixed.writeUInt16BE(rdata.length, 8);
  return Buffer.concat([nameToWire(owner), fixed, Buffer.from(rdata)]);
}

export interface MessageText {
  readonly id?: number;
  readonly flags?: number;
  readonly question: readonly [name: string, type: string, qclass?: number];
  readonly answers?: readonly Buffer[];
  readonly authorities?: readonly Buffer[];
  readonly additionals?: readonly Buffer[];
}

/** A whole message from its parts; `flags` default to a plain response (QR, RD, RA). */
export function message(parts: MessageText): Buffer {
  const { answers = [], authorities = [], additionals = [] } = parts;
  const header = Buffer.alloc(12);
  for (const [index, value] of [
    parts.id ?? 0x1234,
    parts.flags ?? 0x8180,
    1,
    answers.length,
    authorities.length,
    additionals.length,
  ].entries())
    header.writeUInt16BE(value, index * 2);
  const fixed = Buffer.alloc(4);
  fixed.writeUInt16BE(typeFromText(parts.question[1]) ?? 0, 0);
  fixed.writeUInt16BE(parts.question[2] ?? 1, 2);
  return Buffer.concat([
    header,
    nameToWire(parts.question[0]),
    fixed,
    ...answers,
    ...authorities,
    ...additionals,
  ]);
}

/** An OPT record as it stands in an additional section. */
export function opt({
  size = 1232,
  doBit = false,
  version = 0,
  extendedRcode = 0,
  options = [] as number[],
} = {}): Buffer {
  const fixed = Buffer.alloc(11);
  fixed.writeUInt16BE(41, 1);
  fixed.writeUInt16BE(size, 3);
  fixed[5] = extendedRcode;
  fixed[6] = version;
  fixed[7] = doBit ? 0x80 : 0;
  fixed.writeUInt16BE(options.length, 9);
  return Buffer.concat([fixed, Buffer.from(options)]);
}

/** RDATA of an RRSIG by the root that covers this type, with as many octets of signature. */
export function rrsigData(covered = 'A', signatureOctets = 4, signer = '.'): Buffer {
  const fixed = Buffer.alloc(18);
  fixed.writeUInt16BE(typeFromText(covered) ?? 0, 0);
  return Buffer.concat([fixed, nameToWire(signer), Buffer.alloc(signatureOctets, 0x5e)]);
}

/** RDATA of an SOA with one-octet names, of which only MINIMUM matters to a test. */
export function soaData(minimumSeconds: number): Buffer {
  const numbers = Buffer.alloc(20);
  numbers.writeUInt32BE(minimumSeconds, 16);
  return Buffer.concat([Buffer.of(0, 0), numbers]);
}
