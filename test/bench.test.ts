import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import type { Contender, Task } from '../bench/contender.ts';
import { bind } from '../bench/contenders/bind.ts';
import { dnsdist } from '../bench/contenders/dnsdist.ts';
import { dnsmasq } from '../bench/contenders/dnsmasq.ts';
import { knotResolver } from '../bench/contenders/knot-resolver.ts';
import { outpostDns } from '../bench/contenders/outpost-dns.ts';
import { recursor } from '../bench/contenders/recursor.ts';
import { unbound } from '../bench/contenders/unbound.ts';
import { dnsperfArguments, parseDnsperf } from '../bench/dnsperf.ts';
import { obstacleTo } from '../bench/obstacle.ts';
import { parseOptions } from '../bench/options.ts';
import {
  parseMemory,
  parsePeakMebibytes,
  parseProcessorTime,
  readThreadMillis,
  readThreadNames,
} from '../bench/process-figures.ts';
import { cachedName, newName } from '../bench/query-files.ts';
import { restartTable } from '../bench/restart.ts';
import { ROWS } from '../bench/rows.ts';
import {
  median,
  medianOfRatios,
  percentile,
  ratioOfMedians,
  slope,
  slopeWithError,
} from '../bench/statistics.ts';
import { composeNotes, composeTable } from '../bench/table.ts';
import { type Measured, turn } from '../bench/workshop.ts';
import { load } from './config/loading.ts';

t.test('statistics', async (t) => {
  t.equal(median([3, 1, 2]), 2, 'the middle of an odd number');
  t.equal(median([4, 1, 3, 2]), 2.5, 'the mean of the two in the middle of an even number');
  t.equal(median([]), undefined, 'none of nothing');
  t.equal(percentile([10, 30, 20], 0.99), 30, 'the nearest rank above');
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  t.equal(percentile(hundred, 0.99), 99);
  t.equal(percentile([], 0.99), undefined);
  const line = [0, 1, 2, 4].map((x) => ({ x, y: 100 + 3 * x }));
  t.equal(slope(line), 3, 'of a line');
  t.equal(slope([{ x: 1, y: 1 }]), undefined, 'none of one point');
  t.equal(slope([]), undefined);
  t.strictSame(slopeWithError(line), { slope: 3, error: 0 }, 'all points are on the line');
  const around = [0, 1, 0, 1].map((y, x) => ({ x, y }));
  t.strictSame(slopeWithError(around), { slope: 0.2, error: Math.sqrt(0.8 / 2 / 5) });
  t.equal(slopeWithError(around.slice(2)), undefined, 'two points have a line and no error');
  t.equal(ratioOfMedians([2, 4, 100], [1, 2, 3]), 2, 'one outlier decides nothing');
  t.equal(ratioOfMedians([1], []), undefined);
  t.equal(ratioOfMedians([1], [0]), undefined);
  // in the second round somebody else took half of the machine
  t.equal(medianOfRatios([10, 20, 10], [5, 10, 5]), 2, 'a round that is slow for both keeps the ratio');
  t.strictSame(
    [0, 1, 2, 3].map((round) => turn(3, round)),
    [
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
      [0, 1, 2],
    ],
    'everybody begins a round as often as the others',
  );
});

const REPORT = `DNS Performance Testing Tool
Version 2.10.0

[Status] Command line: dnsperf -s 127.0.0.1
Statistics:

  Queries sent:         114379
  Queries completed:    114372 (99.99%)
  Queries lost:         7 (0.01%)

  Response codes:       NOERROR 114000 (99.67%), SERVFAIL 372 (0.33%)
  Average packet size:  request 40, response 88
  Run time (s):         2.002540
  Queries per second:   57113.465898

  Average Latency (s):  0.003279 (min 0.000033, max 0.017332)
  Latency StdDev (s):   0.001086
`;

