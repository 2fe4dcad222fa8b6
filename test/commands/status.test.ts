import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import { startHttpServer } from '../../src/admin/http-server.ts';
import { createPages } from '../../src/admin/pages.ts';
import { askForLife } from '../../src/commands/own-health.ts';
import { readHttpAddress } from '../../src/commands/server-client.ts';
import { ROOM_REPORTS, type StatusReport } from '../../src/daemon/report.ts';
import { report, serverReport } from '../admin/report-fixture.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { freePorts } from '../scenarios/free-ports.ts';
import { type Ended, run, runOnTerminal } from './running.ts';

/** The real admin server over a report made by hand; returns its `--admin` words. */
async function serve(t: Test, read: () => StatusReport, address = '127.0.0.1'): Promise<string[]> {
  let nowMs = 0;
  const clock = { monotonicMs: () => (nowMs += 1000) }; // no page is shared
  const pages = createPages({ reports: ROOM_REPORTS, status: read, processMetrics: false, clock });
  const server = await startHttpServer({ address, port: 0, pages, log: new CollectingLog() });
  t.teardown(() => server.close());
  return ['--admin', address.includes(':') ? `[${address}]:${server.port}` : `${address}:${server.port}`];
}

/** The command waits 2 or 3 s, and this process, which answers it, may stand still for longer: then the command runs again. */
async function runAnswered(words: readonly string[]): Promise<Ended> {
  for (let attempt = 1; ; attempt++) {
    const ended = await run(words);
    if (attempt === 5 || !/no answer within|its DNS does not/.test(ended.stderr)) return ended;
  }
}

/** A TCP server that takes connections and gives `answer`, or none. */
async function listenRaw(t: Test, answer: string | undefined): Promise<string[]> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    t.teardown(() => socket.destroy());
    if (answer !== undefined) socket.end(answer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const bound = server.address();
  return ['--admin', `127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`];
}

/** A DNS server that returns every query with QR set, after `lost` datagrams were lost; TCP is silent where many are. */
async function dnsEcho(t: Test, lost = 0): Promise<{ address: string; received: () => number }> {
  const socket = createSocket('udp4');
  let received = 0;
  socket.on('message', (octets, { port, address }) => {
    if (++received <= lost) return;
    octets[2] = (octets[2] ?? 0) | 0x80;
    socket.send(octets, port, address);
  });
  socket.bind((await freePorts()).dnsPort, '127.0.0.1'); // free for TCP, too
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  const overTcp = createServer((connection) => {
    t.teardown(() => connection.destroy());
    connection
      .on('error', () => undefined)
      .on('data', (octets) => {
        const reply = Buffer.from(octets);
        reply[4] = (reply[4] ?? 0) | 0x80;
        if (lost < 99) connection.end(reply);
      });
  });
  overTcp.listen(socket.address().port, '127.0.0.1');
  await once(overTcp, 'listening');
  t.teardown(() => overTcp.close());
  return { address: `127.0.0.1:${socket.address().port}`, received: () => received };
}

const listening = (...addresses: string[]) =>
  serverReport({ listening: addresses.map((address) => ({ address, udp: 'plain' })) });

const UNUSED = '127.0.0.1:1'; // tcpmux: no program listens

t.test('ready: exit 0 and the table, without colour on a pipe', async (t) => {
  const { code, stdout, stderr } = await runAnswered(['status', ...(await serve(t, report))]);
  t.equal(code, 0);
  t.match(stdout, /^ready: every endpoint can be answered\nLink: connected \(for 5 min: answer\)/);
  t.match(stdout, 'abc.gr7.us-west-2.eks.amazonaws.com (my-cluster, us-west-2)');
  t.notMatch(stdout, '\x1b');
  t.equal(stderr, '');
});

t.test('colour on a terminal, none there with NO_COLOR', async (t) => {
  const admin = await serve(t, report);
  const coloured = await runOnTerminal(['status', ...admin]);
  if (coloured === undefined) {
    t.plan(0, 'script(1) of util-linux is not here');
    return;
  }
  t.match(coloured.stdout, '\x1b[32mready');
  t.equal(coloured.code, 0);
  const plain = await runOnTerminal(['status', ...admin], { NO_COLOR: '1' });
  t.match(plain?.stdout, 'ready: every endpoint');
  t.notMatch(plain?.stdout, '\x1b');
});

