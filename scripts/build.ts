/**
 * Builds `dist/outpost-dns/`: all files of a host, in one folder to be copied to /usr/lib/outpost-dns.
 * The programs are bundled (bundle.ts); their runtime is the Node that the tests ran on (runtime.ts).
 * bom.cdx.json lists the contents of the folder.
 */
import { chmodSync, copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { writeBillOfMaterials } from './bill-of-materials.ts';
import { bundleInto } from './bundle.ts';
import { verifiedRuntime } from './runtime.ts';
import { warmCompileCache } from './warm.ts';

const root = join(import.meta.dirname, '..');
const out = join(root, 'dist', 'outpost-dns');

const runtime = await verifiedRuntime();
rmSync(out, { recursive: true, force: true });
for (const folder of ['bin', 'dist', 'node_modules/node/bin', 'config', 'docs', 'systemd']) {
  mkdirSync(join(out, folder), { recursive: true });
}
const metafile = await bundleInto(join(out, 'dist'));
const { name, version, license } = packageJson;
writeFileSync(
  join(out, 'package.json'),
  `${JSON.stringify({ name, version, license, type: 'module', private: true }, null, 2)}\n`,
);
copyFileSync(join(root, 'bin', 'outpost-dns'), join(out, 'bin', 'outpost-dns'));
copyFileSync(runtime.path, join(out, 'node_modules', 'node', 'bin', 'node'));
chmodSync(join(out, 'node_modules', 'node', 'bin', 'node'), 0o755);
for (const file of ['LICENSE', 'SECURITY.md']) copyFileSync(join(root, file), join(out, file));
for (const folder of ['config', 'docs', 'systemd'])
  cpSync(join(root, folder), join(out, folder), { recursive: true });
await writeBillOfMaterials(join(out, 'bom.cdx.json'), metafile, runtime);
await warmCompileCache(out);
console.log(`built ${out} (${name} ${version})`);
