/** The unit as systemd's own tools see it: is it valid, and how exposed is it. */
import assert from 'node:assert/strict';
import { copyFile, mkdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { LabCheck } from './check.ts';
import { must, run } from './commands.ts';

/** Tenths: systemd's scale ends at 10.0, which is no protection at all. */
const MOST_EXPOSURE = 20;

export const systemdUnit: LabCheck = {
  name: 'unit',
  about: 'systemd-analyze verify and security of systemd/outpost-dns.service',
  tools: ['debootstrap', 'systemd-analyze', 'git'],
  async run(lab) {
    const unit = join(await lab.workshop.clone(), 'systemd', 'outpost-dns.service');
    const host = join(lab.workshop.folder, 'unit-host');
    const program = join(host, 'usr', 'lib', 'outpost-dns');
    await must(['cp', '-a', await lab.workshop.debian(), host]);
    await must(['cp', '-a', await lab.workshop.bundle(), program]);
    await mkdir(join(host, 'etc', 'systemd', 'system'), { recursive: true });
    for (const name of ['outpost-dns.service', 'outpost-dns.socket'])
      await copyFile(join(dirname(unit), name), join(host, 'etc', 'systemd', 'system', name));
    const verify = () =>
      run([
        'systemd-analyze',
        'verify',
        '--man=no',
        `--root=${host}`,
        'outpost-dns.service',
        'outpost-dns.socket',
      ]);
    await lab.step('systemd-analyze verify finds nothing', async () => {
      const { code, stdout, stderr } = await verify();
      assert.deepEqual([code, `${stdout}${stderr}`], [0, '']);
    });
    await lab.step('systemd-analyze verify would find a program that is not there', async () => {
      await rename(program, `${program}.away`);
      assert.notEqual((await verify()).code, 0);
    });
    await lab.step(`systemd-analyze security: exposure of ${MOST_EXPOSURE / 10} at most`, async () => {
      const printed = await must([
        'systemd-analyze',
        'security',
        '--no-pager',
        '--offline=true',
        `--threshold=${MOST_EXPOSURE}`,
        unit,
      ]);
      lab.note(/Overall exposure level.*/.exec(printed)?.[0] ?? '');
    });
  },
};
