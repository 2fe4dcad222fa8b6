/**
 * Keeps the text of the configuration in force beside the state, with the name of its file. A start whose file is refused serves with
 * this text: a typing error that a reload refused weeks ago must not leave the site without the endpoint after a power cut. It
 * refuses to know keys and faults: the text is read again as any file is, with the variables of this start.
 *
 *     {"file":"/etc/outpost-dns/outpost-dns.yaml","sha256":"..."}, a line end, the text as it was read
 */
import { join } from 'node:path';
import { MAX_OCTETS, probableStateDirectory, type ReadFile } from '../config/source-text.ts';
import { createSha256 } from '../runtime/checksum.ts';
import type { ReadRequest } from './config-thread.ts';

/** The name of the file in the state directory. */
export const ACCEPTED_CONFIG = 'configuration.accepted';

const LINE_END = 0x0a;
/** A path has 4,096 octets at most, and JSON writes an octet as six at most. */
const MAX_HEAD_OCTETS = 32_768;

export function encodeAcceptedConfig(file: string, text: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${JSON.stringify({ file, sha256: digestOf(file, text) })}\n`), text]);
}

/** `undefined` where these octets are not whole, or of another file. Never throws. */
export function decodeAcceptedConfig(file: string, octets: Uint8Array): Uint8Array | undefined {
  const end = octets.subarray(0, MAX_HEAD_OCTETS).indexOf(LINE_END);
  if (end < 0) return undefined;
  const text = octets.subarray(end + 1);
  const head = Buffer.from(octets.subarray(0, end)).toString();
  return head === JSON.stringify({ file, sha256: digestOf(file, text) }) ? text : undefined;
}

/** `refused`: the text of the file that was refused, which may name the state directory; empty where it cannot be read. */
export async function readAcceptedConfig(
  { file, environment }: ReadRequest & { readonly file: string },
  refused: Uint8Array,
  readFile: ReadFile,
): Promise<Uint8Array | undefined> {
  try {
    const path = join(probableStateDirectory(refused, environment), ACCEPTED_CONFIG);
    return decodeAcceptedConfig(file, await readFile(path, MAX_OCTETS + MAX_HEAD_OCTETS));
  } catch {
    return undefined;
  }
}

function digestOf(file: string, text: Uint8Array): string {
  const sum = createSha256();
  sum.update(Buffer.from(`${file}\n`));
  sum.update(text);
  return Buffer.from(sum.digest()).toString('hex');
}
