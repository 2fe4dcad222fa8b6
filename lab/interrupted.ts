/** The calls that carry datagrams, interrupted: every third one fails with EINTR, by a library of C that is compiled for it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { LabCheck } from './check.ts';
import { machineEnvironment, run } from './commands.ts';
import { root } from './workshop.ts';

export const interrupted: LabCheck = {
  name: 'interrupted',
  about: 'system calls that are interrupted by signals again and again',
  tools: ['gcc'],
  async run(lab) {
    await lab.step('every query is answered, no call is given up', async () => {
      const file = join(root, 'test/runtime/interrupted.test.ts');
      const { code, stdout, stderr } = await run(
        [process.execPath, '--disable-warning=ExperimentalWarning', file],
        { env: { ...machineEnvironment(), TAP_TIMEOUT: '120' } },
      );
      assert.equal(code, 0, `${stdout}${stderr}`);
      assert.doesNotMatch(stdout, /# SKIP/i, 'it did run');
      for (const [, figures = ''] of stdout.matchAll(/"interruptions":\{(.*?)\}/g)) lab.note(figures);
    });
  },
};
