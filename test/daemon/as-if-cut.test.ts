/** A cut that is only rehearsed, through its route and the daemon's own rooms: it names what would fail, and no client notices. */
import t, { type Test } from 'tap';
import * as v from 'valibot';
import { asIfCutReport } from '../../src/admin/drill-control.ts';
import { asIfCutFindings, cutFindings } from '../../src/commands/check/running.ts';
import { controlRoutes } from '../../src/daemon/control-commands.ts';
import type { Pause } from '../../src/runtime/slices.ts';
import { load } from '../config/loading.ts';
import { message } from '../helpers/zone-text.ts';
import { openSite, type VirtualSite } from './virtual-site.ts';

const DAY_MS = 86_400_000;
const SERVFAIL = 0x8182;

async function open(
  t: Test,
  more = '',
  says: VirtualSite['says'] = () => undefined,
  pause: Pause = async () => undefined,
) {
  const { site } = await openSite(t, more);
  site.says = says;
  await site.time.advance(5_000);
  const parts = { pause, clock: site.time };
  const route = controlRoutes(parts, site.rooms).find(({ path }) => path === '/as-if-cut');
  const rehearse = async () => v.parse(asIfCutReport, JSON.parse(JSON.stringify(await route?.run({}))));
  return { site, rehearse };
}

t.test('all that was ever learned is answered: nothing fails', async (t) => {
  const { site, rehearse } = await open(t);
  await site.ask({ name: 'www.example.com' });
  t.match(await rehearse(), {
    endpoints: { tried: 1, failing: [] },
    retained: { tried: 0, failing: [] },
    asked: { failing: [], more: 0 },
    untried: 0,
  });
});

t.test('clients ask while the rehearsal pauses: each name is tried under its own name', async (t) => {
  const names = Array.from({ length: 30 }, (_, at) => `n${at}.example`);
  let ask = async () => undefined as unknown;
  const { site, rehearse } = await open(t, '', undefined, async () => void (await ask()));
  for (const name of [...names, ...names]) await site.ask({ name });
  const calm = await rehearse();
  ask = () => site.ask({ name: 'a.much.longer.name.that.every.client.asks.for.example' });
  await ask();
  await ask();
  const busy = await rehearse();
  t.equal(busy.asked.tried, calm.asked.tried + 1);
});

t.test('a retained name without an answer, and an asked name that no upstream answers', async (t) => {
  const { site, rehearse } = await open(t, 'retain: [never.example]', (question) => {
    if (question.startsWith('never.example')) return 'silence';
    if (question !== 'failing.example A') return undefined;
    return message({ question: ['failing.example', 'A'], flags: SERVFAIL });
  });
  await site.ask({ name: 'failing.example' });
  await site.ask({ name: 'sts.us-west-2.amazonaws.com' });
  const before = JSON.stringify([site.rooms.cache.stats(), site.rooms.resolver.counters]);
  const report = await rehearse();
  t.match(report, {
    endpoints: { failing: [] },
    retained: { failing: [{ name: 'never.example', type: 'A' }] },
    asked: { failing: [{ name: 'failing.example', type: 'A' }] },
  });
  t.equal(
    JSON.stringify([site.rooms.cache.stats(), site.rooms.resolver.counters]),
    before,
    'without a trace',
  );
  t.match(cutFindings(report), [
    { code: 'cut-retained-name-fails', severity: 'problem', text: '"never.example" A ' },
    { code: 'cut-retained-name-fails', text: '"never.example" AAAA' },
    { code: 'cut-name-fails', severity: 'warning', text: '"failing.example" A' },
  ]);
  site.time.settling = 'promises'; // a day of probes
  await site.time.advance(DAY_MS);
  site.time.settling = 'all';
  t.strictSame((await rehearse()).asked.failing, [], 'it was asked more than a day ago');
});

t.test('findings: an endpoint, many names, no server', async (t) => {
  const none = { tried: 0, failing: [], more: 0 };
  const name = (at: number) => ({ name: `n${at}.example`, type: 'A', step: 'forward' });
  const many = { tried: 30, failing: Array.from({ length: 12 }, (_, at) => name(at)), more: 3 };
  const report = { endpoints: { ...none, failing: [name(1)] }, retained: none, asked: many };
  const found = cutFindings({ ...report, failByRule: 0, untried: 0, tookMs: 1 });
  t.match(found[0], { code: 'cut-endpoint-fails', severity: 'problem' });
  t.equal(found.length, 12);
  t.match(found.at(-1), { text: /\.\.\. and 5 more/ });
  const config = await load(
    `clusters: [{name: a, region: us-west-2}]\nupstreams: [10.0.0.2]\nstate: {directory: ${t.testdir()}}\n`,
  );
  t.match(await asIfCutFindings({ config }), [{ code: 'cut-not-rehearsed', severity: 'problem' }]);
});
