/**
 * Keeps the checked configuration beside the state, so that the next start neither parses nor checks a file that has not
 * changed. Parsing and checking took a third of the time to the first answer. The kept form counts only for the same program, file, variables and
 * addresses of the host. Any doubt about it means that the file is read as always; it refuses to know why a file may be wrong.
 *
 *     SHA-256 of the rest (32 octets), SHA-256 of all that the configuration follows from (32 octets), the configuration
 */
import { constants, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/config.ts';
import { readOutbound } from '../config/outbound.ts';
import { frozen, probableStateDirectory, type ReadFile, VARIABLE_PREFIX } from '../config/source-text.ts';
import { createSha256, sha256 } from '../runtime/checksum.ts';
import { atOnce, inPieces, inSlices, jsonTexts, type Pause, type Steps } from '../runtime/slices.ts';
import type { ReadRequest } from './config-thread.ts';

/** What a checked configuration follows from. */
export interface ConfigOrigin {
  readonly request: ReadRequest;
  /** The text of the file. */
  readonly octets: Uint8Array;
  /** Differs in every version of the program. */
  readonly program: string;
}

/**
 * Names the program by its version, and by the name and time of its file. The build names the file by its content and by that of all
 * others of the bundle: packages of two builds can have the same version, sizes and times. Undefined for the source: it is many files,
 * and each of them can change what a configuration means. Undefined, too, where an upgrade is just replacing the file.
 */
export function programIdentity(url: string, version: string): string | undefined {
  if (!url.endsWith('.js')) return undefined;
  try {
    const file = fileURLToPath(url);
    return `${version} ${basename(file)} ${statSync(file).mtimeMs}`;
  } catch {
    return undefined;
  }
}

/** The name of the file in the state directory. */
export const CHECKED_CONFIG = 'configuration.checked';

const DIGEST_OCTETS = 32;
/** Several times the largest file that a configuration may be. */
const MAX_KEPT_OCTETS = 8 * 1024 * 1024;

/** `undefined` where the configuration cannot be kept as it is. The server answers queries meanwhile, and zones may be thousands. */
export async function encodeCheckedConfig(
  origin: ConfigOrigin,
  { outbound: _, ...config }: Config,
  pause: Pause,
): Promise<Uint8Array | undefined> {
  let isAmbiguous = false;
  const withoutInfinity = (_key: string, value: unknown) => {
    isAmbiguous ||= value === INFINITY;
    return value === Number.POSITIVE_INFINITY ? INFINITY : value;
  };
  const pieces = await inPieces(jsonTexts(config, { indent: '', replacer: withoutInfinity }), pause);
  if (isAmbiguous) return undefined;
  const rest = [await inSlices(digestOf(origin), pause), ...pieces];
  const kept = Buffer.concat([await inSlices(digesting(rest), pause), ...rest]);
  return kept.length > MAX_KEPT_OCTETS ? undefined : kept;
}

/** The configuration that these octets keep, frozen; `undefined` where they are not exactly of this origin. Never throws. */
export function decodeCheckedConfig(origin: ConfigOrigin, octets: Uint8Array): Config | undefined {
  const rest = octets.subarray(DIGEST_OCTETS);
  if (!isSame(octets.subarray(0, DIGEST_OCTETS), sha256(rest))) return undefined;
  if (!isSame(rest.subarray(0, DIGEST_OCTETS), atOnce(digestOf(origin)))) return undefined;
  // from the environment alone, and a password may be in it: made each time, and kept nowhere
  const { outbound, faults } = readOutbound(origin.request.environment);
  if (faults.length > 0) return undefined;
  try {
    const text = Buffer.from(rest.subarray(DIGEST_OCTETS)).toString();
    // the assertion: an equal digest means that this program wrote these octets, from a configuration that it had checked
    return frozen({ ...(JSON.parse(text, withInfinity) as Omit<Config, 'outbound'>), outbound });
  } catch {
    return undefined;
  }
}

/** Resolves to `undefined` where there is none, or none of this origin. */
export async function readCheckedConfig(
  origin: ConfigOrigin,
  readFile: ReadFile,
): Promise<Config | undefined> {
  try {
    const directory = probableStateDirectory(origin.octets, origin.request.environment);
    return decodeCheckedConfig(origin, await readFile(join(directory, CHECKED_CONFIG), MAX_KEPT_OCTETS));
  } catch {
    return undefined;
  }
}

/** The octets of a file that no other user can have written. Rejects for any other file; never waits for a pipe in its place. */
export const readOwnFile: ReadFile = async (path, limitOctets) => {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  await using handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const stat = await handle.stat();
  const isOwn = stat.uid === process.geteuid?.() && (stat.mode & WRITABLE_BY_OTHERS) === 0;
  if (!stat.isFile() || !isOwn || stat.size > limitOctets) throw new Error(`"${path}" is not taken`);
  return handle.readFile();
};

const WRITABLE_BY_OTHERS = 0o022;

/** JSON has no number without end. */
const INFINITY = '\0Infinity';

/** Some 60 microseconds of the checksum where the processor has no instructions for it. */
const OCTETS_PER_STEP = 16_384;

function* digesting(pieces: readonly Uint8Array[]): Steps<Uint8Array> {
  const hash = createSha256();
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += OCTETS_PER_STEP) {
      hash.update(piece.subarray(at, at + OCTETS_PER_STEP));
      yield;
    }
  }
  return hash.digest();
}

function withInfinity(_key: string, value: unknown): unknown {
  return value === INFINITY ? Number.POSITIVE_INFINITY : value;
}

function digestOf({ request, octets, program }: ConfigOrigin): Steps<Uint8Array> {
  const { file, explicit, environment, ownAddresses } = request;
  const variables = Object.entries(environment).filter(([name]) => name.startsWith(VARIABLE_PREFIX));
  const facts = [program, file, explicit, variables.sort(), [...ownAddresses].sort()];
  return digesting([Buffer.from(`${JSON.stringify(facts)}\n`), octets]);
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
