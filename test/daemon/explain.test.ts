/** explain through its route and the daemon's own rooms: it says what a client would get, and changes nothing. */
import t, { type Test } from 'tap';
import * as v from 'valibot';
import { ControlRefusal } from '../../src/admin/control-refusal.ts';
import { explainReport } from '../../src/admin/name-control.ts';
import { explainLines } from '../../src/commands/explain.ts';
import { paintNothing } from '../../src/commands/subcommand.ts';
import { controlRoutes } from '../../src/daemon/control-commands.ts';
import { ENDPOINT, openSite } from './virtual-site.ts';

async function open(t: Test, more = '', cluster = '') {
  const { site } = await openSite(t, more, cluster);
  await site.time.advance(5_000);
  const route = controlRoutes({ pause: async () => undefined, clock: site.time }, site.rooms).find(
    ({ path }) => path === '/explain',
  );
  const raw = (name: string, type = 'A') => route?.run({ name, type });
  const explain = async (name: string, type = 'A') => {
    const report = v.parse(explainReport, JSON.parse(JSON.stringify(await raw(name, type))));
    return { report, text: explainLines(report, paintNothing).join('\n') };
  };
  return { site, explain, raw };
}

t.test('an endpoint: each address with its reason, its sources and their times', async (t) => {
  const { explain } = await open(t);
  const { report, text } = await explain(ENDPOINT.toUpperCase());
  t.match(report, {
    name: ENDPOINT,
    type: 'A',
    now: { step: 'endpoint', rcode: 'NOERROR' },
    inCut: { step: 'endpoint', rcode: 'NOERROR' },
    endpoint: {
      cluster: 'demo',
      basis: 'name',
      agreement: 'no source contradicts another',
      sources: [{ source: 'dns', latest: 'succeeded' }, { source: 'interfaces' }, { source: 'cluster' }],
    },
  });
  t.equal(report.now.records.length, 3);
  t.match(report.endpoint?.addresses[0], {
    address: '10.0.1.10',
    served: 'first',
    why: ['the name resolves to it'],
    sources: [{ source: 'dns', isInLastAnswer: true, lastSeenAgeSeconds: Number }, { source: 'interfaces' }],
  });
  t.match(text, /10\.0\.1\.10 served\n +because: +the name resolves to it\n +seen by: +dns/);
});

t.test('a pin and what it hides', async (t) => {
  const { explain } = await open(t, '', 'pin: [10.0.9.1]');
  const { report } = await explain(ENDPOINT);
  t.match(report.endpoint?.addresses, [
    {
      address: '10.0.9.1',
      served: 'first',
      why: ['it is pinned by the configuration; no source has named it'],
    },
    { address: '10.0.1.10', served: 'no', why: ['a pin hides it'] },
  ]);
});

t.test('any other name: the step, the age of a kept answer, and the end of it in a cut', async (t) => {
  const { site, explain } = await open(t);
  const NAME = 'www.example.com';
  const before = await explain(NAME);
  t.match(before.report.now, { step: 'forward', rcode: undefined, records: [] });
  t.ok(before.report.now.upstreams.length > 0);
  t.match(before.report.inCut, { rcode: 'SERVFAIL' });
  t.match(before.text, /only the upstreams know it/);
  await site.ask({ name: NAME });
  await site.time.advance(2_000);
  const after = await explain(NAME);
  t.match(after.report, {
    now: { step: 'fresh', origin: 'cacheFresh', rcode: 'NOERROR', kept: { ageSeconds: 2 } },
    inCut: { step: 'fresh', rcode: 'NOERROR' },
    endpoint: undefined,
  });
  t.match(after.text, /kept: +2 s old, fresh for .* more; given in a cut for .* more/);
  await site.time.advance((3 * 86_400_000) / 3);
  const old = await explain(NAME);
  t.match(old.report.inCut, { step: 'stale', origin: 'cacheStale', rcode: 'NOERROR' });
  t.match(old.text, /expired .* ago/);
});

t.test('local names, and input that is no question', async (t) => {
  const { explain, raw } = await open(t);
  t.match((await explain('localhost', 'AAAA')).report.now, { step: 'local-zone', records: [/::1$/] });
  t.match((await explain('.', 'NS')).report.now, { step: 'forward' });
  t.match((await explain(ENDPOINT, 'TYPE65')).report.now, {
    step: 'endpoint',
    rcode: 'NOERROR',
    records: [],
  });
  for (const [name, type] of [
    ['', 'A'],
    ['a..b', 'A'],
    [`${'x'.repeat(64)}.example`, 'A'],
    ['a', 'NOTYPE'],
    ['a', 'TYPE0'],
    ['a', ''],
  ]) {
    t.ok((await raw(name ?? '', type)) instanceof ControlRefusal, `${name} ${type}`);
  }
});
