/**
 * Builds `dist/outpost-dns/`: all files of a host, in one folder to be copied to /usr/lib/outpost-dns.
 * The programs are bundled (bundle.ts); their runtime is the Node that the tests ran on (runtime.ts).
 * `--strip` removes the runtime's symbols, a quarter of its size; it needs binutils.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { bundleInto } from './bundle.ts';
import { layDelivery } from './delivery.ts';
import { ARCHITECTURES, runtimePackage, strippedRuntime, verifiedRuntime } from './runtime.ts';
import { warmCompileCache } from './warm.ts';

const out = join(import.meta.dirname, '..', 'dist', 'outpost-dns');

async function build(isStripped: boolean): Promise<void> {
  const architecture = ARCHITECTURES.find(({ node }) => node === process.arch);
  if (architecture === undefined) throw new Error(`no runtime is delivered for "${process.arch}"`);
  const room = await mkdtemp(join(tmpdir(), 'outpost-dns-bundle-'));
  try {
    const runtime = isStripped
      ? await strippedRuntime(architecture, join(room, 'node'))
      : await verifiedRuntime();
    const folder = join(room, 'dist');
    const metafile = await bundleInto(folder);
    await rm(out, { recursive: true, force: true });
    const nodeLicense = join(await runtimePackage(architecture), 'LICENSE');
    await layDelivery(out, { folder, metafile }, runtime, nodeLicense);
  } finally {
    await rm(room, { recursive: true });
  }
  await warmCompileCache(out);
  console.log(`built ${out} (${packageJson.name} ${packageJson.version})`);
}

const args = process.argv.slice(2);
const unknown = args.find((arg) => arg !== '--strip');
if (unknown === undefined) await build(args.includes('--strip'));
else {
  console.error(`unknown argument "${unknown}": the only one is --strip`);
  process.exitCode = 2;
}
