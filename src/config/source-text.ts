/** The text of the configuration file, read once and bounded; every way in which there can be none is a fault that says so. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** Some 6,000 lines. Parsing more takes seconds in the worst case, and a reload does it while queries wait. */
export const MAX_OCTETS = 256 * 1024;

/** Rejects with an error of the file system; may stop reading after `limitOctets`. */
export type ReadFile = (path: string, limitOctets: number) => Promise<Uint8Array>;

/** `absent`: there is no such file. */
export type SourceText =
  | { readonly text: string }
  | { readonly absent: true; readonly message: string; readonly mend: string }
  | { readonly absent: false; readonly message: string; readonly mend: string };

export async function readSourceText(file: string, readFile: ReadFile): Promise<SourceText> {
  let octets: Uint8Array;
  try {
    octets = await readFile(file, MAX_OCTETS + 1);
  } catch (error) {
    return unreadable(error);
  }
  if (octets.length > MAX_OCTETS) return tooLarge;
  if (octets.length === 0) return fault('the file is empty', 'write at least clusters and upstreams into it');
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(octets) };
  } catch {
    return fault('the file is not UTF-8 text', 'save it as UTF-8; is it the right file?');
  }
}

const tooLarge = fault('the file is larger than 256 KiB', 'shorten it; is it the right file?');

/** The same bounds for a text that was not read from a file. */
export function boundedText(text: string): SourceText {
  return new TextEncoder().encode(text).length > MAX_OCTETS ? tooLarge : { text };
}

function fault(message: string, mend: string): SourceText {
  return { absent: false, message, mend };
}

function unreadable(error: unknown): SourceText {
  const code = codeOf(error);
  switch (code) {
    case 'ENOENT':
      return { absent: true, message: 'no such file', mend: 'write it, or name another with --config' };
    case 'EISDIR':
      return fault('a directory, not a file', 'name the file in it');
    case 'EACCES':
    case 'EPERM':
      return fault(
        'the file may not be read by this user',
        'give the user of the server read permission, on the directories above it too',
      );
    case 'ENOTDIR':
      return fault('a part of the path is not a directory', 'check the path');
    case 'ELOOP':
      return fault('too many symbolic links', 'check the links that the path leads through');
    default:
      return fault(`cannot read the file: ${code ?? String(error)}`, 'check the file system it is on');
  }
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** A pipe whose writer is slow, such as a program that decrypts the file, has ten seconds in all. */
const PIPE_WAITS = 500;
const PIPE_WAIT_MS = 20;

/**
 * Reads at most `limitOctets`, so that neither a huge file nor a device without an end fills the memory. It never waits in
 * the kernel for a pipe: the thread that waits there can be ended by nothing, and the process ends after its threads.
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
        if (isPipe && codeOf(error) === 'EAGAIN') return undefined;
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
  return octets.subarray(0, length);
}
