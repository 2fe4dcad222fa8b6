/** A site whose only way to AWS is a proxy, with an authority of its own: the state of the link for each behaviour of the proxy. */
import t, { type Test } from 'tap';
import { AUTHORITY_FILE, ConnectProxy, tlsBefore } from '../helpers/connect-proxy.ts';
import { until } from '../helpers/patience.ts';
import { sourceOf } from './readiness.ts';
import { Process, type ServerProcess } from './server-process.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

t.setTimeout(600_000);

const CLUSTERS = [
  { name: 'demo', region: 'us-west-2', sources: ['interfaces', 'cluster'], probe: { enabled: false } },
];

/** The environment of the sandbox without its endpoints, so that AWS's own names are asked, and only through the proxy. */
function environmentOf(site: Site, more: Record<string, string>): Record<string, string> {
  const own = Object.entries(site.sandbox.environment).filter(
    ([name]) => !/^AWS_ENDPOINT_URL|proxy|AWS_CA_BUNDLE/i.test(name),
  );
  return { ...Object.fromEntries(own), ...more };
}

async function behindProxy(t: Test) {
  const site = await Site.open(t, { overrides: { clusters: CLUSTERS } });
  const front = await tlsBefore(site.sandbox.regionUrl);
  t.teardown(() => front[Symbol.asyncDispose]());
  const proxy = await ConnectProxy.start({ target: { host: '127.0.0.1', port: front.port } });
  t.teardown(() => proxy[Symbol.asyncDispose]());
  return { site, proxy };
}

const linkOf = async (server: ServerProcess) => (await server.status()).link.summary;

t.test('the link through a proxy: connected, degraded by its pages, cut by silence, and back', async (t) => {
  const { site, proxy } = await behindProxy(t);
  const server = site.start(
    environmentOf(site, { https_proxy: proxy.url(), NODE_EXTRA_CA_CERTS: AUTHORITY_FILE }),
  );
  await server.firstAnswer({ name: ENDPOINT });
  await until('it is connected', async () => (await linkOf(server)).condition === 'connected');
  t.strictSame(await server.addresses(ENDPOINT), DEMO);
  t.match(server.logged('aws is asked through a proxy'), [{ https: proxy.url() }]);

  for (const manner of [407, 503] as const) {
    proxy.become(manner);
    await until(`${manner} is seen`, async () => (await linkOf(server)).reason === 'proxy');
    const status = await server.status();
    t.match(status.link.summary, { condition: 'degraded', reason: 'proxy' }, `${manner}`);
    const failing = await until('a source fails', async () => {
      const { lastFailure } = (await sourceOf(server, 'interfaces')) ?? {};
      return lastFailure?.detail.includes(String(manner)) ? lastFailure : undefined;
    });
    t.match(failing, { reason: 'proxy', detail: /the proxy http:\/\/127\.0\.0\.1/ });
    t.match(
      (await server.get('/metrics')).body,
      /refreshes_total\{[^}]*source="interfaces",result="proxy"\} [1-9]/,
    );
    t.strictSame(await server.addresses(ENDPOINT), DEMO, 'and everything is served');
    proxy.become('tunnel');
    await until('it is connected again', async () => (await linkOf(server)).condition === 'connected');
  }
  t.notOk(server.logged('link changed').some(({ to }) => to === 'disconnected'));

  proxy.become('hang');
  await until('it is cut', async () => (await linkOf(server)).condition === 'disconnected');
  t.strictSame(await server.addresses(ENDPOINT), DEMO);
  proxy.become('tunnel');
  await until('it is back', async () => (await linkOf(server)).condition === 'connected');
  t.equal((await server.kill('SIGTERM')).code, 0);
});

t.test('TLS that is intercepted by an unknown authority', async (t) => {
  const { site, proxy } = await behindProxy(t);
  const server = site.start(environmentOf(site, { HTTPS_PROXY: proxy.url() }));
  await until('it is seen', async () => (await linkOf(server)).reason === 'untrusted-certificate');
  t.match(await linkOf(server), { condition: 'degraded' });
  t.match((await sourceOf(server, 'cluster'))?.lastFailure, {
    reason: 'untrusted-certificate',
    detail: /AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS/,
  });
});

t.test('a closed endpoint of EC2, with sources that ask EKS alone, is no cut', async (t) => {
  const clusters = [{ ...CLUSTERS[0], sources: ['dns', 'cluster'] }];
  const site = await Site.open(t, { overrides: { clusters } });
  const server = site.start({ ...site.sandbox.environment, AWS_ENDPOINT_URL_EC2: 'http://127.0.0.1:9' });
  await server.firstAnswer({ name: ENDPOINT });
  await until('a sign of life came', () =>
    site.sandbox.region.requests.some(({ operation }) => operation === 'Unknown'),
  );
  await until(
    'the link is connected',
    async () => (await server.status()).link.summary.condition === 'connected',
  );
  t.notOk(server.logged('link changed').some(({ to }) => to === 'disconnected'));
});

t.test(
  'a proxy that cannot be one keeps the server from starting, with the fix and without the password',
  async (t) => {
    const { site } = await behindProxy(t);
    const environment = environmentOf(site, { HTTPS_PROXY: 'socks5://user:secret@10.0.0.5:1080' });
    const child = new Process(t, ['serve', '--config', site.configFile], environment);
    t.equal((await child.ended).code, 2);
    t.match(child.stderr, /environment HTTPS_PROXY: "socks5:\/\/user:\.\.\.@10\.0\.0\.5:1080".*\n.*CONNECT/);
    t.notMatch(child.stderr + child.stdout, 'secret');
  },
);
