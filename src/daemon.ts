/**
 * The composition root: the rooms are built from the configuration, connected, started, reloaded and stopped.
 * Wiring only; whatever decides something belongs into a room.
 *
 *     state file -> records -> table -> sockets answer -> only then sources look, and the AWS clients are loaded
 */
import { startHttpServer } from './admin/http-server.ts';
import { createMetrics } from './admin/metrics.ts';
import { createPages } from './admin/pages.ts';
import type { StatusReport } from './admin/status-report.ts';
import type { Config } from './config/config.ts';
import { ConfigError } from './config/fault.ts';
import { composeReport } from './daemon/report.ts';
import {
  cacheSettings,
  clusterSettings,
  defaultGroup,
  forwardSettings,
  refreshTimes,
  tcpLimits,
  upstreamGroups,
  zoneRules,
} from './daemon/room-options.ts';
import { statusText } from './daemon/status-text.ts';
import { LinkMonitor } from './link/link-monitor.ts';
import type { Log } from './log/log.ts';
import { RefreshPlane } from './refresh/refresh-plane.ts';
import { createAwsClients } from './refresh/sources/aws-clients.ts';
import { connectTcp } from './refresh/tcp-connect.ts';
import type { Clock } from './runtime/clock.ts';
import type { Random } from './runtime/random.ts';
import type { Timers } from './runtime/timers.ts';
import { AnswerCache } from './serving/answer-cache/answer-cache.ts';
import { EndpointTable } from './serving/endpoints/endpoint-table.ts';
import { ServingTable } from './serving/endpoints/serving-table.ts';
import { Forwarder } from './serving/forwarder/forwarder.ts';
import type { UpstreamGroup } from './serving/forwarder/upstream.ts';
import type { HostInterfaces } from './serving/listener/addresses.ts';
import { ClientAccess } from './serving/listener/client-access.ts';
import { ClientAddressBook } from './serving/listener/client-address.ts';
import { Intake, type IntakeRules } from './serving/listener/intake.ts';
import { Listeners } from './serving/listener/listeners.ts';
import { RateLimit } from './serving/listener/rate-limit.ts';
import { TcpSlots } from './serving/listener/tcp-slots.ts';
import { createPlainUdpListener } from './serving/listener/udp-plain.ts';
import { LocalZones } from './serving/local-zones/local-zones.ts';
import { Identity } from './serving/resolver/identity.ts';
import { Resolver, type ResolverRules } from './serving/resolver/resolver.ts';
import { EndpointsStore } from './store/endpoints-store.ts';
import { lockStateDirectory } from './store/single-writer.ts';
import { prepareDirectory } from './store/state-directory.ts';

export interface DaemonParts {
  readonly config: Config;
  /** Reads the configuration anew, for a reload; throws ConfigError. */
  readonly loadConfig: () => Promise<Config>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly setLogLevel: (level: Config['log']['level']) => void;
  /** `os.networkInterfaces`. */
  readonly interfaces: () => HostInterfaces;
  readonly version: string;
  /** Such as `node 26.10.0`. */
  readonly runtime: string;
}

export interface Daemon {
  /** Takes the configuration anew where it is sound; otherwise logs its faults and goes on with the one it has. Never rejects. */
  reload(): Promise<void>;
  report(): StatusReport;
  /** Saves, closes the sockets, lets queries in flight end. */
  stop(): Promise<void>;
}

