/** The CycloneDX list of the delivery: the packages in the bundles, by esbuild's metafile, and the runtime. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Metafile } from 'esbuild';
import type { Runtime } from './runtime.ts';

const root = join(import.meta.dirname, '..');
const TOOL = join(root, 'node_modules', '.bin', 'cyclonedx-esbuild');

export async function writeBillOfMaterials(
  path: string,
  metafile: Metafile,
  { version, sha256, pinnedSha256 }: Runtime,
): Promise<void> {
  const room = await mkdtemp(join(tmpdir(), 'outpost-dns-bill-'));
  try {
    const input = join(room, 'metafile.json');
    await writeFile(input, JSON.stringify(metafile));
    await promisify(execFile)(
      process.execPath,
      [TOOL, '--output-reproducible', '--spec-version', '1.6', '--output-file', path, input],
      { cwd: root },
    );
  } finally {
    await rm(room, { recursive: true });
  }
  const bill: { components?: unknown[] } = JSON.parse(await readFile(path, 'utf8'));
  const runtime = {
    type: 'platform',
    name: 'node',
    version,
    purl: `pkg:generic/node@${version}`,
    hashes: [{ alg: 'SHA-256', content: sha256 }],
    ...(pinnedSha256 && {
      properties: [{ name: 'outpost-dns:sha256-before-strip', value: pinnedSha256 }],
    }),
  };
  bill.components = [...(bill.components ?? []), runtime];
  await writeFile(path, `${JSON.stringify(bill, null, 2)}\n`);
}
