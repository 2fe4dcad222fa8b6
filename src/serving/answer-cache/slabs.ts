/**
 * Records of any length in a few large buffers. A record is a chain of chunks. So no free place is too small, no room is lost
 * between two records, and any record can use the chunks of a removed record. This file refuses to know what a record holds.
 *
 *     chunk   the number of the next chunk, plus one (u32; 0 at the end), 60 octets of the record
 *
 * A record is read and written as words of 32 bits: octet by octet takes three times as long.
 */

const CHUNK_WORDS = 16;
const PAYLOAD_WORDS = CHUNK_WORDS - 1;
const PAYLOAD_OCTETS = PAYLOAD_WORDS * 4;
export const CHUNK_OCTETS = CHUNK_WORDS * 4;

/** Chunks of a buffer: 256 KiB, which the system gives page by page as they are written. */
const SLAB_CHUNKS_LOG2 = 12;
const SLAB_CHUNKS = 2 ** SLAB_CHUNKS_LOG2;

/** The number of chunks that a record of this length takes. */
export function chunksFor(octets: number): number {
  return Math.ceil(octets / PAYLOAD_OCTETS);
}

export class Slabs {
  readonly #slabs: Uint32Array[] = [];
  /** The first of the free chunks, plus one; they are chained like those of a record. */
  #free = 0;
  /** Chunks from here on were never used. */
  #fresh = 0;

  /** The number of chunks in all buffers. */
  get capacity(): number {
    return this.#slabs.length * SLAB_CHUNKS;
  }

  /** Copies the first `octets` of `record` into chunks. Returns the number by which the record is read and removed. */
  put(record: Uint32Array, octets: number): number {
    const words = Math.ceil(octets / 4);
    const first = this.#take();
    let chunk = first;
    for (let from = 0; ; ) {
      const slab = this.#slabOf(chunk);
      const at = placeOf(chunk);
      const end = Math.min(from + PAYLOAD_WORDS, words);
      for (let to = at + 1; from < end; from++, to++) slab[to] = record[from] ?? 0;
      if (from === words) {
        slab[at] = 0;
        return first;
      }
      chunk = this.#take();
      slab[at] = chunk + 1;
    }
  }

  /** Copies the record to the start of `into`, and up to 14 words of no meaning after it. */
  read(first: number, into: Uint32Array): void {
    let to = 0;
    for (let next = first + 1; next !== 0; ) {
      const slab = this.#slabOf(next - 1);
      const at = placeOf(next - 1);
      for (let from = at + 1; from < at + CHUNK_WORDS; from++, to++) into[to] = slab[from] ?? 0;
      next = slab[at] ?? 0;
    }
  }

  remove(first: number): void {
    for (let last = first; ; ) {
      const slab = this.#slabOf(last);
      const next = slab[placeOf(last)] ?? 0;
      if (next !== 0) {
        last = next - 1;
        continue;
      }
      slab[placeOf(last)] = this.#free;
      this.#free = first + 1;
      return;
    }
  }

  #take(): number {
    if (this.#free !== 0) {
      const chunk = this.#free - 1;
      this.#free = this.#slabOf(chunk)[placeOf(chunk)] ?? 0;
      return chunk;
    }
    if (this.#fresh === this.capacity) this.#slabs.push(new Uint32Array(SLAB_CHUNKS * CHUNK_WORDS));
    return this.#fresh++;
  }

  #slabOf(chunk: number): Uint32Array {
    const slab = this.#slabs[chunk >>> SLAB_CHUNKS_LOG2];
    if (slab === undefined) throw new Error(`no chunk ${chunk} in ${this.#slabs.length} slabs`);
    return slab;
  }
}

/** The first word of a chunk in its buffer. */
function placeOf(chunk: number): number {
  return (chunk & (SLAB_CHUNKS - 1)) * CHUNK_WORDS;
}
