/** A log that fails, blocks or stalls in any way: no query waits, and the server ends in time. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, readSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { pause, until } from '../helpers/patience.ts';
import { keepState, keptRecord } from './kept-state.ts';
import { PROGRAM, ServerProcess } from './server-process.ts';
import { DEMO, ENDPOINT, folder, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

const METRIC = 'outpost_dns_log_lines_dropped_total';

/** A server whose standard output and error go where `redirection` of a shell sends them. */
async function startWith(t: Test, redirection: string): Promise<{ site: Site; server: ServerProcess }> {
  const site = await Site.open(t, { overrides: { log: { level: 'debug', format: 'json' } } });
  await keepState(site.stateDirectory, [keptRecord()]);
  const command = ['sh', '-c', `exec "$0" "$@" ${redirection}`, PROGRAM] as const;
  const server = new ServerProcess(t, site.configFile, site.ports, site.sandbox.environment, command);
  return { site, server };
}

/** Logs until lines are dropped, more than any pipe or buffer holds: each refused reload names fifty keys of 900 characters. */
async function logMuch(
  t: Test,
  { site, server }: { site: Site; server: ServerProcess },
  reason: string,
): Promise<void> {
  const unknown = Array.from({ length: 50 }, (_, at) => `unknown-${at}-${'x'.repeat(900)}: 1`);
  site.breakConfiguration(unknown.join('\n'));
  await until('dropped lines are counted', async () => {
    server.signal('SIGHUP');
    const { answers } = await server.ask({ name: ENDPOINT });
    if (answers.length !== DEMO.length) t.fail('a query noticed');
    return (await dropped(server, reason)) > 0;
  });
}

async function dropped(server: ServerProcess, reason: string): Promise<number> {
  return (await server.metric(METRIC)).get(`{reason="${reason}"}`) ?? 0;
}

async function endsInTime(t: Test, server: ServerProcess): Promise<void> {
  const ended = await server.kill('SIGTERM');
  t.match(ended, { code: 0, signal: null });
  t.comment(`ended in ${ended.afterMs.toFixed(0)} ms`);
}

t.test('standard output and error on a device that is full', async (t) => {
  const { server } = await startWith(t, '>/dev/full 2>&1');
  await server.firstAnswer({ name: ENDPOINT });
  await until('dropped lines are counted', async () => (await dropped(server, 'failed')) > 0);
  server.signal('SIGHUP');
  const { process: own } = await server.status();
  t.match(own.log.failure, /ENOSPC/);
  t.same((await server.addresses(ENDPOINT)).length, DEMO.length);
  await endsInTime(t, server);
});

t.test('a pipe without a reader', async (t) => {
  const { site, server } = await startWith(t, '1<>"$FIFO" 2>&1'.replace('$FIFO', await fifo(t)));
  await server.firstAnswer({ name: ENDPOINT });
  await logMuch(t, { site, server }, 'full');
  await endsInTime(t, server);
});

t.test('a pipe whose reader stops, and goes on later', async (t) => {
  const path = await fifo(t);
  const reader = spawn('cat', [path], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => reader.kill('SIGKILL'));
  let text = '';
  reader.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  const { site, server } = await startWith(t, `>"${path}"`);
  await server.firstAnswer({ name: ENDPOINT });
  reader.kill('SIGSTOP');
  await logMuch(t, { site, server }, 'full');
  reader.kill('SIGCONT');
  await until('the log says what is missing', () => text.includes('log lines were dropped'));
  t.ok(
    text.split('\n').every((line) => line === '' || JSON.parse(line)),
    'no line is broken',
  );
  await endsInTime(t, server);
});

t.test('a pipe whose reader has ended', async (t) => {
  const path = await fifo(t);
  const reading = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const { site, server } = await startWith(t, `>"${path}" 2>&1`);
  await server.firstAnswer({ name: ENDPOINT });
  closeSync(reading);
  await logMuch(t, { site, server }, 'failed');
  t.match((await server.status()).process.log.failure, /EPIPE/);
  const again = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  t.teardown(() => closeSync(again));
  const octets = new Uint8Array(4096);
  await until('a new reader gets lines', () => {
    server.signal('SIGHUP');
    try {
      return readSync(again, octets) > 0;
    } catch {
      return false; // EAGAIN: no data yet
    }
  });
  await endsInTime(t, server);
});

