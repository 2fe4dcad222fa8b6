import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { AdminError, type HttpServer, startHttpServer, textPage } from '../../src/admin/http-server.ts';
import { createPages } from '../../src/admin/pages.ts';
import { ROOM_REPORTS, type StatusReport } from '../../src/daemon/report.ts';
import { loadDatagramCalls } from '../../src/runtime/libc.ts';
import { listenInC } from '../../src/serving/listener/tcp.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { report, serverReport, textOf } from './report-fixture.ts';

/** A clock that is a second later at each reading, so that no page is shared. */
function everySecond() {
  let nowMs = 0;
  return { monotonicMs: () => (nowMs += 1000) };
}

interface Running {
  readonly log: CollectingLog;
  readonly server: HttpServer;
  get(path: string, method?: string): Promise<Response>;
}

async function start(t: Test, read: () => StatusReport): Promise<Running> {
  const log = new CollectingLog();
  const pages = createPages({
    reports: ROOM_REPORTS,
    status: read,
    processMetrics: false,
    clock: everySecond(),
  });
  const server = await startHttpServer({ address: '127.0.0.1', port: 0, pages, log });
  t.teardown(() => server.close());
  return {
    log,
    server,
    get: (path, method = 'GET') => fetch(`http://127.0.0.1:${server.port}${path}`, { method }),
  };
}

t.test('every page, with status, type and content', async (t) => {
  const { get } = await start(t, report);
  const wanted: ReadonlyArray<readonly [path: string, type: RegExp, body: RegExp]> = [
    ['/', /^text\/html; charset=utf-8$/, /^<!doctype html>/],
    ['/metrics', /^text\/plain; version=0\.0\.4; charset=utf-8$/, /^outpost_dns_ready 1$/m],
    ['/healthz', /^text\/plain/, /^ok\n$/],
    ['/readyz', /^text\/plain/, /^ready\n$/],
    ['/status', /^application\/json; charset=utf-8$/, /"version": "0\.2\.0"/],
    ['/panels', /^application\/json; charset=utf-8$/, /"title": "Upstreams"/],
    ['/healthz?verbose=1', /^text\/plain/, /^ok\n$/],
  ];
  for (const [path, type, body] of wanted) {
    const response = await get(path);
    t.equal(response.status, 200, path);
    t.match(response.headers.get('content-type'), type, path);
    t.equal(response.headers.get('cache-control'), 'no-store', path);
    t.equal(response.headers.get('x-content-type-options'), 'nosniff', path);
    t.match(await response.text(), body, path);
  }
});

t.test('the page for a person names every other one', async (t) => {
  const pages = createPages({
    reports: ROOM_REPORTS,
    status: report,
    processMetrics: false,
    clock: everySecond(),
  });
  const index = await pages.get('/')?.();
  for (const path of pages.keys()) if (path !== '/') t.match(textOf(index?.body ?? ''), path);
});

t.test('/status is what the rooms report, as JSON', async (t) => {
  const { get } = await start(t, report);
  t.strictSame(await (await get('/status')).json(), JSON.parse(JSON.stringify(report())));
});

t.test(
  '/readyz: 503 and every reason while an endpoint cannot be answered; /healthz stays 200',
  async (t) => {
    const notReady = [
      'endpoint "a": no address is known yet',
      'cluster "b": its endpoint name is not known yet',
    ];
    const { get } = await start(t, () => serverReport({ ready: false, notReady }));
    const response = await get('/readyz');
    t.equal(response.status, 503);
    t.equal(await response.text(), `not ready\n${notReady.join('\n')}\n`);
    t.equal((await get('/healthz')).status, 200);
  },
);

t.test('HEAD: the headers of GET without its body', async (t) => {
  const { get } = await start(t, report);
  for (const path of ['/', '/metrics', '/healthz', '/readyz', '/status', '/panels', '/nothing']) {
    const [got, head] = [await get(path), await get(path, 'HEAD')];
    t.equal(head.status, got.status, path);
    t.equal(head.headers.get('content-type'), got.headers.get('content-type'), path);
    t.equal(head.headers.get('content-length'), String(Buffer.byteLength(await got.text())), path);
    t.equal(await head.text(), '', path);
  }
});

t.test('other methods: 405 with Allow, whatever the path', async (t) => {
  const { get } = await start(t, report);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
    const response = await get('/status', method);
    t.equal(response.status, 405, method);
    t.equal(response.headers.get('allow'), 'GET, HEAD', method);
  }
});

