/** Builds the rooms that keep served answers fresh: the refresh plane, retained names, the sign of life from a Region. */

import type { ClusterConfig, Config } from '../config/config.ts';
import type { Drill } from '../drill/drill.ts';
import { FarSide } from '../far-side/far-side.ts';
import { shownProxy } from '../far-side/outbound.ts';
import type { OutpostRequest } from '../far-side/poll.ts';
import type { LinkMonitor } from '../link/link-monitor.ts';
import type { Query } from '../protocol/wire/query.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { RetainedRecord } from '../records/retained-record.ts';
import { askedRegion, traitsOf } from '../records/sources.ts';
import { addressCheck, connectTcp } from '../refresh/address-checks.ts';
import { type ClusterSettings, createSources, type SourceConnections } from '../refresh/cluster-sources.ts';
import { createSignOfLife, LinkProbe, type ServicePlace } from '../refresh/link-probe.ts';
import { OutpostWatch } from '../refresh/outpost-watch.ts';
import { RefreshPlane } from '../refresh/refresh-plane.ts';
import type { AskOutcome } from '../refresh/retained/retained-answer.ts';
import { RetainedRefresher } from '../refresh/retained/retained-refresher.ts';
import { GivingBack } from '../runtime/memory.ts';
import { inSlices } from '../runtime/slices.ts';
import type { AnswerCache } from '../serving/answer-cache/answer-cache.ts';
import { EndpointTable } from '../serving/endpoints/endpoint-table.ts';
import { mayBeMadeUp } from '../serving/resolver/outage-answers.ts';
import type { Ledger } from '../store/ledger.ts';
import type { LedgerEvent } from '../store/ledger-format.ts';
import type { StateStore } from '../store/state-store.ts';
import { changeEvents, WithheldChronicle } from './ledger-events.ts';
import type { DaemonParts } from './parts.ts';
import type { ConfigInForce } from './routes.ts';
import { DAEMON_MESSAGES } from './server-report.ts';
import type { ServingRooms } from './serving-rooms.ts';

/** Records that are brought into the table in one turn of the event loop: each takes some 30 microseconds. */
const RECORDS_PER_TURN = 20;

/** The parts of other rooms that the refresh side needs. */
interface Deps {
  readonly inForce: ConfigInForce;
  readonly stores: {
    readonly store: StateStore<readonly EndpointRecord[]>;
    readonly retainedStore: StateStore<readonly RetainedRecord[]>;
    readonly cache: AnswerCache;
    readonly ledger: Ledger;
  };
  readonly outage: { readonly link: LinkMonitor; readonly drill: Drill };
  readonly serving: ServingRooms;
}

export type RefreshRooms = ReturnType<typeof buildRefreshRooms>;

export function buildRefreshRooms(parts: DaemonParts, deps: Deps) {
  const { config, clock, timers, random, log, network } = parts;
  const { inForce, outage, serving } = deps;
  const { forwarder } = serving;
  const { outbound } = config;
  tellOfProxies(parts);
  const memory = new GivingBack(parts.memory ?? (async () => undefined), timers);
  // the pages that the thread is about to touch are the same that the start has touched
  const giveBack = (when: 'thread-starts' | 'thread-ended') =>
    when === 'thread-starts' ? memory.whileThreadLoads() : memory.all();
  const farSide = new FarSide({ clock, timers, log, outbound, giveBack });
  const upstream = {
    isDrilled: () => outage.drill.isRunning,
    // turns of their own: the first poll comes soon after a start, and its three parts take some milliseconds each
    resolve: async (name: string, signal: AbortSignal) => {
      await parts.pause();
      const resolved = await forwarder.resolveAddresses(name, signal, inForce.group);
      await parts.pause();
      return resolved;
    },
    answersText: (name: string, signal: AbortSignal) => forwarder.answersText(name, signal, inForce.group),
  };
  const sign = createSignOfLife({
    ...upstream,
    services: (region) => askedServices(inForce.config, region),
    isReady: farSide.isReady,
    head: farSide.head,
    outbound,
    timers,
  });
  const connections = { ...upstream, poll: network?.poll ?? farSide.poll, asked: sign.asked };
  const probe = new LinkProbe({
    ...(network === undefined ? sign : { ping: network.ping }),
    onDoubt: (region) => plane.pollWorking(region),
    clock,
    timers,
    random,
    evidence: (evidence) => outage.link.report(evidence),
  });
  const onAnswer = (region: string) => probe.sourceAnswered(region);
  const { ledger } = deps.stores;
  const withheld = new WithheldChronicle({
    clock,
    timers,
    record: (event, agoMs) => ledger.record(event, agoMs),
  });
  const onEvent = (event: LedgerEvent) =>
    event.kind === 'withheld' ? withheld.note(event) : ledger.record(event);
  const plane = buildPlane(parts, connections, deps, { onAnswer, prove: farSide.prove, onEvent });
  const retained = buildRetained(parts, deps);
  const outposts = new OutpostWatch({
    ask: network === undefined ? farSide.outpost : (network.outpost ?? (async () => ({ kind: 'no-data' }))),
    outposts: () => (outage.drill.isRunning ? [] : outpostsOf(inForce.config, deps)),
    clock,
    timers,
    random,
    log,
  });
  return { memory, farSide, connections, probe, plane, retained, outposts, withheld };
}

