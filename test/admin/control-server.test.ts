import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import * as v from 'valibot';
import { ControlRefusal } from '../../src/admin/control-refusal.ts';
import { type ControlRoute, controlRoute } from '../../src/admin/control-route.ts';
import { controlPath, startControlServer } from '../../src/admin/control-server.ts';
import { count, strictObject, text } from '../../src/runtime/forms.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { pause } from '../helpers/patience.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { ask, control, leaveSocket, shortDirectory } from './control-fixture.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 100);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

const echo = controlRoute(
  'POST',
  '/echo',
  strictObject({ text, times: v.optional(v.pipe(count, v.maxValue(9, 'more than 9'))) }),
  (body) => ({
    echoed: body,
  }),
);
const tell = controlRoute('GET', '/tell', strictObject({}), () => ({ told: true }));

t.test(
  'a caller has an answer where the commands cannot be loaded, and the next caller tries again',
  async (t) => {
    const log = new CollectingLog();
    const path = join(shortDirectory(t), 'control.sock');
    const loads = [() => Promise.reject(new Error('no such file')), async () => [tell]];
    const routes = () => loads.shift()?.() ?? Promise.resolve([]);
    const started = await startControlServer({ path, routes, timers: new VirtualTime(), log });
    t.ok(started.kind === 'listening');
    if (started.kind === 'listening') t.teardown(() => started.server.close());
    const answers = await Promise.race([
      (async () => [await ask(path, 'GET', '/tell'), await ask(path, 'GET', '/tell')])(),
      pause(5_000),
    ]);
    t.match(answers, [
      { status: 500, json: { error: 'GET /tell: failed' } },
      { status: 200, json: { told: true } },
    ]);
    t.match(log.lines, [{ text: 'control command failed', fields: { command: 'GET /tell' } }]);
  },
);

t.test('a route gets its checked body and what it returns comes back as JSON', async (t) => {
  const { path, log } = await control(t, [echo, tell]);
  t.match(await ask(path, 'POST', '/echo', '{"text":"héllo","times":2}'), {
    status: 200,
    json: { echoed: { text: 'héllo', times: 2 } },
  });
  t.match(await ask(path, 'GET', '/tell'), { status: 200, json: { told: true } });
  t.strictSame(
    log.lines.map(({ text, fields }) => [text, fields]),
    [['control command', { command: 'POST /echo', status: 200 }]],
    'what changes something is logged, what only tells is not',
  );
});

t.test('a refused command has a status, a reason and a fix', async (t) => {
  const refuse = controlRoute('POST', '/refuse', strictObject({}), () => {
    return new ControlRefusal(409, 'not now', 'later');
  });
  const fail = controlRoute('POST', '/fail', strictObject({}), () => {
    throw new Error('a secret of the house');
  });
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  const unspeakable = controlRoute('POST', '/unspeakable', strictObject({}), () => circular);
  const silent = controlRoute('POST', '/silent', strictObject({}), () => undefined);
  const { path, log } = await control(t, [echo, tell, refuse, fail, unspeakable, silent]);
  const cases: [method: string, url: string, body: string, status: number, error: RegExp, fix: RegExp][] = [
    [
      'POST',
      '/echo',
      '{"text":1,"times":1.5}',
      400,
      /^POST \/echo: not understood: "text": a text is expected, not a number, "times": not a whole number from 0$/,
      /versions/,
    ],
    ['POST', '/echo', '{"text":"a","more":1}', 400, /: "more": not a known member$/, /./],
    ['POST', '/echo', '{"text":"a","__proto__":1}', 400, /: "__proto__": not a known member$/, /./],
    ['POST', '/echo', '{"text":"a","constructor":1}', 400, /: "constructor": not a known member$/, /./],
    ['POST', '/echo', '{"text":"a","times":10}', 400, /: "times": more than 9$/, /./],
    ['POST', '/echo', '', 400, /: "text": missing$/, /./],
    ['POST', '/echo', 'null', 400, /: body: an object is expected, not null$/, /./],
    ['POST', '/echo', '[]', 400, /: body: an object is expected, not a list$/, /./],
    ['POST', '/echo', '{"text":', 400, /not JSON/, /./],
    ['POST', '/echo', '\u0000', 400, /not JSON/, /./],
    ['POST', '/nowhere', '{}', 404, /^no such command: "POST \/nowhere"$/, /POST \/echo, GET \/tell/],
    ['GET', '/echo', '', 405, /^no such command: "GET \/echo"$/, /./],
    ['DELETE', '/tell', '', 405, /./, /./],
    ['GET', '/tell?x=1', '', 404, /./, /./],
    ['POST', '/refuse', '{}', 409, /^not now$/, /^later$/],
    ['POST', '/fail', '{}', 500, /^POST \/fail: failed$/, /log/],
    ['POST', '/unspeakable', '{}', 500, /failed/, /log/],
    ['POST', '/echo', JSON.stringify({ text: 'x'.repeat(700_000) }), 413, /65536 octets/, /./],
  ];
  for (const [method, url, body, status, error, fix] of cases) {
    const reply = await ask(path, method, url, body);
    t.match(reply, { status, json: { error, fix } }, `${method} ${url} ${body.slice(0, 30)}`);
    t.strictSame(Object.keys(Object(reply.json)).sort(), ['error', 'fix', 'mend']);
  }
  t.match(await ask(path, 'POST', '/silent'), { status: 200, body: 'null\n' }, 'nothing to say is null');
  t.match(
    log.lines.filter(({ level }) => level === 'error'),
    [
      { text: 'control command failed', fields: { command: 'POST /fail' } },
      { text: 'control command failed', fields: { command: 'POST /unspeakable' } },
    ],
  );
});

