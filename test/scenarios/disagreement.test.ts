import t from 'tap';
import { populationOf } from '../../sandbox/demo-population.ts';
import { until } from '../helpers/patience.ts';
import { clusterOf, isReady } from './readiness.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

t.test(
  'interfaces vanish from the listing: the addresses of the name stay, and the disagreement is shown',
  async (t) => {
    const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
    const site = await Site.open(t, {
      population: populationOf([{ name: 'demo', addresses, endpoint: ENDPOINT }]),
    });
    const { state } = site.sandbox;
    const all = state.interfaces;
    const keep = (list: readonly string[]) => {
      state.interfaces = all.filter(
        (face) => !addresses.includes(face.address) || list.includes(face.address),
      );
    };
    const server = site.start();
    await isReady(server);
    t.same(await server.addresses(ENDPOINT), addresses);
    const held = async () => [...(await server.metric('outpost_dns_endpoint_change_held')).values()][0];
    const disagree = async () =>
      [...(await server.metric('outpost_dns_endpoint_sources_disagree')).values()][0];

    for (const listed of [['10.0.0.4'], ['10.0.0.1', '10.0.0.2'], ['10.0.0.1', '10.0.0.2', '10.0.0.3']]) {
      keep(listed);
      await until('the disagreement is seen', async () => (await disagree()) === 1);
      await until('status says so', async () => (await clusterOf(server))?.disagreement);
      t.same(await server.addresses(ENDPOINT), addresses, `only ${listed} listed: the name has all`);
      t.match(await clusterOf(server), { basis: 'overlap', disagreement: true });
      t.match((await clusterOf(server))?.warnings.join('\n'), /EC2 has not listed 10\.0\.0\.\d for/);
      keep(addresses);
      await until('it is over', async () => (await disagree()) === 0);
    }

    site.sandbox.state.setRecords(ENDPOINT, 'A', ['10.0.0.4']);
    await until('a large loss by the name alone is held back', async () => (await held()) === 1);
    await until('status says so', async () => (await clusterOf(server))?.held !== undefined);
    t.same(await server.addresses(ENDPOINT), addresses, 'three of four gone: not believed');
    t.match(await clusterOf(server), {
      held: { addresses: ['10.0.0.4'], reason: /loses 3 of 4 addresses, of which the interfaces list/ },
    });
    t.match(server.logged('change by names alone held back until an interface source answers'), [
      { level: 'warn' },
    ]);
    t.match((await server.ask({ name: `_status.${ENDPOINT}`, type: 'TXT' })).answers, [
      { data: /held=10\.0\.0\.4/ },
    ]);
    site.sandbox.state.setRecords(ENDPOINT, 'A', addresses);
    await until('it is let go', async () => (await held()) === 0);

    keep([]);
    await until(
      'an empty listing is doubted',
      async () => (await clusterOf(server))?.likelyCause === 'interface-listing-empty',
    );
    t.same(await server.addresses(ENDPOINT), addresses);
  },
);

t.test(
  'a filtering upstream: the interfaces are served, the likely cause is named in log, metric, status and CLI',
  async (t) => {
    const site = await Site.open(t);
    site.sandbox.faults.add({ service: 'dns', kind: 'filter' });
    const server = site.start();
    await isReady(server);
    t.same(await server.addresses(ENDPOINT), DEMO, 'from the interfaces alone');
    const found = await until('the cause is found', async () => {
      const endpoint = await clusterOf(server);
      return endpoint?.likelyCause === undefined ? undefined : endpoint;
    });
    t.match(found, { basis: 'interfaces', disagreement: true, likelyCause: 'dns-rebinding-filter' });
    await until('the log says so', async () => server.logged('sources disagree').length > 0);
    t.match(server.logged('sources disagree'), [
      { level: 'warn', likelyCause: 'dns-rebinding-filter', cause: /stop-dns-rebind/ },
    ]);
    const causes = [...(await server.metric('outpost_dns_endpoint_likely_cause_info'))];
    t.match(causes, [[/cause="dns-rebinding-filter"/, 1]]);
    t.match(found.warnings.join('\n'), /rebind/);
    t.same(
      (await server.status()).link.paths.map(({ condition }) => condition),
      ['connected', 'connected'],
    );

    site.sandbox.faults.clear();
    await until('the filter is gone', async () => (await clusterOf(server))?.basis === 'name');
    t.equal((await clusterOf(server))?.likelyCause, undefined);
    await until(
      'the metric is gone: its page is made once a second at most',
      async () => (await server.metric('outpost_dns_endpoint_likely_cause_info')).size === 0,
    );
    t.match(server.logged('sources agree again'), [{ level: 'info' }]);
  },
);

t.test(
  'a public answer (public access is on): never served, the interfaces are; a disjoint name is reported',
  async (t) => {
    const site = await Site.open(t);
    site.sandbox.state.setRecords(ENDPOINT, 'A', ['52.94.5.5', '52.94.6.6']);
    const server = site.start();
    await isReady(server);
    await until('the cause is found', async () => (await clusterOf(server))?.likelyCause === 'public-access');
    t.same(await server.addresses(ENDPOINT), DEMO);
    t.match(await clusterOf(server), { basis: 'interfaces', disagreement: true });
  },
);
