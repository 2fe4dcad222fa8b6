/**
 * Reads small files of this host that the far side needs: certificates, tokens, the AWS configuration. A pipe without a writer,
 * or a file system that does not answer, holds a thread of libuv's pool. This pool has four threads for the whole process, and
 * saves of the state need them too. So this file reads few files at once, and gives up a read after a short time.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { FewAtOnce } from '../runtime/threads.ts';
import type { Timers } from '../runtime/timers.ts';

export type OpenFile = (path: string, flags: number) => Promise<FileHandle>;

const ANSWER_WITHIN_MS = 2_000;
/** Half of libuv's pool of four threads. */
const READ_AT_ONCE = 2;
const MAX_OCTETS = 1024 * 1024;
const PART_OCTETS = 64 * 1024;

export class LocalFiles {
  readonly #timers: Timers;
  readonly #open: OpenFile;
  /** By path: a file that hangs is waited for by all who want it, and opened once. */
  readonly #reading = new Map<string, Promise<string>>();
  readonly #gate = new FewAtOnce(READ_AT_ONCE);

  constructor(timers: Timers, openFile: OpenFile = open) {
    this.#timers = timers;
    this.#open = openFile;
  }

  /** The text of a regular file or a device that ends. Rejects with an error whose `code`, or else message, says why not. */
  async text(path: string): Promise<string> {
    const { promise: deadline, reject } = Promise.withResolvers<never>();
    using _timer = this.#timers.after(ANSWER_WITHIN_MS, () =>
      reject(new Error(`no answer within ${ANSWER_WITHIN_MS / 1_000} s from the file system it is on`)),
    );
    const reading = this.#reading.get(path) ?? this.#begin(path);
    return await Promise.race([reading, deadline]); // not without await: the timer must outlive the race
  }

  async #begin(path: string): Promise<string> {
    const reading = this.#gate.run(() => this.#read(path)).finally(() => this.#reading.delete(path));
    this.#reading.set(path, reading);
    return reading;
  }

  async #read(path: string): Promise<string> {
    // without O_NONBLOCK the opening of a pipe waits for somebody who writes to it
    await using file = await this.#open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const facts = await file.stat();
    if (!facts.isFile() && !facts.isCharacterDevice()) throw new Error('not a file');
    const parts: Uint8Array[] = [];
    for (let octets = 0; ; ) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(PART_OCTETS), 0, PART_OCTETS);
      if (bytesRead === 0) return Buffer.concat(parts).toString('utf8');
      parts.push(buffer.subarray(0, bytesRead));
      octets += bytesRead;
      if (octets > MAX_OCTETS) throw new Error(`more than ${MAX_OCTETS} octets`);
    }
  }
}

/** Why a file could not be read, in few words that quote nothing of what stands in it. */
export function whyUnread(error: unknown): string {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
  return typeof code === 'string' ? code : error instanceof Error ? error.message : 'unknown';
}
