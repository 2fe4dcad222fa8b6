/** Lines of a process that has not loaded pino yet. */
import { spawnSync } from 'node:child_process';
import t from 'tap';

const LOG = new URL('../../src/log/pino-log.ts', import.meta.url).href;

/** `loading`: what loads modules. */
function linesOf(program: string, loading = 'undefined'): readonly Record<string, unknown>[] {
  const text = `import { createProcessLog } from ${JSON.stringify(LOG)};
    const { log, load, flush, setLevel, state } = createProcessLog({ level: 'info', format: 'json' }, ${loading});
    ${program}`;
  const run = spawnSync(process.execPath, ['--input-type=module', '--eval', text], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  t.equal(run.status, 0, run.stderr);
  return run.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

t.test('lines wait in their order and with their times, and those below the level are left out', (t) => {
  const lines = linesOf(`
    const child = log.child({ cluster: 'a' });
    const early = Date.now();
    log.info({ early }, 'first');
    child.warn({ err: new Error('why') }, 'second');
    child.debug({}, 'nobody asked for this');
    await new Promise((resolve) => setTimeout(resolve, 50));
    await load();
    child.info({}, 'third');
    setLevel('error');
    log.warn({}, 'nor for this');
    log.error({ late: Date.now() }, 'fourth');
    await flush();`);
  t.same(
    lines.map(({ msg }) => msg),
    ['first', 'second', 'third', 'fourth'],
  );
  t.match(lines, [
    { level: 'info' },
    { level: 'warn', cluster: 'a', err: { message: 'why', stack: /why/ } },
    { cluster: 'a' },
  ]);
  const [first, , , last] = lines;
  t.ok(Math.abs(Date.parse(String(first?.['time'])) - Number(first?.['early'])) < 25);
  t.ok(Date.parse(String(last?.['time'])) >= Number(last?.['late']));
  t.end();
});

t.test('a flush writes what waits, and so does time alone', (t) => {
  for (const end of ['await flush();', 'await new Promise((resolve) => setTimeout(resolve, 2500));'])
    t.match(linesOf(`log.error({}, 'it failed'); ${end}`), [{ msg: 'it failed' }], end);
  t.end();
});

t.test('the level of a moment is for the lines of this moment, and for those of a cluster too', (t) => {
  const lines = linesOf(`
    const child = log.child({ cluster: 'a' });
    log.info({}, 'first');
    child.info({}, 'second');
    setLevel('error');
    child.info({}, 'nobody asked for this');
    await load();
    child.warn({}, 'nor for this');
    setLevel('debug');
    child.debug({}, 'third');
    setLevel('silent');
    child.error({}, 'too late');
    await flush();`);
  t.same(
    lines.map(({ msg }) => msg),
    ['first', 'second', 'third'],
  );
  t.end();
});

t.test('where an upgrade is just replacing the file of pino, the lines come a moment later', (t) => {
  const lines = linesOf(
    `log.info({}, 'waited');
    await load().catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 2500));`,
    `(load) => {
      if (globalThis.isThere) return load();
      globalThis.isThere = true;
      return Promise.reject(new Error('no such file'));
    }`,
  );
  t.match(lines, [{ msg: 'waited' }]);
  t.end();
});

t.test('the end of the process does not wait for a disk that does not give the file of pino', (t) => {
  const program = `log.info({}, 'lost'); setTimeout(() => process.exit(3), 5000); await flush(); process.exit(0);`;
  t.same(linesOf(program, '() => new Promise(() => undefined)'), []);
  t.end();
});

t.test('too many lines are counted', (t) => {
  const lines = linesOf(`
    for (let i = 0; i < 10_007; i++) log.info({ i }, 'much');
    await flush();
    log.info({ ...state().dropped }, 'last');
    await flush();`);
  t.match(lines.at(-2), { msg: /^log lines were dropped/, dropped: lines.at(-1)?.['full'] });
  t.ok(Number(lines.at(-1)?.['full']) >= 7);
  t.same(
    lines.slice(0, 5).map(({ i }) => i),
    [0, 1, 2, 3, 4],
  );
  t.end();
});
