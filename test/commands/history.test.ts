import { mkdtempSync, rmSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { historyLines, localTime, readSince } from '../../src/commands/history.ts';
import { paintNothing } from '../../src/commands/subcommand.ts';
import { composeLine, type LedgerEvent } from '../../src/store/ledger-format.ts';
import { type ReadEntry, readLedger } from '../../src/store/ledger-reader.ts';
import { SAMPLES, sample } from '../store/ledger-events.ts';
import { type Caller, runWith } from './running.ts';
import { writeConfig } from './state-files.ts';

const HOUR_MS = 3_600_000;

interface At {
  readonly event: LedgerEvent;
  readonly atMs: number;
  readonly lost?: number;
}

function ledgerText(events: readonly At[]): Buffer {
  return Buffer.concat(
    events.map(({ event, atMs, lost = 0 }, at) =>
      Buffer.from(composeLine({ sequence: at + 1, atMs, lost, event })),
    ),
  );
}

async function entriesOf(t: Test, events: readonly At[]): Promise<readonly ReadEntry[]> {
  return (await readLedger(t.testdir({ 'ledger.jsonl': ledgerText(events) }))).entries;
}

t.test('each kind of event has a line of its own', async (t) => {
  const entries = await entriesOf(
    t,
    SAMPLES.map((event, at) => ({ event, atMs: Date.UTC(2026, 0, 1) + at * 1000 })),
  );
  const lines = historyLines(entries, paintNothing).map((line) => line.replace(/^\S+ \S+ +/, ''));
  t.strictSame(
    lines.map((line) => line.replace(/^(\S+) +/, '$1 ')),
    [
      'kind event',
      'start server 1.2.3 started on node 26.10.0, knowing 2 endpoints',
      'stop server stopped: SIGTERM',
      'reload configuration reloaded',
      'reload reload refused, the configuration from before runs on: line 3: unknown key "upstream"',
      'link aws us-west-2: connected -> disconnected after 2 h: timeout',
      'addresses my-cluster (us-west-2): 10.0.1.10, 10.0.2.10 -> 10.0.1.10, 10.0.2.77 ' +
        '(by overlap; dns saw 10.0.1.10; interfaces saw 10.0.1.10, 10.0.2.77)',
      'endpoint my-cluster: the endpoint is abc.gr7.us-west-2.eks.amazonaws.com',
      'held my-cluster: change to 10.0.9.9 held back: loses more than half',
      'withheld my-cluster: 10.0.3.10 left the answers: its certificate is not for the name of the endpoint ' +
        '(after 4 changes without a line)',
      'drill drill started, for 30 min',
      'drill drill ended by itself after 30 min: 3 queries failed, 2 answered stale, 99 endpoint answers',
      'pin my-cluster: pin to 10.0.9.9 started for 4 h by ada: a change in the console',
      'pin my-cluster: pin to 10.0.9.9 ended by itself after 4 h',
      'flush example.com and all names under it: 12 kept answers dropped by ada',
      'set-aside "/var/lib/outpost-dns/endpoints.json" could not be used (not-json: not JSON), ' +
        'set aside as "/var/lib/outpost-dns/endpoints.json.corrupt-20260101T000000Z-not-json"',
    ],
  );
});

t.test('remarks between two events: a clock set back, a kill, lost events', async (t) => {
  const noon = Date.UTC(2026, 0, 1, 12);
  const entries = await entriesOf(t, [
    { event: sample('start'), atMs: noon },
    { event: sample('link'), atMs: noon + 1000 },
    { event: sample('start'), atMs: noon + 500 },
    { event: sample('stop'), atMs: noon - 5 * HOUR_MS },
    { event: sample('start'), atMs: noon, lost: 3 },
    { event: sample('link'), atMs: noon, lost: 1 },
  ]);
  const lines = historyLines(entries, paintNothing).map((line) => line.trim());
  const remarks = lines.filter((line) => !/^\d{4}-/.test(line)).slice(1);
  t.strictSame(remarks, [
    'the run before this one ended without a stop: killed, or the power failed',
    'the wall clock was set back by 5 h, or more',
    '3 events were lost here',
    '1 event was lost here',
  ]);
});

t.test(
  'a change of the link that has lasted is written later, and is no clock that was set back',
  async (t) => {
    const noon = Date.UTC(2026, 0, 1, 12);
    const entries = await entriesOf(t, [
      { event: sample('start'), atMs: noon },
      { event: sample('drill'), atMs: noon + 60_000 },
      { event: sample('link'), atMs: noon + 30_000 },
      { event: sample('withheld'), atMs: noon + 20_000 },
      { event: sample('stop'), atMs: noon + 70_000 },
    ]);
    t.notMatch(historyLines(entries, paintNothing).join('\n'), /set back/);
  },
);

t.test('an event of a later version is shown as JSON, and cannot steer the terminal', async (t) => {
  const later = {
    sequence: 9,
    at: '2026-01-01T00:00:00.000Z',
    kind: 'quake\u001b[2J',
    strength: 'a\u001b[31m\nb',
  };
  const evil = {
    kind: 'stop',
    reason: 'x\u001b]0;owned\u0007\r\n2026-01-01 00:00:00  stop  forged',
  } as const;
  const directory = t.testdir({
    'ledger.jsonl': Buffer.concat([
      Buffer.from(`${JSON.stringify(later)}\n`),
      composeLine({ sequence: 10, atMs: 0, lost: 0, event: evil }),
    ]),
  });
  const text = historyLines((await readLedger(directory)).entries, paintNothing).join('\n');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the test searches for them
  t.notMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f]/);
  t.equal(text.split('\n').length, 4, 'head, two entries, one remark');
  t.match(text, /\{"strength":"a\\u001b\[31m\\nb"\}/);
});

