/**
 * Queries that were taken from their socket and wait for an upstream, kept in a file that outlives the process. A process that is
 * killed leaves them there; the next process answers them, each at most once, so that no query can end process after process.
 *
 * The file is a row of slots. A slot: mark 0, octets of the query 4, wall clock 8, octets of the text 16, whether there is packet
 * information 17, packet information 20, `sockaddr` of the client 40, text of the listening address 68, query 132. Numbers are
 * little-endian, as on every machine where C is called (libc.ts). A slot that is not whole counts as empty.
 */
import type { Log } from '../../log/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import { INFO_WORDS, NAME_OCTETS, NAME_WORDS } from '../../runtime/datagrams.ts';
import type { OutlivingFile } from '../../runtime/service-manager.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';

/** A query that an earlier process has not answered. */
export interface LeftQuery {
  /** The listening address, as `socketText` has it. */
  readonly address: string;
  /** When it was kept, by the wall clock. */
  readonly atMs: number;
  readonly octets: Uint8Array;
  /** The client's `sockaddr`. */
  readonly name: Uint8Array<ArrayBuffer>;
  readonly info: Uint32Array | undefined;
}

const SLOT_OCTETS = 1024;
/** In flight: 4,000 queries per second that wait for an upstream for 100 ms, or those that have waited for a process. */
const SLOTS = 512;
/** To keep a query and to forget it takes 2 us: at this rate 0.8 % of a processor, whatever the load. */
const KEPT_PER_MS = 4;
export const TAKEN_FILE_OCTETS = SLOTS * SLOT_OCTETS;
/** After a write that failed nothing is kept for this time: somebody may make room meanwhile. */
const RETRY_MS = 60_000;
/** A client has repeated its query, or has given up, after this time. */
const MAX_AGE_MS = 5_000;
const MARK = 0x64_6e_73_31;
const MARK_OCTETS = 4;
const AT = {
  mark: 0,
  length: 4,
  wallMs: 8,
  textLength: 16,
  hasInfo: 17,
  info: 20,
  name: 40,
  text: 68,
  query: 132,
};
const MOST_TEXT_OCTETS = AT.query - AT.text;
const MOST_QUERY_OCTETS = SLOT_OCTETS - AT.query;

export class TakenQueries {
  readonly #file: OutlivingFile;
  readonly #clock: Pick<Clock, 'wallMs'>;
  readonly #log: Log;
  #left: readonly LeftQuery[];
  /** Numbers of slots that are free; the last is used next. */
  readonly #free = Array.from({ length: SLOTS }, (_, index) => SLOTS - 1 - index);
  readonly #slot = new Uint8Array(SLOT_OCTETS);
  readonly #view = new DataView(this.#slot.buffer);
  readonly #empty = new Uint8Array(MARK_OCTETS);
  /** How many queries may be kept at `#countedMs`: at most as many as there are slots. */
  #allowed = SLOTS;
  #countedMs = 0;
  /** No query is kept before this time; monotonic. */
  #retryAtMs = Number.NEGATIVE_INFINITY;
  /** The last query could not be kept, and the log says so. */
  #isBroken = false;

  constructor(file: OutlivingFile, clock: Pick<Clock, 'wallMs'>, log: Log) {
    this.#file = file;
    this.#clock = clock;
    this.#log = log;
    this.#left = parseTaken(file.left, clock.wallMs());
  }

  /**
   * The queries that a process before this one left at this listening address, except those that have become too old: the
   * address may come long after the start. Asked again, none.
   */
  takeLeft(address: string): LeftQuery[] {
    const nowMs = this.#clock.wallMs();
    const found = this.#left.filter((one) => one.address === address && isRecent(one.atMs, nowMs));
    this.#left = this.#left.filter((one) => one.address !== address);
    return found;
  }

