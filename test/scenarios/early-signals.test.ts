/** Signals in the first moments of a server, before it has loaded itself. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { pause, until } from '../helpers/patience.ts';
import { keepState, keptRecord } from './kept-state.ts';
import type { ServerProcess } from './server-process.ts';
import { ENDPOINT, Site } from './site.ts';

t.jobs = 2; // they wait more than they work

async function siteOf(t: Test): Promise<Site> {
  const site = await Site.open(t);
  await keepState(site.stateDirectory, [keptRecord()]);
  return site;
}

/**
 * The runtime itself takes some 30 ms before it runs anything of ours, and sets each signal to its default in that time: what
 * catches the signal can be seen in /proc, and the test waits for that.
 */
async function catchesSignals(server: ServerProcess): Promise<void> {
  // SIGHUP, number 1, is caught after SIGTERM, and the runtime has no handler of its own for it
  await until('the signals are caught', () => (caught(server.pid) & 1n) !== 0n, 0);
}

function caught(pid: number): bigint {
  return BigInt(`0x${/^SigCgt:\t(\S+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]}`);
}

t.test('SIGHUP as soon as the program runs, and at every moment after that', async (t) => {
  const site = await siteOf(t);
  for (const afterMs of [0, 5, 20, 40, 80, 150, 300]) {
    const server = site.start();
    await catchesSignals(server);
    await pause(afterMs);
    server.signal('SIGHUP');
    await server.firstAnswer({ name: ENDPOINT });
    await until('it reloads', () => server.logged('configuration reloaded').length > 0);
    t.match(await server.kill('SIGTERM'), { code: 0 }, `${afterMs} ms`);
  }
});

t.test('SIGTERM before anything is open is a clean end', async (t) => {
  const site = await siteOf(t);
  for (const afterMs of [0, 5, 20, 40, 80, 150, 300]) {
    const server = site.start();
    await catchesSignals(server);
    await pause(afterMs);
    t.match(await server.kill('SIGTERM'), { code: 0, signal: null }, `${afterMs} ms`);
    t.same(server.stderr, '');
  }
});

t.test('the handlers are there before the program is loaded', async (t) => {
  const site = await siteOf(t);
  const server = site.start();
  await catchesSignals(server);
  const open = execFileSync('ls', ['-l', `/proc/${server.pid}/fd`], { encoding: 'utf8' });
  t.notMatch(open, /writer\.lock/, 'nothing of the state is open yet');
  t.equal(server.stdout, '');
});
