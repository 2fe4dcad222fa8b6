import t from 'tap';
import { populationOf } from '../../sandbox/demo-population.ts';
import type { HttpFaultKind } from '../../sandbox/faults.ts';
import { until } from '../helpers/patience.ts';
import { isReady, sourceOf } from './readiness.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

for (const [eastCluster, westCluster] of [
  ['east', 'west'],
  ['shop', 'shop'],
] as const) {
  t.test(
    `clusters "${eastCluster}" and "${westCluster}" in two Regions: each is served, and a change in one is a change in that one alone`,
    async (t) => {
      const east = {
        name: eastCluster,
        region: 'us-east-2',
        addresses: ['10.1.0.1', '10.1.0.2', '10.1.0.3'],
      };
      const west = {
        name: westCluster,
        region: 'eu-central-1',
        addresses: ['10.2.0.1', '10.2.0.2'],
        endpoint: 'west.eks.example',
      };
      const clusters = [east, west].map(({ name, region }) => ({ name, region, probe: { enabled: false } }));
      const site = await Site.open(t, { population: populationOf([east, west]), overrides: { clusters } });
      const { state } = site.sandbox;
      let server = site.start();
      await isReady(server);
      const eastName = state.cluster(eastCluster, east.region).endpoint;
      t.same(await server.addresses(eastName), east.addresses);
      t.same(await server.addresses('west.eks.example'), west.addresses);
      t.same(await server.addressesInMetric(), [...east.addresses, ...west.addresses]);
      t.match(await server.ask({ name: '2.0.2.10.in-addr.arpa', type: 'PTR' }), {
        answers: [{ data: 'west.eks.example' }],
      });
      const { link } = await server.status();
      const regions = link.paths
        .filter(({ side }) => side === 'aws')
        .map(({ key, condition }) => `${key} ${condition}`);
      t.same(regions.toSorted(), ['eu-central-1 connected', 'us-east-2 connected']);

      state.moveInterface({ cluster: westCluster, region: west.region, from: '10.2.0.1', to: '10.2.0.9' });
      const changed = ['10.2.0.2', '10.2.0.9'];
      await until(
        'the change is served',
        async () => `${await server.addresses('west.eks.example')}` === `${changed}`,
      );
      t.same(await server.addresses(eastName), east.addresses);
      t.same(
        new Set(server.logged('addresses changed').map((line) => `${line['cluster']} ${line['region']}`)),
        new Set([`${westCluster} eu-central-1`]),
      );

      await server.kill('SIGTERM');
      site.sandbox.link.set('down');
      site.configure({ clusters: clusters.toReversed() });
      server = site.start();
      await isReady(server);
      t.same(await server.addresses('west.eks.example'), changed, 'after a restart in a cut');
      t.same(await server.addresses(eastName), east.addresses, 'after a restart in a cut');
    },
  );
}

const REFUSALS: readonly (readonly [what: string, fault: HttpFaultKind, reason: RegExp])[] = [
  ['throttled', { kind: 'throttle' }, /throttled/],
  ['denied', { kind: 'deny' }, /denied/],
  ['expired credentials', { kind: 'expire' }, /expired-credentials/],
];

for (const [what, fault, reason] of REFUSALS) {
  t.test(
    `AWS says ${what}: the endpoint stays served and fresh by DNS, and the link never seems cut`,
    async (t) => {
      const site = await Site.open(t);
      const server = site.start();
      await isReady(server);
      site.sandbox.faults.add({ service: '*', ...fault });
      await until('the listing is refused', async () =>
        reason.test((await sourceOf(server, 'interfaces'))?.lastFailure?.reason ?? ''),
      );
      const refused = site.sandbox.region.requests.length;
      await until('it has been refused some more', () => site.sandbox.region.requests.length >= refused + 3);
      t.same(await server.addresses(ENDPOINT), DEMO);
      t.match(await server.get('/readyz'), { status: 200 });
      await until('both paths are connected', async () => {
        const { paths } = (await server.status()).link;
        return paths.length === 2 && paths.every(({ condition }) => condition === 'connected');
      });
      // a sign of life that a slow machine held up doubts the link by silence; a refusal must not
      const byRefusal = server
        .logged('link changed')
        .filter(
          ({ side, to, reason: why }) =>
            side === 'aws' && (to === 'disconnected' || (to !== 'connected' && why !== 'timeout')),
        );
      t.same(byRefusal, [], 'not once');
      const refreshes = [...(await server.metric('outpost_dns_refreshes_total'))];
      const counted = refreshes.filter(
        ([labels]) => /source="interfaces"/.test(labels) && reason.test(labels),
      );
      t.ok((counted[0]?.[1] ?? 0) > 0, 'counted by reason');

      site.sandbox.state.moveInterface({ cluster: 'demo', from: '10.0.3.10', to: '10.0.3.33' });
      const moved = ['10.0.1.10', '10.0.2.10', '10.0.3.33'];
      await until(
        'DNS alone brings the change',
        async () => `${await server.addresses(ENDPOINT)}` === `${moved}`,
      );
      site.sandbox.faults.clear();
      await until(
        'AWS answers again',
        async () => (await sourceOf(server, 'interfaces'))?.latest === 'succeeded',
      );
      t.same(await server.addresses(ENDPOINT), moved);
    },
  );
}
