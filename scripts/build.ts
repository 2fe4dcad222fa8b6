/**
 * Builds `dist/outpost-dns/`: everything that runs on a host, in one folder to be copied to /usr/lib/outpost-dns.
 * The programs are bundled (bundle.ts); their runtime is the Node that the tests ran on.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import packageJson from '../package.json' with { type: 'json' };
import { bundleInto } from './bundle.ts';

/** Long enough for the first look, with which the rest of the program is loaded. */
const WARM_MS = 3000;
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
await warmCompileCache();
console.log(`built ${out} (${name} ${version})`);

/**
 * Runs the server once, so that what it compiles is kept beside it (Node's compile cache, made to be moved): a start takes
 * a sixth less. It asks nobody: its upstream is a closed port of this machine.
 */
async function warmCompileCache(): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'outpost-dns-build-'));
  const cache = join(out, 'dist', 'compile-cache');
  const config = join(scratch, 'outpost-dns.yaml');
  mkdirSync(join(scratch, 'state'), { mode: 0o750 });
  writeFileSync(
    config,
    `clusters: [{ name: build, endpoint: build.example, pin: [10.0.0.1], sources: [dns], probe: { enabled: false } }]
upstreams: ['127.0.0.1:9']
listen: { dns: ['127.0.0.1:0'] }
admin: { listen: '127.0.0.1:0' }
state: { directory: ${join(scratch, 'state')} }
log: { level: error, format: json }
`,
  );
  const server = spawn(join(out, 'bin', 'outpost-dns'), ['serve', '--config', config], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: cache, NODE_COMPILE_CACHE_PORTABLE: '1' },
  });
  const ended = once(server, 'exit');
  await Promise.race([pause(WARM_MS), ended]);
  server.kill('SIGTERM');
  const [code] = await ended;
  if (code !== 0) throw new Error(`the program that was built ended with ${code}`);
  rmSync(scratch, { recursive: true, force: true });
}
