/**
 * The case of letters in names that are asked for, as a secret (draft-vixie-dnsext-dns0x20): a reply has to bring it back.
 * It lets exchanges share a port. Where it says too little, or an upstream loses it, each exchange has a port of its own.
 */
import { lower } from '../../protocol/words/name.ts';
import type { Random } from '../../runtime/random.ts';

/** Fewer letters, and a port is not shared: with eight a forger who has found the port still needs 256 times as many replies. */
export const ENOUGH_LETTERS = 8;

/** An upstream that lost the case so often in a row does so for every name. */
const LOSSES_BELIEVED = 3;
const BELIEVED_MS = 15 * 60_000;

// a length octet is at most 63 and never in this range
const isLetter = (lowered: number): boolean => lowered >= 0x61 && lowered <= 0x7a;

export function hasEnoughLetters(name: Uint8Array): boolean {
  let letters = 0;
  for (let at = 0; at < name.length; at++) if (isLetter(lower(name[at] ?? 0))) letters++;
  return letters >= ENOUGH_LETTERS;
}

/** Gives the letters from `start` to `end` a random case, in place. */
export function mixCase(octets: Uint8Array, start: number, end: number, random: Random): void {
  let bits = 0;
  let left = 0;
  for (let at = start; at < end; at++) {
    const letter = (octets[at] ?? 0) | 0x20;
    // a length octet is at most 63: with that bit it is still below the letters
    if (letter < 0x61 || letter > 0x7a || (octets[at] ?? 0) < 0x41) continue;
    if (left === 0) {
      bits = random.uint32();
      left = 32;
    }
    octets[at] = letter & ~((bits & 1) << 5);
    bits >>>= 1;
    left--;
  }
}

/** Whether an upstream brings names back in the case in which they were sent. */
export class CaseMemory {
  #losses = 0;
  #lostUntilMs = Number.NEGATIVE_INFINITY;

  isKept(nowMs: number): boolean {
    return nowMs >= this.#lostUntilMs;
  }

  noteKept(): void {
    this.#losses = 0;
  }

  /** True where it is not trusted with the case any more, for a while. */
  noteLost(nowMs: number): boolean {
    if (++this.#losses < LOSSES_BELIEVED || !this.isKept(nowMs)) return false;
    this.#losses = 0;
    this.#lostUntilMs = nowMs + BELIEVED_MS;
    return true;
  }
}
