/** The runtime that is delivered is the pinned one, or there is no build. */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import packageJson from '../../package.json' with { type: 'json' };
import { PINNED, sha256Of, verifiedRuntime } from '../../scripts/runtime.ts';

const isPinned = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch);

t.test(
  'the installed runtime has the pinned sum',
  { skip: !isPinned && 'no runtime is delivered for this machine' },
  async (t) => {
    const { version, sha256 } = await verifiedRuntime();
    t.equal(version, packageJson.devDependencies.node);
    t.match(sha256, /^[0-9a-f]{64}$/);
  },
);

t.test('another file, version or machine is refused', async (t) => {
  const file = join(t.testdir(), 'node');
  writeFileSync(file, 'a runtime');
  const pinned = { version: PINNED.version, sha256: { 'linux-x64': await sha256Of(file) } };
  t.match(await verifiedRuntime(file, pinned, 'linux-x64'), { path: file });
  writeFileSync(file, 'another runtime');
  await t.rejects(verifiedRuntime(file, pinned, 'linux-x64'), {
    message: /node is not the pinned node .* for linux-x64: its SHA-256 is [0-9a-f]{64}, not [0-9a-f]{64}$/,
  });
  await t.rejects(verifiedRuntime(file, pinned, 'linux-riscv64'), {
    message: /no sum of node .* for linux-riscv64/,
  });
  await t.rejects(verifiedRuntime(file, { ...pinned, version: '1.0.0' }, 'linux-x64'), {
    message: /package\.json asks for node .*, and scripts\/runtime\.ts has the sums of 1\.0\.0/,
  });
  await t.rejects(verifiedRuntime(`${file}.gone`, pinned, 'linux-x64'), { code: 'ENOENT' });
});

t.test(
  'one octet of the real runtime changed',
  { skip: !isPinned && 'no runtime is delivered for this machine' },
  async (t) => {
    const file = join(t.testdir(), 'node');
    copyFileSync((await verifiedRuntime()).path, file);
    const { open } = await import('node:fs/promises');
    const handle = await open(file, 'r+');
    const octet = new Uint8Array(1);
    await handle.read(octet, 0, 1, 1000);
    await handle.write(
      octet.map((value) => value ^ 1),
      0,
      1,
      1000,
    );
    await handle.close();
    await t.rejects(verifiedRuntime(file), { message: /is not the pinned/ });
  },
);