  /** Keeps the query in `octets` from `start` to `end`, at `nowMs`. Returns its slot, or -1 where it cannot be kept. */
  keep(
    address: Uint8Array,
    octets: Uint8Array,
    start: number,
    end: number,
    name: Uint32Array,
    info: Uint32Array | undefined,
    nowMs: number,
  ): number {
    const length = end - start;
    if (nowMs < this.#retryAtMs || length > MOST_QUERY_OCTETS || address.length > MOST_TEXT_OCTETS) return -1;
    this.#allowed = Math.min(SLOTS, this.#allowed + KEPT_PER_MS * (nowMs - this.#countedMs));
    this.#countedMs = nowMs;
    if (this.#allowed < 1) return -1;
    const index = this.#free.pop();
    if (index === undefined) return -1;
    this.#allowed -= 1;
    const view = this.#view;
    view.setUint32(AT.mark, MARK, true);
    view.setUint32(AT.length, length, true);
    view.setFloat64(AT.wallMs, this.#clock.wallMs(), true);
    view.setUint8(AT.textLength, address.length);
    view.setUint8(AT.hasInfo, info === undefined ? 0 : 1);
    for (let i = 0; i < INFO_WORDS; i++) view.setUint32(AT.info + 4 * i, info?.[i] ?? 0, true);
    for (let i = 0; i < NAME_WORDS; i++) view.setUint32(AT.name + 4 * i, name[i] ?? 0, true);
    this.#slot.set(address, AT.text);
    for (let i = 0; i < length; i++) this.#slot[AT.query + i] = octets[start + i] ?? 0;
    if (this.#write(this.#slot, AT.query + length, index)) this.#isBroken = false;
    else this.#retryAtMs = nowMs + RETRY_MS;
    return index;
  }

  /** The query in this slot has its reply, or gets none. */
  forget(index: number): void {
    this.#write(this.#empty, MARK_OCTETS, index);
    this.#free.push(index);
  }

  /** The query in this slot gets no reply from this process. The slot is the last to be used again: the next process may answer. */
  leave(index: number): void {
    this.#free.unshift(index);
  }

  /** Whether that was written. */
  #write(octets: Uint8Array, length: number, index: number): boolean {
    try {
      this.#file.write(octets, length, index * SLOT_OCTETS);
      return true;
    } catch (error) {
      if (this.#isBroken) return false;
      this.#isBroken = true;
      LISTENER_MESSAGES.takenNotKept(this.#log, {
        detail: error instanceof Error ? error.message : String(error),
      });
      return false;
    }
  }
}

/** The queries in the file, without those that are too old at `nowMs` of the wall clock, and without damaged slots. */
export function parseTaken(file: Uint8Array, nowMs: number): LeftQuery[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const found: LeftQuery[] = [];
  for (let at = 0; at + AT.query <= file.length && found.length < SLOTS; at += SLOT_OCTETS) {
    const length = view.getUint32(at + AT.length, true);
    const textLength = view.getUint8(at + AT.textLength);
    const atMs = view.getFloat64(at + AT.wallMs, true);
    if (view.getUint32(at + AT.mark, true) !== MARK || !isRecent(atMs, nowMs)) continue;
    if (textLength > MOST_TEXT_OCTETS || length > MOST_QUERY_OCTETS) continue;
    const octets = file.slice(at + AT.query, at + AT.query + length);
    if (octets.length < length) continue;
    const words = Uint32Array.from({ length: INFO_WORDS }, (_, i) =>
      view.getUint32(at + AT.info + 4 * i, true),
    );
    found.push({
      address: Buffer.from(file.subarray(at + AT.text, at + AT.text + textLength)).toString('latin1'),
      atMs,
      octets,
      name: Uint8Array.from(file.subarray(at + AT.name, at + AT.name + NAME_OCTETS)),
      info: view.getUint8(at + AT.hasInfo) === 1 ? words : undefined,
    });
  }
  return found;
}

/** Not so of a time that is no number, or that lies ahead. */
function isRecent(atMs: number, nowMs: number): boolean {
  const ageMs = nowMs - atMs;
  return ageMs >= 0 && ageMs <= MAX_AGE_MS;
}
