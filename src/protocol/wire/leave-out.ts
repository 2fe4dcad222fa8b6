/**
 * Copies received messages without some of their records. The other records keep their octets, except compression pointers.
 * The copy sets each pointer again, because its target moves, and writes out a name whose target has gone.
 */

import { HEADER_OCTETS, MAX_MESSAGE_OCTETS, putUint16 } from './header.ts';
import { isPointer, pointerAt } from './message-names.ts';
import { type RdataCopier, walkRdata } from './rdata-shape.ts';
import { forEachRecord, type RecordPlace, type ResponseIndex } from './response-records.ts';

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
    const { type, section, ordinal, rdataAt } = record;
    if (copy.isFull || isLeftOut(type, section, ordinal, rdataAt)) return;
    counts[section] = (counts[section] ?? 0) + 1;
    copy.record(record);
  });
  return copy.finish(counts);
}

const scratch = new Uint8Array(MAX_MESSAGE_OCTETS);
const MAX_POINTER_TARGET = 0x3fff; // RFC 1035 section 4.1.4: 14 bits

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
      if (target === undefined && this.#length <= MAX_POINTER_TARGET) this.#labels.set(at, this.#length);
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