t.test('the report of dnsperf is read', async (t) => {
  t.same(parseDnsperf(REPORT), {
    sent: 114_379,
    answered: 114_000,
    seconds: 2.00254,
    failures: ['SERVFAIL 372'],
    meanLatencyMillis: 3.279,
    latenciesMillis: [],
  });
  const noted = Array.from({ length: 200 }, (_, i) => `> NOERROR a.example A 0.000${100 + i}`).join('\n');
  const { latenciesMillis } = parseDnsperf(`${noted}\n${REPORT}`);
  t.equal(percentile(latenciesMillis, 0.99), 0.297, 'with -v: 198 of 200 are not above');
  const silent = REPORT.replace(/NOERROR.*\)/, '');
  t.equal(parseDnsperf(silent).answered, 0, 'a server that says nothing');
  for (const line of ['Queries sent', 'Run time', 'Average Latency'])
    t.throws(
      () => parseDnsperf(REPORT.replace(line, 'Something else')),
      /cannot read/,
      `without "${line}" it is refused`,
    );
});

t.test('dnsperf is called for what the row says', async (t) => {
  const load = { port: 5402, queryFile: 'q', transport: 'tcp', clients: 20, outstanding: 200 } as const;
  const args = dnsperfArguments({ ...load, seconds: 3, timesThrough: 1, rate: 1000.7 }).join(' ');
  for (const part of ['-p 5402', '-m tcp', '-c 20', '-q 200', '-l 3', '-n 1', '-Q 1000 -v'])
    t.match(args, part);
  t.notMatch(dnsperfArguments(load).join(' '), / -(?:l|n|Q|v)\b/, 'no bound that was not asked for');
});

t.test('/proc is read', async (t) => {
  const stat = '77 (odd) (name) S 1 77 77 0 -1 4194304 101 5 6 0 150 50 30 20 20 0 1 0 442771 3133440 413';
  t.same(
    parseProcessorTime(stat, 100),
    { userMicros: 1_800_000, systemMicros: 700_000 },
    'children counted in',
  );
  t.throws(() => parseProcessorTime('77 (short) S 1', 100), /cannot read processor times/);
  t.equal(parsePeakMebibytes('VmPeak:\t  999 kB\nVmHWM:\t  133120 kB\nVmRSS:\t  1 kB\n'), 130);
  t.throws(() => parsePeakMebibytes('Name:\tkthreadd\n'), /VmHWM/);
  const rollup =
    'Rss:              107520 kB\nShared_Dirty: 7 kB\nPrivate_Clean: 9 kB\nPrivate_Dirty:     53248 kB\n';
  t.same(parseMemory(rollup), { residentMebibytes: 105, privateMebibytes: 52 });
  t.throws(() => parseMemory('Rss: 1 kB\n'), /Private_Dirty/);
  if (process.platform !== 'linux') return;
  const own = parseProcessorTime(readFileSync('/proc/self/stat', 'utf8'), 100);
  const { user } = process.cpuUsage();
  t.ok(Math.abs(own.userMicros - user) < 1_000_000, 'what the kernel says of this process is what node says');
  t.ok(parsePeakMebibytes(readFileSync('/proc/self/status', 'utf8')) > 20);
  t.ok((await readThreadMillis(process.pid)) > 10, 'its threads have run');
  const worker = new Worker('setInterval(() => {}, 1000)', { eval: true, name: 'beside' });
  await once(worker, 'online');
  t.ok((await readThreadNames(process.pid)).includes('beside'), 'a thread is known by its name');
  await worker.terminate();
});

t.test('the command line', async (t) => {
  const usual = parseOptions([]);
  t.match(usual, { kind: 'options', options: { rounds: 5, seconds: 3, serverCore: 1, loadCore: 0 } });
  t.match(
    usual,
    { options: { rows: ROWS.map(({ name }) => name), bundled: false } },
    'one command measures everything',
  );
  t.match(parseOptions(['--peers', 'all']), {
    options: { peers: ['unbound', 'dnsmasq', 'bind', 'knot-resolver', 'pdns-recursor', 'dnsdist', 'floor'] },
  });
  t.same(parseOptions(['--peers', 'none', '--only', 'miss,endpoint']).kind, 'options');
  t.match(parseOptions(['--help']), { kind: 'help' });
  for (const wrong of [
    ['--rounds', '0'],
    ['--rounds', '1.5'],
    ['--seconds', 'five'],
    ['--peers', 'powerdns'],
    ['--only', 'hits'],
    ['--listener', 'fast'],
    ['--cores', '1,1'],
    ['--cores', '1'],
    ['--fast'],
    ['endpoint'],
  ])
    t.match(parseOptions(wrong), { kind: 'wrong', problem: String }, wrong.join(' '));
});

