/** Offers chance as one argument: unpredictable numbers, which RFC 5452 section 9.2 requires for IDs and ports. */
import { closeSync, openSync, readSync } from 'node:fs';

export interface Random {
  /** An integer from 0 to 65,535. */
  uint16(): number;
  /** An integer from 0 to 4,294,967,295. */
  uint32(): number;
  /** A number from 0 up to, not including, 1. */
  fraction(): number;
}

/** A factor around 1, at most `part` away from it: hosts that start together then do not go on in step. */
export function jitter(random: Pick<Random, 'fraction'>, part: number): number {
  return 1 - part + 2 * part * random.fraction();
}

/**
 * From the kernel, as Node's own draws it too; but to load `node:crypto` takes a fifteenth of a start. Where the device cannot be read
 * (no /dev, no descriptor left) Node draws.
 */
export function fillRandom<Words extends Uint32Array | Int32Array>(words: Words): Words {
  try {
    const fd = openSync('/dev/urandom', 'r');
    try {
      if (readSync(fd, words) === words.byteLength) return words;
    } finally {
      closeSync(fd);
    }
  } catch {
    // below
  }
  return process.getBuiltinModule('node:crypto').randomFillSync(words);
}

const WORDS = 1024; // one system call draws the numbers of a thousand exchanges
const pool = new Uint32Array(WORDS);
let used = WORDS;

function uint32(): number {
  if (used === WORDS) {
    fillRandom(pool);
    used = 0;
  }
  const drawn = pool[used] ?? 0;
  pool[used++] = 0;
  return drawn;
}

export const systemRandom: Random = {
  uint16: () => uint32() >>> 16,
  uint32,
  fraction: () => uint32() / 0x1_0000_0000,
};