/** Starts everything. Throws ListenerError, AdminError or LocalZonesError, with nothing left open, where it cannot serve. */
export async function startDaemon(parts: DaemonParts): Promise<Daemon> {
  await using opened = new AsyncDisposableStack();
  const rooms = buildRooms(parts);
  const { forwarder, listeners, plane, aws, store, serving } = rooms;
  opened.defer(() => forwarder.close());
  opened.defer(() => aws.dispose());
  const directory = parts.config.state.directory;
  const prepared = await prepareDirectory(directory, parts.random);
  if (prepared.kind === 'failed')
    parts.log.error({ detail: prepared.detail }, 'state cannot be kept: serving all the same');
  const lock = prepared.kind === 'ready' ? await lockStateDirectory(directory) : undefined;
  if (lock?.kind === 'locked') opened.use(lock.lock);
  else if (lock !== undefined) parts.log.warn({ detail: lock.detail }, 'state directory is not locked');
  const loaded = await store.load();
  rooms.stateFaults.push(...loaded.faults.map(({ path, detail }) => `${path}: ${detail}`));
  for (const fault of loaded.faults) parts.log.error({ ...fault }, 'state file not usable');
  plane.load(loaded.kind === 'loaded' ? loaded.records : []);
  parts.log.info(
    { generation: rooms.store.state().generation, endpoints: serving.current.records.length },
    'state read',
  );
  opened.defer(() => listeners.close(CLOSE_GRACE_MS));
  await listeners.start(parts.config.listen.dns);
  const daemon = new RunningDaemon(parts, rooms);
  const { listen } = parts.config.admin;
  const metrics = createMetrics(() => daemon.report(), true);
  const http = await startHttpServer({
    ...listen,
    pages: createPages({ report: () => daemon.report(), metrics }),
    log: parts.log,
  });
  opened.defer(() => http.close());
  plane.start();
  opened.defer(() => plane.stop());
  daemon.owns(opened.move());
  return daemon;
}

const CLOSE_GRACE_MS = 500;

type Rooms = ReturnType<typeof buildRooms>;

function buildRooms(parts: DaemonParts) {
  const { config, clock, timers, random, log } = parts;
  const serving = new ServingTable();
  const store = new EndpointsStore({ directory: config.state.directory }, { clock, random });
  const link = new LinkMonitor({
    clock,
    log,
    onRestored: ({ side }) => plane.kick(`${side} reachable again`),
  });
  const forwarder = new Forwarder({
    clock,
    timers,
    random,
    log,
    groups: upstreamGroups(config),
    settings: forwardSettings(config),
    onEvidence: ({ upstream, reachable, reason }) =>
      link.report({
        side: 'upstream',
        key: upstream,
        proves: reachable ? 'reachable' : 'unreachable',
        reason,
      }),
    onUpstreamUp: () => plane.kick('upstream reachable again'),
  });
  let group = defaultGroup(config);
  const aws = createAwsClients({ clock, timers, log });
  const connections = {
    clients: aws,
    clock,
    resolve: (name: string, signal: AbortSignal) => forwarder.resolveAddresses(name, signal, group),
  };
  const plane: RefreshPlane = new RefreshPlane({
    clusters: clusterSettings(config, connections),
    times: refreshTimes(config),
    clock,
    timers,
    random,
    log,
    save: (records) => store.save(records),
    publish: (records) => serving.publish(new EndpointTable(records)),
    evidence: (evidence) => link.report(evidence),
    connect: connectTcp,
  });
  const cache = new AnswerCache(cacheSettings(config));
  const resolver = new Resolver<UpstreamGroup>(
    {
      endpoints: serving,
      cache,
      clock,
      later: {
        forward: (query, route) => forwarder.forward(query, route),
        isDown: (route) => forwarder.isDown(route),
        isOwnExchange: (query) => forwarder.isOwnExchange(query),
        noteLoop: (query) => forwarder.noteLoop(query),
        timers,
      },
      statusText: (record) => {
        const cluster = plane
          .snapshot()
          .clusters.find((one) => one.cluster === record.cluster && one.region === record.region);
        return statusText(cluster, link.current(), clock.monotonicMs());
      },
    },
    resolverRules(config),
  );
  const intake = new Intake({ handler: resolver, log, ...intakeRules(config, random) });
  const clients = new ClientAddressBook();
  const slots = new TcpSlots({ intake, clients, clock, timers }, tcpLimits(config));
  const { interfaces } = parts;
  const listeners = new Listeners({
    intake,
    clients,
    clock,
    timers,
    log,
    slots,
    interfaces,
    createUdp: createPlainUdpListener,
  });
  const useGroup = (next: UpstreamGroup) => {
    group = next;
  };
  const stateFaults: string[] = [];
  return {
    serving,
    store,
    link,
    forwarder,
    aws,
    connections,
    plane,
    cache,
    resolver,
    intake,
    slots,
    listeners,
    useGroup,
    stateFaults,
  };
}

function resolverRules(config: Config): ResolverRules<UpstreamGroup> {
  return {
    localZones: new LocalZones({ rules: zoneRules(config) }),
    identity: new Identity(config.identity),
    defaultRoute: defaultGroup(config),
    trustAuthenticatedData: config.forward.trustAuthenticatedData,
  };
}