t.test('the table shows ratios, and who is missing or failed', async (t) => {
  const row = ROWS.find(({ name }) => name === 'start');
  if (row === undefined) throw new Error('no such row');
  const columns = [
    { name: 'outpost-dns', version: '1' },
    { name: 'unbound', version: '2' },
    { name: 'dnsmasq', version: undefined, skipped: 'not installed: apt install dnsmasq-base' },
    { name: 'bind', version: '3' },
  ];
  const measured: Measured[] = [
    {
      contender: 'outpost-dns',
      samples: [{ firstAnswerMillis: 90 }, { firstAnswerMillis: 100 }, { firstAnswerMillis: 400 }],
    },
    {
      contender: 'unbound',
      samples: [{ firstAnswerMillis: 50, failedPercent: 3, failures: ['SERVFAIL 30'] }],
    },
    { contender: 'bind', samples: [], problem: 'it ended with code 1' },
  ];
  const results = [{ row, measured }];
  t.match(
    composeTable(columns, results),
    '| start | to first answer, ms | 100 | 50 (2.00) | not installed | failed |',
  );
  t.strictSame(composeNotes(columns, results), [
    'dnsmasq: not installed: apt install dnsmasq-base',
    'start, unbound: in one round 3.00 % not answered (SERVFAIL 30)',
    'start, bind: it ended with code 1',
  ]);
});

t.test('names differ from each other, and new ones between rounds', async (t) => {
  const names = new Set(
    ['warmup', 'r0', 'r1'].flatMap((series) => [0, 1, 35, 36, 749_999].map((at) => newName(series, at))),
  );
  t.equal(names.size, 15);
  t.equal(new Set(Array.from({ length: 1000 }, (_, at) => cachedName(at))).size, 1000);
});

const contenders: readonly Contender[] = [
  outpostDns({ bundled: false, listener: 'auto', profileDirectory: undefined }),
  unbound,
  dnsmasq,
  bind,
  knotResolver,
  recursor,
  dnsdist,
];

t.test('in the idle row, outpost-dns polls a Region', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'outpost-dns-bench-test-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const region = {
    name: 'us-west-2',
    cluster: 'polled',
    environment: { AWS_ENDPOINT_URL: 'http://127.0.0.1:9' },
    upstreams: ['127.0.0.1:53'],
    pollEverySeconds: 40,
  };
  const command = await contenders[0]!.prepare({ ...TASK, directory, region });
  t.strictSame(command.slice(0, 2), ['env', 'AWS_ENDPOINT_URL=http://127.0.0.1:9']);
  const config = await load(await readFile(join(directory, 'outpost-dns.yaml'), 'utf8'));
  t.match(config, { clusters: [{ name: 'polled', region: 'us-west-2' }] });
});

t.test('every contender is given the same task, on loopback alone', async (t) => {
  for (const contender of contenders) {
    const directory = await mkdtemp(join(tmpdir(), 'outpost-dns-bench-test-'));
    t.teardown(() => rm(directory, { recursive: true }));
    const task: Task = { ...TASK, directory };
    const command = await contender.prepare(task);
    t.ok(command.length > 0, contender.name);
    const files = await readdir(directory, { recursive: true, withFileTypes: true });
    const texts = await Promise.all(
      files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), 'utf8')),
    );
    const text = texts.join('\n');
    for (const part of [String(task.port), String(task.upstreamPort), task.endpoint, ...task.addresses])
      t.match(text, part, `${contender.name} has ${part}`);
    const elsewhere = [...text.matchAll(/\b\d+\.\d+\.\d+\.\d+\b/g)]
      .map(([address]) => address)
      .filter((address) => !address.startsWith('127.') && !task.addresses.includes(address));
    t.strictSame(elsewhere, [], `${contender.name} knows no address outside this machine`);
  }
});

t.test('the configuration of outpost-dns is sound', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'outpost-dns-bench-test-'));
  t.teardown(() => rm(directory, { recursive: true }));
  await contenders[0]!.prepare({ ...TASK, directory });
  const config = await load(await readFile(join(directory, 'outpost-dns.yaml'), 'utf8'));
  t.match(config, { clusters: [{ name: 'bench', endpoint: TASK.endpoint }] });
});

