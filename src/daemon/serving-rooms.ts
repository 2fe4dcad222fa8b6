/** Builds the rooms that a query passes: sockets, intake, resolver, forwarder. Nothing here opens a socket. */
import type { Config } from '../config/config.ts';
import type { Drill } from '../drill/drill.ts';
import { LINK_THRESHOLDS, type LinkMonitor } from '../link/link-monitor.ts';
import type { Random } from '../runtime/random.ts';
import { atOnce, type Steps } from '../runtime/slices.ts';
import type { AnswerCache } from '../serving/answer-cache/answer-cache.ts';
import { ServingTable } from '../serving/endpoints/endpoint-table.ts';
import { Forwarder } from '../serving/forwarder/forwarder.ts';
import { tcp } from '../serving/forwarder/tcp.ts';
import { tls } from '../serving/forwarder/tls.ts';
import { BatchedUdpSockets, udp } from '../serving/forwarder/udp.ts';
import { type ChosenCalls, udpListeners } from '../serving/listener/bound-address.ts';
import { ClientAccess, ClientAddressBook, RateLimit } from '../serving/listener/clients.ts';
import { Intake, type IntakeRules } from '../serving/listener/intake.ts';
import { LISTENER_MESSAGES } from '../serving/listener/listener-messages.ts';
import { Listeners } from '../serving/listener/listeners.ts';
import { ServerCookies } from '../serving/listener/server-cookies.ts';
import { HandedListenSockets } from '../serving/listener/socket-plan.ts';
import { TAKEN_FILE_OCTETS, TakenQueries } from '../serving/listener/taken-queries.ts';
import { TcpSlots } from '../serving/listener/tcp.ts';
import { DisconnectedRules } from '../serving/local-zones/disconnected-rules.ts';
import { LocalZones } from '../serving/local-zones/local-zones.ts';
import { Rehearsal, type RehearsalDeps } from '../serving/resolver/rehearsal.ts';
import { Resolver } from '../serving/resolver/resolver.ts';
import {
  FailedNames,
  Identity,
  type ResolverOptions,
  type ResolverRules,
} from '../serving/resolver/resolver-deps.ts';
import type { DaemonParts } from './parts.ts';
import { type ConfigInForce, defaultGroup, disconnectedRules, type Routes, siteNames } from './routes.ts';

/** The parts of other rooms that the serving side needs. */
interface Deps {
  readonly calls: ChosenCalls;
  readonly inForce: ConfigInForce;
  readonly cache: AnswerCache;
  readonly outage: { readonly link: LinkMonitor; readonly drill: Drill };
  /** Asks every source and upstream that may be reachable again. */
  readonly pollAgain: (reason: string) => void;
  /** Returns the TXT strings at `_status.<endpoint>`. */
  readonly statusStrings: ResolverOptions['statusStrings'];
}

export type ServingRooms = ReturnType<typeof buildServingRooms>;

export function buildServingRooms(parts: DaemonParts, deps: Deps) {
  const { config, clock, timers, random, log, interfaces } = parts;
  const { calls, cache, outage, statusStrings, inForce } = deps;
  const serving = new ServingTable();
  const failedNames = new FailedNames();
  const forwarder = buildForwarder(parts, deps);
  const options: RehearsalDeps['options'] = {
    endpoints: serving,
    cache,
    clock,
    timers,
    upstreams: forwarder,
    link: outage.link.cuts,
    statusStrings,
    outage: outage.drill.report,
    failedNames,
  };
  const resolver = new Resolver(options, atOnce(resolverRules(config, inForce.routes)));
  const rehearsal = new Rehearsal({
    options,
    rules: () => resolver.rules,
    isAcrossLink: ({ name }) => {
      const group = inForce.routes.groups.find((one) => one.name === name);
      return group?.upstreams.every(({ text }) => inForce.routes.acrossLink.has(text)) ?? false;
    },
  });
  const cookies = new ServerCookies({ clock, random });
  const intake = new Intake({ handler: resolver, log, clock, cookies, ...intakeRules(config, random) });
  const clients = new ClientAddressBook();
  const slots = new TcpSlots({ intake, clients, clock, timers }, config.limits.tcp);
  const listeners = new Listeners({
    ...{ intake, clients, clock, timers, log, slots, interfaces },
    ...listening(parts, calls),
  });
  return { serving, forwarder, resolver, rehearsal, failedNames, intake, slots, listeners };
}

function listening({ handed, outliving, clock, log }: DaemonParts, { libc, datagrams }: ChosenCalls) {
  const { sockets, faults } = handed?.(libc) ?? { sockets: [], faults: [] };
  for (const fault of faults) LISTENER_MESSAGES.handedUnusable(log, { fault });
  // a plain listener keeps none: it takes datagrams before it is asked
  const opened = datagrams && outliving?.('taken-queries', TAKEN_FILE_OCTETS);
  if (opened?.kind === 'failed') LISTENER_MESSAGES.takenNotKept(log, { detail: opened.detail });
  return {
    createUdp: udpListeners(datagrams),
    libc,
    hasPacketInfo: datagrams !== undefined,
    handed: new HandedListenSockets(sockets, libc?.duplicate),
    taken: opened?.kind === 'open' ? new TakenQueries(opened.file, clock, log) : undefined,
    watchHostAddresses: libc?.watchHostAddresses,
  };
}

function buildForwarder(parts: DaemonParts, { calls, inForce, outage, pollAgain }: Deps): Forwarder {
  const { config, clock, timers, random, log, network } = parts;
  const { drill, link } = outage;
  return new Forwarder({
    clock,
    timers,
    random,
    log,
    groups: inForce.routes.groups,
    settings: config.forward,
    link: link.cuts,
    isDrilled: ({ text }) => drill.isRunning && inForce.routes.acrossLink.has(text),
    onEvidence: ({ upstream, reachable, reason }) =>
      link.report({
        side: 'upstream',
        key: upstream,
        proves: reachable ? 'reachable' : 'unreachable',
        reason,
      }),
    evidenceWanted: {
      failures: LINK_THRESHOLDS.failuresToDisconnect,
      answers: LINK_THRESHOLDS.successesToConnect,
    },
    onUpstreamUp: () => pollAgain('upstream reachable again'),
    transports: network?.transports ?? {
      udp: udp(calls.datagrams && new BatchedUdpSockets(calls.datagrams).open),
      tcp: tcp(calls.libc?.connectStream),
      tls: tls(timers, undefined, calls.libc?.connectStream),
    },
  });
}

export function* resolverRules(config: Config, routes: Routes): Steps<ResolverRules> {
  return {
    localZones: yield* LocalZones.building({
      rules: config.zones,
      siteNames: siteNames(config, defaultGroup(config)),
    }),
    disconnected: yield* DisconnectedRules.building(disconnectedRules(config, routes)),
    identity: new Identity(config.identity),
    defaultRoute: defaultGroup(config),
    // a zone that the operator sends to other servers is answered by those for as long as they answer
    routesBeyondLink: routes.defaults,
    trustAuthenticatedData: config.forward.trustAuthenticatedData,
    deadlineMs: config.forward.deadlineMs,
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
    refusalLimit: new RateLimit({
      responsesPerSecond: limits.refusalsPerSecond,
      slip: 0,
      seed: random.uint32(),
    }),
  };
}
