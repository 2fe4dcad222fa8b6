/**
 * The bench: outpost-dns against other servers, in the same run on the same cores. One server at a time runs pinned to one
 * core. dnsperf asks it from the other core, which it shares with the upstream. The rounds alternate, and the ratio of
 * medians counts. It knows processes, /proc and reports, and nothing of what outpost-dns is made of. All traffic stays on
 * 127.0.0.1. How to run and to read it: docs/performance.md.
 *
 *     options -> contenders -> row: start all -> warm up -> rounds -> stop all -> table, notes, JSON
 */
import { spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Contender, ENVIRONMENT } from './contender.ts';
import { bareLoop } from './contenders/bare-loop.ts';
import { bind } from './contenders/bind.ts';
import { dnsdist } from './contenders/dnsdist.ts';
import { dnsmasq } from './contenders/dnsmasq.ts';
import { emptyNode } from './contenders/empty-node.ts';
import { knotResolver } from './contenders/knot-resolver.ts';
import { outpostDns } from './contenders/outpost-dns.ts';
import { recursor } from './contenders/recursor.ts';
import { unbound } from './contenders/unbound.ts';
import { describeMachine } from './machine.ts';
import { measureRow } from './measuring.ts';
import { obstacleTo, portInUse } from './obstacle.ts';
import { type BenchOptions, type PeerName, parseOptions, USAGE } from './options.ts';
import { type OwnProcess, Processes } from './processes.ts';
import { reportJson, reportText } from './report.ts';
import { ROWS } from './rows.ts';
import type { Column, RowResult } from './table.ts';
import type { Workshop } from './workshop.ts';

// not only the exit code: an interrupted measurement may still wait
process.exit(await main());

async function main(): Promise<number> {
  const parsed = parseOptions(process.argv.slice(2));
  if (parsed.kind === 'help') return tell(USAGE, 0);
  if (parsed.kind === 'wrong') return tell(`${parsed.problem}\n\n${USAGE}`, 2);
  if (parsed.kind === 'restart') return await runRestarts();
  const { options } = parsed;
  const obstacle = obstacleTo(options);
  if (obstacle !== undefined) return tell(`the bench cannot run: ${obstacle}\n`, 1);
  const taken = await portInUse(options.firstPort);
  if (taken !== undefined)
    return tell(`the bench cannot run: port ${taken} is in use: give another --first-port\n`, 1);
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'outpost-dns-bench-'));
  stack.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  const processes = stack.use(new Processes());
  // the processor time of the bench itself belongs to the load, not to the server
  spawnSync('taskset', ['-acp', String(options.loadCore), String(process.pid)]);
  return await Promise.race([runBench(options, directory, processes), untilInterrupted()]);
}

async function runRestarts(): Promise<number> {
  // the lab ends its processes on a signal in its own way
  const { measureRestarts, obstacleToRestarts } = await import('./restart.ts');
  const obstacle = obstacleToRestarts();
  if (obstacle !== undefined) return tell(`the bench cannot run: ${obstacle}\n`, 1);
  return tell(await measureRestarts(), 0);
}

function untilInterrupted(): Promise<number> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => {
        note(`ending: ${signal}`);
        resolve(1);
      });
  });
}

function tell(text: string, code: number): number {
  (code === 0 ? process.stdout : process.stderr).write(text);
  return code;
}

async function runBench(options: BenchOptions, directory: string, processes: Processes): Promise<number> {
  const loop = join(directory, 'bare-loop');
  const source = join(import.meta.dirname, 'bare-loop.c');
  const compiler = spawnSync('gcc', ['-O2', '-o', loop, source], { encoding: 'utf8', env: ENVIRONMENT });
  if (compiler.status !== 0) return tell(`the bench cannot run: gcc failed: ${compiler.stderr}\n`, 1);
  const machine = describeMachine();
  const contenders = contendersOf(options, loop);
  const columns = contenders.map(columnOf);
  for (const { name, skipped } of columns) if (skipped !== undefined) note(`${name} is skipped: ${skipped}`);
  const shop: Workshop = {
    options,
    directory,
    processes,
    note,
    startUpstream: (records) => startUpstream(loop, records, options, processes),
  };
  const results: RowResult[] = [];
  for (const row of ROWS.filter(({ name }) => options.rows.includes(name))) {
    const takesPart = ({ rows }: Contender) => rows === undefined || rows.includes(row.name);
    const present = contenders.filter((one, at) => takesPart(one) && columns[at]?.skipped === undefined);
    results.push({ row, measured: await measureRow(row, present, shop) });
  }
  const run = { options, machine, columns, results };
  process.stdout.write(reportText(run));
  if (options.jsonFile !== undefined) await writeFile(options.jsonFile, reportJson(run));
  return results.some(({ measured }) => measured.some(({ problem }) => problem !== undefined)) ? 1 : 0;
}

function contendersOf(options: BenchOptions, loop: string): Contender[] {
  const known: Readonly<Record<PeerName, Contender>> = {
    unbound,
    dnsmasq,
    bind,
    'knot-resolver': knotResolver,
    'pdns-recursor': recursor,
    dnsdist,
    floor: bareLoop(() => loop),
  };
  const other = options.against === undefined ? [] : [outpostDns(options, options.against)];
  const runtime = options.rows.includes('start') ? [emptyNode] : [];
  return [outpostDns(options), ...other, ...options.peers.map((peer) => known[peer]), ...runtime];
}

function columnOf(contender: Contender): Column {
  const version = contender.version();
  const { name, debianPackage } = contender;
  return version === undefined
    ? { name, version, skipped: `not installed: apt install ${debianPackage}` }
    : { name, version };
}

async function startUpstream(
  loop: string,
  records: number,
  { loadCore, firstPort }: BenchOptions,
  processes: Processes,
): Promise<OwnProcess> {
  const command = ['-c', String(loadCore), loop, String(firstPort), String(records)];
  return processes.add(spawn('taskset', command, { env: ENVIRONMENT, stdio: 'ignore' }));
}

/** Progress goes to stderr: stdout has the table alone. */
function note(line: string): void {
  process.stderr.write(`${line}\n`);
}
