/** The README as a stranger follows it: a fresh clone, the machine's own Node and npm, every `sh` block typed as it stands. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab, LabCheck } from './check.ts';
import { type Result, run } from './commands.ts';
import { commandsOf, fencedBlocks } from './markdown.ts';
import { ADDRESSES, SandboxSite } from './sandbox-site.ts';

/** Typed before everything else, or in the first terminal, by `Workshop` and `SandboxSite`. */
const STARTING = ['npm ci && npm start'];
/** Typed by CI itself. */
const TESTING = 'npm ci && npm test';

const END_WITHIN_MS = 1000;

export const readmeCommands: LabCheck = {
  name: 'readme',
  about: 'every sh block of README.md, typed in a fresh clone',
  tools: ['dig', 'ip', 'curl', 'git'],
  async run(lab) {
    const clone = await lab.workshop.installed();
    const readme = await readFile(join(clone, 'README.md'), 'utf8');
    const commands = fencedBlocks(readme)
      .filter(({ language }) => language === 'sh')
      .flatMap(commandsOf);
    await lab.step('it begins with npm ci and npm start', async () => {
      assert.deepEqual(commands.slice(0, STARTING.length), STARTING);
    });
    await using site = await SandboxSite.start(lab.workshop, 'readme');
    await lab.step('npm start prints the commands of the README', async () => {
      const printed = site.npmStart.output.split('\n').map((line) => line.trim());
      const printable = commands.filter((one) => /^dig |sandbox link down/.test(one));
      assert.ok(printable.length >= 3);
      assert.deepEqual(
        printable.filter((one) => !printed.includes(one)),
        [],
      );
    });
    for (const command of commands.slice(STARTING.length).filter((one) => one !== TESTING)) {
      await lab.step(`$ ${command}`, async () => {
        const result = await run(site.within(['sh', '-c', command]), {
          cwd: clone,
          env: site.environment,
        });
        holds(command, result);
      });
    }
    await endings(lab, site);
  },
};

function holds(command: string, { code, stdout, stderr }: Result): void {
  const shown = `${stdout}${stderr}`;
  if (command.startsWith('npx outpost-dns check')) {
    isReadyButForItsState(code, stdout);
    return;
  }
  assert.equal(code, 0, `exit code ${code}\n${shown}`);
  if (command.startsWith('dig '))
    for (const address of ADDRESSES)
      assert.match(stdout, new RegExp(`\\sA\\s+${address.replaceAll('.', '\\.')}$`, 'm'), shown);
  assert.doesNotMatch(shown, /npm error|Error:|\bundefined\b|\[object/);
}

/** Where no server is installed yet, `check` may miss the state directory and nothing else. */
function isReadyButForItsState(code: number | undefined, stdout: string): void {
  assert.equal(code, 1, stdout);
  assert.match(stdout, /state directory "\/var\/lib\/outpost-dns" does not exist/);
  assert.match(stdout, /: 1 problem, 0 warnings/);
}

async function endings(lab: Lab, site: SandboxSite): Promise<void> {
  await lab.step(
    'a second npm start: a clear sentence and exit code 1, and the first one runs on',
    async () => {
      const result = await run(site.within(['npm', 'start']), { cwd: site.clone, env: site.environment });
      const shown = `${result.stdout}${result.stderr}`;
      assert.equal(result.code, 1, shown);
      assert.match(shown, /^outpost-dns: .*(?:in use|running|taken|has the port)/m);
      assert.doesNotMatch(shown, /^\s+at .*\(.*:\d+:\d+\)/m, 'a stack trace');
      await site.page('/healthz');
    },
  );
  await lab.step(`Ctrl-C ends it within ${END_WITHIN_MS} ms`, async () => {
    // a terminal sends SIGINT to every process in the foreground
    process.kill(-site.npmStart.pid, 'SIGINT');
    const { tookMs, code } = await site.npmStart.ended(5000);
    const { stdout } = await run(['ip', 'netns', 'pids', site.networkName]);
    assert.equal(stdout.trim(), '', 'processes that are still there');
    assert.ok(tookMs <= END_WITHIN_MS, `it took ${tookMs.toFixed(0)} ms`);
    lab.note(`ended after ${tookMs.toFixed(0)} ms with exit code ${code}`);
  });
}