t.test('no entry, no table', async (t) => {
  t.strictSame(historyLines([], paintNothing), []);
});

t.test('times are those of this machine', async (t) => {
  const date = new Date(2026, 0, 2, 3, 4, 5);
  t.equal(localTime(date.getTime()), '2026-01-02 03:04:05');
});

t.test('a time is a duration ago, or a moment in ISO 8601', async (t) => {
  const nowMs = Date.UTC(2026, 5, 10);
  const midnight = new Date(2026, 0, 1).getTime();
  for (const [text, sinceMs] of [
    ['2d', nowMs - 48 * HOUR_MS],
    ['30m', nowMs - HOUR_MS / 2],
    ['2026-01-01', midnight],
    ['2026-01-01T03:00', midnight + 3 * HOUR_MS],
    ['2026-01-01 03:00:00', midnight + 3 * HOUR_MS],
    ['2026-01-01T03:00:00Z', Date.UTC(2026, 0, 1, 3)],
    ['2026-01-01T03:00:00.5+02:00', Date.UTC(2026, 0, 1, 1) + 500],
  ] as const)
    t.equal(readSince(text, nowMs), sinceMs, text);
});

const history = (options: Parameters<typeof runWith>[1], caller?: Caller) =>
  runWith(['history'], options, caller);

t.test('the command reads the files while nothing runs: table, exit 0', async (t) => {
  const directory = t.testdir({
    'ledger.jsonl': ledgerText(SAMPLES.map((event, at) => ({ event, atMs: Date.UTC(2026, 0, 1, at) }))),
  });
  const { code, stdout, stderr } = await history(
    { state: directory },
    { environment: { TZ: 'Europe/Berlin' } },
  );
  t.equal(code, 0);
  t.match(stdout, /^local time +kind +event\n2026-01-01 01:00:00 +start +server 1\.2\.3 started/);
  t.equal(stdout.split('\n').length, SAMPLES.length + 2);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the test searches for them
  t.notMatch(stdout, /\u001b/, 'no colour on a pipe');
  t.equal(stderr, '');
});

t.test('the state directory comes from the configuration where it is not named', async (t) => {
  const directory = t.testdir({
    state: { 'ledger.jsonl': ledgerText([{ event: sample('stop'), atMs: 0 }]) },
  });
  const config = await writeConfig(directory, join(directory, 'state'));
  t.match(await history({ config }), { code: 0, stdout: /server stopped: SIGTERM/ });
  t.match(await history({ config: join(directory, 'none.yaml') }), {
    code: 2,
    stdout: '',
    stderr: /none\.yaml: no such file[\s\S]*name the place with --state/,
  });
});