t.test('not ready: exit 1, the reasons on standard output', async (t) => {
  const notReady = ['endpoint "a": no address is known yet'];
  const { code, stdout } = await runAnswered([
    'status',
    ...(await serve(t, () => serverReport({ ready: false, notReady }))),
  ]);
  t.equal(code, 1);
  t.match(stdout, /^not ready\n {2}endpoint "a": no address is known yet\n/);
});

t.test('--json: the report, with the fields of a later version, and the same exit codes', async (t) => {
  const later = { ...report(), addedLater: { yes: true } };
  const { code, stdout } = await runAnswered(['status', '--json', ...(await serve(t, () => later))]);
  t.equal(code, 0);
  t.strictSame(JSON.parse(stdout), JSON.parse(JSON.stringify(later)));
  const unready = await runAnswered([
    'status',
    '--json',
    ...(await serve(t, () => serverReport({ ready: false }))),
  ]);
  t.equal(unready.code, 1);
  t.equal(JSON.parse(unready.stdout).server.ready, false);
});

t.test('over IPv6', async (t) => {
  const admin = await serve(t, report, '::1').catch(() => undefined);
  if (admin === undefined) {
    t.plan(0, 'no IPv6 loopback here');
    return;
  }
  t.equal((await runAnswered(['status', ...admin])).code, 0);
});

t.test('no server: exit 1, one clear sentence and the fix', async (t) => {
  const { code, stdout, stderr } = await run(['status', '--admin', UNUSED]);
  t.equal(code, 1);
  t.equal(stdout, '');
  t.match(
    stderr,
    /^outpost-dns: cannot get the status from "127\.0\.0\.1:1": nothing listens there \(ECONNREFUSED\)\n {4}is it running\?/,
  );
  t.match(stderr, 'systemctl status outpost-dns');
  t.match(stderr, 'outpost-dns export');
});

t.test('another program there: exit 1, and its answer is described', async (t) => {
  const cases = [
    ['HTTP/1.1 200 OK\r\n\r\n<html>', /the answer is not a status report\n/],
    ['HTTP/1.1 200 OK\r\n\r\n{"server": 1}', /the answer is not a status report at "ready"\n/],
    ['HTTP/1.1 404 Not Found\r\n\r\n', /it answers with HTTP status 404\n/],
    ['HTTP/1.1 500 No\r\n\r\n', /HTTP status 500\n {4}its log says why/],
    ['SSH-2.0-OpenSSH_9.2\r\n', /an answer that is not HTTP: no outpost-dns/],
    ['HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf', /cannot get the status/],
  ] as const;
  const ended = cases.map(async ([answer]) => run(['status', ...(await listenRaw(t, answer))]));
  for (const [at, { code, stderr }] of (await Promise.all(ended)).entries()) {
    const [answer, sentence] = cases[at]!;
    t.equal(code, 1, answer);
    t.match(stderr, sentence, answer);
  }
});

t.test('no answer: exit 1 after 3 s', async (t) => {
  const { code, stderr, elapsedMs } = await run(['status', ...(await listenRaw(t, undefined))]);
  t.equal(code, 1);
  t.match(stderr, 'no answer within 3 s');
  t.ok(elapsedMs > 2900, `${Math.round(elapsedMs)} ms`); // the command has ended, or this line would not run
});

t.test('--admin that is no address: exit 2', async (t) => {
  const texts = ['', 'foo bar', '127.0.0.1:99999', 'http://127.0.0.1:9153', '[::1'];
  for (const { code, stderr } of await Promise.all(texts.map((text) => run(['status', '--admin', text])))) {
    t.equal(code, 2, stderr);
    t.match(stderr, /^outpost-dns: option '--admin <address>' argument '.*' is invalid\. .+\n {4}write .+\n/);
  }
});

