/** Who may read the pages, and what many readers cost: every text is made once a second for all readers. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { type HttpServer, type HttpServerOptions, startHttpServer } from '../../src/admin/http-server.ts';
import { createPages } from '../../src/admin/pages.ts';
import { ROOM_REPORTS } from '../../src/daemon/report.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { pause } from '../helpers/patience.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { report } from './report-fixture.ts';

async function start(t: Test, options: Partial<HttpServerOptions> = {}) {
  let reports = 0;
  const read = () => {
    reports += 1;
    return report();
  };
  const time = new VirtualTime();
  const log = new CollectingLog();
  const pages = createPages({ reports: ROOM_REPORTS, status: read, processMetrics: false, clock: time });
  const server = await startHttpServer({ address: '127.0.0.1', port: 0, pages, log, ...options });
  t.teardown(() => server.close());
  return { server, time, log, reports: () => reports };
}

/** The whole answer to a request made by hand, over a connection of its own. */
async function ask(
  server: HttpServer,
  headers: Readonly<Record<string, string>>,
  localAddress = '127.0.0.1',
) {
  const socket = connect({ port: server.port, host: '127.0.0.1', localAddress });
  const lines = Object.entries({ Connection: 'close', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  socket.write(`GET /healthz HTTP/1.1\r\n${lines.join('')}\r\n`);
  return answerOf(socket);
}

async function answerOf(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  await once(socket, 'close');
  return Buffer.concat(chunks).toString();
}

t.test('a client that ends its side with the request gets the answer', async (t) => {
  const { server } = await start(t, { pause: () => pause(50) });
  const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('end', () => socket.end());
  socket.end('GET /healthz HTTP/1.0\r\n\r\n');
  t.match(await answerOf(socket), /^HTTP\/1\.1 200 OK/);
});

t.test('thirty-two readers within a second get one text; a second later there is another', async (t) => {
  const { server, time, reports } = await start(t);
  const url = `http://127.0.0.1:${server.port}`;
  for (const path of ['/metrics', '/status', '/', '/readyz']) {
    const before = reports();
    const texts = await Promise.all(
      Array.from({ length: 32 }, async () => (await fetch(`${url}${path}`)).text()),
    );
    t.equal(new Set(texts).size, 1, path);
    t.equal(reports() - before, 1, `${path}: one report for all`);
    await time.advance(1000);
    await (await fetch(`${url}${path}`)).text();
    t.equal(reports() - before, 2, `${path}: a new one a second later`);
  }
});

t.test('after a command of the operator the text is made again at once', async (t) => {
  let [reports, commands] = [0, 0];
  const read = () => {
    reports += 1;
    return report();
  };
  const revision = () => `${commands}`;
  const pages = createPages({
    reports: ROOM_REPORTS,
    status: read,
    processMetrics: false,
    clock: new VirtualTime(),
    revision,
  });
  for (const expected of [1, 2, 3]) {
    await pages.get('/status')?.();
    await pages.get('/status')?.();
    t.equal(reports, expected);
    commands += 1;
  }
});

t.test('a text that could not be made is tried again for the next reader', async (t) => {
  let attempts = 0;
  const read = () => {
    attempts += 1;
    if (attempts === 1) throw new Error('a defect');
    return report();
  };
  const pages = createPages({
    reports: ROOM_REPORTS,
    status: read,
    processMetrics: false,
    clock: new VirtualTime(),
  });
  await t.rejects(async () => pages.get('/status')?.(), { message: 'a defect' });
  t.match(await pages.get('/status')?.(), { status: 200 });
});

t.test('one answer in a turn of the loop, however many ask', async (t) => {
  let inTurn = 0;
  let most = 0;
  const pause = () =>
    new Promise<void>((resolve) =>
      setImmediate(() => {
        inTurn = 0;
        resolve();
      }),
    );
  const page = () => {
    inTurn += 1;
    most = Math.max(most, inTurn);
    return { status: 200, contentType: 'text/plain', body: 'page\n' };
  };
  const { server } = await start(t, { pause, pages: new Map([['/page', page]]) });
  const url = `http://127.0.0.1:${server.port}/page`;
  await Promise.all(Array.from({ length: 40 }, async () => (await fetch(url)).text()));
  t.equal(most, 1);
});

t.test('admin.allow: other networks get 403 and a line in the log', async (t) => {
  const { server, log } = await start(t, { isAllowed: (address) => address === '127.0.0.1' });
  t.match(await ask(server, { Host: 'x' }), /^HTTP\/1\.1 200 /);
  const refused = await ask(server, { Host: 'x' }, '127.0.0.9');
  t.match(refused, /^HTTP\/1\.1 403 /);
  t.match(refused, /admin\.allow/);
  t.match(log.lines, [{ fields: { limit: 'admin.allow', network: '127.0.0.9' } }]);
});

t.test(
  'DNS rebinding: a browser asks by address, by localhost or by a name that is known here',
  async (t) => {
    const { server } = await start(t, { isHost: (name) => name === 'dns.site.example' });
    const browser = { 'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64)', 'Accept-Language': 'en' };
    const table: [string, Readonly<Record<string, string>>, number][] = [
      ['127.0.0.1:9153', browser, 200],
      ['[::1]:9153', browser, 200],
      ['localhost:9153', browser, 200],
      ['LOCALHOST', browser, 200],
      ['dns.site.example:9153', browser, 200],
      ['Dns.Site.Example.', browser, 200],
      ['rebound.example:9153', browser, 403],
      ['127.0.0.1.rebound.example', browser, 403],
      ['localhost.rebound.example', browser, 403],
      ['sub.dns.site.example', browser, 403],
      // a page can hide its browser's name, but not every header that a browser adds
      ['rebound.example', { 'User-Agent': 'curl/8', 'Sec-Fetch-Site': 'same-origin' }, 403],
      ['rebound.example', { 'User-Agent': 'curl/8', 'Accept-Language': 'en' }, 403],
      ['rebound.example', { 'User-Agent': 'curl/8', Origin: 'http://rebound.example' }, 403],
      ['rebound.example', { 'User-Agent': 'curl/8', Referer: 'http://rebound.example/' }, 403],
      ['outpost-1.corp.example:9153', { 'User-Agent': 'Prometheus/3.0' }, 200],
      ['outpost-1.corp.example:9153', { 'User-Agent': 'curl/8.1' }, 200],
    ];
    for (const [host, headers, status] of table) {
      const answer = await ask(server, { Host: host, ...headers });
      t.equal(Number(answer.split(' ')[1]), status, `${host} ${JSON.stringify(headers)}`);
    }
  },
);

t.test('connections that do nothing keep no health check out', async (t) => {
  const { server, log } = await start(t);
  const idle = Array.from({ length: 80 }, () => connect(server.port, '127.0.0.1'));
  for (const socket of idle) socket.on('error', () => undefined);
  t.teardown(() => idle.map((socket) => socket.destroy()));
  await Promise.all(idle.map((socket) => (socket.connecting ? once(socket, 'connect') : undefined)));
  for (let check = 0; check < 10; check++) t.match(await ask(server, { Host: 'x' }), /^HTTP\/1\.1 200 /);
  t.match(log.lines, [{ fields: { limit: 'HTTP connections' } }]);
});

t.test(
  'a connection that asks on and on without waiting for an answer is ended, and others are answered',
  async (t) => {
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    let requests = 0;
    const { server } = await start(t, {
      pages: new Map([
        [
          '/healthz',
          () => {
            requests += 1;
            return { status: 200, contentType: 'text/plain', body: 'ok\n' };
          },
        ],
      ]),
      pause: () => held,
    });
    const socket = connect({ port: server.port, host: '127.0.0.1' });
    socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1_000));
    await answerOf(socket);
    const honest = ask(server, { Host: 'localhost' });
    letGo();
    t.match(await honest, /^HTTP\/1.1 200 /);
    t.ok(requests <= 9, `${requests} requests were answered`);
  },
);
