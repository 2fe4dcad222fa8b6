/**
 * Names inside messages, which may end in compression pointers (RFC 1035 section 4.1.4): are they whole, are two of them
 * equal, does one lie at or under the other. No function makes a string except `nameKey`, and all work is bounded.
 */
import { lower, MAX_NAME_OCTETS } from '../words/name.ts';
import { HEADER_OCTETS } from './header.ts';

/**
 * Pointers that one name may follow. Go's resolver gives up after ten, so a name with more reaches no client; compressors
 * need one pointer for a name, seldom two.
 */
const MAX_POINTERS = 10;

const POINTER = 0xc0;

/** Octets of the names that `wholeNameEnd` has found whole, written out: what work with them will cost. */
export const walked = { octets: 0 };

/**
 * The offset after the name at `start`, or -1 when any part of it is broken: each pointer has to point back, the labels
 * have to lie inside the message, and the whole name has to fit 255 octets.
 */
export function wholeNameEnd(message: Uint8Array, start: number): number {
  let at = start;
  let segment = start;
  let end = -1;
  let octets = 1;
  let pointers = 0;
  while (at < message.length) {
    const length = message[at] ?? 0;
    if (length === 0) {
      walked.octets += octets;
      return end < 0 ? at + 1 : end;
    }
    if (length >= POINTER) {
      if (at + 2 > message.length || ++pointers > MAX_POINTERS) return -1;
      const target = pointerAt(message, at);
      if (target >= segment || target < HEADER_OCTETS) return -1;
      if (end < 0) end = at + 2;
      segment = target;
      at = target;
      continue;
    }
    if (length > 63) return -1;
    octets += length + 1;
    if (octets > MAX_NAME_OCTETS) return -1;
    at += length + 1;
  }
  return -1;
}

/** Whether the name at `start` is written without a pointer, and ends at `end`. */
export function isPlainName(message: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const length = message[at] ?? 0;
    if (length === 0) return at + 1 === end;
    if (length > 63) return false;
    at += length + 1;
  }
  return false;
}

/** Whether a pointer stands at `at`, in place of a label. */
export function isPointer(message: Uint8Array, at: number): boolean {
  return (message[at] ?? 0) >= POINTER;
}

/** Returns the target offset of the pointer at `at`. */
export function pointerAt(message: Uint8Array, at: number): number {
  return (((message[at] ?? 0) & 0x3f) << 8) | (message[at + 1] ?? 0);
}

/** Follows pointers from `start` and returns the offset of the next label's length octet. The caller has checked the name. */
export function labelAt(message: Uint8Array, start: number): number {
  let at = start;
  while ((message[at] ?? 0) >= POINTER) {
    const target = pointerAt(message, at);
    if (target >= at) return at; // not in a whole name
    at = target;
  }
  return at;
}

/** Whether two checked names are equal; the case of letters does not count (RFC 4343). */
export function isSameName(message: Uint8Array, left: number, right: number): boolean {
  let one = labelAt(message, left);
  let other = labelAt(message, right);
  while (one !== other) {
    const length = message[one] ?? 0;
    if (length !== (message[other] ?? 0)) return false;
    if (length === 0) return true;
    for (let i = 1; i <= length; i++) {
      if (lower(message[one + i] ?? 0) !== lower(message[other + i] ?? 0)) return false;
    }
    one = labelAt(message, one + length + 1);
    other = labelAt(message, other + length + 1);
  }
  return true;
}

/** Whether the checked name at `name` equals the name at `apex`, or lies under that name. */
export function isAtOrUnderName(message: Uint8Array, name: number, apex: number): boolean {
  const top = labelAt(message, apex);
  let surplus = labelsOf(message, name) - labelsOf(message, top);
  if (surplus < 0) return false;
  let at = labelAt(message, name);
  for (; surplus > 0; surplus--) at = labelAt(message, at + (message[at] ?? 0) + 1);
  return isSameName(message, at, top);
}

function labelsOf(message: Uint8Array, name: number): number {
  let labels = 0;
  for (let at = labelAt(message, name); (message[at] ?? 0) !== 0; labels++) {
    at = labelAt(message, at + (message[at] ?? 0) + 1);
  }
  return labels;
}

/** Makes a key for a checked name: its labels with their lengths, without the root, in lower case. No person sees this key. */
export function nameKey(message: Uint8Array, start: number): string {
  let key = '';
  for (let at = labelAt(message, start); (message[at] ?? 0) !== 0; ) {
    const length = message[at] ?? 0;
    key += String.fromCharCode(length);
    for (let i = 1; i <= length; i++) key += String.fromCharCode(lower(message[at + i] ?? 0));
    at = labelAt(message, at + length + 1);
  }
  return key;
}