t.test('JSON is whole: every line as written, newest last, with the count of unreadable lines', async (t) => {
  const directory = t.testdir({
    'ledger.1.jsonl': ledgerText([{ event: sample('link'), atMs: 0 }]),
    'ledger.jsonl': Buffer.concat([
      Buffer.from('torn\n{"sequence":2,"at":"2030-01-01T00:00:00Z","kind":"quake","strength":7}\n'),
    ]),
  });
  const { code, stdout, stderr } = await history({ state: directory, json: true });
  t.equal(code, 0);
  t.strictSame(JSON.parse(stdout), {
    matched: 2,
    malformed: 1,
    faults: [],
    events: [
      { sequence: 1, at: '1970-01-01T00:00:00.000Z', ...sample('link') },
      { sequence: 2, at: '2030-01-01T00:00:00Z', kind: 'quake', strength: 7 },
    ],
  });
  t.match(stderr, /1 line of the ledger cannot be read/);
});

t.test('the count of events that are not shown goes to standard error', async (t) => {
  const directory = t.testdir({
    'ledger.jsonl': ledgerText(
      Array.from({ length: 150 }, () => ({ event: sample('stop'), atMs: Date.now() })),
    ),
  });
  const table = await history({ state: directory });
  t.equal(table.stdout.split('\n').length, 102, 'head, 100 lines, end');
  t.match(table, { code: 0, stderr: /^outpost-dns: 50 earlier events: --limit 150 shows all\n$/ });
  const all = await history({ state: directory, json: true });
  t.equal(JSON.parse(all.stdout).events.length, 150, 'JSON has no limit of its own');
  const five = await history({ state: directory, json: true, limit: '5' });
  t.equal(JSON.parse(five.stdout).events.length, 5);
  t.equal((await history({ state: directory, limit: '1000' })).stdout.split('\n').length, 152);
  t.match(await history({ state: directory, kind: ['stop', 'drill'], limit: '3' }), {
    code: 0,
    stdout: /^([^\n]+\n){4}$/,
    stderr: /147 earlier events/,
  });
  t.match(await history({ state: directory, kind: ['link', 'drill'] }), { code: 0, stdout: '' });
  t.match(await history({ state: directory, kind: ['drill'] }), {
    code: 0,
    stdout: '',
    stderr: /no such event/,
  });
  t.match(await history({ state: directory, since: '1h', limit: '3' }), {
    code: 0,
    stdout: /^([^\n]+\n){4}$/,
  });
});

t.test('wrong usage is exit 2, no ledger is exit 1, each with a fix', async (t) => {
  const directory = t.testdir();
  for (const [options, code, stderr] of [
    [{ state: directory }, 1, /there is no ledger in ".*": name the state directory with --state/],
    [{ state: join(directory, 'none') }, 1, /no such file.*\n.*name the state directory/],
    [
      { state: directory, kind: ['links'] },
      2,
      /'links' is invalid\. Allowed choices are start, stop, reload, link/,
    ],
    [{ state: directory, kind: ['link', ''] }, 2, /argument '' is invalid/],
    ...['2', 'yesterday', '2026-13-01', '2026-01-01T25:00', ''].map(
      (since) => [{ state: directory, since }, 2, /Not a time: write how long ago/] as const,
    ),
    ...['0', '-1', '1e3', 'x'].map(
      (limit) => [{ state: directory, limit }, 2, /Not a number of events/] as const,
    ),
  ] as const) {
    t.match(await history(options), { code, stdout: '', stderr }, JSON.stringify(options));
  }
});

t.test('part of a ledger is shown, and an unreadable part is a finding', async (t) => {
  const directory = t.testdir({ 'ledger.jsonl': ledgerText([{ event: sample('stop'), atMs: 0 }]) });
  await mkdir(join(directory, 'ledger.1.jsonl'));
  t.match(await history({ state: directory }), {
    code: 1,
    stdout: /server stopped/,
    stderr: /a part of the ledger cannot be read: read ".*ledger\.1\.jsonl": a directory/,
  });
});

t.test(
  'a user who may not read the state gets the name of the user to be',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'history-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    await writeFile(join(directory, 'ledger.jsonl'), ledgerText([{ event: sample('stop'), atMs: 0 }]));
    await chmod(directory, 0o750);
    t.match(await history({ state: directory }, { uid: 65_534 }), {
      code: 1,
      stdout: '',
      stderr: /permission denied\n.*sudo -u outpost-dns outpost-dns history/,
    });
  },
);