t.test('a log that is emptied in place (copytruncate) begins at its beginning', async (t) => {
  const path = join(folder(t), 'log');
  const { server } = await startWith(t, `>"${path}" 2>&1`);
  await server.firstAnswer({ name: ENDPOINT });
  const reloaded = () => readFileSync(path, 'utf8').includes('configuration reloaded');
  server.signal('SIGHUP');
  await until('a line is written', reloaded);
  truncateSync(path);
  server.signal('SIGHUP');
  await until('the next line is written', reloaded);
  t.equal(readFileSync(path, 'utf8')[0], '{');
  await endsInTime(t, server);
});

const mayMount = spawnSync('unshare', ['-m', 'true']).status === 0;

t.test(
  'a file on a file system that fills',
  { skip: mayMount ? false : 'mounting a small file system needs root' },
  async (t) => {
    const site = await Site.open(t, { overrides: { log: { level: 'debug', format: 'json' } } });
    await keepState(site.stateDirectory, [keptRecord()]);
    const small = folder(t);
    const script = `mount -t tmpfs -o size=64k none ${small} && exec "$0" "$@" >${small}/log 2>&1`;
    const command = ['unshare', '-m', 'sh', '-c', script, PROGRAM] as const;
    const server = new ServerProcess(t, site.configFile, site.ports, site.sandbox.environment, command);
    await server.firstAnswer({ name: ENDPOINT });
    await logMuch(t, { site, server }, 'failed');
    t.match((await server.status()).process.log.failure, /ENOSPC/);
    await endsInTime(t, server);
  },
);

t.test('a terminal that has been stopped', async (t) => {
  // script(1) makes a terminal, and does not read it while script(1) is stopped
  const site = await Site.open(t, { overrides: { log: { level: 'debug', format: 'pretty' } } });
  await keepState(site.stateDirectory, [keptRecord()]);
  const pidFile = join(site.directory, 'pid');
  const inside = `echo $$ >${pidFile}; exec ${PROGRAM} serve --config ${site.configFile}`;
  const command = ['sh', '-c', `exec script -qfc '${inside}' /dev/null`] as const;
  const terminal = new ServerProcess(t, site.configFile, site.ports, site.sandbox.environment, command);
  await terminal.firstAnswer({ name: ENDPOINT });
  terminal.signal('SIGSTOP');
  const pid = Number(execFileSync('cat', [pidFile], { encoding: 'utf8' }));
  t.teardown(() => {
    if (isRunning(pid)) process.kill(pid, 'SIGKILL');
  });
  site.breakConfiguration(
    Array.from({ length: 50 }, (_, at) => `unknown-${at}-${'x'.repeat(900)}: 1`).join('\n'),
  );
  for (let round = 0; round < 30; round++) {
    process.kill(pid, 'SIGHUP');
    await pause(20);
    t.same((await terminal.ask({ name: ENDPOINT })).answers.length, DEMO.length);
  }
  process.kill(pid, 'SIGTERM');
  await until('it has ended', () => !isRunning(pid));
});

t.test('a terminal that stops programs in its background as they write (stty tostop)', async (t) => {
  const site = await Site.open(t, { overrides: { log: { level: 'debug', format: 'pretty' } } });
  await keepState(site.stateDirectory, [keptRecord()]);
  const pidFile = join(site.directory, 'pid');
  const serve = `${PROGRAM} serve --config ${site.configFile}`;
  const inside = `stty tostop; set -m; ${serve} & echo $! >${pidFile}; while sleep 1; do :; done`;
  const command = ['sh', '-c', `exec script -qfc '${inside}' /dev/null`] as const;
  const terminal = new ServerProcess(t, site.configFile, site.ports, site.sandbox.environment, command);
  t.teardown(() => process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL'));
  await until('it logs', () => terminal.stdout.includes('listening'));
  t.same((await terminal.firstAnswer({ name: ENDPOINT })).answers.length, DEMO.length);
});

function isRunning(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(
      execFileSync('cat', [`/proc/${pid}/status`], { encoding: 'utf8', stdio: 'pipe' }),
    );
  } catch {
    return false;
  }
}

async function fifo(t: Test): Promise<string> {
  const path = join(t.testdir(), 'log');
  execFileSync('mkfifo', [path]);
  return path;
}
