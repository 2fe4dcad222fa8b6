/**
 * Messages out of a TCP stream. The length of each message stands before it, in two octets (RFC 7766 section 8). The stream may be
 * split anywhere. Whole messages are handed out in place, in the received chunk. A message that arrives in pieces is copied
 * once, into a buffer of its announced length (at most 65,535 octets).
 */
import { uint16At } from './message.ts';

export const LENGTH_OCTETS = 2;

const NOTHING = new Uint8Array(0);

export class TcpFramer {
  /** The message that the last `next()` found: `octets` from `start` to `end`, valid until the next call. */
  octets: Uint8Array = NOTHING;
  start = 0;
  end = 0;
  /** A frame announced no octets: no message is empty, so the octets after it cannot be trusted. */
  isBroken = false;
  #chunk: Uint8Array = NOTHING;
  #at = 0;
  /** A frame whose body has begun to arrive, and how much of it has. */
  #body: Uint8Array | undefined;
  #filled = 0;
  /** The first octet of a length whose second is still to come; -1: none. */
  #lengthHigh = -1;

  /** Takes received octets. Call `next()` until it returns false. */
  push(chunk: Uint8Array): void {
    // the reader paused between two messages of the chunk before: what it has left comes first
    this.#chunk = this.hasUnread ? Buffer.concat([this.#chunk.subarray(this.#at), chunk]) : chunk;
    this.#at = 0;
  }

  /** Finds the next whole message; false when there is none (yet). */
  next(): boolean {
    if (this.isBroken) return false;
    if (this.#body !== undefined) return this.#fillBody(this.#body);
    const length = this.#takeLength();
    if (length < 0) return false;
    if (length === 0) {
      this.isBroken = true;
      return false;
    }
    const end = this.#at + length;
    if (end <= this.#chunk.length) {
      this.#found(this.#chunk, this.#at, end);
      this.#at = end;
      return true;
    }
    const body = new Uint8Array(length);
    this.#filled = 0;
    this.#body = body;
    return this.#fillBody(body);
  }

  /** Lets go of all that was received: nothing more is wanted. */
  forget(): void {
    this.#chunk = NOTHING;
    this.#at = 0;
    this.#body = undefined;
  }

  /** Whether received octets are unread: `next()` may find another message without a `push`. */
  get hasUnread(): boolean {
    return this.#at < this.#chunk.length;
  }

  /** Whether a frame has begun and is not whole. */
  get isMidFrame(): boolean {
    return this.#body !== undefined || this.#lengthHigh >= 0;
  }

  /** The announced length of the next frame, or -1 when its two octets have not both come. */
  #takeLength(): number {
    const left = this.#chunk.length - this.#at;
    if (left === 0) return -1;
    if (this.#lengthHigh >= 0) {
      const length = (this.#lengthHigh << 8) | (this.#chunk[this.#at] ?? 0);
      this.#lengthHigh = -1;
      this.#at += 1;
      return length;
    }
    if (left === 1) {
      this.#lengthHigh = this.#chunk[this.#at] ?? 0;
      this.#at += 1;
      return -1;
    }
    const length = uint16At(this.#chunk, this.#at);
    this.#at += LENGTH_OCTETS;
    return length;
  }

  #fillBody(body: Uint8Array): boolean {
    const from = this.#at;
    const to = Math.min(this.#chunk.length, from + body.length - this.#filled);
    body.set(this.#chunk.subarray(from, to), this.#filled);
    this.#filled += to - from;
    this.#at = to;
    if (!this.hasUnread) {
      this.#chunk = NOTHING; // else a slow frame would keep its last chunk alive
      this.#at = 0;
    }
    if (this.#filled < body.length) return false;
    this.#body = undefined;
    this.#found(body, 0, body.length);
    return true;
  }

  #found(octets: Uint8Array, start: number, end: number): void {
    this.octets = octets;
    this.start = start;
    this.end = end;
  }
}
