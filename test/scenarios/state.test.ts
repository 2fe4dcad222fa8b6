import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../helpers/patience.ts';
import { keepState, keptRecord } from './kept-state.ts';
import { isReady } from './readiness.ts';
import { NO_AWS, PROGRAM, Process, ServerProcess } from './server-process.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

const OLD = ['10.0.1.1', '10.0.2.1', '10.0.3.1'];

for (const [fault, damage] of [
  ['cut in the middle', (path: string) => writeFileSync(path, readFileSync(path).subarray(0, 300))],
  [
    'one octet changed',
    (path: string) => writeFileSync(path, readFileSync(path, 'utf8').replace('10.0.2.10', '10.0.2.90')),
  ],
  ['full of zeros', (path: string) => writeFileSync(path, Buffer.alloc(4096))],
] as const) {
  t.test(
    `state file ${fault}: the previous generation is served, the file is set aside, and it is said`,
    async (t) => {
      const site = await Site.open(t);
      site.sandbox.link.set('refused');
      await keepState(site.stateDirectory, [keptRecord(OLD)], [keptRecord(DEMO)]);
      const path = join(site.stateDirectory, 'endpoints.json');
      damage(path);
      const damaged = readFileSync(path);
      const server = site.start({ ...NO_AWS, AWS_ENDPOINT_URL: site.sandbox.regionUrl });
      const reply = await server.firstAnswer({ name: ENDPOINT });
      t.same(reply.answers.map(({ data }) => data).toSorted(), OLD);
      await until('the log says so', () => server.logged('state file not usable').length > 0);
      t.match(server.logged('state file not usable'), [{ level: 'error', kind: 'corrupt', path }]);
      const aside = readdirSync(site.stateDirectory).filter((name) =>
        name.startsWith('endpoints.json.corrupt-'),
      );
      t.equal(aside.length, 1);
      t.ok(readFileSync(join(site.stateDirectory, aside[0] ?? '')).equals(damaged), 'as it was, not deleted');
      const { state } = await until('the status is there', () => server.status().catch(() => undefined));
      t.match(state.faults, [/endpoints\.json/]);
      await until('a whole file stands there again', () =>
        readdirSync(site.stateDirectory).includes('endpoints.json'),
      );
      t.ok(readFileSync(path, 'utf8').includes(OLD[0] ?? ''));
    },
  );
}

t.test(
  'both generations corrupt and no AWS: other names are served, readiness names the missing ones',
  async (t) => {
    const site = await Site.open(t, { overrides: {} });
    site.configureCluster({ endpoint: ENDPOINT });
    site.sandbox.faults.add({ service: 'dns', kind: 'servfail', name: ENDPOINT });
    mkdirSync(site.stateDirectory, { recursive: true });
    for (const name of ['endpoints.json', 'endpoints.previous.json'])
      writeFileSync(join(site.stateDirectory, name), 'x');
    const server = site.start({ ...NO_AWS, AWS_ENDPOINT_URL: site.sandbox.regionUrl });
    t.match(await server.firstAnswer({ name: ENDPOINT, edns: {} }), { rcode: 2, ede: 14 });
    t.match(await server.ask({ name: 'www.example.com' }), { rcode: 0, answers: { length: 2 } });
    t.equal((await server.get('/readyz')).status, 503);
    t.equal(server.logged('state file not usable').length, 2);
    t.equal((await server.status()).state.faults.length, 2);
  },
);

t.test(
  'a state directory that cannot be written: the server serves, and reports it until it can write',
  async (t) => {
    const site = await Site.open(t);
    writeFileSync(site.stateDirectory, 'a file in its place: not even root can write into that');
    const server = site.start();
    await server.firstAnswer({ name: 'localhost' });
    await isReady(server);
    t.same(await server.addresses(ENDPOINT), DEMO, 'served');
    t.match(server.logged('state cannot be kept: serving all the same'), [
      { level: 'error', detail: /state/ },
    ]);
    t.equal(server.logged('save endpoint records: failed, publishing all the same').length, 1, 'said once');
    const { state } = await server.status();
    t.match(state, { isPending: true, failure: /state/ });
    t.ok(state.saveFailures > 0);
    t.ok(((await server.metric('outpost_dns_state_save_failures_total')).get('') ?? 0) > 0);
    t.equal((await server.metric('outpost_dns_state_pending')).get(''), 1);

    rmSync(site.stateDirectory);
    mkdirSync(site.stateDirectory);
    site.sandbox.state.moveInterface({ cluster: 'demo', from: '10.0.1.10', to: '10.0.1.11' });
    const path = join(site.stateDirectory, 'endpoints.json');
    await until(
      'the next change is saved',
      () => existsSync(path) && readFileSync(path, 'utf8').includes('10.0.1.11'),
    );
    await until(
      'nothing is pending',
      async () => (await server.metric('outpost_dns_state_pending')).get('') === 0,
    );
    t.equal((await server.status()).state.failure, undefined);
    t.match(await server.kill('SIGTERM'), { code: 0 });
  },
);

const TAKEN = 'another process keeps its state here: nothing is written, serving all the same';

t.test(
  'two servers on one state directory: both serve, the second writes nothing until it is alone',
  async (t) => {
    const site = await Site.open(t);
    const first = site.start();
    await isReady(first);
    t.same(first.logged(TAKEN), []);
    const second = await site.startBeside();
    await second.firstAnswer({ name: ENDPOINT });
    t.same(await second.addresses(ENDPOINT), DEMO, 'from the state of the first');
    await until('the log says so', () => second.logged(TAKEN).length > 0);
    t.match(second.logged(TAKEN), [{ level: 'error', detail: /held by another process/ }]);
    const { state } = await until('the status is there', () => second.status().catch(() => undefined));
    t.equal(state.isOurs, false);
    t.match(state.faults.join('\n'), /^nothing is written, .*held by another process/m);
    t.equal((await second.metric('outpost_dns_state_locked')).get(''), 0);
    t.match((await first.status()).state, { isOurs: true, faults: [] });
    t.equal((await first.metric('outpost_dns_state_locked')).get(''), 1);
    const check = new Process(
      t,
      ['check', '--config', join(site.directory, 'beside.yaml')],
      site.sandbox.environment,
    );
    t.match(await check.ended, { code: 1 });
    t.match(check.stdout, /another process keeps its state/);
    t.match(check.stdout, /\(state-other-writer\)/);
    t.match(await first.kill('SIGKILL'), { signal: 'SIGKILL' });
    await until('the second is alone', async () => (await second.status()).state.isOurs);
    t.match(await second.kill('SIGTERM'), { code: 0 });
    const third = site.start();
    await third.firstAnswer({ name: ENDPOINT });
    t.same(third.logged(TAKEN), [], 'no process holds it any more');
  },
);

t.test('a umask that keeps the owner out is not taken over: the next process reads the state', async (t) => {
  const site = await Site.open(t);
  const command = ['sh', '-c', 'umask 777; exec "$0" "$@"', PROGRAM] as const;
  const server = new ServerProcess(t, site.configFile, site.ports, site.sandbox.environment, command);
  await isReady(server);
  t.match(await server.kill('SIGTERM'), { code: 0 });
  for (const name of ['endpoints.json', 'ledger.jsonl']) {
    const { mode } = statSync(join(site.stateDirectory, name));
    t.equal((mode & 0o777).toString(8), '600', name);
  }
});
