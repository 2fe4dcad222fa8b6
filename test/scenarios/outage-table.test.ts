/**
 * The README's table "What happens in an outage", row by row, against the real server: connected, cut off, and restarted in
 * the cut without AWS, upstreams and credentials. A row without a test fails, and so does a test without a row.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { demoPopulation } from '../../src/sandbox/demo-population.ts';
import type { DnsRecord, Population } from '../../src/sandbox/facts.ts';
import { pause, until } from '../helpers/patience.ts';
import type { ReadReply } from '../serving/resolver/messages.ts';
import { isReady } from './looks.ts';
import { NO_AWS, type ServerProcess } from './server-process.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

type State = 'connected' | 'cut' | 'restarted';

interface Look {
  readonly t: Test;
  readonly server: ServerProcess;
  readonly state: State;
  /** One question with EDNS, so that extended errors are seen. */
  readonly ask: (name: string, type?: string) => Promise<ReadReply & { readonly afterMs: number }>;
}

const data = ({ answers }: ReadReply) => answers.map((answer) => answer.data).toSorted();
const STALE = { rcode: 0, ede: 3 };

/** By what is asked, as the README has it. */
const ROWS: Readonly<Record<string, (look: Look) => Promise<void>>> = {
  "an endpoint's name": async ({ t, state, ask }) => {
    const reply = await ask(ENDPOINT);
    t.match(reply, { rcode: 0, aa: true, ede: undefined });
    t.same(data(reply), DEMO);
    if (state !== 'connected') t.ok(reply.answers.every(({ ttl }) => ttl <= 30));
    t.match(await ask(ENDPOINT, 'AAAA'), { rcode: 0, aa: true, answers: [] });
  },
  'a name that was asked before': async ({ t, state, ask }) => {
    t.match(await ask('www.example.com'), state === 'connected' ? { rcode: 0, ede: undefined } : STALE);
    t.same(data(await ask('www.example.com')), ['192.0.2.10', '192.0.2.11']);
    if (state !== 'connected') t.equal((await ask('www.example.com')).answers[0]?.ttl, 30);
  },
  'a name under `retain`': async ({ t, state, ask }) => {
    const reply = await ask('mail.example.com');
    t.same(data(reply), ['192.0.2.25']);
    if (state !== 'connected') t.match(reply, STALE);
    t.match(await ask('mail.example.com', 'AAAA'), { rcode: 0, answers: [] });
  },
  'a name that nobody asked before': async ({ t, state, ask }) => {
    const reply = await ask(`${state}.many.example.com`);
    if (state === 'connected') t.same(data(reply), ['192.0.2.77']);
    else t.match(reply, { rcode: 2, ede: 22, answers: [] });
  },
  "EC2's own names (`ip-10-0-3-10.us-west-2.compute.internal`)": async ({ t, state, ask }) => {
    if (state === 'connected') return; // the sandbox's upstream is no resolver of a VPC
    t.same(data(await ask('ip-10-0-3-10.us-west-2.compute.internal')), ['10.0.3.10']);
    const soa = [{ type: 'SOA', owner: 'us-west-2.compute.internal' }];
    t.match(await ask('registry.us-west-2.compute.internal'), { rcode: 3, authorities: soa });
  },
  'a reverse name in `vpcNetworks`': async ({ t, state, ask }) => {
    if (state === 'connected') return; // as above
    t.same(data(await ask('44.3.20.10.in-addr.arpa', 'PTR')), ['ip-10-20-3-44.us-west-2.compute.internal']);
  },
  'a service of AWS': async ({ t, state, ask }) => {
    const [sts, s3] = [await ask('sts.us-west-2.amazonaws.com'), await ask('s3.us-west-2.amazonaws.com')];
    if (state === 'connected') {
      t.same([...data(sts), ...data(s3)], ['192.0.2.201', '192.0.2.202']);
      return;
    }
    t.match(sts, { rcode: 2, ede: 22 });
    t.match(s3, STALE, 'a zone rule says otherwise');
  },
  'an alias, of your own zones or of an upstream': async ({ t, ask }) => {
    for (const name of ['api.own.example', 'k8s.example.com']) {
      const reply = await ask(name);
      t.equal(reply.answers[0]?.type, 'CNAME');
      t.same(data({ ...reply, answers: reply.answers.slice(1) }), DEMO, name);
    }
    const kept = await ask('web.own.example');
    t.same(data(kept), ['192.0.2.10', '192.0.2.11', 'www.example.com'], 'to a kept answer');
  },
  'a known name with a search suffix after it': async ({ t, state, ask }) => {
    for (const known of [ENDPOINT, 'mail.example.com', 'db.own.example']) {
      const reply = await ask(`${known}.${state}.site.example`);
      if (state === 'connected') t.equal(reply.rcode, 3, 'the upstream says so');
      else t.match(reply, { rcode: 3, ede: 22, answers: [] }, known);
    }
  },
  'DS of an endpoint': async ({ t, ask }) => {
    t.match(await ask(ENDPOINT, 'DS'), { rcode: 0, answers: [] });
  },
  'after a restart, with AWS, upstreams and credentials all gone': async ({ t, server, state, ask }) => {
    if (state !== 'restarted') return;
    const { answers, sinceStartMs } = await server.firstAnswer({ name: ENDPOINT });
    t.equal(answers.length, 3);
    t.comment(`the first answer came ${Math.round(sinceStartMs)} ms after the start`);
    t.same(data(await ask(ENDPOINT)), DEMO);
  },
};

