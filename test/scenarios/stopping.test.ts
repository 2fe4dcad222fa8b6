import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { pause, until } from '../helpers/patience.ts';
import { queryOf } from '../serving/resolver/messages.ts';
import { keepState, keptRecord } from './kept-state.ts';
import { NO_AWS } from './server-process.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

t.test('SIGTERM ends it cleanly with queries in flight over UDP and TCP', async (t) => {
  const site = await Site.open(t);
  await keepState(site.stateDirectory, [keptRecord()]);
  const server = site.start();
  await server.firstAnswer({ name: ENDPOINT });
  await until('confirmed', async () => (await server.status()).endpoints[0]?.basis === 'name');
  site.sandbox.faults.add({ service: 'dns', kind: 'drop' });
  site.sandbox.faults.add({ service: '*', kind: 'hang' });
  const connection = connect(site.ports.dnsPort, '127.0.0.1').on('error', () => undefined);
  const query = queryOf({ name: 'slow-tcp.example.com' });
  connection.write(Buffer.concat([Buffer.of(0, query.length), query]));
  t.teardown(() => connection.destroy());
  let asked = 0;
  await until('they wait', async () => {
    // each for 5 s: on a machine that stands still they may be over before the status shows them
    for (let more = 0; more < 20; more++)
      server.ask({ name: `slow-${asked++}.example.com` }, 3000).catch(() => undefined);
    return (await server.status()).queries.pending >= 15;
  });

  const ended = await server.kill('SIGTERM');
  t.comment(`ended in ${ended.afterMs.toFixed(0)} ms`); // test/daemon shows in virtual time that the stop waits for no query
  t.match(ended, { code: 0, signal: null });
  t.match(server.log.at(-1), { msg: 'stopped' });
  t.same(server.stderr, '');
  t.same(server.errors, []);
  const state = JSON.parse(await readFile(join(site.stateDirectory, 'endpoints.json'), 'utf8'));
  t.ok(JSON.stringify(state).includes(DEMO[2] ?? ''), 'the state is whole');

  const again = site.start();
  const reply = await again.firstAnswer({ name: ENDPOINT });
  t.same(reply.answers.map(({ data }) => data).toSorted(), DEMO);
});

t.test('a second signal does not cut the stop short, and one at the start counts', async (t) => {
  const site = await Site.open(t);
  const server = site.start();
  await until('it listens', () => server.logged('listening').length > 0, 1);
  server.signal('SIGINT');
  server.signal('SIGTERM');
  await pause(10);
  const ended = await server.kill('SIGTERM');
  t.match(server.log.at(-1), { msg: 'stopped' });
  // all is done by then: Node takes its handlers away some milliseconds before the process is gone, and this signal may come there
  t.ok(ended.code === 0 || ended.signal === 'SIGTERM', `ended with ${ended.code ?? ended.signal}`);
});

t.test(
  'a file that never answers, read while AWS is asked, holds up neither the state nor the end',
  async (t) => {
    for (const variable of ['NODE_EXTRA_CA_CERTS', 'AWS_CA_BUNDLE', 'AWS_CONFIG_FILE']) {
      const site = await Site.open(t);
      const pipe = join(t.testdir(), 'pipe');
      execFileSync('mkfifo', [pipe]);
      const server = site.start({ ...site.sandbox.environment, [variable]: pipe });
      await server.firstAnswer({ name: 'example.com' });
      site.configureCluster({ pin: ['10.9.9.9'], endpoint: ENDPOINT });
      server.signal('SIGHUP');
      await until('reloaded', () => server.logged('configuration reloaded').length > 0);
      await pause(2_000);
      const { code, signal, afterMs } = await server.kill('SIGTERM');
      t.comment(`${variable}: ended with ${code ?? signal} in ${afterMs.toFixed(0)} ms`);
      t.equal(code, 0, variable);
      const state = await readFile(join(site.stateDirectory, 'endpoints.json'), 'utf8');
      t.ok(state.includes('10.9.9.9'), `${variable}: the state is saved`);
    }
  },
);

