import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import t from 'tap';
import * as v from 'valibot';
import { ControlRefusal } from '../../src/admin/control-refusal.ts';
import { controlRoute } from '../../src/admin/control-route.ts';
import { getPage, sendCommand } from '../../src/commands/server-client.ts';
import { strictObject } from '../../src/runtime/forms.ts';
import { control, shortDirectory } from '../admin/control-fixture.ts';
import { pause } from '../helpers/patience.ts';
import { freePorts } from '../scenarios/free-ports.ts';

t.test('a command is done, with or without a body, and its answer comes back', async (t) => {
  const routes = [
    controlRoute('POST', '/echo', v.looseObject({}), (body) => body),
    controlRoute('GET', '/tell', strictObject({}), () => ({ told: [1, 'ü'] })),
    controlRoute('POST', '/silent', strictObject({}), () => undefined),
  ];
  const { path } = await control(t, routes);
  t.strictSame(await sendCommand(dirname(path), 'POST', '/echo', { a: 'ü' }), {
    kind: 'done',
    content: { a: 'ü' },
  });
  t.strictSame(await sendCommand(dirname(path), 'GET', '/tell'), {
    kind: 'done',
    content: { told: [1, 'ü'] },
  });
  t.strictSame(await sendCommand(dirname(path), 'POST', '/silent'), { kind: 'done', content: null });
});

t.test('a refusal comes back in the words of the server', async (t) => {
  const refuse = controlRoute(
    'POST',
    '/refuse',
    strictObject({}),
    () => new ControlRefusal(409, 'not now', 'later'),
  );
  const { path } = await control(t, [refuse]);
  t.strictSame(await sendCommand(dirname(path), 'POST', '/refuse'), {
    kind: 'refused',
    detail: 'not now',
    fix: 'later',
  });
  t.match(await sendCommand(dirname(path), 'POST', '/none'), {
    kind: 'refused',
    detail: /no such command: "POST \/none"/,
  });
});

t.test(
  'a server that has just started, and opens its control socket and its HTTP in a moment, is waited for',
  async (t) => {
    const directory = shortDirectory(t);
    const server = createHttpServer((_, response) => response.end('{}'));
    t.teardown(() => server.close());
    const answer = sendCommand(directory, 'GET', '/tell');
    await pause(20);
    server.listen(join(directory, 'control.sock'));
    t.strictSame(await answer, { kind: 'done', content: {} });

    const http = createHttpServer((_, response) => response.end('ok'));
    t.teardown(() => http.close());
    const { httpPort: port } = await freePorts();
    const page = getPage({ address: '127.0.0.1', port }, '/healthz', 2_000);
    await pause(20);
    http.listen(port, '127.0.0.1');
    t.match(await page, { kind: 'answered', status: 200 });
  },
);

t.test('every other answer is a failure with a fix and never an exception', async (t) => {
  const http = (status: string, body: string, length = Buffer.byteLength(body)) =>
    `HTTP/1.1 ${status}\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${body}`;
  const cases: [string, (socket: Socket) => unknown, RegExp][] = [
    ['hangs up', (socket) => socket.destroy(), /control socket/],
    ['says nothing and hangs up', (socket) => socket.end(), /socket hang up|control socket/],
    [
      'no HTTP',
      (socket) => socket.end('220 mail.example ESMTP\r\n'),
      /no outpost-dns, or one of another version/,
    ],
    ['no JSON', (socket) => socket.end(http('200 OK', '<html>')), /no outpost-dns/],
    ['an error of another form', (socket) => socket.end(http('500 Oh', '{"oh":1}')), /no outpost-dns/],
    ['an error of Node itself', (socket) => socket.end(http('400 Bad Request', '')), /no outpost-dns/],
    ['half an answer', (socket) => socket.end(http('200 OK', '{"half":', 1000)), /control socket/],
    [
      'an endless answer',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        const chunk = Buffer.alloc(1 << 20, 0x20);
        const pour = () => {
          while (!socket.destroyed && socket.write(chunk));
        };
        socket.on('drain', pour);
        pour();
      },
      /more than 16777216 octets/,
    ],
  ];
  for (const [what, answer, detail] of cases) {
    const path = join(shortDirectory(t), 'control.sock');
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => {}));
      socket.once('data', () => answer(socket));
    }).listen(path);
    await once(server, 'listening');
    const outcome = await sendCommand(dirname(path), 'POST', '/x', {});
    t.match(outcome, { kind: 'failed', detail, fix: /./ }, what);
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

t.test('a path that no socket can have is a failure as well', async (t) => {
  const long = join(shortDirectory(t), 'x'.repeat(120));
  t.match(await sendCommand(long, 'GET', '/x'), { kind: 'failed', detail: /control socket/, fix: /./ });
});
