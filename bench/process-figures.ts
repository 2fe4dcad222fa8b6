/** A process' figures in the kernel: processor time and memory, from /proc (proc(5)). */
import { spawnSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';

/** Since its start, all of its threads, and children that have ended and been waited for. */
export interface ProcessorTime {
  readonly userMicros: number;
  readonly systemMicros: number;
}

export async function readProcessorTime(pid: number): Promise<ProcessorTime> {
  return parseProcessorTime(await readFile(`/proc/${pid}/stat`, 'utf8'), ticksPerSecond());
}

/** `stat` is the content of /proc/PID/stat; its times count ticks. */
export function parseProcessorTime(stat: string, perSecond: number): ProcessorTime {
  // the second field is the program's name in parentheses, and may hold blanks and parentheses itself
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system, childUser, childSystem] = [14, 15, 16, 17].map((field) => Number(fields[field - 3]));
  if (
    user === undefined ||
    system === undefined ||
    childUser === undefined ||
    childSystem === undefined ||
    !Number.isFinite(user + system + childUser + childSystem)
  )
    throw new Error(`cannot read processor times from "${stat.trim()}"`);
  const tick = 1_000_000 / perSecond;
  return { userMicros: (user + childUser) * tick, systemMicros: (system + childSystem) * tick };
}

/** The processor time between two readings, for each of the queries in between. */
export function microsPerQuery(before: ProcessorTime, after: ProcessorTime, queries: number) {
  const user = after.userMicros - before.userMicros;
  const system = after.systemMicros - before.systemMicros;
  return { microsPerQuery: (user + system) / queries, userMicrosPerQuery: user / queries };
}

/** Milliseconds of processor that its living threads have had, to the nanosecond: a tick is longer than some servers take to start. */
export async function readThreadMillis(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').catch(() => '0')),
  );
  return times.reduce((sum, text) => sum + Number(text.split(' ')[0]), 0) / 1_000_000;
}

/** Names of its living threads, at most 15 characters each. */
export async function readThreadNames(pid: number): Promise<readonly string[]> {
  const threads = await readdir(`/proc/${pid}/task`);
  const names = threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/comm`, 'utf8').catch(() => ''));
  return (await Promise.all(names)).map((name) => name.trim());
}

export interface Memory {
  readonly residentMebibytes: number;
  /** Written by it alone. Pages of its program and of libraries are not among them: other processes may share those. */
  readonly privateMebibytes: number;
}

export async function readMemory(pid: number): Promise<Memory> {
  return parseMemory(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8'));
}

/** `rollup` is the content of /proc/PID/smaps_rollup. */
export function parseMemory(rollup: string): Memory {
  const mebibytes = (name: string): number => {
    const kibibytes = new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(rollup)?.[1];
    if (kibibytes === undefined) throw new Error(`cannot read ${name}: not in smaps_rollup of the process`);
    return Number(kibibytes) / 1024;
  };
  return { residentMebibytes: mebibytes('Rss'), privateMebibytes: mebibytes('Private_Dirty') };
}

/** Peak of its resident memory. */
export async function readPeakMebibytes(pid: number): Promise<number> {
  return parsePeakMebibytes(await readFile(`/proc/${pid}/status`, 'utf8'));
}

/** `status` is the content of /proc/PID/status. */
export function parsePeakMebibytes(status: string): number {
  const kibibytes = /^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1];
  if (kibibytes === undefined) throw new Error('cannot read VmHWM: not in the status of the process');
  return Number(kibibytes) / 1024;
}

let known: number | undefined;

function ticksPerSecond(): number {
  known ??= Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout) || 100;
  return known;
}
