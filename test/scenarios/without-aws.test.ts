import t from 'tap';
import { until } from '../helpers/patience.ts';
import { keepState, keptRecord } from './kept-state.ts';
import { NO_AWS } from './server-process.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

const NAME = ENDPOINT.toLowerCase();

for (const [cut, linkState, upstream] of [
  ['all of them refuse', 'refused', '127.0.0.1:9'],
  ['all of them are silent', 'down', undefined],
] as const) {
  t.test(`AWS, upstreams and credentials gone, state there (${cut}): answers at once`, async (t) => {
    const site = await Site.open(t, upstream === undefined ? {} : { overrides: { upstreams: [upstream] } });
    site.sandbox.link.set(linkState);
    await keepState(site.stateDirectory, [keptRecord()]);
    const server = site.start({ ...NO_AWS, AWS_ENDPOINT_URL: site.sandbox.regionUrl });
    const first = await server.firstAnswer({ name: ENDPOINT, edns: {} });
    t.comment(`first answer ${first.sinceStartMs.toFixed(0)} ms after the start of the process`);
    t.match(first, { rcode: 0, aa: true, ra: true, answers: { length: 3 } });
    t.same(first.answers.map(({ data }) => data).toSorted(), DEMO);
    t.match(await server.ask({ name: ENDPOINT, type: 'AAAA' }), { rcode: 0, aa: true, answers: [] });
    t.match(await server.ask({ name: '10.2.0.10.in-addr.arpa', type: 'PTR' }), { answers: [{ data: NAME }] });
    t.match(await server.ask({ name: 'localhost' }), { answers: [{ data: '127.0.0.1' }] });
    t.match(await server.ask({ name: `_status.${ENDPOINT}`, type: 'TXT' }), {
      answers: [{ data: /age=3d/ }],
    });
    t.match(await server.get('/readyz'), { status: 200 }, 'ready: an outage does not undo it');

    // CoreDNS gives up after 2 s: a wait for an upstream would take 1.8 s for each query; a machine may stand still during many
    await until('the probe of CoreDNS gets a reply without a wait', async () => {
      const probe = await server.ask({ name: '.', type: 'NS', edns: {} });
      t.match(probe, { rcode: 2 }, 'the probe of CoreDNS gets a reply');
      return probe.afterMs < 1500;
    });
    const www = await server.ask({ name: 'www.example.com', edns: {} });
    t.match(www, { rcode: 2, answers: [] });
    t.ok(www.ede === 22 || www.ede === 23, `extended error ${www.ede}`);
    t.comment(`SERVFAIL after ${www.afterMs.toFixed(0)} ms`);

    await until('it says why', () =>
      server.logged('source fails').some(({ reason }) => reason === 'no-credentials'),
    );
    const { link, endpoints } = await server.status();
    t.notOk(
      link.paths.some(({ side, condition }) => side === 'aws' && condition === 'disconnected'),
      'missing credentials never seem a cut',
    );
    t.match(endpoints, [{ basis: 'kept', lastRefreshFailed: true, ttlSeconds: 30 }]);
    const again = await server.ask({ name: ENDPOINT });
    t.match(
      again.answers,
      [{ ttl: 30 }, { ttl: 30 }, { ttl: 30 }],
      'TTL 30 while the last refresh has failed',
    );
  });
}

t.test(
  'no state, no AWS: SERVFAIL with 14, other names work, readiness says why; then DNS alone is enough',
  async (t) => {
    const site = await Site.open(t);
    site.configureCluster({ endpoint: ENDPOINT });
    site.sandbox.faults.add({ service: 'dns', kind: 'servfail', name: ENDPOINT });
    const server = site.start({ ...NO_AWS, AWS_ENDPOINT_URL: site.sandbox.regionUrl });
    const first = await server.firstAnswer({ name: ENDPOINT, edns: {} });
    t.match(first, { rcode: 2, ede: 14, answers: [] });
    t.match(await server.ask({ name: ENDPOINT, type: 'AAAA', edns: {} }), { rcode: 2, ede: 14 });
    t.match(await server.ask({ name: 'localhost' }), { rcode: 0, answers: [{ data: '127.0.0.1' }] });
    t.match(await server.ask({ name: 'www.example.com' }), { rcode: 0, aa: false, answers: { length: 2 } });
    t.match(await server.get('/healthz'), { status: 200 });

    await until('every source has failed', async () =>
      (await server.status()).endpoints[0]?.sources.every(({ latest }) => latest === 'failed'),
    );
    // a poll that begins with the thread may take longer than its deadline on a slow machine
    const ready = await until('AWS has been heard', async () => {
      const page = await server.get('/readyz');
      return page.status !== 503 || /interfaces: .*credentials/i.test(page.body) ? page : undefined;
    });
    t.equal(ready.status, 503);
    t.ok(ready.body.includes(NAME), 'which endpoint');
    t.match(ready.body, /no address is known yet/, 'what is missing');
    t.match(ready.body, /dns: .*SERVFAIL/, 'what the DNS said');
    t.equal((await server.metric('outpost_dns_ready')).get(''), 0);
    t.equal([...(await server.metric('outpost_dns_endpoint_addresses')).values()][0], 0);
    t.match(await server.ask({ name: `_status.${ENDPOINT}`, type: 'TXT' }), {
      answers: [{ data: /addresses=0/ }],
    });

    site.sandbox.faults.clear('dns');
    await until('the DNS is enough', async () => (await server.get('/readyz')).status === 200);
    t.same(await server.addresses(ENDPOINT), DEMO);
  },
);
