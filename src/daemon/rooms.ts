/** Every room built from the configuration and connected to the others; nothing here opens a socket or a file. */
import type { Config } from '../config/config.ts';
import { Drill, type DrillChange } from '../drill/drill.ts';
import { LinkMonitor } from '../link/link-monitor.ts';
import type { Evidence } from '../link/link-state.ts';
import type { Query } from '../protocol/wire/query.ts';
import { LinkProbe } from '../refresh/link-probe.ts';
import { RefreshPlane } from '../refresh/refresh-plane.ts';
import type { AskOutcome } from '../refresh/retained/retained-question.ts';
import { RetainedRefresher } from '../refresh/retained/retained-refresher.ts';
import { createAwsPing } from '../refresh/sources/aws-ping.ts';
import { HttpsApart } from '../refresh/sources/https-apart.ts';
import { connectTcp } from '../refresh/tcp-connect.ts';
import type { Libc } from '../runtime/datagrams.ts';
import type { Random } from '../runtime/random.ts';
import { AnswerCache } from '../serving/answer-cache/answer-cache.ts';
import { EndpointTable } from '../serving/endpoints/endpoint-table.ts';
import { ServingTable } from '../serving/endpoints/serving-table.ts';
import { Forwarder } from '../serving/forwarder/forwarder.ts';
import { BatchedUdpSockets } from '../serving/forwarder/udp-socket-batched.ts';
import type { UpstreamGroup } from '../serving/forwarder/upstream.ts';
import { ClientAccess } from '../serving/listener/client-access.ts';
import { ClientAddressBook } from '../serving/listener/client-address.ts';
import { Intake, type IntakeRules } from '../serving/listener/intake.ts';
import { Listeners } from '../serving/listener/listeners.ts';
import { RateLimit } from '../serving/listener/rate-limit.ts';
import { TcpSlots } from '../serving/listener/tcp-slots.ts';
import { udpListeners } from '../serving/listener/udp-choice.ts';
import { DisconnectedRules } from '../serving/local-zones/disconnected-rules.ts';
import { LocalZones } from '../serving/local-zones/local-zones.ts';
import { Identity } from '../serving/resolver/identity.ts';
import { Resolver, type ResolverRules } from '../serving/resolver/resolver.ts';
import { AnswersSnapshot } from '../store/answers-snapshot.ts';
import { EndpointsStore } from '../store/endpoints-store.ts';
import type { LoadFault } from '../store/fault.ts';
import { Ledger } from '../store/ledger.ts';
import { RetainedStore } from '../store/retained-store.ts';
import { changeEvents, linkEvent, setAsideEvent } from './ledger-events.ts';
import { LinkChronicle } from './link-chronicle.ts';
import type { DaemonParts } from './parts.ts';
import {
  answersScope,
  cacheSettings,
  clusterSettings,
  defaultGroup,
  disconnectedRules,
  failsByPolicy,
  forwardSettings,
  refreshTimes,
  retainedQuestions,
  tcpLimits,
  upstreamGroups,
  upstreamsAcrossLink,
  zoneRules,
} from './room-options.ts';
import { statusText } from './status-text.ts';

export type Rooms = ReturnType<typeof buildRooms>;