function intakeRules({ clients, limits }: Config, random: Random): IntakeRules {
  return {
    access: new ClientAccess(clients.allow),
    rateLimit: new RateLimit({
      responsesPerSecond: limits.responsesPerSecond,
      slip: limits.slip,
      seed: random.uint32(),
    }),
  };
}

class RunningDaemon implements Daemon {
  readonly #parts: DaemonParts;
  readonly #rooms: Rooms;
  readonly #startedMs: number;
  #config: Config;
  #loadedMs: number;
  #lastReloadFailed = false;
  #owned = new AsyncDisposableStack();
  #reloading: Promise<void> = Promise.resolve();

  constructor(parts: DaemonParts, rooms: Rooms) {
    this.#parts = parts;
    this.#rooms = rooms;
    this.#config = parts.config;
    this.#startedMs = parts.clock.monotonicMs();
    this.#loadedMs = this.#startedMs;
  }

  /** What is to be closed at the end, last opened first. */
  owns(opened: AsyncDisposableStack): void {
    this.#owned = opened;
  }

  reload(): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload());
    return this.#reloading;
  }

  async #reload(): Promise<void> {
    const { log } = this.#parts;
    try {
      const config = await this.#parts.loadConfig();
      await this.#apply(config);
      this.#lastReloadFailed = false;
      this.#loadedMs = this.#parts.clock.monotonicMs();
      log.info({}, 'configuration reloaded');
    } catch (error) {
      this.#lastReloadFailed = true;
      const fields = error instanceof ConfigError ? { faults: error.faults } : { err: error };
      log.error(fields, 'reload refused: the configuration from before runs on');
    }
  }

  /** What can fail comes first, so that a refusal leaves everything as it was. */
  async #apply(config: Config): Promise<void> {
    const { random } = this.#parts;
    const { listeners, intake, resolver, cache, forwarder, plane, slots, link, connections, useGroup } =
      this.#rooms;
    const rules = resolverRules(config);
    const intakeNext = intakeRules(config, random);
    await listeners.reconfigure(config.listen.dns);
    intake.reconfigure(intakeNext);
    slots.reconfigure(tcpLimits(config));
    forwarder.reconfigure(upstreamGroups(config), forwardSettings(config));
    useGroup(defaultGroup(config));
    resolver.reconfigure(rules);
    cache.reconfigure(cacheSettings(config));
    plane.reconfigure(clusterSettings(config, connections), refreshTimes(config));
    const keys = new Set([
      ...upstreamGroups(config).flatMap(({ upstreams }) => upstreams.map(({ text }) => `upstream ${text}`)),
      ...config.clusters.map(({ region }) => `aws ${region}`),
    ]);
    link.retain((side, key) => keys.has(`${side} ${key}`));
    this.#parts.setLogLevel(config.log.level);
    this.#warnOfRestartKeys(config);
    this.#config = config;
  }

  /** Keys that a reload cannot change: said, not ignored. */
  #warnOfRestartKeys(next: Config): void {
    const before = this.#config;
    const changed = [
      ['state.directory', before.state.directory, next.state.directory],
      ['admin.listen', JSON.stringify(before.admin.listen), JSON.stringify(next.admin.listen)],
      ['log.format', before.log.format, next.log.format],
    ].flatMap(([key, was, is]) => (was === is ? [] : [key]));
    if (changed.length > 0) this.#parts.log.warn({ keys: changed }, 'changed keys need a restart');
  }

  report(): StatusReport {
    const { clock, version, runtime } = this.#parts;
    const { link, plane, forwarder, cache, intake, resolver, listeners, store, stateFaults } = this.#rooms;
    return composeReport({
      clock,
      version,
      runtime,
      startedMs: this.#startedMs,
      configuration: { loadedMs: this.#loadedMs, lastReloadFailed: this.#lastReloadFailed },
      stateDirectory: this.#parts.config.state.directory,
      stateFaults,
      cacheLimitOctets: cache.settings.sizeOctets,
      link,
      refresh: plane.snapshot(),
      upstreams: forwarder.snapshot().upstreams,
      cache: cache.stats(),
      intake,
      counters: resolver.counters,
      listening: listeners.addresses,
      store: store.state(),
    });
  }

  async stop(): Promise<void> {
    await this.#reloading;
    await this.#owned.disposeAsync();
    await this.#rooms.store.flush();
  }
}
