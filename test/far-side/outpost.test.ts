/** What AWS says of an Outpost, through the real SDK client and a simulated Region. */
import t from 'tap';
import { askOutpost } from '../../src/far-side/aws/cluster.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { clientsFor, sourcesAt, startRegion } from './region.ts';

const OUTPOST = 'op-0123456789abcdef0';
const request = { place: { region: 'us-west-2', profile: undefined }, outpost: OUTPOST };

t.test('DescribeCluster names the Outpost; CloudWatch says how AWS sees it: the newest value', async (t) => {
  const sandbox = await startRegion(t);
  const aws = clientsFor(t);
  const ask = (more = {}) =>
    askOutpost({ ...request, ...more }, { aws, clock: systemClock }, AbortSignal.timeout(20_000));
  const described = await sourcesAt(sandbox, aws)('cluster', { cluster: 'demo' });
  t.match(described, { kind: 'details', details: { outpost: OUTPOST } });

  const connected = await ask();
  t.match(connected, { kind: 'seen', connected: 1 });
  const ageMs = connected.kind === 'seen' ? systemClock.wallMs() - connected.atMs : 0;
  t.ok(ageMs >= 60_000 && ageMs < 240_000, 'two minutes old, and not the older values beside it');
  sandbox.state.outpostConnected = 0.5;
  t.match(await ask(), { kind: 'seen', connected: 0.5 });
  t.match(await ask({ outpost: 'op-of-somebody-else' }), { kind: 'no-data' });

  sandbox.faults.add({ service: 'cloudwatch', kind: 'deny' });
  t.match(await ask(), { kind: 'failed', reason: 'denied', detail: /GetMetricStatistics|denied|authorized/ });
  sandbox.faults.clear();
  for (const [kind, reason] of [
    ['throttle', 'throttled'],
    ['html', undefined],
    ['half', undefined],
    ['reset', 'network'],
  ] as const) {
    sandbox.faults.add({ service: 'cloudwatch', kind });
    const view = await ask();
    t.not(view.kind, 'seen', kind);
    if (reason !== undefined) t.match(view, { kind: 'failed', reason }, kind);
    sandbox.faults.clear();
  }
  t.match(await ask(), { kind: 'seen' }, 'and again');
});