export function buildRooms(parts: DaemonParts, libc: Libc | undefined) {
  const { clock, timers, random, log, pause, network } = parts;
  /** The one that runs: rooms that ask for a part of it at the moment of need see the one of the last reload. */
  let config = parts.config;
  let group = defaultGroup(config);
  let acrossLink = upstreamsAcrossLink(config);
  const { directory } = config.state;

  const serving = new ServingTable();
  const cache = new AnswerCache(cacheSettings(config));
  const ledger = new Ledger({ directory }, { clock, timers, log });
  const onSetAside = (fault: LoadFault) => ledger.record(setAsideEvent(fault));
  const store = new EndpointsStore({ directory }, { clock, random, onSetAside });
  const retainedStore = new RetainedStore({ directory }, { clock, random, pause, onSetAside });
  const answers = new AnswersSnapshot(
    { directory, sizeOctets: cache.settings.sizeOctets, scope: answersScope(config) },
    { cache, clock, timers, random, log, pause, onSetAside },
  );
  /** What may have come back is asked at once, by whoever waits for its next turn. */
  const lookAgain = (reason: string): void => {
    plane.kick(reason);
    retained.kick(reason);
  };
  const drill = new Drill({
    clock,
    timers,
    log,
    byPolicy: () => failsByPolicy(config),
    retained: () => retainedQuestions(config),
    onChange: (change: DrillChange) => {
      ledger.record({ kind: 'drill', ...change });
      link.rehearse(change.phase === 'started');
      if (change.phase === 'ended' && change.by !== 'shutdown') lookAgain('drill is over');
    },
  });
  const chronicle = new LinkChronicle({
    clock,
    timers,
    record: (place, change, agoMs) => ledger.record(linkEvent(place, change), agoMs),
  });
  const link: LinkMonitor = new LinkMonitor({
    clock,
    log,
    onRestored: ({ side }) => lookAgain(`${side} reachable again`),
    onTransition: (transition) => chronicle.note(transition),
    isRehearsed: (side, key) => side === 'aws' || acrossLink.has(key),
  });
  const forwarder = new Forwarder({
    clock,
    timers,
    random,
    log,
    groups: upstreamGroups(config),
    settings: forwardSettings(config),
    ...(libc === undefined ? {} : { openUdp: new BatchedUdpSockets(libc).open }),
    isCutOff: ({ text }) => drill.isRunning && acrossLink.has(text),
    onEvidence: ({ upstream, reachable, reason }) =>
      link.report({
        side: 'upstream',
        key: upstream,
        proves: reachable ? 'reachable' : 'unreachable',
        reason,
      }),
    onUpstreamUp: () => lookAgain('upstream reachable again'),
    ...(network === undefined ? {} : { transports: network.transports }),
  });
  const https = new HttpsApart({ clock, log });
  const connections = {
    clients: network?.aws ?? https.aws,
    kubernetes: https.kubernetes,
    clock,
    isCutOff: () => drill.isRunning,
    resolve: (name: string, signal: AbortSignal) => forwarder.resolveAddresses(name, signal, group),
    answersText: (name: string, signal: AbortSignal) => forwarder.answersText(name, signal, group),
  };
  const ping =
    network?.ping ??
    createAwsPing({
      endpoint: parts.ec2Endpoint,
      resolve: connections.resolve,
      isCutOff: connections.isCutOff,
      head: https.head,
    });
  const probe = new LinkProbe({ ping, clock, timers, random, evidence: (evidence) => link.report(evidence) });
  const plane: RefreshPlane = new RefreshPlane({
    clusters: clusterSettings(config, connections),
    times: refreshTimes(config),
    clock,
    timers,
    random,
    log,
    save: (records) => store.save(records),
    publish: (records) => serving.publish(new EndpointTable(records)),
    evidence: (evidence: Evidence) => {
      if (!drill.isRunning) link.report(evidence); // a rehearsed failure says nothing about the link
    },
    onChanges: (cluster, changes) => {
      for (const event of changeEvents(cluster, changes)) ledger.record(event);
    },
    connect: connectTcp,
  });
  const resolver = new Resolver<UpstreamGroup>(
    {
      endpoints: serving,
      cache,
      clock,
      later: {
        forward: (query, route, landed) => forwarder.forwardTo(query, route, landed),
        isDown: (route) => forwarder.isDown(route),
        isLoopProbe: (query) => forwarder.isLoopProbe(query),
        noteLoop: (query) => forwarder.noteLoop(query),
        timers,
      },
      statusText: (record) => {
        const cluster = plane
          .snapshot()
          .clusters.find((one) => one.cluster === record.cluster && one.region === record.region);
        return statusText(cluster, link.current(), clock.monotonicMs());
      },
      outage: drill.report,
    },
    resolverRules(config),
  );
  const retained: RetainedRefresher = new RetainedRefresher({
    questions: retainedQuestions(config),
    ask: async (query: Query): Promise<AskOutcome> => forwarder.forward(query, resolver.routeOf(query)),
    clock,
    timers,
    random,
    log,
    pause,
    save: (records) => retainedStore.save(records),
    publish: ({ name, qtype }, answer) => cache.retain(name, qtype, answer, clock.monotonicMs()),
    withdraw: ({ name, qtype }) => cache.release(name, qtype),
  });
  const intake = new Intake({ handler: resolver, log, ...intakeRules(config, random) });
  const clients = new ClientAddressBook();
  const slots = new TcpSlots({ intake, clients, clock, timers }, tcpLimits(config));
  const { interfaces } = parts;
  const createUdp = udpListeners(libc);
  const listeners = new Listeners({ intake, clients, clock, timers, log, slots, interfaces, createUdp });
  const use = (next: Config): void => {
    config = next;
    group = defaultGroup(next);
    acrossLink = upstreamsAcrossLink(next);
  };
  const stateFaults: string[] = [];
  /** For the ledger's last line. */
  const ending = { reason: 'could not start' };
  /** Why there is no control socket. */
  const control: { fault: string | undefined } = { fault: undefined };
  return {
    serving,
    cache,
    ledger,
    store,
    retainedStore,
    answers,
    drill,
    link,
    chronicle,
    forwarder,
    https,
    connections,
    probe,
    plane,
    resolver,
    retained,
    intake,
    slots,
    listeners,
    /** Makes this the configuration that is asked from now on. */
    use,
    stateFaults,
    ending,
    control,
  };
}

export function resolverRules(config: Config): ResolverRules<UpstreamGroup> {
  return {
    localZones: new LocalZones({ rules: zoneRules(config) }),
    disconnected: new DisconnectedRules(disconnectedRules(config)),
    identity: new Identity(config.identity),
    defaultRoute: defaultGroup(config),
    trustAuthenticatedData: config.forward.trustAuthenticatedData,
  };
}

export function intakeRules({ clients, limits }: Config, random: Random): IntakeRules {
  return {
    access: new ClientAccess(clients.allow),
    rateLimit: new RateLimit({
      responsesPerSecond: limits.responsesPerSecond,
      slip: limits.slip,
      seed: random.uint32(),
    }),
  };
}