t.test('a body without a length is bounded as well', async (t) => {
  const { path } = await control(t, [echo]);
  const chunked = { 'Transfer-Encoding': 'chunked' };
  const long = JSON.stringify({ text: 'x'.repeat(5_000_000) });
  t.match(await ask(path, 'POST', '/echo', long, chunked), { status: 413, json: { error: /65536 octets/ } });
  t.match(await ask(path, 'POST', '/echo', '{"text":"a"}', chunked), { status: 200 });
});

t.test('only the user and the group of the process may command it, whatever the umask', async (t) => {
  const before = process.umask();
  t.teardown(() => process.umask(before));
  for (const umask of [0o000, 0o022, 0o077]) {
    process.umask(umask);
    const { path, server } = await control(t, [tell]);
    t.equal(statSync(path).mode & 0o777, 0o660, `umask ${umask.toString(8)}`);
    await server.close();
  }
});

t.test(
  'another user is kept out by the kernel',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async (t) => {
    const { path } = await control(t, [tell]);
    chmodSync(join(path, '..'), 0o755);
    const script = `require('node:net').connect(${JSON.stringify(path)}).on('connect', () => console.log('in')).on('error', (error) => console.log(error.code))`;
    for (const [who, uid, gid, expected] of [
      ['nobody', 65_534, 65_534, 'EACCES'],
      ['a member of the group', 65_534, 0, 'in'],
    ] as const) {
      const child = spawn(process.execPath, ['-e', script], {
        uid,
        gid,
        stdio: ['ignore', 'pipe', 'inherit'],
        cwd: '/',
      });
      const [said] = await once(child.stdout, 'data');
      child.kill();
      t.equal(String(said).trim(), expected, who);
    }
  },
);

t.test('the socket of a process that was killed is replaced', async (t) => {
  const path = join(shortDirectory(t), 'control.sock');
  await leaveSocket(path);
  t.ok(lstatSync(path).isSocket(), 'it is there');
  await control(t, [tell], { path });
  t.match(await ask(path, 'GET', '/tell'), { status: 200 });
});

t.test('what is in the way stays, and the refusal says what it is and what to do', async (t) => {
  const start = (path: string) =>
    startControlServer({
      path,
      routes: async () => [tell],
      timers: new VirtualTime(),
      log: new CollectingLog(),
    });
  const directory = shortDirectory(t);
  const { path: live } = await control(t, [tell]);
  const file = join(directory, 'file');
  writeFileSync(file, 'mine');
  const folder = join(directory, 'folder');
  mkdirSync(folder);
  const toLive = join(directory, 'to-live');
  symlinkSync(live, toLive);
  for (const [what, path, code, detail] of [
    [
      'a live server of ours',
      live,
      'in-use',
      /^listen on control socket ".*": another process answers there$/,
    ],
    ['a file', file, 'not-a-socket', /no socket stands there/],
    ['a directory', folder, 'not-a-socket', /./],
    ['a link to a live socket', toLive, 'not-a-socket', /./],
    ['a long path', join(directory, 'x'.repeat(120)), 'path-too-long', /107 octets/],
    ['no directory', join(directory, 'none', 'control.sock'), 'ENOENT', /./],
    ['a file for a directory', join(file, 'control.sock'), 'ENOTDIR', /./],
  ] as const) {
    const outcome = await start(path);
    t.match(outcome, { kind: 'refused', code, detail, fix: /./ }, what);
  }
  t.equal(statSync(file).size, 4);
  t.strictSame(readdirSync(directory).sort(), ['file', 'folder', 'to-live'], 'nothing is left lying about');
  t.ok(lstatSync(toLive).isSymbolicLink());
  t.match(await ask(live, 'GET', '/tell'), { status: 200 }, 'the live one goes on');
});

