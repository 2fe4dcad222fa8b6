/** The daemon once it answers: reload, report, stop. */
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/fault.ts';
import { socketText } from '../protocol/words/address-text.ts';
import { CLUSTERS_PER_TURN, type RefreshSnapshot } from '../refresh/refresh-plane.ts';
import { inBackground } from '../runtime/background.ts';
import { endsWithin } from '../runtime/clock.ts';
import { loadNeeds } from '../runtime/memory.ts';
import { atOnce, inSlices, type Steps } from '../runtime/slices.ts';
import { ClientAccess } from '../serving/listener/clients.ts';
import { removeLeftovers, replaceFile } from '../store/file-system.ts';
import type { DaemonParts } from './parts.ts';
import { askedRegions, clusterSettings } from './refresh-rooms.ts';
import { composeStatus, type StatusReport } from './report.ts';
import type { Rooms } from './rooms.ts';
import { changedZones, type Routes, routesOf, upstreamsBoundHere } from './routes.ts';
import { DAEMON_MESSAGES } from './server-report.ts';
import { intakeRules, resolverRules } from './serving-rooms.ts';

export interface Vitals {
  /** Listened on, such as `127.0.0.1:53`. */
  readonly addresses: readonly string[];
  /** A name that is answered from the table at this moment. */
  readonly endpoint: string | undefined;
  /** Replies sent so far. */
  readonly replies: { readonly udp: number; readonly tcp: number };
}

export class Daemon {
  readonly #parts: DaemonParts;
  readonly #rooms: Rooms;
  readonly #startedMs: number;
  /** The running configuration: that of the last reload that was applied. */
  #config: Config;
  /** Who may read the pages. */
  #readers: ClientAccess;
  #loadedMs: number;
  #lastReloadFailed: boolean;
  /** Taken or refused. */
  #reloads = 0;
  #owned = new AsyncDisposableStack();
  #reloading: Promise<void> = Promise.resolve();
  #keeping: Promise<void> = Promise.resolve();
  #isReloadWaiting = false;
  /** Aborted by the stop: a reload is given up, because nobody needs it. */
  readonly #stopping = new AbortController();

  constructor(parts: DaemonParts, rooms: Rooms) {
    this.#parts = parts;
    this.#rooms = rooms;
    this.#startedMs = parts.clock.monotonicMs();
    this.#loadedMs = this.#startedMs;
    this.#config = parts.config;
    this.#lastReloadFailed = parts.refusedConfig !== undefined;
    this.#readers = new ClientAccess(parts.config.admin.allow);
  }

  /** Whether the client at this address may read the pages over HTTP. */
  mayRead(address: string): boolean {
    return this.#readers.isAllowed(address);
  }

  /** Resolves when an address is served that a client can use: not for loopback alone, unless that is all that was asked for. */
  get usable(): Promise<void> {
    return this.#rooms.listeners.usable;
  }

  /** Differs after every reload, after a drill has begun or ended, and after the link has changed. */
  get revision(): string {
    const { drill, link } = this.#rooms;
    return `${this.#reloads} ${drill.isRunning} ${link.current().summary.condition}`;
  }

  /** Whether a browser may ask for the pages by this name. */
  isHost(name: string): boolean {
    return name === this.#parts.hostName?.toLowerCase() || this.#config.admin.hosts.includes(name);
  }

  /** Takes over the resources that the daemon closes at its end; the daemon closes the resource that was opened last first. */
  owns(opened: AsyncDisposableStack): void {
    this.#owned = opened;
  }

