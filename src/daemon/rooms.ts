/** Every room built from the configuration and connected to the others; nothing here opens a socket or a file. */
import type { Config } from '../config/config.ts';
import { LinkMonitor } from '../link/link-monitor.ts';
import { LinkProbe } from '../refresh/link-probe.ts';
import { RefreshPlane } from '../refresh/refresh-plane.ts';
import { createAwsClients } from '../refresh/sources/aws-clients.ts';
import { createAwsPing } from '../refresh/sources/aws-ping.ts';
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
import { EndpointsStore } from '../store/endpoints-store.ts';
import type { DaemonParts } from './parts.ts';
import {
  cacheSettings,
  clusterSettings,
  defaultGroup,
  disconnectedRules,
  forwardSettings,
  refreshTimes,
  tcpLimits,
  upstreamGroups,
  zoneRules,
} from './room-options.ts';
import { statusText } from './status-text.ts';

export type Rooms = ReturnType<typeof buildRooms>;

export function buildRooms(parts: DaemonParts, libc: Libc | undefined) {
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
    ...(libc === undefined ? {} : { openUdp: new BatchedUdpSockets(libc).open }),
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
    answersText: (name: string, signal: AbortSignal) => forwarder.answersText(name, signal, group),
  };
  const ping = createAwsPing({ endpoint: parts.ec2Endpoint, resolve: connections.resolve });
  const probe = new LinkProbe({ ping, timers, random, evidence: (evidence) => link.report(evidence) });
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
    createUdp: udpListeners(libc),
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
    probe,
    cache,
    resolver,
    intake,
    slots,
    listeners,
    useGroup,
    stateFaults,
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