/** The Outposts in Regions that can be reached: in a cut nobody can be asked about an Outpost. */
function outpostsOf({ clusters }: Config, { serving, outage }: Deps): readonly OutpostRequest[] {
  const { paths } = outage.link.current();
  const isReached = (region: string) =>
    paths.some(({ side, key, condition }) => side === 'aws' && key === region && condition === 'connected');
  const found = new Map<string, OutpostRequest>();
  for (const { cluster, region, details } of serving.serving.current.records) {
    const { outpost } = details ?? {};
    if (region === undefined || outpost === undefined || found.has(`${region} ${outpost}`)) continue;
    const settings = clusters.find((one) => one.name === cluster && one.region === region);
    if (settings === undefined || !isReached(region)) continue;
    found.set(`${region} ${outpost}`, { place: { region, profile: settings.profile }, outpost });
  }
  return [...found.values()];
}

/** The log names the proxies, without user and password. */
function tellOfProxies({ config, log }: DaemonParts): void {
  const { httpsProxy, httpProxy, noProxy } = config.outbound;
  if (askedRegions(config).length === 0 || (httpsProxy ?? httpProxy) === undefined) return;
  const [https, http] = [httpsProxy, httpProxy].map((proxy) => proxy && shownProxy(proxy));
  DAEMON_MESSAGES.throughProxy(log, { https, http, noProxy });
}

interface Heard extends Pick<FarSide, 'prove'> {
  readonly onAnswer: (region: string) => void;
  readonly onEvent: (event: LedgerEvent) => void;
}

function buildPlane(
  { config, clock, timers, random, log, pause }: DaemonParts,
  connections: SourceConnections,
  { stores, outage, serving }: Deps,
  { onAnswer, prove, onEvent }: Heard,
): RefreshPlane {
  return new RefreshPlane({
    clusters: clusterSettings(config, connections),
    times: config.refresh,
    clock,
    timers,
    random,
    log,
    pause,
    save: (records) => stores.store.save(records),
    publish: async (records) =>
      serving.serving.publish(
        await inSlices(EndpointTable.composing(records, serving.serving.current), pause, RECORDS_PER_TURN),
      ),
    evidence: (evidence) => {
      if (outage.drill.isRunning) return; // a rehearsed failure says nothing about the link
      outage.link.report(evidence);
      if (evidence.proves === 'reachable') onAnswer(evidence.key);
    },
    onChanges: (cluster, changes) => {
      for (const event of changeEvents(cluster, changes)) onEvent(event);
    },
    check: addressCheck({ prove, connect: connectTcp, timers }),
  });
}

function buildRetained(parts: DaemonParts, { stores, serving }: Deps): RetainedRefresher {
  const { config, clock, timers, random, log, pause } = parts;
  const { forwarder, resolver } = serving;
  const { retainedStore, cache } = stores;
  return new RetainedRefresher({
    questions: config.retain,
    ask: async (query: Query): Promise<AskOutcome> => {
      const route = resolver.routeOf(query);
      const outcome = await forwarder.forward(query, route);
      const isDenied = outcome.kind === 'response' && mayBeMadeUp(outcome.octets, outcome.index);
      return isDenied && resolver.isLinkCut(route)
        ? { kind: 'failed', detail: 'denied while the link is down' }
        : outcome;
    },
    clock,
    timers,
    random,
    log,
    pause,
    save: (compose, change) => retainedStore.saveLater(compose, change),
    publish: ({ name, qtype }, answer) => cache.retain(name, qtype, answer, clock.monotonicMs()),
    withdraw: ({ name, qtype }) => cache.release(name, qtype),
  });
}

export function clusterSettings(
  { clusters }: Config,
  connections: SourceConnections,
): readonly ClusterSettings[] {
  return clusters.map((cluster) => ({ ...cluster, sources: createSources(cluster, connections) }));
}

/** Lists the Regions that the sources ask. A site that uses only DNS sends nothing to AWS, not even a request for a sign of life. */
export function askedRegions(config: Config): readonly string[] {
  return [...new Set(config.clusters.flatMap(servicesOf).map(({ pathRegion }) => pathRegion))];
}

/** Lists the services that the sources ask in one Region: each service once for each profile. */
function askedServices(config: Config, region: string): readonly ServicePlace[] {
  const asked = config.clusters.flatMap(servicesOf).filter(({ pathRegion }) => pathRegion === region);
  return [...new Map(asked.map(({ place }) => [JSON.stringify(place), place])).values()];
}

/** `pathRegion`: where the service is asked, which is the key of the link's path. */
function servicesOf({ region, profile, sources }: ClusterConfig) {
  if (region === undefined) return [];
  return sources.flatMap((source): { pathRegion: string; place: ServicePlace }[] => {
    const { service } = traitsOf(source);
    const pathRegion = askedRegion(source, region);
    if (service === undefined || pathRegion === undefined) return [];
    return [{ pathRegion, place: { service, region, profile } }];
  });
}
