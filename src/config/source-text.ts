/**
 * What is known of a configuration before it is parsed: its text, read once and bounded, and the place where its state probably
 * lies; and its form once it has been read, plain data that is frozen. It refuses to know YAML and the keys: a start may not need them.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { systemCode } from '../runtime/system-errors.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The names of the variables that override single keys begin with this. */
export const VARIABLE_PREFIX = 'OUTPOST_DNS_';
export const DEFAULT_STATE_DIRECTORY = '/var/lib/outpost-dns';

/** Takes the first text that looks like the key `state.directory`. The guess can be wrong: a caller must notice that. */
export function probableStateDirectory(octets: Uint8Array, environment: Environment): string {
  const [, inFile] =
    /(?:^|[\s{,])directory:[ \t]*["']?([^\s"',}#]+)/.exec(Buffer.from(octets).toString()) ?? [];
  return environment[`${VARIABLE_PREFIX}STATE__DIRECTORY`] || (inFile ?? DEFAULT_STATE_DIRECTORY);
}

/** Some 25,000 lines: 10,000 zones of 100 characters each. Parsing this takes a second or two, a reload does it in a thread of its own. */
export const MAX_OCTETS = 1024 * 1024;

/** Rejects with an error of the file system; may stop reading after `limitOctets`. */
export type ReadFile = (path: string, limitOctets: number) => Promise<Uint8Array>;

/** `absent`: there is no such file. */
export type SourceText =
  | { readonly text: string }
  | { readonly absent: boolean; readonly message: string; readonly fix: string };

export async function readSourceText(file: string, readFile: ReadFile): Promise<SourceText> {
  let octets: Uint8Array;
  try {
    octets = await readFile(file, MAX_OCTETS + 1);
  } catch (error) {
    return unreadable(error);
  }
  if (octets.length > MAX_OCTETS) return TOO_LARGE;
  if (octets.length === 0)
    return textFault('the file is empty', 'write at least clusters and upstreams into it');
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(octets) };
  } catch {
    return textFault('the file is not UTF-8 text', 'save it as UTF-8; is it the right file?');
  }
}

const TOO_LARGE = textFault('the file is larger than 1 MiB', 'shorten it; is it the right file?');

/** The same bounds for a text that was not read from a file. */
export function boundedText(text: string): SourceText {
  return new TextEncoder().encode(text).length > MAX_OCTETS ? TOO_LARGE : { text };
}

function textFault(message: string, fix: string): SourceText {
  return { absent: false, message, fix };
}

const PERMISSION: readonly [message: string, fix: string] = [
  'the file may not be read by this user',
  'give the user of the server read permission, on the directories above it too',
];
const SILENT_PIPE = 'silent-pipe';
const UNREADABLE: Readonly<Record<string, readonly [message: string, fix: string]>> = {
  EISDIR: ['a directory, not a file', 'name the file in it'],
  EACCES: PERMISSION,
  EPERM: PERMISSION,
  ENOTDIR: ['a part of the path is not a directory', 'check the path'],
  [SILENT_PIPE]: ['a pipe into which no program writes', 'name a file'],
  ELOOP: ['too many symbolic links', 'check the links that the path leads through'],
};

function unreadable(error: unknown): SourceText {
  const code = systemCode(error);
  if (code === 'ENOENT')
    return { absent: true, message: 'no such file', fix: 'write it, or name another with --config' };
  const [message, fix] = UNREADABLE[code ?? ''] ?? [
    `cannot read the file: ${code ?? String(error)}`,
    'check the file system it is on',
  ];
  return textFault(message, fix);
}

/** A pipe whose writer is slow, such as a program that decrypts the file, has ten seconds in all. */
const PIPE_WAITS = 500;
const PIPE_WAIT_MS = 20;

/**
 * Reads at most `limitOctets`, because a huge file or a device without an end would fill the memory. The read never waits in the
 * kernel for a pipe: nobody can end a thread that waits there, and the process ends after its threads.
 */
export async function readConfigFile(
  path: string,
  limitOctets: number,
  sleep?: (ms: number) => Promise<void>,
): Promise<Uint8Array> {
  await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const isPipe = sleep !== undefined && (await handle.stat()).isFIFO();
  const octets = new Uint8Array(limitOctets);
  let [length, waits] = [0, 0];
  while (length < limitOctets) {
    const bytesRead = await handle.read(octets, length, limitOctets - length).then(
      (read) => read.bytesRead,
      (error: unknown) => {
        if (isPipe && systemCode(error) === 'EAGAIN') return undefined;
        throw error;
      },
    );
    length += bytesRead ?? 0;
    if (bytesRead !== undefined && bytesRead > 0) continue;
    const hasNoWriterYet = bytesRead === 0 && length === 0;
    if (!isPipe || (bytesRead === 0 && !hasNoWriterYet) || waits === PIPE_WAITS) break;
    waits += 1;
    await sleep(PIPE_WAIT_MS);
  }
  if (isPipe && length === 0)
    throw Object.assign(new Error('a pipe without a writer'), { code: SILENT_PIPE });
  return octets.subarray(0, length);
}

/** The value and all that it holds, frozen. */
export function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const inner of Object.values(value)) frozen(inner);
  return Object.freeze(value);
}

/** An option without a value is left out: records are found by the options that a cluster has. */
export function withoutUndefined<T>(made: T): T {
  if (typeof made !== 'object' || made === null || Array.isArray(made)) return made;
  for (const [name, value] of Object.entries(made))
    if (value === undefined) Reflect.deleteProperty(made, name);
  return made;
}