t.test('a server that runs is reached all the while others try to take its place', async (t) => {
  const { path } = await control(t, [tell]);
  const outcomes: string[] = [];
  const log = new CollectingLog();
  const trying = Promise.all(
    Array.from({ length: 40 }, async () => {
      const start = await startControlServer({
        path,
        routes: async () => [],
        timers: new VirtualTime(),
        log,
      });
      outcomes.push(start.kind === 'refused' ? start.code : start.kind);
    }),
  );
  for (let at = 0; at < 100; at++) {
    const reply = await ask(path, 'GET', '/tell').catch((error: NodeJS.ErrnoException) => error.code);
    if (typeof reply !== 'object') t.fail(`not reached: ${reply}`);
  }
  await trying;
  t.strictSame(outcomes, Array(40).fill('in-use'));
});

t.test("another program's live socket is left alone, even one that hangs up at once", async (t) => {
  const path = join(shortDirectory(t), 'control.sock');
  const other = createServer((socket) => socket.destroy()).listen(path);
  await once(other, 'listening');
  t.teardown(() => other.close());
  const outcome = await startControlServer({
    path,
    routes: async () => [],
    timers: new VirtualTime(),
    log: new CollectingLog(),
  });
  t.match(outcome, { kind: 'refused', code: 'in-use' });
  t.ok(lstatSync(path).isSocket());
});

t.test(
  'of many that start at once, over a stale socket or none, the path leads to one that answers',
  async (t) => {
    for (let round = 0; round < 5; round++) {
      const path = join(shortDirectory(t), 'control.sock');
      if (round > 0) await leaveSocket(path);
      const log = new CollectingLog();
      const starts = await Promise.all(
        Array.from({ length: 8 }, () =>
          startControlServer({ path, routes: async () => [tell], timers: new VirtualTime(), log }),
        ),
      );
      const listening = starts.filter((start) => start.kind === 'listening');
      t.ok(listening.length >= 1, `round ${round}`);
      t.match(await ask(path, 'GET', '/tell'), { status: 200 });
      t.strictSame(readdirSync(join(path, '..')), ['control.sock'], 'nothing else is left lying about');
      for (const start of starts) if (start.kind === 'listening') await start.server.close();
    }
  },
);

t.test('closing removes the socket, ends what hangs, and is not kept waiting', async (t) => {
  const begun = Promise.withResolvers<void>();
  const run = () => {
    begun.resolve();
    return new Promise<never>(() => {});
  };
  const hanging: ControlRoute = { method: 'POST', path: '/hang', run };
  const { path, server } = await control(t, [hanging]);
  const asked = ask(path, 'POST', '/hang').catch((error: NodeJS.ErrnoException) => error.code);
  const silent = connect(path);
  silent.on('error', () => {});
  await once(silent, 'connect');
  await begun.promise;
  await server.close(); // the command would go on for ever
  t.equal(await asked, 'ECONNRESET');
  t.notOk(existsSync(path));
});

t.test("closing leaves another server's socket alone that has taken the path meanwhile", async (t) => {
  const { path, server } = await control(t, [tell]);
  rmSync(path);
  await control(t, [tell], { path });
  await server.close();
  t.match(await ask(path, 'GET', '/tell'), { status: 200 });
});

t.test('a command that takes too long is answered for, and goes on', async (t) => {
  const time = new VirtualTime();
  const begun = Promise.withResolvers<void>();
  const done = Promise.withResolvers<string>();
  let ended = '';
  const slow: ControlRoute = {
    method: 'POST',
    path: '/slow',
    run: async () => {
      begun.resolve();
      ended = await done.promise;
    },
  };
  const { path } = await control(t, [slow], { timers: time });
  const asked = ask(path, 'POST', '/slow');
  await begun.promise;
  await time.advance(20_000);
  t.match(await asked, {
    status: 504,
    json: { error: /^POST \/slow: not done within 20 s$/, fix: /it goes on/ },
  });
  done.resolve('done');
  await time.advance(0);
  t.equal(ended, 'done');
  t.equal(time.pendingTimers, 0);
});

