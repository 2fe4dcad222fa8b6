/** Signals in the first moments of a server, before its program is loaded. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { pause, until } from '../helpers/patience.ts';
import { keepState, keptRecord } from './kept-state.ts';
import { PROGRAM, ServerProcess } from './server-process.ts';
import { ENDPOINT, folder, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

async function siteOf(t: Test): Promise<Site> {
  const site = await Site.open(t);
  await keepState(site.stateDirectory, [keptRecord()]);
  return site;
}

/**
 * The runtime itself takes some 30 ms before it runs anything of ours, and sets each signal to its default in that time.
 * /proc shows which signals are caught, and the test waits for that.
 */
async function catchesSignals(server: ServerProcess): Promise<void> {
  // SIGHUP, number 1, is caught after SIGTERM, and the runtime has no handler of its own for it
  await until('the signals are caught', () => (caught(server.pid) & 1n) !== 0n, 0);
}

function caught(pid: number): bigint {
  return BigInt(`0x${/^SigCgt:\t(\S+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]}`);
}

function childrenOf(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
}

/** A file that is closed while they are read is left out. */
function openFiles(pid: number): readonly string[] {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory).flatMap((fd) => {
    try {
      return [readlinkSync(join(directory, fd))];
    } catch {
      return [];
    }
  });
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

t.test('a signal without a meaning here ends nothing and opens no debugger, and is said once', async (t) => {
  const site = await siteOf(t);
  const server = site.start();
  await catchesSignals(server);
  await server.firstAnswer({ name: ENDPOINT });
  const others = [
    'SIGUSR1',
    'SIGUSR2',
    'SIGALRM',
    'SIGVTALRM',
    'SIGPROF',
    'SIGXCPU',
    'SIGPWR',
    'SIGIO',
    'SIGSTKFLT',
  ] as const;
  for (const signal of [...others, ...others]) {
    server.signal(signal);
    t.equal((await server.ask({ name: ENDPOINT })).rcode, 0, signal);
  }
  await until(
    'all are said',
    () => server.logged('a signal without a meaning here is ignored').length >= others.length,
  );
  t.same(
    server
      .logged('a signal without a meaning here is ignored')
      .map(({ signal }) => signal)
      .toSorted(),
    [...others].toSorted(),
  );
  t.notMatch(server.stderr, /debugger/i);
  t.match(await server.kill('SIGTERM'), { code: 0 });
});

t.test('signals that Node cannot catch end nothing either', async (t) => {
  const site = await siteOf(t);
  const server = site.start();
  await server.firstAnswer({ name: ENDPOINT });
  await until('it logs', () => server.logged('listening').length > 0);
  const signals = [22, ...Array.from({ length: 31 }, (_, at) => 34 + at)]; // SIGTTOU, and the real-time signals
  for (const signal of signals) {
    process.kill(server.pid, signal);
    t.equal((await server.ask({ name: ENDPOINT })).rcode, 0, `signal ${signal}`);
  }
  t.match(await server.kill('SIGTERM'), { code: 0 });
});

t.test('SIGQUIT is a stop as SIGTERM is, at any time', async (t) => {
  const site = await siteOf(t);
  for (const isEarly of [true, false]) {
    const server = site.start();
    await catchesSignals(server);
    if (!isEarly) await server.firstAnswer({ name: ENDPOINT });
    t.match(await server.kill('SIGQUIT'), { code: 0, signal: null });
    if (!isEarly) t.match(server.log.at(-1), { msg: 'stopped' });
  }
});

t.test('a profiler of V8 has its signal, and its file is written at the end', async (t) => {
  const site = await siteOf(t);
  const into = folder(t);
  const NODE_OPTIONS = `--cpu-prof --cpu-prof-dir=${into} --cpu-prof-name=whole`;
  const server = site.start({ ...site.sandbox.environment, NODE_OPTIONS });
  await server.firstAnswer({ name: ENDPOINT });
  for (let asked = 0; asked < 200; asked++) await server.ask({ name: ENDPOINT });
  t.match(await server.kill('SIGTERM'), { code: 0, signal: null });
  const profiles = readdirSync(into).filter((name) => name.startsWith('whole'));
  t.equal(profiles.length, 1);
  const { nodes } = JSON.parse(readFileSync(join(into, profiles[0] ?? ''), 'utf8'));
  const sampled = nodes.filter(({ hitCount }: { readonly hitCount: number }) => hitCount > 0);
  t.ok(sampled.length >= 20, `samples in ${sampled.length} functions`);
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
  const open = openFiles(server.pid);
  t.ok(open.length > 0, 'the files were read');
  t.notMatch(open.join('\n'), /writer\.lock/, 'nothing of the state is open yet');
  t.equal(server.stdout, '');
});

/** As `site.start()`, by another name or with another program in front. */
function startAs(
  t: Test,
  site: Site,
  command: readonly [string, ...string[]],
  environment = {},
): ServerProcess {
  const variables = { ...site.sandbox.environment, ...environment };
  return new ServerProcess(t, site.configFile, site.ports, variables, command);
}

t.test('SIGHUP while the shell searches for the runtime', async (t) => {
  const site = await siteOf(t);
  const tools = folder(t);
  // the first program that the shell starts, for a name that is a link, made slow enough to be met
  writeFileSync(join(tools, 'readlink'), '#!/bin/sh\nsleep 1\nPATH=/usr/bin:/bin exec readlink "$@"\n', {
    mode: 0o755,
  });
  const link = join(tools, 'outpost-dns');
  symlinkSync(PROGRAM, link);
  const server = startAs(t, site, [link], { PATH: `${tools}:${process.env['PATH']}` });
  await until('the shell waits for it', () => childrenOf(server.pid).length > 0, 0);
  server.signal('SIGHUP');
  await server.firstAnswer({ name: ENDPOINT });
  t.match(await server.kill('SIGTERM'), { code: 0 });
});

const mayUnshare = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0;

t.test(
  'SIGHUP at every moment of the start, for the first process of a container',
  { skip: mayUnshare ? false : 'a namespace for processes needs root' },
  async (t) => {
    const site = await siteOf(t);
    for (const afterMs of [0, 5, 10, 20, 30, 50, 80]) {
      const server = startAs(t, site, [
        'unshare',
        '--pid',
        '--fork',
        '--mount-proc',
        '--kill-child',
        PROGRAM,
      ]);
      const first = await until(
        'the container runs',
        () => Number(childrenOf(server.pid)[0] ?? 0) || undefined,
        0,
      );
      await pause(afterMs);
      process.kill(first, 'SIGHUP');
      await server.firstAnswer({ name: ENDPOINT });
      process.kill(first, 'SIGTERM');
      t.match(await server.ended, { code: 0 }, `${afterMs} ms`);
    }
  },
);
