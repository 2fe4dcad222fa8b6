/**
 * SHA-256 (FIPS 180-4) of files that a start reads. Node's own needs a module whose loading takes as long as a fifteenth of a start; a
 * few KiB are hashed here in a fraction of that. Longer content goes to Node's own, which is faster by far for each octet.
 */

const LONGEST_HERE = 32 * 1024;
const BLOCK_OCTETS = 64;

export class Sha256 {
  /** Until it is too long. */
  #pieces: Buffer[] = [];
  #octets = 0;
  #long: import('node:crypto').Hash | undefined;

  update(data: string | Uint8Array): this {
    this.#octets += data.length; // of a text the least that it can have
    if (this.#octets > LONGEST_HERE && this.#long === undefined) {
      this.#long = process.getBuiltinModule('node:crypto').createHash('sha256');
      for (const piece of this.#pieces.splice(0)) this.#long.update(piece);
    }
    if (this.#long === undefined)
      this.#pieces.push(Buffer.from(data)); // a copy: the caller may write into its array again
    else this.#long.update(data);
    return this;
  }

  /** To be called once. */
  digest(): Buffer {
    return this.#long?.digest() ?? digestOf(Buffer.concat(this.#pieces));
  }
}

function digestOf(content: Uint8Array): Buffer {
  const padded = new Uint8Array((Math.floor((content.length + 8) / BLOCK_OCTETS) + 1) * BLOCK_OCTETS);
  padded.set(content);
  padded[content.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, content.length * 8); // at most LONGEST_HERE octets: the upper half stays 0
  const state = new Int32Array(INITIAL);
  const words = new Int32Array(64);
  for (let at = 0; at < padded.length; at += BLOCK_OCTETS) addBlock(state, words, view, at);
  const digest = Buffer.alloc(32);
  for (const [at, word] of state.entries()) digest.writeInt32BE(word, at * 4);
  return digest;
}

function addBlock(state: Int32Array, words: Int32Array, view: DataView, start: number): void {
  for (let i = 0; i < 16; i++) words[i] = view.getInt32(start + i * 4);
  for (let i = 16; i < 64; i++) {
    const early = words[i - 15] ?? 0;
    const late = words[i - 2] ?? 0;
    const low = ((early >>> 7) | (early << 25)) ^ ((early >>> 18) | (early << 14)) ^ (early >>> 3);
    const high = ((late >>> 17) | (late << 15)) ^ ((late >>> 19) | (late << 13)) ^ (late >>> 10);
    words[i] = (low + high + (words[i - 16] ?? 0) + (words[i - 7] ?? 0)) | 0;
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let i = 0; i < 64; i++) {
    const rotated = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const first = (h + rotated + ((e & f) ^ (~e & g)) + (ROUNDS[i] ?? 0) + (words[i] ?? 0)) | 0;
    const turned = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const second = (turned + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  const sums = [a, b, c, d, e, f, g, h];
  for (let i = 0; i < 8; i++) state[i] = ((state[i] ?? 0) + (sums[i] ?? 0)) | 0;
}

/** FIPS 180-4 section 5.3.3: of the square roots of the first eight primes. */
const INITIAL = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
] as const;
/** FIPS 180-4 section 4.2.2: of the cube roots of the first 64 primes. */
const ROUNDS = new Int32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
  0xc67178f2,
]);
