/**
 * What is loaded after the start comes in several turns of the loop: each module of Node that takes time has a turn of its own,
 * and the file that needs it, or a socket that is opened with it, loads no more of them. Counted is what each turn has loaded.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

const src = join(import.meta.dirname, '..', '..', 'src');
const file = (path: string): string => JSON.stringify(join(src, path));

/** The modules of Node that each turn of `work` has loaded; a turn ends with each `pause()`. `needs` is loaded before. */
async function loadedByTurn(needs: string, work: string): Promise<readonly (readonly string[])[]> {
  const script = `
    ${needs}
    const { HTTP_NEEDS, SOCKET_NEEDS, loadInTurns, loadNeeds } = await import(${file('runtime/memory.ts')});
    const log = Object.fromEntries(['debug', 'info', 'warn', 'error'].map((level) => [level, () => undefined]));
    const modules = () => process.moduleLoadList.filter((name) => name.startsWith('NativeModule '));
    const turns = [];
    let before = new Set(modules());
    const pause = async () => {
      turns.push(modules().filter((name) => !before.has(name)).map((name) => name.slice(13)));
      before = new Set(modules());
    };
    ${work}
    await pause();
    console.log(JSON.stringify(turns));
    process.exit();`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  return JSON.parse(stdout);
}

/** Of all modules of Node these take a millisecond or more, by themselves or with what they load. */
const HEAVY =
  /^(?:http|https|http2|child_process|cluster|dns|tls|crypto|assert|worker_threads|v8|zlib|inspector)$/;

const heavyIn = (turns: readonly (readonly string[])[]) =>
  turns.map((names) => names.filter((name) => HEAVY.test(name)));

const HTTP = [['child_process'], ['cluster'], ['http']];
/** In the bundle, an import of a module of Node loads nothing that its own code does not load. */
const withoutImport = (turns: readonly (readonly string[])[]) => heavyIn(turns).toSpliced(HTTP.length, 1);

t.test('the pages: HTTP and what listening loads, each in its turn', async (t) => {
  const libc = `
    const { listenInC } = await import(${file('serving/listener/tcp.ts')});
    const calls = await (await import(${file('runtime/libc.ts')})).loadDatagramCalls();`;
  const turns = await loadedByTurn(
    libc,
    `
    const openSocket = (address, port) => calls.libc && listenInC(calls.libc, { address, port }, 511);
    await loadNeeds(pause, SOCKET_NEEDS);
    const { startHttpServer } = await loadInTurns(pause, () => import(${file('admin/http-server.ts')}), HTTP_NEEDS);
    await startHttpServer({ address: '127.0.0.1', port: 0, pages: new Map(), log, openSocket });`,
  );
  const isInC = process.platform === 'linux';
  t.strictSame(withoutImport(turns), [...HTTP, isInC ? [] : ['dns']]);
});

t.test('the control socket: the same', async (t) => {
  const turns = await loadedByTurn(
    '',
    `
    const { mkdtempSync } = await import('node:fs');
    const { systemTimers: timers } = await import(${file('runtime/clock.ts')});
    const directory = mkdtempSync('/tmp/late-');
    const load = () => import(${file('admin/control-server.ts')});
    await loadNeeds(pause, SOCKET_NEEDS);
    const { startControlServer, controlPath } = await loadInTurns(pause, load, HTTP_NEEDS);
    const started = await startControlServer({ path: controlPath(directory), routes: async () => [], timers, log });
    await started.server.close();
    await (await import('node:fs/promises')).rm(directory, { recursive: true });`,
  );
  t.strictSame(withoutImport(turns), [...HTTP, []]);
});

t.test('the log', async (t) => {
  const needs = `const { PINO_NEEDS } = await import(${file('log/pino-log.ts')});`;
  const turns = await loadedByTurn(
    needs,
    `
    const { pinoLogger } = await loadInTurns(pause, () => import(${file('log/pino-logger.ts')}), PINO_NEEDS);
    pinoLogger({ write() {} }, Date.now).info({}, 'a line');`,
  );
  // source is read by a part of Node that has loaded these before
  t.equal(turns.length, 4);
  t.strictSame(heavyIn(turns).slice(2), [[], []]);
});

t.test('the metrics: what the bundle keeps of prom-client needs one module of Node', async (t) => {
  const needs = `const { METRICS_NEEDS } = await import(${file('admin/pages.ts')});`;
  const turns = await loadedByTurn(needs, 'await loadNeeds(pause, METRICS_NEEDS);');
  t.strictSame(heavyIn(turns), [['v8'], []]);
});

t.test('the first client over TCP, and a first socket for datagrams', async (t) => {
  const turns = await loadedByTurn(
    "const { createServer } = await import('node:net'); const { createSocket } = await import('node:dgram');",
    `
    await loadNeeds(pause, [...SOCKET_NEEDS, () => process.getBuiltinModule('node:dns')]);
    const server = createServer().listen({ port: 0, host: '127.0.0.1', exclusive: true });
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    await new Promise((resolve) => socket.once('listening', resolve));`,
  );
  t.strictSame(heavyIn(turns), [['child_process'], ['cluster'], ['dns'], []]);
});

t.test('DNS over TLS: its modules, and the context, before the first connection', async (t) => {
  const turns = await loadedByTurn(
    `const { tls } = await import(${file('serving/forwarder/tls.ts')});
    const { Exchange } = await import(${file('serving/forwarder/exchange.ts')});
    const { systemTimers: timers } = await import(${file('runtime/clock.ts')});`,
    `
    setInterval(() => undefined, 1000); // timers of the server keep no process alive
    const { needs, open } = tls(timers);
    await loadNeeds(pause, needs);
    process.getBuiltinModule('node:tls').createSecureContext = () => { throw new Error('a late context'); };
    const { promise: ended, resolve: end } = Promise.withResolvers();
    const options = { clock: { monotonicMs: () => 0 }, timers, random: { uint16: () => 1 }, onMismatch() {} };
    const transport = open({ text: 'x', address: '127.0.0.1', port: 1, serverName: 'dns.test' }, options);
    transport.start(Object.assign(new (class extends Exchange {})(), { message: new Uint8Array(12), end }));
    await ended;`,
  );
  t.strictSame(heavyIn(turns), [[], ['crypto'], ['tls'], [], [], []]);
  t.ok(turns[0]?.includes('internal/crypto/keys'), 'a part of crypto has a turn of its own');
});