t.test('--admin forms', async (t) => {
  for (const [text, address, port] of [
    ['127.0.0.1:9153', '127.0.0.1', 9153],
    ['10.0.9.53', '10.0.9.53', 9153],
    ['[::1]:19153', '::1', 19153],
    ['::1', '::1', 9153],
    ['localhost:80', 'localhost', 80],
    ['dns-1.site.example', 'dns-1.site.example', 9153],
  ] as const)
    t.strictSame(readHttpAddress(text), { address, port }, text);
  for (const text of ['127.0.0.1:0', 'name:0', 'name:70000', '1.2.3', 'a/b', '-a', 'a:b:c:d', 'user@host'])
    t.ok('message' in readHttpAddress(text), text);
});

t.test('--healthy: exit 0 and no output while HTTP and DNS answer', async (t) => {
  const dns = await dnsEcho(t);
  const { code, stdout, stderr } = await runAnswered([
    'status',
    '--healthy',
    ...(await serve(t, () => listening(dns.address))),
  ]);
  t.equal(code, 0, stderr);
  t.equal(stdout + stderr, '');
  t.ok(dns.received() >= 1);
});

t.test('--healthy is about life, not readiness: AWS away and nothing known is exit 0', async (t) => {
  const { address } = await dnsEcho(t);
  const unready = listening(address);
  const admin = await serve(t, () => ({
    ...unready,
    server: { ...unready.server, ready: false, notReady: ['endpoint "a": no address is known yet'] },
  }));
  t.equal((await runAnswered(['status', '--healthy', ...admin])).code, 0);
});

t.test('--healthy: a lost datagram is asked for again', async (t) => {
  const dns = await dnsEcho(t, 1);
  t.equal(
    (await runAnswered(['status', '--healthy', ...(await serve(t, () => listening(dns.address)))])).code,
    0,
  );
  t.ok(dns.received() >= 2);
});

t.test(
  '--healthy: one address that answers is enough, and the command does not wait for the others',
  async (t) => {
    const [silent, alive] = [await dnsEcho(t, 99), await dnsEcho(t)];
    const addresses = [UNUSED, silent.address, alive.address];
    // a wait for the silent address would show as many queries; without a process of its own, whose start takes its time
    t.strictSame(await askForLife(addresses, undefined, 3_600_000), { udp: true, tcp: true });
    t.ok(silent.received() <= 1, 'and not asked again');
    const admin = await serve(t, () => listening(...addresses));
    t.equal((await runAnswered(['status', '--healthy', ...admin])).code, 0);
  },
);

t.test('--healthy: HTTP answers and DNS does not: exit 1 with one sentence', async (t) => {
  const { address } = await dnsEcho(t, 99);
  const { code, stdout, stderr } = await run([
    'status',
    '--healthy',
    ...(await serve(t, () => listening(address))),
  ]);
  t.equal(code, 1);
  t.equal(stdout, '');
  t.match(
    stderr,
    /^outpost-dns: the server at "127\.0\.0\.1:\d+" is not healthy: its HTTP answers, but its DNS does not\n$/,
  );
});

t.test('--healthy: a report that throws does not make a server unhealthy', async (t) => {
  const admin = await serve(t, () => {
    throw new Error('a defect');
  });
  t.equal((await runAnswered(['status', '--healthy', ...admin])).code, 0);
});

t.test('--healthy: no server, or no answer: exit 1 with one sentence', async (t) => {
  for (const [admin, detail] of [
    [['--admin', UNUSED], 'nothing listens there \\(ECONNREFUSED\\)'],
    [['--admin', '255.255.255.255:9153'], 'no route to that address \\(ENETUNREACH\\)'],
    [await listenRaw(t, undefined), 'no answer within 2 s'],
    [await listenRaw(t, 'HTTP/1.1 503 No\r\n\r\n'), 'it answers with HTTP status 503'],
  ] as const) {
    const { code, stdout, stderr } = await run(['status', '--healthy', ...admin]);
    t.equal(code, 1, detail);
    t.equal(stdout, '');
    t.match(stderr, new RegExp(`is not healthy: ${detail}\\n$`));
    t.equal(stderr.split('\n').length, 2, 'one sentence');
  }
});
