import fc from 'fast-check';
import t from 'tap';
import { addressesOf, type EndpointRecord } from '../../src/records/endpoint-record.ts';
import { FAILURE_REASONS, type FailureReason, type Observation } from '../../src/records/observation.ts';
import { ClusterRefresher } from '../../src/refresh/cluster-refresher.ts';
import { refusalsBy, type SourceState } from '../../src/refresh/reconcile/decision.ts';
import { decide, emptyRecord, keep, learn } from '../../src/refresh/reconcile/plan.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { clusterSettings, describes, evenRandom, hangs, ScriptedSource, times } from './scripted-source.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 300);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
t.comment(`seed ${seed}`);

const REASONS = FAILURE_REASONS;
const SERVED = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const INADMISSIBLE = [
  '52.94.1.1',
  '127.0.0.1',
  '0.0.0.0',
  '224.0.0.1',
  '192.168.7.7',
  '169.254.1.1',
  '::1',
  'x',
  '',
];

function serving(): EndpointRecord {
  const seen = { firstSeenMs: 0, lastSeenMs: 0 };
  return {
    ...emptyRecord('my-cluster', 'us-west-2'),
    endpoint: 'api.example',
    addresses: SERVED.map((address) => ({ address, provenance: { dns: seen } })),
  };
}

const source = fc.constantFrom(
  'dns' as const,
  'route53' as const,
  'interfaces' as const,
  'kubernetes' as const,
);
const useless = fc.oneof(
  fc.constant({ latest: 'untried' as const }),
  fc.constantFrom(...REASONS).map((failure) => ({ latest: 'failed' as const, failure })),
  fc
    .subarray(INADMISSIBLE)
    .map((addresses) => ({ latest: 'succeeded' as const, view: { addresses, observedAtMs: 0 } })),
);
const state: fc.Arbitrary<SourceState> = fc
  .record({ source, what: useless })
  .map(({ source, what }) => ({ source, ...what }));

const settings = {
  endpoint: 'api.example',
  pin: [],
  refusalOf: refusalsBy(['10.0.0.0/8']),
  confirmAfterMs: 15_000,
  maximumAgeMs: { dns: 1e12, route53: 1e12, interfaces: 1e12, kubernetes: 1e12 },
};

t.test('no sequence of plans without a usable view changes the served set', (t) => {
  const step = fc.record({
    kind: fc.constantFrom('decide', 'note', 'learn'),
    states: fc.array(state, { maxLength: 3 }),
    waitMs: fc.nat(1_000_000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      let record = serving();
      let nowMs = 0;
      for (const { kind, states, waitMs } of steps) {
        nowMs += waitMs;
        const details = { endpoint: `e${waitMs}.example`, subnetIds: [], learnedAtMs: 0 };
        if (kind === 'learn') record = learn(record, details, settings, nowMs).record;
        else record = (kind === 'decide' ? decide : keep)(record, states, settings, nowMs).record;
        if (addressesOf(record).join() !== SERVED.join()) return false;
        if (record.ttlSeconds < 5 || record.ttlSeconds > 60) return false;
      }
      return true;
    }),
    { numRuns: RUNS, seed },
  );
  t.end();
});

t.test(
  'no sequence of views of any kind leaves an endpoint without an address, or with one that is refused',
  (t) => {
    const anything = fc.record({
      source,
      addresses: fc.subarray(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', ...INADMISSIBLE]),
      isFailed: fc.boolean(),
    });
    const step = fc.record({ states: fc.array(anything, { maxLength: 3 }), waitMs: fc.nat(30_000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let record = serving();
        let nowMs = 0;
        for (const { states, waitMs } of steps) {
          nowMs += waitMs;
          const seen = states.map(
            ({ source, addresses, isFailed }): SourceState =>
              isFailed
                ? { source, latest: 'failed', failure: 'timeout' }
                : { source, latest: 'succeeded', view: { addresses, observedAtMs: nowMs } },
          );
          const next = decide(record, seen, settings, nowMs).record;
          const served = addressesOf(next);
          if (served.length === 0 || served.some((address) => settings.refusalOf(address) !== undefined))
            return false;
          // more than half may only go where the change was held before
          const { corroborated = addressesOf(record) } = record;
          const lost = corroborated.filter((address) => !served.includes(address));
          const isLess = addressesOf(record).some((address) => !served.includes(address));
          if (isLess && lost.length * 2 > corroborated.length && record.held === undefined) return false;
          record = next;
        }
        return true;
      }),
      { numRuns: RUNS, seed },
    );
    t.end();
  },
);

t.test('no sequence of polls that fail, hang, throw or come back empty takes an address away', async (t) => {
  type Step = 'hang' | 'throw' | 'empty' | 'inadmissible' | FailureReason;
  const step = fc.constantFrom<Step>('hang', 'throw', 'empty', 'inadmissible', ...REASONS);
  const play = (name: 'dns' | 'interfaces', script: readonly Step[]) => {
    let poll = 0;
    return new ScriptedSource(name, async (): Promise<Observation> => {
      const what = script[poll++ % script.length] ?? 'empty';
      if (what === 'hang') return hangs();
      if (what === 'throw') throw new Error('a bug');
      if (what === 'empty') return { kind: 'addresses', source: name, addresses: [] };
      if (what === 'inadmissible') return { kind: 'addresses', source: name, addresses: INADMISSIBLE };
      return { kind: 'failed', source: name, reason: what, reachedFarSide: false, detail: 'scripted' };
    });
  };
  const steps = fc.array(step, { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(steps, steps, fc.nat(5), async (dns, interfaces, kicks) => {
      const time = new VirtualTime();
      let worst = SERVED.length;
      const cluster = new ScriptedSource('cluster', describes({ endpoint: 'api.example' }));
      const refresher: ClusterRefresher = new ClusterRefresher({
        settings: clusterSettings({ sources: [play('dns', dns), play('interfaces', interfaces), cluster] }),
        times,
        record: serving(),
        clock: time,
        timers: time,
        random: evenRandom,
        log: new CollectingLog(),
        evidence: () => {},
        onRecord: () => {
          worst = Math.min(worst, refresher.record.addresses.length);
        },
      });
      refresher.start();
      for (let kick = 0; kick < kicks; kick++) {
        await time.advance(7_000);
        refresher.kick('test');
      }
      await time.advance(400_000);
      refresher.stop();
      return worst === SERVED.length && addressesOf(refresher.record).join() === SERVED.join();
    }),
    { numRuns: Math.max(5, Math.floor(RUNS / 20)), seed },
  );
  t.pass('and the addresses are those that were served');
});
