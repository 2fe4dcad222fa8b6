/**
 * The modules that the loop for queries has loaded, and when. The programs are those of the bundle, as they run on a host. From
 * source, dns2 and Node's own ES module of node:http load TLS before the first answer.
 */
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { bundleInto } from '../../scripts/bundle.ts';
import { ask } from '../admin/control-fixture.ts';
import { until } from '../helpers/patience.ts';
import { isReady, sourceOf } from './readiness.ts';
import { NO_AWS, ServerProcess } from './server-process.ts';
import { folder, Site } from './site.ts';

/** At SIGUSR2, prints on stderr the modules of Node that the main thread has loaded. */
const TELL = `data:text/javascript,${encodeURIComponent(`
import { registerHooks } from 'node:module';
import { isMainThread } from 'node:worker_threads';
const tell = () => process.stderr.write('loaded: ' + JSON.stringify(process.moduleLoadList) + '\\n');
const tellFile = (url, context, next) => {
  process.stderr.write('file: ' + url + '\\n');
  return next(url, context);
};
if (isMainThread) process.on('SIGUSR2', tell);
if (isMainThread) registerHooks({ load: tellFile });
`)}`;

const bundle = folder(t);
writeFileSync(join(bundle, 'package.json'), '{"type":"module"}');
await bundleInto(bundle);

function start(
  t: Test,
  site: Site,
  environment?: Readonly<Record<string, string>>,
  folder = bundle,
): ServerProcess {
  const command = [process.execPath, '--import', TELL, join(folder, 'main.js')] as const;
  return new ServerProcess(t, site.configFile, site.ports, environment ?? site.sandbox.environment, command);
}

/** Those of them that speak TLS. */
async function loadedOfTls(server: ServerProcess): Promise<readonly string[]> {
  server.signal('SIGUSR2');
  const line = await until('the list is printed', () => /^loaded: (.*)$/m.exec(server.stderr)?.[1]);
  const loaded: readonly string[] = JSON.parse(line);
  if (!loaded.includes('NativeModule dgram')) throw new Error(`not a list of modules: ${line}`);
  return loaded.filter((name) => /^NativeModule (_tls_.*|tls|https|http2)$/.test(name));
}

const PINNED = { name: 'pinned', endpoint: 'pinned.example', pin: ['10.0.0.1'], sources: ['dns'] };

t.test('with a pinned endpoint and a plain upstream: no TLS', async (t) => {
  const site = await Site.open(t, { overrides: { clusters: [PINNED] } });
  const server = start(t, site, NO_AWS);
  await isReady(server);
  await until('a poll has ended', async () => (await sourceOf(server, 'dns', 'pinned'))?.lastFailure);
  t.strictSame(await server.addresses('pinned.example'), ['10.0.0.1']);
  t.equal((await server.get('/metrics')).status, 200);
  t.strictSame(await loadedOfTls(server), []);
});

t.test(
  'with a Region and API servers, after a poll of each source: no TLS, because it has its own thread',
  async (t) => {
    const site = await Site.open(t);
    site.configureCluster({
      sources: ['dns', 'interfaces', 'cluster', 'kubernetes'],
      kubernetes: { kubeconfig: '/nowhere/kubeconfig' },
    });
    const server = start(t, site);
    await isReady(server);
    for (const source of ['dns', 'interfaces', 'cluster'])
      await until(
        `${source} has been polled`,
        async () => (await sourceOf(server, source))?.latest === 'succeeded',
      );
    await until(
      'the API servers have been polled',
      async () => (await sourceOf(server, 'kubernetes'))?.lastFailure,
    );
    t.strictSame(await loadedOfTls(server), []);
  },
);

t.test('with an upstream over TLS it is there before the first query', async (t) => {
  const site = await Site.open(t, {
    overrides: { clusters: [PINNED], upstreams: ['tls://127.0.0.1:9#dns.test'] },
  });
  const server = start(t, site, NO_AWS);
  await isReady(server);
  t.match(await loadedOfTls(server), ['NativeModule tls']);
});

t.test(
  'seconds after the start the server needs no file of the bundle for its pages and commands',
  async (t) => {
    const site = await Site.open(t, { overrides: { clusters: [PINNED] } });
    const replaced = folder(t);
    cpSync(bundle, replaced, { recursive: true });
    const server = start(t, site, NO_AWS, replaced);
    await isReady(server);
    for (const file of ['pages', 'metrics', 'control-commands'])
      await until(`${file} is loaded`, () => new RegExp(`^file: .*/${file}-[^/]*$`, 'm').test(server.stderr));
    // a file is named before the files that it imports are loaded
    for (let turns = 0; turns < 5; turns++) t.equal((await server.get('/readyz')).status, 200);
    rmSync(replaced, { recursive: true });
    t.equal((await server.get('/metrics')).status, 200);
    t.equal((await server.get('/')).status, 200);
    t.match(await ask(join(site.stateDirectory, 'control.sock'), 'GET', '/drill'), { status: 200 });
  },
);