t.test('unknown paths: 404 that names the pages', async (t) => {
  const { get } = await start(t, report);
  for (const path of ['/nothing', '/status/', '/STATUS', '//', '/__proto__', '/constructor']) {
    const response = await get(path);
    t.equal(response.status, 404, path);
    t.match(await response.text(), '/metrics', path);
  }
});

t.test('a report that throws: 500 on the pages that need it, logged, and the others live on', async (t) => {
  const { get, log } = await start(t, () => {
    throw new Error('a defect');
  });
  for (const path of ['/', '/metrics', '/status', '/readyz', '/panels']) {
    const response = await get(path);
    t.equal(response.status, 500, path);
    const body = await response.text();
    t.notMatch(body, 'a defect', `${path}: the defect is for the log, not for the client`);
  }
  t.equal((await get('/healthz')).status, 200);
  t.strictSame(
    log.lines.map(({ level, fields }) => [level, fields['path']]),
    [
      ['error', '/'],
      ['error', '/metrics'],
      ['error', '/status'],
      ['error', '/readyz'],
      ['error', '/panels'],
    ],
  );
});

t.test('octets that are not HTTP are answered 400 and do no harm', async (t) => {
  const { get, server } = await start(t, report);
  const socket = connect(server.port, '127.0.0.1');
  socket.write('\x16\x03\x01 not HTTP at all\r\n\r\n');
  const [answer] = await once(socket, 'data');
  t.match(String(answer), /^HTTP\/1\.1 400 /);
  socket.destroy();
  t.equal((await get('/healthz')).status, 200);
});

t.test('a request that is never finished is ended after 5 s', async (t) => {
  const { server } = await start(t, report);
  const startedMs = performance.now();
  const sockets = ['', 'GET /status HTTP/1.1\r\nHost: a\r\nX-Slow: '].map((begun) => {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    if (begun !== '') socket.write(begun);
    socket.resume();
    return once(socket, 'close');
  });
  await Promise.all(sockets);
  // by default Node waits for a minute, and five for a whole request
  t.ok(performance.now() - startedMs < 55_000, `${Math.round(performance.now() - startedMs)} ms`);
});

t.test('headers beyond 8 KiB are refused', async (t) => {
  const { server } = await start(t, report);
  const response = await fetch(`http://127.0.0.1:${server.port}/`, {
    headers: { 'x-long': 'a'.repeat(9000) },
  });
  t.equal(response.status, 431);
});

t.test('a port that is taken: AdminError with the code, the place and a fix', async (t) => {
  const { server, log } = await start(t, report);
  const again = startHttpServer({ address: '127.0.0.1', port: server.port, pages: new Map(), log });
  const error = await again.catch((error: unknown) => error);
  t.ok(error instanceof AdminError);
  t.match(error, { code: 'EADDRINUSE', message: `"127.0.0.1:${server.port}" for HTTP (EADDRINUSE)` });
});

t.test(
  'a socket that was opened elsewhere is taken over; where that fails it is an AdminError too',
  async (t) => {
    const calls = await loadDatagramCalls();
    if (calls.kind !== 'available') return t.comment('C cannot be called here');
    const { libc } = calls;
    const openSocket = (address: string, port: number) => listenInC(libc, { address, port }, 511);
    const options = {
      address: '127.0.0.1',
      pages: new Map([['/', () => textPage(200, 'here')]]),
      openSocket,
    };
    const server = await startHttpServer({ ...options, port: 0, log: new CollectingLog() });
    t.equal(server.address, '127.0.0.1');
    t.equal(await (await fetch(`http://127.0.0.1:${server.port}/`)).text(), 'here');
    const again = startHttpServer({ ...options, port: server.port, log: new CollectingLog() });
    await t.rejects(again, { name: 'AdminError', code: 'EADDRINUSE' });
    await server.close();
    const next = await startHttpServer({ ...options, port: server.port, log: new CollectingLog() });
    t.equal(next.port, server.port, 'the port is free after a close');
    await next.close();
  },
);

t.test('an IPv6 address is written in brackets', async (t) => {
  const elsewhere = { address: '2001:db8::1', port: 9153, pages: new Map(), log: new CollectingLog() };
  await t.rejects(startHttpServer(elsewhere), { message: /"\[2001:db8::1\]:9153"/ });
});

t.test('close ends connections that are kept alive', async (t) => {
  const log = new CollectingLog();
  const server = await startHttpServer({ address: '127.0.0.1', port: 0, pages: new Map(), log });
  const socket = connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  const closed = once(socket, 'close');
  socket.resume();
  await server.close();
  await closed;
  t.pass('closed');
});
