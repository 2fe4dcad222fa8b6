/** A disagreement is logged after each source has polled again: a moment between two polls is no disagreement. */
import t from 'tap';
import type { Observation } from '../../src/records/observation.ts';
import { ClusterRefresher } from '../../src/refresh/cluster-refresher.ts';
import { emptyRecord } from '../../src/refresh/reconcile/plan.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { clusterSettings, evenRandom, fails, ScriptedSource, sees, times } from './scripted-source.ts';

const [A, B, C] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const [PUBLIC, OTHER_PUBLIC] = ['52.94.5.5', '52.94.6.6'];

function site(dnsSees: Observation, interfacesSee: Observation, dnsIntervalMs = 45_000) {
  const time = new VirtualTime();
  const log = new CollectingLog();
  const after = (ms: number, given: Observation) => async () => {
    await new Promise<void>((resolve) => time.after(ms, resolve));
    return given;
  };
  const dns = new ScriptedSource('dns', after(20, dnsSees));
  const interfaces = new ScriptedSource('interfaces', after(100, interfacesSee));
  const refresher = new ClusterRefresher({
    settings: clusterSettings({ sources: [dns, interfaces] }),
    times: { ...times, intervalMs: { ...times.intervalMs, dns: dnsIntervalMs } },
    record: emptyRecord('my-cluster', 'us-west-2'),
    clock: time,
    timers: time,
    random: evenRandom,
    log,
    evidence: () => undefined,
    onRecord: () => undefined,
  });
  const logged = () => log.lines.filter(({ text }) => text.startsWith('sources ')).map(({ text }) => text);
  const isDoubted = () => {
    const { disagreement, likelyCause } = refresher.snapshot();
    return disagreement !== undefined || likelyCause !== undefined;
  };
  t.teardown(() => refresher.stop());
  return { time, log, dns, interfaces, refresher, logged, isDoubted, after };
}

t.test('a disagreement of a moment is shown, and not logged', async (t) => {
  for (const [what, dnsFirst] of [
    ['an upstream that is not reached yet at the start', fails('dns', 'timeout')],
    ['a name that does not exist for a moment', fails('dns', 'not-found')],
    ['a name that is late', sees('dns', A)],
  ] as const) {
    const { time, dns, refresher, logged, isDoubted, after } = site(dnsFirst, sees('interfaces', B));
    refresher.start();
    await time.advance(1_000);
    t.ok(isDoubted(), `${what}: in the status at once`);
    dns.script = after(20, sees('dns', B));
    await time.advance(600_000);
    t.notOk(isDoubted(), what);
    t.strictSame(logged(), [], what);
  }
});

t.test(
  'a source that was asked just before the change does not contradict the one asked just after it',
  async (t) => {
    const { time, dns, interfaces, refresher, logged, isDoubted, after } = site(
      sees('dns', A, B),
      sees('interfaces', A, B),
      49_500,
    );
    refresher.start();
    await time.advance(298_000); // the name was polled at 297 s, the interfaces are listed at 300 s
    interfaces.script = after(100, sees('interfaces', A, C));
    dns.script = after(20, sees('dns', A, C));
    await time.advance(3_000);
    t.ok(isDoubted(), 'in the status at once');
    await time.advance(17_000);
    t.notOk(isDoubted(), 'and not for long');
    await time.advance(600_000);
    t.strictSame(logged(), []);
  },
);

t.test('a link that comes back: one source answers after the other', async (t) => {
  const { time, dns, interfaces, refresher, logged, after } = site(sees('dns', A), sees('interfaces', A));
  refresher.start();
  await time.advance(60_000);
  dns.script = after(20, fails('dns', 'timeout'));
  interfaces.script = after(100, fails('interfaces', 'timeout'));
  await time.advance(3_600_000);
  interfaces.script = after(100, sees('interfaces', A));
  refresher.kick('link restored');
  await time.advance(3_000); // the upstream is a little later
  dns.script = after(20, sees('dns', A));
  await time.advance(600_000);
  t.strictSame(logged(), []);
});

t.test('a disagreement that lasts is logged once, within seconds, and its end too', async (t) => {
  for (const [dnsSees, cause] of [
    [sees('dns', PUBLIC, OTHER_PUBLIC), 'public-access'],
    [fails('dns', 'empty'), 'dns-rebinding-filter'],
    [fails('dns', 'timeout'), 'name-reply-dropped'],
    [sees('dns', B), undefined],
  ] as const) {
    const { time, log, dns, interfaces, refresher, logged, after } = site(dnsSees, sees('interfaces', A));
    refresher.start();
    await time.advance(20_000);
    t.strictSame(logged(), ['sources disagree'], `${cause}`);
    t.match(
      log.lines.find(({ text }) => text === 'sources disagree'),
      { level: 'warn', fields: { likelyCause: cause } },
    );
    await time.advance(3_600_000);
    t.strictSame(logged(), ['sources disagree'], `${cause}`);
    const perHour = interfaces.polls.length;
    t.ok(perHour <= 20, `${perHour} polls in an hour`);
    dns.script = after(20, sees('dns', A));
    await time.advance(120_000);
    t.strictSame(logged(), ['sources disagree', 'sources agree again'], `${cause}`);
  }
});
