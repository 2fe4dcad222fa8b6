/** Forced garbage collection under datagrams through C, for minutes: a mistake there shows as a crash after thousands of datagrams. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { LabCheck } from './check.ts';
import { machineEnvironment, run } from './commands.ts';
import { root } from './workshop.ts';

const SECONDS = 120;

export const collector: LabCheck = {
  name: 'collector',
  about: `garbage collected without rest under datagrams, for ${SECONDS} s`,
  tools: [],
  async run(lab) {
    await lab.step('no crash, no answer lost or wrong', async () => {
      const { code, stdout, stderr } = await run(
        [
          process.execPath,
          '--disable-warning=ExperimentalWarning',
          join(root, 'test/runtime/gc-stress.test.ts'),
        ],
        {
          env: {
            ...machineEnvironment(),
            GC_STRESS_SECONDS: `${SECONDS}`,
            TAP_TIMEOUT: `${SECONDS * 4}`,
          },
          timeoutMs: SECONDS * 4000,
        },
      );
      assert.equal(code, 0, `${stdout}${stderr}`);
      assert.doesNotMatch(stdout, /# SKIP/i, 'it did run');
      for (const [, comment = ''] of stdout.matchAll(/^\s*# ((?!\{|time|Subtest).*)$/gm)) lab.note(comment);
    });
  },
};
