/**
 * Reads small files of this host that the far side needs: certificates, tokens, the AWS configuration. A pipe without a writer,
 * or a file system that does not answer, holds a thread of libuv's pool. This pool has four threads for the whole process, and
 * saves of the state need them too. So this file reads few files at once, and gives up a read after a short time.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';
import { unanswered } from '../records/observation.ts';
import { FewAtOnce } from '../runtime/background.ts';
import type { Timers } from '../runtime/clock.ts';
import { systemCode } from '../runtime/system-errors.ts';
import type { Outbound } from './outbound.ts';

export type OpenFile = (path: string, flags: number) => Promise<FileHandle>;

const ANSWER_WITHIN_MS = 2_000;
const STEPS = 4;
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
    const late = () =>
      reject(new Error(`no answer within ${ANSWER_WITHIN_MS / 1_000} s from the file system it is on`));
    using timers = new DisposableStack();
    // A thread that stands still, as while it loads the AWS clients, reads nothing: it has no more than one step for that time.
    const step = (left: number) => {
      timers.use(this.#timers.after(ANSWER_WITHIN_MS / STEPS, () => (left === 1 ? late() : step(left - 1))));
    };
    step(STEPS);
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
  if (typeof code === 'string') return WHY_UNREAD[code] ?? code;
  return error instanceof Error ? error.message : 'unknown';
}

const WHY_UNREAD: Readonly<Record<string, string>> = {
  ENOENT: 'no such file (ENOENT)',
  EACCES: 'this user may not read it (EACCES)',
  ERR_OSSL_PEM_NO_START_LINE: 'not PEM (ERR_OSSL_PEM_NO_START_LINE)',
};

// The configuration files that the AWS CLI and the SDK share. They are read here before the SDK reads them. The SDK waits
// for a file without a deadline, and opens it again at each attempt.

export class SharedFiles {
  readonly #outbound: Outbound;
  readonly #files: LocalFiles;
  readonly #configFile: string;
  readonly #credentialsFile: string;

  constructor(outbound: Outbound, files: LocalFiles) {
    this.#outbound = outbound;
    this.#files = files;
    this.#configFile = pathOf(outbound.configFile, 'config');
    this.#credentialsFile = pathOf(outbound.credentialsFile, 'credentials');
  }

  /**
   * Throws SourceError where the SDK would wait for a file. An absent file, or one that may not be read, is left to the SDK.
   * Returns a text that is another one after each change of the files.
   */
  async check(): Promise<string> {
    const state = createHash('sha256');
    for (const path of [this.#configFile, this.#credentialsFile]) {
      try {
        state.update(`${await this.#files.text(path)}\0`);
      } catch (error) {
        const code = systemCode(error);
        if (code !== undefined) {
          state.update(`${code}\0`);
          continue;
        }
        const detail = `reading the aws configuration in "${path}" failed: ${whyUnread(error)}`;
        throw unanswered('no-credentials', detail);
      }
    }
    return state.digest('base64');
  }

  /**
   * The authorities of `AWS_CA_BUNDLE`, else of `ca_bundle` in the profile in use. They count in place of the public ones, as
   * for the AWS CLI; those of `NODE_EXTRA_CA_CERTS` are added. undefined: those that Node trusts. Throws SourceError.
   */
  async authorities(profile: string | undefined): Promise<readonly string[] | undefined> {
    const { caBundle } = this.#outbound;
    if (caBundle !== undefined) return this.#read(caBundle, 'AWS_CA_BUNDLE');
    const name = profile ?? this.#outbound.profile ?? 'default';
    const path = await this.#settingOf(name, 'ca_bundle');
    return path === undefined ? undefined : this.#read(path, `ca_bundle of profile "${name}":`);
  }

  get credentialsFile(): string {
    return this.#credentialsFile;
  }

  /** A setting of the profile, or of the profile in use. */
  async setting(profile: string | undefined, key: string): Promise<string | undefined> {
    return this.#settingOf(profile ?? this.#outbound.profile ?? 'default', key);
  }

  async #settingOf(profile: string, key: string): Promise<string | undefined> {
    await this.check();
    const { parseKnownFiles } = await import('@smithy/core/config');
    const profiles = await parseKnownFiles({
      profile,
      configFilepath: this.#configFile,
      filepath: this.#credentialsFile,
      ignoreCache: true,
    });
    return profiles[profile]?.[key] || undefined;
  }

  async #read(path: string, where: string): Promise<readonly string[]> {
    const unusable = (why: string) =>
      unanswered('untrusted-certificate', `reading the authorities in ${where} "${path}" failed: ${why}`);
    const text = await this.#files.text(path).catch((error: unknown) => {
      throw unusable(whyUnread(error));
    });
    try {
      new X509Certificate(text);
    } catch {
      throw unusable('it holds no certificate in PEM');
    }
    return [text, ...getCACertificates('extra')];
  }
}

/** As the SDK finds it. */
function pathOf(named: string | undefined, name: string): string {
  if (named === undefined) return join(homedir(), '.aws', name);
  return named.startsWith('~/') ? join(homedir(), named.slice(2)) : named;
}
