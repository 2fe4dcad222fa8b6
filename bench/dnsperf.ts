/** dnsperf, the load generator: its command line, and its report as data. */
import { spawn } from 'node:child_process';
import { ENVIRONMENT } from './contender.ts';
import type { Processes } from './processes.ts';

export interface Load {
  readonly port: number;
  readonly queryFile: string;
  readonly transport: 'udp' | 'tcp';
  readonly clients: number;
  readonly outstanding: number;
  /** Ends after this many seconds, or after this many readings of the file, whichever comes first. */
  readonly seconds?: number;
  readonly timesThrough?: number;
  /** Queries per second at most; every latency is noted then. */
  readonly rate?: number;
}

export interface LoadReport {
  readonly sent: number;
  /** Replies that said NOERROR. */
  readonly answered: number;
  readonly seconds: number;
  /** Replies with another response code, such as `SERVFAIL 12`. */
  readonly failures: readonly string[];
  readonly meanLatencyMillis: number;
  /** Of each reply that said NOERROR, where latencies were noted; else empty. */
  readonly latenciesMillis: readonly number[];
}

const REPLY_TIMEOUT_SECONDS = '2';

/** Puts a load on 127.0.0.1 from one core. Throws with dnsperf's output where it fails. */
export async function runDnsperf(load: Load, core: number, processes: Processes): Promise<LoadReport> {
  const child = processes.add(
    spawn('taskset', ['-c', String(core), 'dnsperf', ...dnsperfArguments(load)], {
      env: ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  const [output, problems, { code }] = await Promise.all([
    textOf(child.process.stdout),
    textOf(child.process.stderr),
    child.ended,
  ]);
  if (code !== 0) throw new Error(`dnsperf failed: ${problems.trim() || output.trim().split('\n').at(-1)}`);
  return parseDnsperf(output);
}

export function dnsperfArguments(load: Load): string[] {
  const args = ['-s', '127.0.0.1', '-p', String(load.port), '-d', load.queryFile, '-m', load.transport];
  args.push('-T', '1', '-c', String(load.clients), '-q', String(load.outstanding));
  args.push('-t', REPLY_TIMEOUT_SECONDS, '-b', '4096', '-O', 'suppress=timeouts,unexpected');
  if (load.seconds !== undefined) args.push('-l', String(load.seconds));
  if (load.timesThrough !== undefined) args.push('-n', String(load.timesThrough));
  if (load.rate !== undefined) args.push('-Q', String(Math.floor(load.rate)), '-v');
  return args;
}

/** Reads the report; throws where it is none. */
export function parseDnsperf(output: string): LoadReport {
  const sent = numberIn(output, /^\s*Queries sent:\s+(\d+)/m, 'queries sent');
  const seconds = numberIn(output, /^\s*Run time \(s\):\s+([\d.]+)/m, 'the run time');
  const mean = numberIn(output, /^\s*Average Latency \(s\):\s+([\d.]+)/m, 'the latency');
  const codes = [...(/^\s*Response codes:(.*)$/m.exec(output)?.[1] ?? '').matchAll(/([A-Z]\w*) (\d+)/g)];
  const answered = Number(codes.find(([, code]) => code === 'NOERROR')?.[2] ?? 0);
  const failures = codes.flatMap(([, code, times]) => (code === 'NOERROR' ? [] : [`${code} ${times}`]));
  const latencies = output.matchAll(/^> NOERROR .* ([\d.]+)$/gm);
  const latenciesMillis = [...latencies].map(([, text]) => Math.round(Number(text) * 1e6) / 1e3);
  return { sent, answered, seconds, failures, meanLatencyMillis: mean * 1000, latenciesMillis };
}

function numberIn(output: string, pattern: RegExp, what: string): number {
  const found = pattern.exec(output)?.[1];
  if (found === undefined) throw new Error(`cannot read ${what} from dnsperf: "${output.slice(0, 200)}"`);
  return Number(found);
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  const pieces: string[] = [];
  for await (const piece of stream) pieces.push(String(piece));
  return pieces.join('');
}
