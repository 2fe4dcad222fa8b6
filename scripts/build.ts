/**
 * Builds `dist/outpost-dns/`: everything that runs on a host, in one folder to be copied to /usr/lib/outpost-dns.
 * The program is bundled, the AWS clients as chunks of their own that are loaded when first needed; its runtime
 * is the Node that the tests ran on.
 */
import { chmodSync, copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import packageJson from '../package.json' with { type: 'json' };

const root = join(import.meta.dirname, '..');
const out = join(root, 'dist', 'outpost-dns');

rmSync(out, { recursive: true, force: true });
for (const folder of ['bin', 'dist', 'node_modules/node/bin', 'config', 'docs', 'systemd']) {
  mkdirSync(join(out, folder), { recursive: true });
}
await build({
  entryPoints: [{ in: join(root, 'src', 'main.ts'), out: 'main' }],
  outdir: join(out, 'dist'),
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  // the AWS clients' ES modules: their CommonJS would come out of import() without its names
  mainFields: ['module', 'main'],
  target: 'node24',
  sourcemap: false,
  minifySyntax: true,
  legalComments: 'none',
  logLevel: 'warning',
  // packages in the old module system ask for Node's own modules at run time
  banner: {
    js: "import { createRequire as outpostRequire } from 'node:module';const require = outpostRequire(import.meta.url);",
  },
});
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
console.log(`built ${out} (${name} ${version})`);