const TASK: Omit<Task, 'directory'> = {
  port: 5498,
  adminPort: 5497,
  upstreamPort: 5496,
  endpoint: 'endpoint.bench.example',
  addresses: ['10.0.1.10', '10.0.1.11', '10.0.1.12'],
  cachedNames: 1000,
  cacheMebibytes: 64,
  forwardedAtATime: 200,
  tcpConnections: 1000,
};

const obstacle = obstacleTo({ serverCore: 1, loadCore: 0, bundled: false });

t.test('one round of one row runs and leaves nothing behind', { skip: obstacle ?? false }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'outpost-dns-bench-test-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const json = join(directory, 'run.json');
  const { code, output, progress } = await bench(directory, ['--seconds', '1', '--json', json]).ended;
  t.equal(code, 0, progress);
  t.match(output, /\| endpoint answer, UDP \| queries\/s \| [\d,]+ \|/);
  const run = JSON.parse(await readFile(json, 'utf8'));
  const [sample] = run.rows[0].contenders[0].samples;
  t.ok(sample.queriesPerSecond > 100, `${sample.queriesPerSecond} queries/s`);
  t.ok(sample.microsPerQuery > 1 && sample.microsPerQuery < 10_000, `${sample.microsPerQuery} us/query`);
  t.ok(sample.peakMebibytes > 20, `${sample.peakMebibytes} MiB`);
  t.strictSame(await readdir(directory), ['run.json'], 'scratch is removed');
  t.strictSame(processesIn(directory), [], 'and no process is left');
});

t.test('ended in the middle, it leaves nothing behind either', { skip: obstacle ?? false }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'outpost-dns-bench-test-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const running = bench(directory, ['--seconds', '30']);
  while (!processesIn(directory).some((pid) => commandOf(pid).includes('dnsperf'))) await pause(20);
  running.child.kill('SIGTERM');
  const { code, progress } = await running.ended;
  t.equal(code, 1);
  t.match(progress, 'ending: SIGTERM');
  t.strictSame(await readdir(directory), [], 'scratch is removed');
  t.strictSame(processesIn(directory), [], 'and no process is left');
});

/** A short bench of the endpoint row that keeps its scratch in `directory`. */
function bench(directory: string, options: readonly string[]) {
  const short = ['--rounds', '1', '--warmup', '1', '--peers', 'none', '--only', 'endpoint'];
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, '..', 'bench', 'run.ts'), ...short, '--first-port', '5480', ...options],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, TMPDIR: directory } },
  );
  const texts = { output: '', progress: '' };
  child.stdout.on('data', (piece) => (texts.output += piece));
  child.stderr.on('data', (piece) => (texts.progress += piece));
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, ended: closed.then((code) => ({ code, ...texts })) };
}

/** IDs of the processes whose command line names the directory. */
function processesIn(directory: string): string[] {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(directory));
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

t.test('what is missing is said in a sentence', { skip: obstacle ?? false }, async (t) => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, '..', 'bench', 'run.ts'), '--cores', '4095,0'],
    {
      encoding: 'utf8',
    },
  );
  t.equal(status, 1);
  t.match(stderr, /^the bench cannot run: cores 4095 and 0 are needed/);
});

t.test('the row restart: a table of its own, ours first, and ratios of the longest waits', async (t) => {
  t.match(parseOptions(['--only', 'restart']), { kind: 'restart' });
  t.match(
    parseOptions(['--only', 'restart,endpoint']),
    { kind: 'wrong' },
    'it shares no machine with other rows',
  );
  const samples = (lost: number, longestMs: number) =>
    [1, 2, 3].map(() => ({ asked: 1000, lost, longestMs }));
  const table = restartTable([
    { name: 'outpost-dns', samples: samples(0, 300) },
    { name: 'Unbound', samples: samples(40, 600) },
    { name: 'BIND', samples: [] },
  ]);
  t.match(table, '| outpost-dns | 0 of 3000 | 0 | 300 | 300 |');
  t.match(table, '| Unbound | 120 of 3000 | 40 | 600 (0.50) | 600 |');
  t.match(table, '| BIND | failed |');
});
