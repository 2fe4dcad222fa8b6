/**
 * outpost-dns as an operator runs it, with admission, limits, metrics and rotation in the path. Its endpoint is pinned and
 * in the state file, so that it needs no AWS, except in the row that has a Region. Probes are off, and only errors are
 * logged.
 */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import packageJson from '../../package.json' with { type: 'json' };
import type { EndpointRecord } from '../../src/records/endpoint-record.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { atOnce } from '../../src/runtime/slices.ts';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { statePath } from '../../src/store/state-backend.ts';
import type { Contender, Region, Task } from '../contender.ts';
import type { BenchOptions, Listener } from '../options.ts';

export const OURS = 'outpost-dns';
const OWN_TREE = join(import.meta.dirname, '..', '..');

export type Variant = Pick<BenchOptions, 'bundled' | 'listener' | 'profileDirectory'>;

/** This tree, or another one under the name `outpost-dns in <tree>`. */
export function outpostDns({ bundled, listener, profileDirectory }: Variant, tree?: string): Contender {
  const root = tree === undefined ? OWN_TREE : resolve(tree);
  const home = bundled ? join(root, 'dist', 'outpost-dns') : root;
  const program = join(home, 'bin', 'outpost-dns');
  return {
    name: tree === undefined ? OURS : `${OURS} in ${basename(root)}`,
    debianPackage: 'none: run npm run build',
    pollThread: 'aws',
    version: () => (existsSync(program) ? variantText(bundled, listener) : undefined),
    async prepare(task) {
      const state = join(task.directory, 'state');
      await mkdir(state, { recursive: true, mode: 0o750 });
      await saveEndpoint(task, state);
      const file = join(task.directory, 'outpost-dns.yaml');
      await writeFile(file, configuration(task, state, listener));
      // as RuntimeDirectory= of its unit: queries that wait for an upstream are kept there
      const runtime = `RUNTIME_DIRECTORY=${task.directory}`;
      const more = task.region === undefined ? [] : variables(task.region);
      const command = ['env', ...more, runtime, program, 'serve', '--config', file];
      if (profileDirectory === undefined) return command;
      const into = join(resolve(profileDirectory), basename(task.directory));
      return ['env', `NODE_OPTIONS=--cpu-prof --cpu-prof-dir=${into}`, ...command];
    },
  };
}

function variantText(bundled: boolean, listener: Listener): string {
  return `${packageJson.version} ${bundled ? 'bundled' : 'from source'}, listen.udp ${listener}`;
}

function variables({ environment }: Region): string[] {
  return Object.entries(environment).map(([name, value]) => `${name}=${value}`);
}

function configuration(task: Task, state: string, listener: Listener): string {
  const asked = task.region === undefined ? pinned(task) : polled(task.region);
  return `${asked}
listen: { dns: ['127.0.0.1:${task.port}'], udp: ${listener} }
cache: { size: ${task.cacheMebibytes}MiB }
limits: { tcpConnections: ${task.tcpConnections}, tcpConnectionsPerClient: ${task.tcpConnections} }
admin: { listen: '127.0.0.1:${task.adminPort}' }
state: { directory: ${state} }
log: { level: error, format: json }
`;
}

function pinned(task: Task): string {
  return `clusters:
  - name: bench
    endpoint: ${task.endpoint}
    pin: [${task.addresses.join(', ')}]
    sources: [dns]
    probe: { enabled: false }
upstreams: ['127.0.0.1:${task.upstreamPort}']`;
}

function polled({ name, cluster, upstreams, pollEverySeconds }: Region): string {
  return `clusters:
  - name: ${cluster}
    region: ${name}
    probe: { enabled: false }
upstreams: [${upstreams.map((upstream) => `'${upstream}'`).join(', ')}]
refresh: { interfaces: ${pollEverySeconds}s }`;
}

async function saveEndpoint(task: Task, directory: string): Promise<void> {
  const nowMs = systemClock.wallMs();
  const pin = { firstSeenMs: nowMs, lastSeenMs: nowMs };
  const record: EndpointRecord = {
    cluster: task.region?.cluster ?? 'bench',
    ...(task.region === undefined ? {} : { region: task.region.name }),
    endpoint: task.endpoint,
    addresses: task.addresses.map((address) => ({ address, provenance: { pin } })),
    ttlSeconds: 60,
    basis: 'pin',
    changedAtMs: nowMs,
    confirmedAtMs: {},
    lastRefreshFailed: false,
  };
  const encoded = atOnce(ENDPOINTS.encode({ generation: 1, writtenAtMs: nowMs, content: [record] }));
  if (encoded.kind !== 'encoded') throw new Error(`cannot write the state for the bench: ${encoded.detail}`);
  await writeFile(statePath(directory, 'endpoints', 'current'), encoded.octets);
}
