/**
 * Builds `dist/outpost-dns/`: everything that runs on a host, in one folder to be copied to /usr/lib/outpost-dns.
 * The programs are bundled (bundle.ts); their runtime is the Node that the tests ran on.
 */
import { chmodSync, copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { bundleInto } from './bundle.ts';
import { warmCompileCache } from './warm.ts';

const root = join(import.meta.dirname, '..');
const out = join(root, 'dist', 'outpost-dns');

rmSync(out, { recursive: true, force: true });
for (const folder of ['bin', 'dist', 'node_modules/node/bin', 'config', 'docs', 'systemd']) {
  mkdirSync(join(out, folder), { recursive: true });
}
await bundleInto(join(out, 'dist'));
const { name, version, license } = packageJson;
writeFileSync(
  join(out, 'package.json'),
  `${JSON.stringify({ name, version, license, type: 'module', private: true }, null, 2)}\n`,
);
copyFileSync(join(root, 'bin', 'outpost-dns'), join(out, 'bin', 'outpost-dns'));
copyFileSync(
  join(root, 'node_modules', 'node', 'bin', 'node'),
  join(out, 'node_modules', 'node', 'bin', 'node'),
);
chmodSync(join(out, 'node_modules', 'node', 'bin', 'node'), 0o755);
copyFileSync(join(root, 'LICENSE'), join(out, 'LICENSE'));
for (const folder of ['config', 'docs', 'systemd'])
  cpSync(join(root, folder), join(out, folder), { recursive: true });
await warmCompileCache(out);
console.log(`built ${out} (${name} ${version})`);