t.test('a client that connects and sends nothing, or too little, does not keep others out', async (t) => {
  const { path } = await control(t, [echo, tell]);
  const silent = Array.from({ length: 20 }, (_, at) => {
    const socket = connect(path).on('error', () => {});
    if (at % 2 === 0) socket.write('POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"te');
    return socket;
  });
  t.teardown(() => {
    for (const socket of silent) socket.destroy();
  });
  t.match(await ask(path, 'GET', '/tell'), { status: 200 });
  const closed = Promise.all(silent.map((socket) => once(socket.resume(), 'close')));
  const startedMs = performance.now();
  await closed;
  t.ok(
    performance.now() - startedMs < 55_000,
    'they are closed after 5 s; by default Node waits for a minute',
  );
});

t.test('a client that hangs up half-way commands nothing', async (t) => {
  let ran = 0;
  const route = controlRoute('POST', '/run', v.looseObject({}), () => {
    ran++;
  });
  const { path } = await control(t, [route, tell]);
  for (const part of ['{', '{}', '']) {
    const socket = connect(path).on('error', () => {});
    socket.end(`POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n${part}`);
    await once(socket.resume(), 'close');
  }
  await ask(path, 'GET', '/tell');
  t.equal(ran, 0);
});

t.test('fifty commands at once are all answered, each once', async (t) => {
  let running = 0;
  const count: ControlRoute = { method: 'POST', path: '/count', run: async () => ({ number: ++running }) };
  const { path } = await control(t, [count]);
  const replies = await Promise.all(Array.from({ length: 50 }, () => ask(path, 'POST', '/count', '{}')));
  t.strictSame(
    replies.map(({ json }) => Number(Object(json).number)).sort((a, b) => a - b),
    Array.from({ length: 50 }, (_, at) => at + 1),
  );
});

t.test('no octets end the process or the service', async (t) => {
  const { path } = await control(t, [echo, tell]);
  const request = fc.oneof(
    fc.uint8Array({ maxLength: 500 }).map((octets) => Buffer.from(octets)),
    fc
      .tuple(
        fc.constantFrom('GET', 'POST', 'PUT', 'X'),
        fc.constantFrom('/echo', '/tell', '*', '//', 'http://x/'),
        fc.json(),
      )
      .map(([method, url, body]) =>
        Buffer.from(`${method} ${url} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
      ),
  );
  await t.resolves(
    fc.assert(
      fc.asyncProperty(request, async (octets) => {
        const socket = connect(path).on('error', () => {});
        socket.end(octets);
        await once(socket.resume(), 'close');
      }),
      { seed, numRuns },
    ),
  );
  t.match(await ask(path, 'GET', '/tell'), { status: 200 });
});

t.test('the socket lies in the state directory', async (t) => {
  t.equal(controlPath('/var/lib/outpost-dns'), '/var/lib/outpost-dns/control.sock');
});

t.test('a socket whose directory was removed, or that another file replaced, is lost', async (t) => {
  for (const [what, take] of [
    ['the directory was removed', (path: string) => rmSync(join(path, '..'), { recursive: true })],
    ['the socket was removed', (path: string) => rmSync(path)],
    [
      'a file stands there',
      (path: string) => {
        rmSync(path);
        writeFileSync(path, 'mine');
      },
    ],
  ] as const) {
    const { path, server } = await control(t, [tell]);
    t.equal(await server.isLost(), false);
    take(path);
    t.equal(await server.isLost(), true, what);
    await server.close();
  }
});

t.test(
  'a file system that does not say where the socket is: it is not lost, and no end waits for it',
  async (t) => {
    const { lstat } = fsPromises;
    const time = new VirtualTime();
    const { server } = await control(t, [], { timers: time });
    t.teardown(() => answersLstat(lstat as () => Promise<unknown>));
    const answersLstat = (answer: () => Promise<unknown>) => {
      fsPromises.lstat = answer as typeof lstat;
      syncBuiltinESMExports();
    };
    for (const code of ['EIO', 'EMFILE', 'EACCES', 'ESTALE']) {
      answersLstat(() => Promise.reject(Object.assign(new Error(code), { code })));
      t.equal(await server.isLost(), false, code);
    }
    let asked = 0;
    answersLstat(() => {
      asked++;
      return new Promise<never>(() => undefined);
    });
    const found: boolean[] = [];
    for (const _ of [1, 2]) {
      void server.isLost().then((isLost) => found.push(isLost));
      await time.advance(1_000);
    }
    t.strictSame(found, [false, false], 'an end waits for the question that is on its way');
    t.equal(asked, 1, 'each question to a disk that hangs takes a thread');
    let hasClosed = false;
    const closing = server.close().then(() => {
      hasClosed = true;
    });
    await time.advance(999);
    t.equal(hasClosed, false);
    await time.advance(1);
    await closing;
  },
);