const page = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
const table = /## What happens in an outage\n+([\s\S]*?)\n\n/.exec(page)?.[1] ?? '';
const rows = table
  .split('\n')
  .slice(2)
  .map((line) => line.split(' | ')[0]?.replace(/^\| /, '') ?? '');

t.test('every row has a test, and every test a row', async (t) => {
  t.strictSame(Object.keys(ROWS).toSorted(), rows.toSorted());
});

const RECORDS: readonly DnsRecord[] = [
  { name: 'sts.us-west-2.amazonaws.com', type: 'A', ttlSeconds: 60, value: '192.0.2.201' },
  { name: 's3.us-west-2.amazonaws.com', type: 'A', ttlSeconds: 60, value: '192.0.2.202' },
  { name: 'k8s.example.com', type: 'CNAME', ttlSeconds: 60, value: ENDPOINT },
];

function population(): Population {
  const demo = demoPopulation();
  return { ...demo, records: [...demo.records, ...RECORDS] };
}

const OVERRIDES = {
  retain: ['mail.example.com'],
  // an answer is stale after a second, so that the test need not wait
  cache: { maxTtl: '1s' },
  zones: [
    {
      name: 'own.example',
      records: [`api CNAME ${ENDPOINT}.`, 'web CNAME www.example.com.', 'db A 10.0.0.9'],
    },
    { name: 's3.us-west-2.amazonaws.com', whileDisconnected: 'stale' },
  ],
};

async function lookAt(t: Test, server: ServerProcess, state: State): Promise<void> {
  for (const [asked, look] of Object.entries(ROWS)) {
    await t.test(`${state}: ${asked}`, async (t) => {
      const ask: Look['ask'] = (name, type = 'A') => server.ask({ name, type, edns: {} });
      await look({ t, server, state, ask });
    });
  }
}

/** The server knows that nobody can be asked, and what it keeps is stale. */
async function isCut(server: ServerProcess): Promise<void> {
  await until('the cut is known', async () => {
    await server.ask({ name: 'warm.example.com', edns: {} });
    const { link, upstreams } = await server.status();
    return link.summary.condition === 'disconnected' && upstreams.every(({ isHealthy }) => !isHealthy);
  });
  await pause(1_100);
}

t.test('the table, connected, cut and restarted', async (t) => {
  const site = await Site.open(t, { overrides: OVERRIDES, population: population() });
  site.configureCluster({ vpcNetworks: ['10.20.0.0/16'] }, OVERRIDES);
  const first = site.start();
  await isReady(first);
  await until('the retained name is learned', async () =>
    (await first.status()).retained.some(({ type, state }) => type === 'A' && state === 'fresh'),
  );
  await lookAt(t, first, 'connected');

  site.sandbox.link.set('down');
  await isCut(first);
  await lookAt(t, first, 'cut');
  t.match(await first.kill('SIGTERM'), { code: 0 });

  const second = site.start(NO_AWS);
  await second.firstAnswer({ name: ENDPOINT });
  await until('what was kept is back', async () => {
    const { state, retained } = await second.status();
    return (state.snapshot.loadedAnswers ?? 0) > 0 && retained.some(({ state }) => state === 'stale');
  });
  await isCut(second);
  await lookAt(t, second, 'restarted');
});
