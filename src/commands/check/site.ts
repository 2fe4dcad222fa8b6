/**
 * The facts that the rows of `check` read: the configuration, the state on disk, and the running server. They are gathered
 * once, so that all rows speak of the same moment.
 */
import * as v from 'valibot';
import type { ClusterConfig, Config } from '../../config/config.ts';
import { FarSide } from '../../far-side/far-side.ts';
import type { Log } from '../../log/log.ts';
import { type EndpointRecord, servedIn } from '../../records/endpoint-record.ts';
import { systemClock, systemTimers } from '../../runtime/clock.ts';
import { attemptRead, flag, list, number, object, text } from '../../runtime/forms.ts';
import { ENDPOINTS } from '../../store/endpoints-format.ts';
import { FileReader } from '../../store/state-backend.ts';
import { readState } from '../../store/state-format.ts';
import { placesOf } from '../running-server.ts';
import { getStatus } from '../server-client.ts';
import { inspectDirectory, recordsOf, type StateFacts } from './state.ts';

export interface SiteOptions {
  readonly hostsFile: string;
  readonly resolvConf: string;
  /** Wall time. */
  readonly nowMs: number;
  /** The state of the sandbox is meant to be thrown away. */
  readonly isSandbox?: boolean;
}

export interface Site extends SiteOptions {
  readonly config: Config;
  readonly state: StateFacts;
  readonly endpoints: readonly SiteEndpoint[];
  /** The running server of this configuration. */
  readonly server: ServerFacts | undefined;
  readonly farSide: FarSide;
  /** The deadline of a row that asks the network. */
  readonly deadline: () => AbortSignal;
}

/** A cluster with what is known of its endpoint: by the running server, else by the state on disk. */
export interface SiteEndpoint {
  readonly cluster: ClusterConfig;
  readonly record: EndpointRecord | undefined;
  /** A domain name as text. */
  readonly name: string | undefined;
  readonly addresses: readonly string[];
}

const STATUS_TIMEOUT_MS = 1_000;
/** Each row that asks the network ends within this time; the rows run side by side. */
const ROW_TIMEOUT_MS = 8_000;

export async function openSite(config: Config, options: SiteOptions): Promise<Site & Disposable> {
  const { directory } = config.state;
  const [directoryState, reading, server] = await Promise.all([
    inspectDirectory(directory),
    readState(new FileReader(directory), ENDPOINTS),
    readServer(config),
  ]);
  const state = { directory, state: directoryState, reading, nowMs: options.nowMs };
  const { outbound } = config;
  const farSide = new FarSide({ clock: systemClock, timers: systemTimers, log: SILENT, outbound });
  return {
    ...options,
    config,
    state,
    endpoints: endpointsOf(config, state, server),
    server,
    farSide,
    deadline: () => AbortSignal.timeout(ROW_TIMEOUT_MS),
    [Symbol.dispose]: () => farSide[Symbol.dispose](),
  };
}

/** The findings say all that the far side would log. */
export const SILENT: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => SILENT,
};

function endpointsOf(
  { clusters }: Config,
  { reading }: StateFacts,
  server: ServerFacts | undefined,
): readonly SiteEndpoint[] {
  const records = recordsOf(clusters, reading.served?.content ?? []);
  return clusters.map((cluster) => {
    const record = records.get(cluster);
    const running = runningEndpoint(server, cluster);
    const name = cluster.endpoint ?? running?.endpoint ?? record?.endpoint;
    const kept = record === undefined ? [] : servedIn(record).served.map(({ address }) => address);
    const served = running?.addresses.map(({ address }) => address) ?? [];
    const addresses = cluster.pin.length > 0 ? cluster.pin : served.length > 0 ? served : kept;
    return { cluster, record, name, addresses };
  });
}

const address = object({
  address: text,
  isDead: v.optional(flag),
  proof: v.optional(object({ state: text, reason: v.optional(text) })),
});
const endpoint = object({
  cluster: text,
  region: v.optional(text),
  endpoint: v.optional(text),
  addresses: list(address),
  withheld: v.optional(list(address), []),
  confirmedAgeSeconds: v.optional(number),
  disagreement: v.optional(flag, false),
});
/** The fields of `/status` that the rows read. */
const serverStatus = object({
  server: object({
    version: text,
    listening: list(object({ address: text })),
    notReady: v.optional(list(text), []),
  }),
  endpoints: list(endpoint),
  queries: v.optional(object({ unsent: v.optional(object({ reason: text, times: number })) }), {}),
  state: object({
    directory: text,
    isOurs: flag,
    faults: list(text),
    failure: v.optional(text),
  }),
});
export type ServerFacts = v.InferOutput<typeof serverStatus>;

/** What a server says of the endpoint of a cluster. */
export function runningEndpoint(
  server: ServerFacts | undefined,
  { name, region }: ClusterConfig,
): ServerFacts['endpoints'][number] | undefined {
  return server?.endpoints.find((one) => one.cluster === name && one.region === region);
}

/** The facts of a status; undefined where it is not one. */
export function serverFacts(status: unknown): ServerFacts | undefined {
  const read = attemptRead(serverStatus, status);
  return read.kind === 'ok' ? read.content : undefined;
}

/** The server of this configuration; another server at its address, such as one with other clusters, is not believed. */
async function readServer(config: Config): Promise<ServerFacts | undefined> {
  const reading = await getStatus(placesOf(config).admin, STATUS_TIMEOUT_MS);
  const facts = reading.kind === 'read' ? serverFacts(reading.whole) : undefined;
  return facts?.state.directory === config.state.directory ? facts : undefined;
}
