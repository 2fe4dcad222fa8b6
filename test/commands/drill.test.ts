import { chmodSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { type DrillReportBody, drillRoutes } from '../../src/admin/drill-control.ts';
import { drillLines } from '../../src/commands/drill.ts';
import { paintNothing } from '../../src/commands/subcommand.ts';
import { control, leaveSocket, shortDirectory } from '../admin/control-fixture.ts';
import { asked } from '../drill/asked.ts';
import { virtualDrill } from '../drill/virtual-drill.ts';
import { type Caller, runWith } from './running.ts';
import { writeConfig } from './state-files.ts';

/** The real drill with the real control socket, in a state directory of its own. */
async function serve(t: Parameters<typeof control>[0]) {
  const { drill, time } = virtualDrill();
  const { path, server } = await control(
    t,
    drillRoutes(drill, async () => []),
  );
  return { time, drill, server, path, state: dirname(path) };
}

type Options = Parameters<typeof runWith>[1];
const start = (options: Options, caller?: Caller) => runWith(['drill', 'start'], options, caller);
const stop = (options: Options) => runWith(['drill', 'stop'], options);
const report = (options: Options) => runWith(['drill', 'report'], options);

t.test('start, report, stop, report: a rehearsal from the first command to the last', async (t) => {
  const { time, drill, state } = await serve(t);
  t.match(await report({ state }), {
    code: 1,
    stdout: 'no drill has run since the server started\n',
    stderr: '',
  });
  t.match(await start({ state, for: '30m' }), {
    code: 0,
    stdout: /^the drill runs for 30 min: /,
    stderr: '',
  });
  t.ok(drill.isRunning);
  for (let at = 0; at < 3; at++) drill.report.noteFailed(asked('registry.site.example'));
  drill.report.noteStale(asked('oidc.example', 'AAAA'));
  drill.report.noteEndpoint({ cluster: 'demo', endpoint: 'abc.eks.amazonaws.com' });
  await time.advance(600_000);
  const running = await report({ state });
  t.equal(running.code, 0);
  t.match(
    running.stdout,
    /^a drill is running, started 2026-01-01T00:00:00\.000Z, ends by itself in 20 min\n/,
  );
  const stopped = await stop({ state });
  t.equal(stopped.code, 0);
  t.notOk(drill.isRunning);
  t.match(stopped.stdout, /^the drill has ended \(stopped by a command\), started .*, ran for 10 min\n/);
  const json = await report({ state, json: true });
  t.match(JSON.parse(json.stdout), {
    state: 'ended',
    endedBy: 'command',
    failed: { queries: 3, names: [{ name: 'registry.site.example', type: 'A', queries: 3 }] },
    retain: [{ name: 'registry.site.example' }],
  });
  t.equal((await report({ state })).stdout, stopped.stdout, 'it is still there, and the same');
});

t.test('the state directory comes from the configuration where it is not named', async (t) => {
  const { drill, state } = await serve(t);
  const config = await writeConfig(t.testdir(), state);
  t.match(await start({ config, for: '1h' }), { code: 0 });
  t.ok(drill.isRunning);
  t.match(await start({ config: '/nonexistent.yaml', for: '1h' }), { code: 2, stderr: /--state/ });
});

t.test("a refusal is printed in the server's own words, exit 1", async (t) => {
  const { drill, state } = await serve(t);
  t.match(await stop({ state }), {
    code: 1,
    stdout: '',
    stderr:
      /^outpost-dns: cannot stop the drill: no drill is running\n {4}"outpost-dns drill report" shows the last one\n$/,
  });
  t.match(await start({ state, for: '2d' }), {
    code: 1,
    stderr: /not a length for a drill: 172800 s\n {4}write 1s to 24h/,
  });
  t.match(await start({ state, for: '1ms' }), { code: 1, stderr: /not a length/ });
  t.notOk(drill.isRunning);
  await start({ state, for: '30m' });
  t.match(await start({ state, for: '30m' }), { code: 1, stderr: /a drill is running already/ });
});

t.test('wrong usage is exit 2 and reaches no server', async (t) => {
  for (const length of ['30', 'half an hour', '', '-5m', '0x10m']) {
    t.match(
      await start({ state: '/nonexistent', for: length }),
      { code: 2, stderr: /^outpost-dns: option '--for <duration>' argument '.*' is invalid\./ },
      length,
    );
  }
});

t.test('no server, or another program in its place, is named as such, exit 1', async (t) => {
  const missing = shortDirectory(t);
  const stale = shortDirectory(t);
  await leaveSocket(join(stale, 'control.sock'));
  const file = shortDirectory(t);
  writeFileSync(join(file, 'control.sock'), '');
  const foreign = shortDirectory(t);
  const other = createServer((socket) => socket.on('error', () => {}).end('I am no server of yours\n'));
  t.teardown(() => other.close());
  await new Promise<void>((resolve) => other.listen(join(foreign, 'control.sock'), resolve));
  for (const [what, state, stderr] of [
    ['no socket', missing, /control socket ".*": nothing listens there \(ENOENT\)\n.*systemctl status/],
    ['no directory', join(missing, 'none'), /nothing listens there.*ENOENT/],
    ['a stale socket', stale, /nothing listens there.*ECONNREFUSED/],
    ['a file', file, /nothing listens there/],
    ['a path too long', join(missing, 'x'.repeat(120)), /longer than that of a socket.*EINVAL/],
    ['another program', foreign, /no outpost-dns, or one of another version/],
  ] as const) {
    t.match(await report({ state }), { code: 1, stdout: '', stderr }, what);
  }
});

t.test(
  'a user who may not command the server gets the name of the user to be',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async (t) => {
    const { drill, state } = await serve(t);
    chmodSync(state, 0o755);
    t.match(await start({ state, for: '30m' }, { uid: 65_534 }), {
      code: 1,
      stdout: '',
      stderr:
        /cannot start the drill: control socket ".*": this user may not command the server \(EACCES\)\n.*sudo -u outpost-dns/,
    });
    t.notOk(drill.isRunning);
  },
);

const empty = { queries: 0, names: [], otherQueries: 0 };

const full: DrillReportBody = {
  state: 'ended',
  startedAt: '2026-01-01T00:00:00.000Z',
  forMs: 1_800_000,
  ranMs: 1_800_000,
  endedBy: 'time',
  failed: {
    queries: 43,
    names: [
      { name: 'registry.site.example', type: 'A', queries: 40 },
      { name: 'once.example', type: 'HTTPS', queries: 1 },
    ],
    otherQueries: 2,
  },
  stale: { queries: 1, names: [{ name: 'oidc.example', type: 'A', queries: 1 }], otherQueries: 0 },
  endpoints: [{ endpoint: 'abc.eks.amazonaws.com', answers: 12_345 }],
  retain: [
    { name: 'registry.site.example', types: ['A'], asked: 40 },
    { name: '1e3', types: ['A'], asked: 2 },
    { name: 'a\\032b.example', types: ['A'], asked: 2 },
  ],
};

t.test('the report as a person reads it', async (t) => {
  t.strictSame(drillLines(full, paintNothing), [
    'the drill has ended (its time was up), started 2026-01-01T00:00:00.000Z, ran for 30 min',
    '',
    '43 queries failed',
    '  queries  type   name',
    '  40       A      registry.site.example',
    '  1        HTTPS  once.example',
    '  and 2 queries for names beyond those that are kept',
    '',
    '1 query answered stale',
    '  queries  type  name',
    '  1        A     oidc.example',
    '',
    'endpoints were answered as always',
    '  12345  abc.eks.amazonaws.com',
    '',
    'asked for at least twice: add the names that are needed during an outage to the configuration',
    'retain:',
    '  - registry.site.example',
    '  - "1e3"',
    '  - a\\032b.example',
  ]);
  t.strictSame(
    drillLines({ ...full, failed: empty, stale: empty, endpoints: [], retain: [] }, paintNothing).slice(1),
    [
      '',
      'no query failed',
      '',
      'no query answered stale',
      '',
      'no query for an endpoint',
      '',
      'nothing to add to retain',
    ],
  );
});

t.test('the proposal can be pasted into the configuration', async (t) => {
  const lines = drillLines(full, paintNothing);
  t.strictSame(parse(lines.slice(lines.indexOf('retain:')).join('\n')), {
    retain: ['registry.site.example', '1e3', 'a\\032b.example'],
  });
});

t.test('a long list is cut, and says where the rest is', async (t) => {
  const names = Array.from({ length: 25 }, (_, at) => ({ name: `n${at}.example`, type: 'A', queries: 2 }));
  const lines = drillLines({ ...full, failed: { queries: 50, names, otherQueries: 0 } }, paintNothing);
  t.ok(lines.includes('  and 5 more: outpost-dns drill report --json'));
  t.equal(lines.filter((line) => / n\d+\.example$/.test(line)).length, 20);
});

t.test('no name can steer the terminal', async (t) => {
  const evil = 'x\u001b[2J\r\nforged.example';
  const names = [{ name: evil, type: evil, queries: 2 }];
  const text = drillLines(
    {
      ...full,
      startedAt: evil,
      failed: { queries: 2, names, otherQueries: 0 },
      endpoints: [{ endpoint: evil, answers: 1 }],
      retain: [{ name: evil, types: [], asked: 2 }],
    },
    paintNothing,
  ).join('\n');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the test searches for them
  t.notMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f]|^forged/m);
});
