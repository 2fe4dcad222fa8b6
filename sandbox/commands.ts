/** The commands of a running sandbox: one entry for each, its input checked by its schema. */
import * as z from 'zod';
import type { ApiServers } from './api-servers.ts';
import { toResource } from './dns-messages.ts';
import type { DnsServer } from './dns-server.ts';
import type { Cluster } from './facts.ts';
import type { Fault, Faults, LinkSwitch } from './faults.ts';
import type { RegionServer } from './region-server.ts';
import { type RegionState, RollingPatch } from './region-state.ts';

export interface CommandTarget {
  readonly state: RegionState;
  readonly faults: Faults;
  readonly link: LinkSwitch;
  readonly region: RegionServer;
  readonly dns: DnsServer;
  readonly apiServers: ApiServers;
  /** Patches that are under way, by Region and cluster. */
  readonly patches: Map<string, RollingPatch>;
  /** The server that runs against this sandbox, where its command started one. */
  readonly server: { configFile?: string; environment?: Readonly<Record<string, string>> };
}

export interface Command {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Throws ZodError for input of the wrong shape, SandboxError for input that does not fit the facts. */
  run(body: unknown, target: CommandTarget): unknown;
}

const service = z.enum(['ec2', 'route53', 'eks', 'sts', 'cloudwatch']);
const count = z.int().min(0);
const delay = z.int().min(0).max(3_600_000);
const occasion = { skip: count.optional(), times: count.optional() };
const http = { service: z.union([service, z.literal('*')]), operation: z.string().optional(), ...occasion };
const dns = { service: z.literal('dns'), name: z.string().optional(), ...occasion };

const faultSchema: z.ZodType<Fault> = z.discriminatedUnion('kind', [
  z.strictObject({
    ...http,
    kind: z.enum(['throttle', 'deny', 'expire', 'hang', 'reset', 'half', 'html', 'empty', 'endless']),
  }),
  z.strictObject({ ...http, kind: z.literal('drip'), intervalMs: delay.min(1) }),
  z.strictObject({ ...http, kind: z.literal('pages'), size: count }),
  z.strictObject({
    ...http,
    kind: z.literal('error'),
    code: z.string(),
    message: z.string(),
    status: z.int().min(400).max(599),
  }),
  z.strictObject({
    ...dns,
    kind: z.enum(['drop', 'servfail', 'refused', 'truncate', 'filter', 'authenticated']),
  }),
  z.strictObject({ ...dns, kind: z.literal('delay'), delayMs: delay }),
]);

const linkSchema = z.strictObject({ state: z.enum(['up', 'down', 'refused']) });

const clearSchema = z.strictObject({
  service: z.union([service, z.literal('*'), z.literal('dns')]).optional(),
});

const clusterSchema = { cluster: z.string(), region: z.string().optional() };

const moveSchema = z.strictObject({
  ...clusterSchema,
  from: z.ipv4(),
  to: z.ipv4(),
  interfaces: z.boolean().optional(),
  dns: z.boolean().optional(),
});

const patchSchema = z.strictObject(clusterSchema);

const recreateSchema = z.strictObject({
  ...clusterSchema,
  endpoint: z.string(),
  addresses: z.array(z.ipv4()).min(1),
  vpcId: z.string().optional(),
});

const recordsSchema = z.strictObject({
  name: z.string(),
  type: z.string().toUpperCase(),
  values: z.array(z.string()),
  ttlSeconds: z.int().min(0).max(0x7fffffff).default(60),
});

const credentialsSchema = z.strictObject({
  accessKeyId: z.string().min(1),
  secretAccessKey: z.string().min(1).optional(),
  sessionToken: z.string().min(1).optional(),
  /** From now, by the Region's clock; 0 ends the key at once. */
  expiresInMs: z.int().optional(),
  revoked: z.boolean().optional(),
});

/** The host that has an address: its API server, another host, or none; `auto`: what the interfaces say. */
const hostSchema = z.strictObject({ address: z.ipv4(), host: z.enum(['api', 'other', 'none', 'auto']) });

const clockSchema = z.strictObject({ offsetMs: z.int() });

