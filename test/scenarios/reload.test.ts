import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { pause, until } from '../helpers/patience.ts';
import { isReady } from './readiness.ts';
import type { ServerProcess } from './server-process.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

const OWN_ZONE = { name: 'site.test', records: ['gateway A 10.9.9.1', 'www 300 CNAME gateway'] };

/** Sends SIGHUP and waits for the outcome. */
async function reload(server: ServerProcess, expected: 'taken' | 'refused'): Promise<void> {
  const text =
    expected === 'taken' ? 'configuration reloaded' : 'reload refused: the configuration from before runs on';
  const before = server.logged(text).length;
  server.signal('SIGHUP');
  await until(text, () => server.logged(text).length > before, 10);
}

const reloadFailed = async (server: ServerProcess) =>
  (await server.metric('outpost_dns_configuration_reload_failed')).get('');

t.test(
  'SIGHUP: a good file is adopted without losing a query or the cache; a bad one is refused',
  async (t) => {
    const site = await Site.open(t);
    const server = site.start();
    await isReady(server);
    t.match(await server.ask({ name: 'www.example.com' }), { answers: { length: 2 } });
    const asked = site.sandbox.dns.countOf('www.example.com');

    let isAsking = true;
    const lost: string[] = [];
    let answered = 0;
    const asking = (async () => {
      while (isAsking) {
        const reply = await server
          .ask({ name: ENDPOINT })
          .catch((error: Error) => void lost.push(error.message));
        if (reply?.answers.length !== undefined && reply.answers.length > 0) answered++;
        await pause(2);
      }
    })();

    site.configure({
      zones: [OWN_ZONE, { name: 'blocked.test', answer: 'refused' }],
      identity: { id: 'site-7' },
    });
    await reload(server, 'taken');
    t.match(await server.ask({ name: 'www.site.test' }), {
      aa: true,
      answers: [
        { type: 'CNAME', ttl: 300 },
        { data: '10.9.9.1', ttl: 60 },
      ],
    });
    t.match(await server.ask({ name: 'x.blocked.test', edns: {} }), { rcode: 5, ede: 15 });
    t.match(await server.ask({ name: 'id.server', type: 'TXT', qclass: 3 }), {
      answers: [{ data: 'site-7' }],
    });
    t.match(await server.ask({ name: 'www.example.com' }), { answers: { length: 2 } });
    t.equal(site.sandbox.dns.countOf('www.example.com'), asked, 'the cache was kept');
    t.equal(await reloadFailed(server), 0);

    site.breakConfiguration(
      'clusters: [ { name: demo, region: us-west-2, colour: blue } ]\nupstreams: []\nnonsense: 1\n',
    );
    await reload(server, 'refused');
    t.equal(await reloadFailed(server), 1, 'the metric shows it');
    t.match((await server.status()).server.configuration, { lastReloadFailed: true });
    const [refusal] = server.logged('reload refused: the configuration from before runs on');
    t.match(JSON.stringify(refusal?.['faults']), /colour.*nonsense|nonsense.*colour/, 'every fault is named');
    t.match(
      await server.ask({ name: 'gateway.site.test' }),
      { answers: [{ data: '10.9.9.1' }] },
      'the running one goes on',
    );
    t.same(await server.addresses(ENDPOINT), DEMO);

    site.configure({});
    await reload(server, 'taken');
    t.equal(await reloadFailed(server), 0);
    t.match(await server.ask({ name: 'gateway.site.test' }), { rcode: 3 }, 'the zone is gone again');
    t.same(await server.addresses(ENDPOINT), DEMO, 'and what is known of the endpoint stays');

    await until('it has been asked all the while', () => answered > 10);
    isAsking = false;
    await asking;
    t.same(lost, [], 'no query was lost');
    t.comment(`${answered} queries answered through three reloads`);
  },
);

t.test(
  'SIGHUP: listening addresses, upstreams and pins change; a taken address refuses the whole file',
  async (t) => {
    const site = await Site.open(t);
    const { dnsPort } = site.ports;
    const server = site.start();
    await isReady(server);
    const taken = createSocket('udp4').bind(dnsPort, '127.0.0.2');
    await once(taken, 'listening');
    t.teardown(() => taken.close());

    site.configure({ listen: { dns: [`127.0.0.1:${dnsPort}`, `127.0.0.2:${dnsPort}`] }, zones: [OWN_ZONE] });
    await reload(server, 'refused');
    t.match(
      JSON.stringify(server.logged('reload refused: the configuration from before runs on')),
      /127\.0\.0\.2:\d+.*in use/,
    );
    t.equal(await reloadFailed(server), 1);
    t.match(await server.ask({ name: 'gateway.site.test' }), { rcode: 3 }, 'nothing of the file was taken');
    t.same(
      (await server.status()).server.listening.map(({ address }) => address),
      [`127.0.0.1:${dnsPort}`],
    );

    site.configureCluster(
      { pin: ['10.0.5.5'] },
      { listen: { dns: [`127.0.0.1:${dnsPort}`, `127.0.0.3:${dnsPort}`] } },
    );
    await reload(server, 'taken');
    await until('the pin is served', async () => `${await server.addresses(ENDPOINT)}` === '10.0.5.5');
    t.same((await server.status()).server.listening.map(({ address }) => address).toSorted(), [
      `127.0.0.1:${dnsPort}`,
      `127.0.0.3:${dnsPort}`,
    ]);
    t.match((await server.status()).endpoints, [{ basis: 'pin' }]);

    site.configure({ upstreams: ['127.0.0.1:9'], state: { directory: `${site.directory}/elsewhere` } });
    await reload(server, 'taken');
    t.match(server.logged('changed keys need a restart'), [{ level: 'warn', keys: ['state.directory'] }]);
    t.match((await server.status()).upstreams, [{ upstream: '127.0.0.1:9' }]);
    t.match(
      await server.ask({ name: 'new.example.com' }),
      { rcode: 2 },
      'the new upstream is the one that is asked',
    );
    await until('the sources speak again', async () => `${await server.addresses(ENDPOINT)}` === `${DEMO}`);
  },
);

t.test('SIGHUP while the server starts does not end it', async (t) => {
  const site = await Site.open(t);
  const server = site.start();
  await until('the log begins', () => server.stdout !== '', 1);
  for (let count = 0; count < 3; count++) server.signal('SIGHUP');
  await until('it has reloaded', () => server.logged('configuration reloaded').length >= 1);
  await isReady(server);
  t.same(await server.addresses(ENDPOINT), DEMO);
  t.match(await server.kill('SIGTERM'), { code: 0 });
});