  /** Logs upstreams that are addresses of this server; the sockets must be bound. The forwarder finds a loop by itself; this names its cause. */
  async warnOfOwnUpstreams({ groups }: Routes): Promise<void> {
    const { listeners } = this.#rooms;
    const isHere = (address: string) => listeners.isHere(address);
    const finding = upstreamsBoundHere(groups, listeners.addresses, isHere);
    const upstreams = await inSlices(finding, this.#parts.pause);
    if (upstreams.length > 0) DAEMON_MESSAGES.ownUpstream(this.#parts.log, { upstreams });
  }

  /**
   * Reads the configuration again and applies it where it is valid; otherwise logs its faults and keeps the running
   * configuration. A waiting reload serves all requests that come while it waits: it reads the file when it runs. Never rejects.
   */
  reload(): Promise<void> {
    if (this.#isReloadWaiting) return this.#reloading;
    this.#isReloadWaiting = true;
    this.#reloading = this.#reloading.then(() => {
      this.#isReloadWaiting = false;
      return this.#stopping.signal.aborted ? undefined : this.#reload();
    });
    return this.#reloading;
  }

  async #reload(): Promise<void> {
    const { log } = this.#parts;
    try {
      const config = await this.#unlessStopping(this.#parts.loadConfig());
      await this.#apply(config);
      this.#lastReloadFailed = false;
      this.#reloads += 1;
      this.#loadedMs = this.#parts.clock.monotonicMs();
      DAEMON_MESSAGES.reloaded(log);
      this.#rooms.ledger.record({ kind: 'reload', outcome: 'taken' });
      this.keepAccepted();
    } catch (error) {
      if (this.#stopping.signal.aborted) return DAEMON_MESSAGES.reloadGivenUp(log);
      this.#lastReloadFailed = true;
      this.#reloads += 1;
      DAEMON_MESSAGES.reloadRefused(log, refusalFields(error));
      this.#rooms.ledger.record({ kind: 'reload', outcome: 'refused', faults: faultsOf(error) });
    }
  }

  /** Keeps the text in force. A write waits for the write before: the last text is that of the last reload. Never rejects. */
  keepAccepted(): Promise<void> {
    this.#keeping = this.#keeping.then(() =>
      inBackground('other', () => writeAccepted(this.#parts, this.#rooms)),
    );
    return this.#keeping;
  }

  /** Notes that the file of this start was refused, and that what was taken before serves in its place. */
  noteRefusedStart(): void {
    const { log, refusedConfig } = this.#parts;
    if (refusedConfig === undefined) return;
    DAEMON_MESSAGES.startedWithAccepted(log, refusalFields(refusedConfig));
    this.#rooms.ledger.record({ kind: 'reload', outcome: 'refused', faults: faultsOf(refusedConfig) });
  }

  /** Rejects when the daemon stops: a file on a dead disk may never be read. */
  #unlessStopping<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#stopping;
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', reject, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', reject));
    });
  }

  /** Runs first the steps that can fail, so that a refusal changes nothing. Work that grows with the file runs in steps. */
  async #apply(config: Config): Promise<void> {
    const { random } = this.#parts;
    const pause = async (): Promise<void> => {
      await this.#parts.pause();
      this.#stopping.signal.throwIfAborted();
    };
    const { listeners, intake, resolver, cache, forwarder, plane, retained, answers, slots, link } =
      this.#rooms;
    const { connections, use } = this.#rooms;
    const { config: configBefore, routes: routesBefore } = this.#rooms.inForce;
    // all that can be refused is made before anything is changed
    await pause();
    const routes = await inSlices(routesOf(config), pause);
    await pause();
    await loadNeeds(pause, forwarder.needsOf(routes.groups));
    const rules = await inSlices(resolverRules(config, routes), pause);
    await pause();
    const readers = new ClientAccess(config.admin.allow);
    const intakeNext = intakeRules(config, random);
    const clusters = clusterSettings(config, connections);
    await pause();
    await listeners.reconfigure(config.listen.dns);
    intake.reconfigure(intakeNext);
    slots.reconfigure(config.limits.tcp);
    await this.warnOfOwnUpstreams(routes);
    const { take, leave } = await inSlices(forwarder.reconfiguring(routes.groups, config.forward), pause);
    await pause();
    const changed = await inSlices(changedZones(routesBefore, routes), pause);
    await inSlices(cache.forgettingUnder(changed), pause);
    // in one turn of the loop, together with the end of the forgetting: no answer of the old routes comes in between
    take();
    if (routes.scope !== routesBefore.scope)
      cache.forgetFailures(this.#parts.clock.monotonicMs(), configBefore.forward.deadlineMs);
    use(config, routes);
    resolver.reconfigure(rules);
    await pause();
    await inSlices(leave(), pause);
    await inSlices(cache.reconfiguring(config.cache), pause);
    const { scope } = routes;
    answers.reconfigure({ sizeOctets: config.cache.sizeOctets, scope });
    const answered = this.#answeredEndpoints();
    await plane.reconfigure(clusters, config.refresh);
    this.#warnOfLeft(answered, await inSlices(plane.snapshotting(), pause, CLUSTERS_PER_TURN));
    await pause();
    await retained.reconfigure(config.retain);
    await pause();
    if (scope !== routesBefore.scope) retained.kick('other upstreams', 'all');
    this.#rooms.probe.watch(askedRegions(config));
    const regions = new Set(config.clusters.map(({ region }) => region));
    link.retain((side, key) => (side === 'aws' ? regions.has(key) : routes.upstreams.has(key)));
    this.#rooms.farSide.retainProfiles(new Set(config.clusters.map(({ profile }) => profile)));
    this.#parts.setLogLevel(config.log.level);
    this.#warnOfRestartKeys(config);
    this.#config = config;
    this.#readers = readers;
  }

  #answeredEndpoints(): readonly string[] {
    return this.#rooms.serving.current.records.flatMap(({ endpoint, addresses }) =>
      endpoint === undefined || addresses.length === 0 ? [] : [endpoint],
    );
  }

  /** In a cut nobody could learn such an endpoint again under another name of its cluster. */
  #warnOfLeft(before: readonly string[], { clusters }: RefreshSnapshot): void {
    const answered = new Set(clusters.map(({ endpoint, addresses }) => addresses.length > 0 && endpoint));
    const left = before.filter((endpoint) => !answered.has(endpoint));
    if (left.length === 0) return;
    DAEMON_MESSAGES.endpointsLeft(this.#parts.log, {
      endpoints: left.slice(0, TOLD_FAULTS),
      count: left.length,
    });
  }

  /** Keys that a reload cannot change: said, not ignored. */
  #warnOfRestartKeys(next: Config): void {
    const { untilRestart } = this.#parts.config; // as it was at the start: a second reload must not forget
    const keys = Object.keys(untilRestart).filter((key) => untilRestart[key] !== next.untilRestart[key]);
    if (keys.length > 0) DAEMON_MESSAGES.needsRestart(this.#parts.log, { keys });
  }

  /**
   * The host was suspended: everything that is kept has aged, and may have changed meanwhile. Polls first for the addresses and
   * answers that clients get, before any other work that has become due.
   */
  resumed(suspendedMs: number): void {
    DAEMON_MESSAGES.suspended(this.#parts.log, { suspendedMs: Math.round(suspendedMs) });
    this.#rooms.pollAgain('the host was suspended');
  }

  /** Returns the facts from which a watchdog decides whether the server answers queries. */
  vitals(): Vitals {
    const { listeners, serving, intake } = this.#rooms;
    const answered = serving.current.records.find(
      ({ endpoint, addresses }) => endpoint !== undefined && addresses.length > 0,
    );
    return {
      addresses: listeners.addresses.map(socketText),
      endpoint: answered?.endpoint,
      replies: { udp: intake.counters.get('repliesUdp'), tcp: intake.counters.get('repliesTcp') },
    };
  }

  report(): StatusReport {
    return atOnce(this.reporting());
  }

  /** In steps, because it grows with the configuration. */
  reporting(): Steps<StatusReport> {
    return composeStatus(this.#parts, this.#rooms, {
      startedMs: this.#startedMs,
      loadedMs: this.#loadedMs,
      lastReloadFailed: this.#lastReloadFailed,
    });
  }

  /** Saves while queries are answered, lets queries in flight end, closes the sockets. `reason` is for the ledger, such as `SIGTERM`. */
  async stop(reason: string): Promise<void> {
    this.#stopping.abort();
    await this.#reloading;
    this.#rooms.ending.reason = reason;
    // beside each other: a disk that hangs would take the time of the stores, too
    const kept = endsWithin(this.#parts.timers, this.#keeping, KEEP_WAIT_MS);
    await Promise.all([kept, this.#owned.disposeAsync()]);
  }
}

/** A disk that hangs must not hold the stop. */
const KEEP_WAIT_MS = 2_000;

/** A start whose file is refused serves with this. Where the disk does not take it, that start has nothing. */
async function writeAccepted(parts: DaemonParts, rooms: Rooms): Promise<void> {
  const { acceptedConfig } = parts;
  const octets = acceptedConfig?.compose(rooms.inForce.config);
  if (acceptedConfig && octets) await writeForNextStart(parts, rooms, acceptedConfig.name, octets);
}

/** Writes a file that may be lost into the state directory. The store reports a disk that does not take its own files. */
export async function writeForNextStart(
  { config, random }: DaemonParts,
  { files }: Rooms,
  name: string,
  octets: Uint8Array,
): Promise<void> {
  const path = join(config.state.directory, name);
  await removeLeftovers(files, path);
  await replaceFile(files, random, { path, octets }).catch(() => undefined);
}

/** One sentence for each fault. */
function faultsOf(error: unknown): readonly string[] {
  if (!(error instanceof ConfigError)) return [error instanceof Error ? error.message : String(error)];
  return faultFields(error).faults.map(({ path, message }) => `${path}: ${message}`);
}

/** The log gets at most this many faults or names: a file of another program can have thousands, and to write all of them blocks the loop. */
const TOLD_FAULTS = 50;

function refusalFields(error: unknown) {
  return error instanceof ConfigError ? faultFields(error) : { err: error };
}

function faultFields({ faults, count }: ConfigError) {
  return { faults: faults.slice(0, TOLD_FAULTS), count };
}