t.test('a read of Node itself that never ends does not hold up the end', async (t) => {
  const site = await Site.open(t);
  const pipe = join(t.testdir(), 'pipe');
  execFileSync('mkfifo', [pipe]);
  // Node reads the file in a thread of its own as soon as TLS is loaded, and its exit waits for that thread
  const tls = `--import=data:text/javascript,${encodeURIComponent("import 'node:tls'")}`;
  const server = site.start({ ...NO_AWS, NODE_EXTRA_CA_CERTS: pipe, NODE_OPTIONS: tls });
  await server.firstAnswer({ name: 'example.com' });
  const { code, signal } = await server.kill('SIGTERM');
  t.equal(code, 0, `ended with ${code ?? signal}`);
  t.match(server.log.at(-1), { msg: 'stopped' });
});

for (const [what, hangs, ended] of [
  // its removal is waited for no longer than a second
  [
    'the folder of the control socket is on a dead disk',
    `import fs from 'node:fs/promises';
for (const name of ['rm', 'unlink', 'stat', 'lstat']) {
  const found = fs[name];
  fs[name] = (path, ...more) =>
    globalThis.isDead && String(path).includes('control') ? new Promise(() => undefined) : found(path, ...more);
}`,
    { code: 0, last: 'stopped' },
  ],
  [
    'a socket does not close',
    `import { Server } from 'node:net';
const { close } = Server.prototype;
Server.prototype.close = function (...all) { return globalThis.isDead ? this : close.apply(this, all); };`,
    { code: 1, last: /^the stop hangs/ },
  ],
] as const) {
  t.test(`a stop ends all the same where ${what}`, async (t) => {
    const site = await Site.open(t);
    const dead = `--import=data:text/javascript,${encodeURIComponent(`
import { syncBuiltinESMExports } from 'node:module';
${hangs}
process.on('SIGUSR2', () => { globalThis.isDead = true; });
syncBuiltinESMExports();`)}`;
    const server = site.start({ ...site.sandbox.environment, NODE_OPTIONS: dead });
    await server.firstAnswer({ name: ENDPOINT });
    await until('it takes commands', async () => existsSync(join(site.stateDirectory, 'control.sock')));
    server.signal('SIGUSR2');
    await pause(500);
    const { code, signal, afterMs } = await server.kill('SIGTERM');
    t.comment(`ended with ${code ?? signal} in ${afterMs.toFixed(0)} ms`);
    t.match(server.log.at(-1), { msg: ended.last });
    t.equal(code, ended.code);
  });
}

/** In the thread of a reload: opens a pipe as the kernel opens a file on a dead disk, without an end and without a way out. */
const DEAD_DISK = `data:text/javascript,${encodeURIComponent(`
import { syncBuiltinESMExports } from 'node:module';
import { writeSync } from 'node:fs';
import fs from 'node:fs/promises';
import { isMainThread } from 'node:worker_threads';
const { open } = fs;
fs.open = (path, ...more) => {
  if (isMainThread || !String(path).endsWith('.yaml')) return open(path, ...more);
  writeSync(2, 'opening'); // the output of the thread is not the server's
  return open(path, 0);
};
syncBuiltinESMExports();`)}`;

for (const [disk, environment, ended] of [
  ['a pipe that gives nothing', {}, { code: 0, signal: null }],
  // an exit of Node would wait for the thread
  [
    'a disk that gives nothing, and no error',
    { NODE_OPTIONS: `--import=${DEAD_DISK}` },
    { code: 0, signal: null },
  ],
] as const) {
  t.test(`SIGTERM during a reload whose file is on ${disk}`, async (t) => {
    const site = await Site.open(t);
    await keepState(site.stateDirectory, [keptRecord()]);
    const server = site.start({ ...site.sandbox.environment, ...environment });
    await server.firstAnswer({ name: ENDPOINT });
    await rm(site.configFile);
    execFileSync('mkfifo', [site.configFile]);
    server.signal('SIGHUP');
    server.signal('SIGHUP');
    if ('NODE_OPTIONS' in environment) await until('it reads', () => server.stderr.includes('opening'));
    else await pause(500);
    t.match(await server.ask({ name: ENDPOINT }), { answers: { length: 3 } }, 'it answers meanwhile');
    const { afterMs, ...end } = await server.kill('SIGTERM');
    t.match(end, ended);
    t.comment(`ended in ${afterMs.toFixed(0)} ms`);
    t.equal(server.logged('stopped').length, 1);
    t.equal(server.logged('reload given up: the server stops').length, 1, 'nothing waits for the file');
  });
}
