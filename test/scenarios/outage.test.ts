import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import * as v from 'valibot';
import { drillReport } from '../../src/admin/drill-control.ts';
import { until } from '../helpers/patience.ts';
import { isReady } from './readiness.ts';
import { Process, type ServerProcess } from './server-process.ts';
import { ENDPOINT, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

const RETAINED = 'mail.example.com';
const ASKED = 'www.example.com';
const NEW = 'v4only.example.com';

async function openSite(t: Test): Promise<Site> {
  return Site.open(t, { overrides: { retain: [RETAINED] } });
}

/** Runs a subcommand and resolves to its output. */
async function command(t: Test, ...words: readonly string[]) {
  const child = new Process(t, words, {});
  const { code } = await child.ended;
  return { code, stdout: child.stdout, stderr: child.stderr };
}

const isRetained = (server: ServerProcess) =>
  until('the retained name is learned', async () =>
    (await server.status()).retained.some(({ type, state }) => type === 'A' && state === 'fresh'),
  );

/** Before the first poll the kept records are known, and stale. */
const isRetainedBack = (server: ServerProcess) =>
  until('the retained answers are back', async () =>
    (await server.status()).retained.some(({ type, state }) => type === 'A' && state === 'stale'),
  );

t.test(
  'a restart in the middle of an outage: endpoint, retained and cached names are all still answered',
  async (t) => {
    const site = await openSite(t);
    const first = site.start();
    await isReady(first);
    await isRetained(first);
    t.match(await first.ask({ name: ASKED }), { rcode: 0, answers: { length: 2 } });
    t.match(await first.kill('SIGTERM'), { code: 0 });
    for (const file of ['endpoints.json', 'retained.json', 'answers.snapshot', 'ledger.jsonl'])
      t.ok(readdirSync(site.stateDirectory).includes(file), file);

    site.sandbox.link.set('down');
    const second = site.start();
    t.match(await second.firstAnswer({ name: ENDPOINT }), { rcode: 0, answers: { length: 3 } });
    await isRetainedBack(second);
    t.match(await second.ask({ name: RETAINED, edns: {} }), {
      rcode: 0,
      answers: [{ data: '192.0.2.25', ttl: 30 }],
      ede: 3,
    });
    await until('the cached answers are back', async () => {
      const { loadedAnswers = 0 } = (await second.status()).state.snapshot;
      return loadedAnswers > 0;
    });
    // the answer to a query with neither DO nor CD serves all clients
    for (const more of [
      {},
      { cd: true },
      { edns: { dnssecOk: true } },
      { cd: true, edns: { dnssecOk: true } },
    ])
      t.match(await second.ask({ name: ASKED, ...more }), { rcode: 0, answers: { length: 2 } });

    // a kill loses only unwritten answers, and no endpoint
    await second.kill('SIGKILL');
    const third = site.start();
    t.match(await third.firstAnswer({ name: ENDPOINT }), { rcode: 0, answers: { length: 3 } });
    await isRetainedBack(third);
    t.match(await third.ask({ name: RETAINED }), { rcode: 0, answers: [{ data: '192.0.2.25' }] });
    t.match(await third.kill('SIGTERM'), { code: 0 });

    const { code, stdout } = await command(t, 'history', '--state', site.stateDirectory);
    t.equal(code, 0);
    t.match(stdout, /start .*\n(.*\n)*.*addresses .*10\.0\.1\.10/);
    t.match(stdout, /stop .*SIGTERM/);
    t.match(stdout, 'the run before this one ended without a stop: killed, or the power failed');
  },
);

t.test('a corrupt snapshot and a corrupt retained file are set aside, and the ledger says so', async (t) => {
  const site = await openSite(t);
  const first = site.start();
  await isReady(first);
  await isRetained(first);
  await first.ask({ name: ASKED });
  await first.kill('SIGTERM');
  for (const file of ['retained.json', 'answers.snapshot'])
    writeFileSync(join(site.stateDirectory, file), `${'x'.repeat(300)}\n`);
  site.sandbox.link.set('down');
  const second = site.start();
  t.match(await second.firstAnswer({ name: ENDPOINT }), { rcode: 0, answers: { length: 3 } });
  const faults = await until('both are reported', async () => {
    const found = (await second.status()).state.faults;
    return found.length === 2 && found;
  });
  t.match(faults.toSorted(), [/answers\.snapshot/, /retained\.json/]);
  await second.kill('SIGTERM');
  const { stdout } = await command(
    t,
    'history',
    '--json',
    '--kind',
    'set-aside',
    '--state',
    site.stateDirectory,
  );
  const events: readonly { to: string }[] = JSON.parse(stdout).events;
  t.equal(events.length, 2);
  for (const { to } of events)
    t.equal(readFileSync(to, 'utf8').slice(0, 3), 'xxx', `${to} is what stood there`);
});

t.test(
  'a drill: this server alone lives through an outage, lists the queries that failed, and is back at once',
  async (t) => {
    const site = await openSite(t);
    const server = site.start();
    await isReady(server);
    await isRetained(server);
    await server.ask({ name: ASKED });
    const state = ['--state', site.stateDirectory];

    t.match(await command(t, 'drill', 'report', ...state), { code: 1, stdout: /no drill has run/ });
    t.match(await command(t, 'drill', 'start', '--for', 'soon', ...state), { code: 2, stderr: /'soon'/ });
    t.match(await command(t, 'drill', 'start', '--for', '30m', ...state), { code: 0 });
    t.match(await command(t, 'drill', 'start', '--for', '30m', ...state), {
      code: 1,
      stderr: /a drill is running already/,
    });
    t.equal((await server.metric('outpost_dns_drill_running')).get(''), 1);
    t.match((await server.status()).link.summary, { condition: 'disconnected', reason: 'drill' });
    t.match((await server.status()).drill, { isRunning: true });

    t.match(await server.ask({ name: ENDPOINT }), { rcode: 0, answers: { length: 3 } });
    t.match(await server.ask({ name: RETAINED }), { rcode: 0 });
    t.match(await server.ask({ name: ASKED }), { rcode: 0 }, 'still fresh');
    for (let time = 0; time < 2; time++)
      t.match(await server.ask({ name: NEW, edns: {} }), { rcode: 2, ede: 22 });
    const status = await server.ask({ name: `_status.${ENDPOINT}`, type: 'TXT' });
    t.match(status.answers[0]?.data, /link=disconnected for \d+s: drill/);

    t.match(await command(t, 'drill', 'stop', ...state), { code: 0, stdout: /v4only\.example\.com/ });
    const report = v.parse(
      drillReport,
      JSON.parse((await command(t, 'drill', 'report', '--json', ...state)).stdout),
    );
    t.match(report, {
      state: 'ended',
      endedBy: 'command',
      failed: { queries: 2, names: [{ name: NEW, type: 'A', queries: 2 }] },
      stale: { queries: 0 },
      endpoints: [{ endpoint: ENDPOINT.toLowerCase(), answers: 1 }],
      retain: [{ name: NEW, types: ['A'] }],
    });
    t.equal((await server.metric('outpost_dns_drill_running')).get(''), 0);
    await until('the name is answered again', async () => (await server.ask({ name: NEW })).rcode === 0);
    await until(
      'the link is shown as it is',
      async () => (await server.status()).link.summary.condition === 'connected',
    );
    await server.kill('SIGTERM');
    const { stdout } = await command(t, 'history', '--kind', 'drill', ...state);
    t.equal(stdout.split('\n').filter((line) => line.includes('drill')).length, 2, stdout);
  },
);

t.test('a drill ends with the process, and none is found running after a restart', async (t) => {
  const site = await openSite(t);
  const first = site.start();
  await isReady(first);
  const state = ['--state', site.stateDirectory];
  t.match(await command(t, 'drill', 'start', '--for', '1h', ...state), { code: 0 });
  await first.kill('SIGKILL');
  t.match(await command(t, 'drill', 'stop', ...state), { code: 1, stderr: /nothing listens there/ });
  const second = site.start();
  await isReady(second);
  t.match(await command(t, 'drill', 'report', ...state), { code: 1, stdout: /no drill has run/ });
  t.equal((await second.metric('outpost_dns_drill_running')).get(''), 0);
});

t.test(
  'in the ledger: a pin of the configuration, a drill that a stop ends, and the stop as the last line',
  async (t) => {
    const site = await openSite(t);
    const first = site.start();
    await isReady(first);
    await first.kill('SIGTERM');
    site.configureCluster({ pin: ['10.0.1.10'] });
    const second = site.start();
    await isReady(second);
    const state = ['--state', site.stateDirectory];
    t.match(await command(t, 'drill', 'start', '--for', '1h', ...state), { code: 0 });
    await second.kill('SIGTERM');
    const { stdout } = await command(t, 'history', '--json', ...state);
    const events: readonly Record<string, unknown>[] = JSON.parse(stdout).events;
    const pinned = events.find(({ kind, basis }) => kind === 'addresses' && basis === 'pin');
    t.match(pinned, { before: { length: 3 }, after: ['10.0.1.10'] });
    t.match(events.slice(-2), [
      { kind: 'drill', phase: 'ended', by: 'shutdown' },
      { kind: 'stop', reason: 'SIGTERM' },
    ]);
    t.notMatch((await command(t, 'history', ...state)).stdout, 'ended without a stop');
  },
);

t.test('a control socket that cannot be made is shown with its fix', async (t) => {
  const site = await openSite(t);
  mkdirSync(join(site.stateDirectory, 'control.sock'), { recursive: true });
  const server = site.start();
  await isReady(server);
  t.match(server.logged('no commands can be given: serving all the same'), [
    { detail: /control\.sock": a file that is no socket stands there/, fix: /move it away/ },
  ]);
  t.match((await server.status()).state.faults, [/no socket stands there/]);
});

t.test(
  'the link is back: answers that failed in the cut are fresh at once, not stale for 30 s more',
  async (t) => {
    const site = await Site.open(t, { overrides: { cache: { maxTtl: '1s', prefetch: false } } });
    const server = site.start();
    await isReady(server);
    const ask = () => server.ask({ name: ASKED, edns: {} });
    await until(
      'AWS has answered',
      async () => (await server.status()).link.summary.condition === 'connected',
    );
    t.match(await ask(), { rcode: 0, ede: undefined });
    site.sandbox.link.set('down');
    const isUp = async () => (await server.status()).upstreams.every(({ isHealthy }) => isHealthy);
    await until('the answer is stale', async () => (await ask()).ede === 3);
    await until(
      'the cut is known',
      async () => !(await isUp()) && (await server.status()).link.summary.condition === 'disconnected',
    );
    site.sandbox.link.set('up');
    await until(
      'the link is back',
      async () => (await isUp()) && (await server.status()).link.summary.condition === 'connected',
    );
    t.match(await ask(), { rcode: 0, ede: undefined, answers: { length: 2 } });
  },
);
