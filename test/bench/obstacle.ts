/** Why the bench cannot run on this machine, and what to do about it. */
import { cpus } from 'node:os';
import { versionOf } from './contender.ts';
import { outpostDns } from './contenders/outpost-dns.ts';
import type { BenchOptions } from './options.ts';

/** The first obstacle; undefined where there is none. Peers are no obstacle: a missing one is skipped. */
export type Machinery = Pick<BenchOptions, 'serverCore' | 'loadCore' | 'bundled'>;

export function obstacleTo({ serverCore, loadCore, bundled }: Machinery): string | undefined {
  if (process.platform !== 'linux') return 'it reads /proc and pins to cores, which only Linux has';
  if (versionOf('taskset', '--version') === undefined) return 'taskset is missing: apt install util-linux';
  if (versionOf('dnsperf', '-h') === undefined) return 'dnsperf is missing: apt install dnsperf';
  if (Math.max(serverCore, loadCore) >= cpus().length)
    return `cores ${serverCore} and ${loadCore} are needed (--cores), and there are ${cpus().length}`;
  if (versionOf('gcc', '--version') === undefined)
    return 'gcc is missing, and the upstream is compiled: apt install gcc libc6-dev';
  if (outpostDns({ bundled, profileDirectory: undefined }).version() === undefined)
    return 'dist/outpost-dns is missing: npm run build';
  return undefined;
}
