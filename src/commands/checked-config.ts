/**
 * Keeps the checked configuration beside the state, so that the next start neither parses nor checks a file that has not
 * changed. Parsing and checking took a third of the time to the first answer. The kept form counts only for the same program, file, variables and
 * addresses of the host. Any doubt about it means that the file is read as always; it refuses to know why a file may be wrong.
 *
 *     SHA-256 of the rest (32 octets), SHA-256 of all that the configuration follows from (32 octets), the configuration
 */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/config.ts';
import { readOutbound } from '../config/outbound.ts';
import { frozen } from '../config/plain-data.ts';
import { probableStateDirectory, type ReadFile, VARIABLE_PREFIX } from '../config/source-text.ts';
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
 * Names the program by its version and by size and time of its file. Undefined for the source: it is many files, and each of
 * them can change what a configuration means.
 */
export function programIdentity(url: string, version: string): string | undefined {
  if (!url.endsWith('.js')) return undefined;
  const { size, mtimeMs } = statSync(fileURLToPath(url));
  return `${version} ${size} ${mtimeMs}`;
}

/** The name of the file in the state directory. */
export const CHECKED_CONFIG = 'configuration.checked';

const DIGEST_OCTETS = 32;
/** Several times the largest file that a configuration may be. */
export const MAX_KEPT_OCTETS = 8 * 1024 * 1024;

/** `undefined` where the configuration cannot be kept as it is. */
export function encodeCheckedConfig(
  origin: ConfigOrigin,
  { outbound: _, ...config }: Config,
): Uint8Array | undefined {
  if (JSON.stringify(config).includes(JSON.stringify(INFINITY))) return undefined;
  const rest = Buffer.concat([digestOf(origin), Buffer.from(JSON.stringify(config, withoutInfinity))]);
  return Buffer.concat([sha256(rest), rest]);
}

/** The configuration that these octets keep, frozen; `undefined` where they are not exactly of this origin. Never throws. */
export function decodeCheckedConfig(origin: ConfigOrigin, octets: Uint8Array): Config | undefined {
  const rest = octets.subarray(DIGEST_OCTETS);
  if (!isSame(octets.subarray(0, DIGEST_OCTETS), sha256(rest))) return undefined;
  if (!isSame(rest.subarray(0, DIGEST_OCTETS), digestOf(origin))) return undefined;
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

/** JSON has no number without end. */
const INFINITY = '\0Infinity';

function withoutInfinity(_key: string, value: unknown): unknown {
  return value === Number.POSITIVE_INFINITY ? INFINITY : value;
}

function withInfinity(_key: string, value: unknown): unknown {
  return value === INFINITY ? Number.POSITIVE_INFINITY : value;
}

function digestOf({ request, octets, program }: ConfigOrigin): Uint8Array {
  const { file, explicit, environment, ownAddresses } = request;
  const variables = Object.entries(environment).filter(([name]) => name.startsWith(VARIABLE_PREFIX));
  const facts = [program, file, explicit, variables.sort(), [...ownAddresses].sort()];
  return createHash('sha256').update(JSON.stringify(facts)).update('\n').update(octets).digest();
}

function sha256(octets: Uint8Array): Uint8Array {
  return createHash('sha256').update(octets).digest();
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