export const COMMANDS: readonly Command[] = [
  { method: 'GET', path: '/state', run: (_, target) => describeSandbox(target) },
  { method: 'GET', path: '/server', run: (_, { server }) => server },
  {
    method: 'POST',
    path: '/link',
    run: (body, { link }) => {
      link.set(linkSchema.parse(body).state);
      return { link: link.state };
    },
  },
  {
    method: 'POST',
    path: '/fault',
    run: (body, { faults }) => {
      faults.add(faultSchema.parse(body));
      return { faults: faults.list() };
    },
  },
  {
    method: 'POST',
    path: '/fault/clear',
    run: (body, { faults }) => {
      faults.clear(clearSchema.parse(body).service);
      return { faults: faults.list() };
    },
  },
  {
    method: 'POST',
    path: '/eni',
    run: (body, target) => {
      const move = moveSchema.parse(body);
      target.state.moveInterface(move);
      return describeCluster(target.state.cluster(move.cluster, move.region), target.state);
    },
  },
  { method: 'POST', path: '/patch', run: patchOn },
  { method: 'POST', path: '/recreate', run: recreate },
  { method: 'POST', path: '/records', run: setRecords },
  { method: 'POST', path: '/credentials', run: (body, { state }) => setCredentials(body, state) },
  {
    method: 'POST',
    path: '/clock',
    run: (body, { state }) => {
      state.clockOffsetMs = clockSchema.parse(body).offsetMs;
      return { clockOffsetMs: state.clockOffsetMs };
    },
  },
  {
    method: 'POST',
    path: '/host',
    run: (body, { apiServers: { hosts } }) => {
      const { address, host } = hostSchema.parse(body);
      if (host === 'auto') hosts.delete(address);
      else hosts.set(address, host);
      return { hosts: Object.fromEntries(hosts) };
    },
  },
];

/** No values: the records of that name and type are removed. */
function setRecords(body: unknown, { state }: CommandTarget): unknown {
  const { name, type, values, ttlSeconds } = recordsSchema.parse(body);
  const records = values.map((value) => ({ name, type, ttlSeconds, value }));
  for (const record of records) toResource(record); // fails now and not at the first query
  state.setRecords(name, type, values, ttlSeconds);
  return { records };
}

/** A new key, a change of a known one, or its end. */
function setCredentials(body: unknown, state: RegionState): unknown {
  const asked = credentialsSchema.parse(body);
  const known = state.accessKeys.find(({ accessKeyId }) => accessKeyId === asked.accessKeyId);
  const model = known ?? state.accessKeys[0];
  if (asked.revoked === true) state.revokeAccessKey(asked.accessKeyId);
  else {
    state.putAccessKey({
      accountId: model?.accountId ?? '111122223333',
      arn: model?.arn ?? 'arn:aws:iam::111122223333:user/outpost-dns',
      accessKeyId: asked.accessKeyId,
      secretAccessKey: asked.secretAccessKey ?? known?.secretAccessKey ?? '',
      sessionToken: asked.sessionToken ?? known?.sessionToken,
      expiresAtMs: asked.expiresInMs === undefined ? known?.expiresAtMs : state.nowMs() + asked.expiresInMs,
    });
  }
  return { accessKeys: describeKeys(state) };
}

/** The whole state for a person or a test, without secrets. */
function describeSandbox({ state, faults, link, region, dns }: CommandTarget): object {
  return {
    link: link.state,
    regionUrl: region.url,
    dnsAddress: dns.address,
    clockOffsetMs: state.clockOffsetMs,
    clusters: state.clusters.map((cluster) => describeCluster(cluster, state)),
    faults: faults.list(),
    accessKeys: describeKeys(state),
    requests: region.requests.length,
    queries: dns.queries.length,
  };
}

/** The next moment of a rolling patch of the cluster's control plane. */
function patchOn(body: unknown, { state, patches }: CommandTarget): unknown {
  const { cluster, region } = patchSchema.parse(body);
  const found = state.cluster(cluster, region);
  const key = `${found.region}/${found.name}`;
  const patch = patches.get(key) ?? new RollingPatch(state, found.name, found.region);
  patches.set(key, patch);
  return { ...patch.next(), ...describeCluster(found, state) };
}

function recreate(body: unknown, { state, patches }: CommandTarget): unknown {
  const { cluster, region, ...next } = recreateSchema.parse(body);
  state.recreateCluster(cluster, region, next);
  patches.clear();
  return describeCluster(state.cluster(cluster, region), state);
}

function describeCluster({ name, region, generation, endpoint }: Cluster, state: RegionState): object {
  return {
    name,
    region,
    generation,
    endpoint,
    interfaces: state.interfacesOf(name, region).map(({ id, address, status }) => ({ id, address, status })),
    dns: state.endpointAddresses(name, region),
  };
}

function describeKeys(state: RegionState): object[] {
  return state.accessKeys.map(({ accessKeyId, expiresAtMs }) => ({
    accessKeyId,
    isExpired: expiresAtMs !== undefined && expiresAtMs <= state.nowMs(),
  }));
}
