import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import { until } from '../helpers/patience.ts';
import { freePorts, type Ports } from './free-ports.ts';
import { Process } from './server-process.ts';
import { folder, Site } from './site.ts';

type Kind = 'udp' | 'tcp' | 'http';

async function take(t: Test, kind: Kind, { dnsPort, httpPort }: Ports): Promise<void> {
  if (kind === 'udp') {
    const socket = createSocket('udp4').bind(dnsPort, '127.0.0.1');
    await once(socket, 'listening');
    t.teardown(() => socket.close());
    return;
  }
  // it answers HTTP with 200, as another server of ours would: the sandbox must not take it for its own
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
  });
  server.listen(kind === 'tcp' ? dnsPort : httpPort, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
}

t.jobs = 2; // these tests wait more than they work

t.test('port taken (http): serve answers DNS all the same and says so, sandbox exits 1', async (t) => {
  const site = await Site.open(t);
  const { httpPort } = site.ports;
  await take(t, 'http', site.ports);
  const sentence = `cannot listen on "127.0.0.1:${httpPort}" for HTTP (EADDRINUSE): another program has the port: end it, or set admin.listen`;
  const server = site.start();
  await server.firstAnswer({ name: 'localhost' });
  const said = () => server.logged('no metrics, health or status: serving all the same');
  await until('it is said', () => said().length > 0);
  t.match(said(), [{ reason: sentence }]);
  const { dnsPort } = await freePorts();
  const temporary = folder(t);
  const words = ['sandbox', '--port', `${dnsPort}`, '--http-port', `${httpPort}`];
  const sandbox = new Process(t, words, { TMPDIR: temporary });
  t.match(await sandbox.ended, { code: 1, signal: null });
  t.equal(
    sandbox.stderr,
    `outpost-dns: cannot listen on "127.0.0.1:${httpPort}" for HTTP (EADDRINUSE): choose another with --http-port\n`,
  );
  t.equal(sandbox.stdout, '');
  t.same(readdirSync(temporary), []);
});

for (const kind of ['udp', 'tcp'] as const) {
  t.test(
    `port taken (${kind}): serve and sandbox say so in one sentence, exit 1, and leave nothing`,
    async (t) => {
      const site = await Site.open(t);
      const { dnsPort, httpPort } = site.ports;
      await take(t, kind, site.ports);
      const sentence = `cannot listen on "127.0.0.1:${dnsPort}" (${kind}): in use by another program: "ss -lntup sport = :${dnsPort}" shows which`;
      const server = site.start();
      t.match(await server.ended, { code: 1, signal: null });
      t.equal(server.stderr, `outpost-dns: ${sentence}\n`);

      const temporary = folder(t);
      const words = ['sandbox', '--port', `${dnsPort}`, '--http-port', `${httpPort}`];
      const sandbox = new Process(t, words, { TMPDIR: temporary });
      t.match(await sandbox.ended, { code: 1, signal: null });
      t.equal(sandbox.stderr, `outpost-dns: ${sentence}\n`);
      t.notMatch(sandbox.stdout, /Ctrl-C/, 'no banner');
      t.same(readdirSync(temporary), []);
    },
  );
}

t.test('a configuration that cannot be used: every fault, exit 2, no socket is opened', async (t) => {
  const site = await Site.open(t);
  site.breakConfiguration('clusters: []\nlisten: { dns: [nowhere] }\n');
  const server = site.start();
  t.match(await server.ended, { code: 2 });
  for (const fault of ['clusters', 'upstreams', 'nowhere']) t.ok(server.stderr.includes(fault), fault);
  t.equal(server.stdout, '');
});
