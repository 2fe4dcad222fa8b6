/** Why the bench cannot run on this machine, and how to fix it. */
import { createSocket } from 'node:dgram';
import { cpus } from 'node:os';
import { versionOf } from './contender.ts';
import { outpostDns } from './contenders/outpost-dns.ts';
import type { BenchOptions } from './options.ts';

export type Machinery = Pick<BenchOptions, 'serverCore' | 'loadCore' | 'bundled'>;

/** The first obstacle; undefined where there is none. Peers are no obstacle: a missing one is skipped. */
export function obstacleTo({ serverCore, loadCore, bundled }: Machinery): string | undefined {
  if (process.platform !== 'linux') return 'it reads /proc and pins to cores, which only Linux has';
  if (versionOf('taskset', '--version') === undefined) return 'taskset is missing: apt install util-linux';
  if (versionOf('dnsperf', '-h') === undefined) return 'dnsperf is missing: apt install dnsperf';
  if (Math.max(serverCore, loadCore) >= cpus().length)
    return `cores ${serverCore} and ${loadCore} are needed (--cores), and there are ${cpus().length}`;
  if (versionOf('gcc', '--version') === undefined)
    return 'gcc is missing, and the upstream is compiled: apt install gcc libc6-dev';
  if (outpostDns({ bundled, listener: 'auto', profileDirectory: undefined }).version() === undefined)
    return 'dist/outpost-dns is missing: npm run build';
  return undefined;
}

export const PORTS = 40;

/** A port of the bench that another program has: its answers would be measured in place of a contender's. */
export async function portInUse(firstPort: number): Promise<number | undefined> {
  for (let port = firstPort; port < firstPort + PORTS; port++) {
    const socket = createSocket('udp4');
    const isFree = await new Promise<boolean>((resolve) => {
      socket.once('error', () => resolve(false));
      socket.bind(port, '127.0.0.1', () => resolve(true));
    });
    socket.close();
    if (!isFree) return port;
  }
  return undefined;
}
