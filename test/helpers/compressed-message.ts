/** Messages whose names are compressed wherever that is possible, as name servers send them. */

import { typeFromText } from '../../src/protocol/words/codes.ts';
import { nameToWire } from '../../src/protocol/words/name.ts';

/** RDATA in its order: a text is a name, which is compressed; octets stay. */
export type RdataParts = readonly (string | readonly number[] | Buffer)[];

export interface CompressedRecord {
  readonly owner: string;
  readonly type: string | number;
  readonly ttl?: number;
  readonly rdata: RdataParts;
}

export interface CompressedParts {
  readonly question: readonly [name: string, type: string];
  readonly flags?: number;
  readonly answers?: readonly CompressedRecord[];
  readonly authorities?: readonly CompressedRecord[];
  readonly additionals?: readonly CompressedRecord[];
  /** Whole records after the others, as OPT. */
  readonly tail?: readonly Buffer[];
}

export function compressedMessage(parts: CompressedParts): Buffer {
  const { answers = [], authorities = [], additionals = [], tail = [] } = parts;
  const places = new Map<string, number>();
  let octets = Buffer.alloc(12);
  octets.writeUInt16BE(0x1234, 0);
  octets.writeUInt16BE(parts.flags ?? 0x8180, 2);
  const counts = [1, answers.length, authorities.length, additionals.length + tail.length];
  for (const [at, count] of counts.entries()) octets.writeUInt16BE(count, 4 + at * 2);
  const add = (more: Uint8Array) => {
    octets = Buffer.concat([octets, more]);
  };
  const number = (type: string | number) => (typeof type === 'number' ? type : (typeFromText(type) ?? 0));
  const addName = (name: string) => {
    let labels = name === '.' ? [] : name.split('.');
    while (labels.length > 0) {
      const suffix = labels.join('.');
      const place = places.get(suffix);
      if (place !== undefined) {
        add(Buffer.of(0xc0 | (place >> 8), place));
        return;
      }
      if (octets.length < 0x4000) places.set(suffix, octets.length);
      add(nameToWire(labels[0] ?? '').subarray(0, -1));
      labels = labels.slice(1);
    }
    add(Buffer.of(0));
  };
  addName(parts.question[0]);
  const qtype = number(parts.question[1]);
  add(Buffer.of(qtype >> 8, qtype, 0, 1));
  for (const { owner, type, ttl = 60, rdata } of [...answers, ...authorities, ...additionals]) {
    addName(owner);
    const fixed = Buffer.alloc(10);
    fixed.writeUInt16BE(number(type), 0);
    fixed.writeUInt16BE(1, 2);
    fixed.writeUInt32BE(ttl, 4);
    add(fixed);
    const start = octets.length;
    for (const part of rdata) typeof part === 'string' ? addName(part) : add(Buffer.from(part));
    octets.writeUInt16BE(octets.length - start, start - 2);
  }
  for (const record of tail) add(record);
  return octets;
}
