/**
 * The sources of one cluster: what each is asked with, and where. `dns` is asked through the upstreams, all others through
 * far-side/.
 *
 *     dns         the endpoint's name, asked of the upstreams past our own cache
 *     route53     the endpoint's name in a hosted zone of the customer's own
 *     interfaces  the cluster's network interfaces, as EC2 lists them
 *     cluster     the cluster's description: endpoint, VPC, subnets, certificate authority, generation
 *     kubernetes  the API server's own view of its addresses, asked on the site
 */
import type { Poll } from '../../far-side/far-side.ts';
import type { FarSource, PollSettings } from '../../far-side/poll.ts';
import type { ServicePlace } from '../../far-side/sign-of-life.ts';
import { failed } from '../../far-side/source-error.ts';
import type { AddressObservation, Observation, Source, UpstreamView } from '../../records/observation.ts';
import { type SourceName, traitsOf } from '../../records/sources.ts';
import { createDnsSource, explain, resolveAddresses } from './dns.ts';

export interface SourceSettings extends PollSettings {
  /** The sources to be polled for one cluster; those that ask AWS need its Region. */
  readonly sources: readonly SourceName[];
}

export interface SourceConnections extends UpstreamView {
  readonly poll: Poll;
  /** A poll of this service asks this URL. */
  readonly asked: (place: ServicePlace, url: string) => void;
  /** Whether AWS is to be treated as unreachable although it may answer: a rehearsal. */
  readonly isCutOff: () => boolean;
}

export function createSources(
  { sources, profile, route53, kubernetes }: SourceSettings,
  connections: SourceConnections,
): Source[] {
  const settings = { profile, route53, kubernetes };
  return [...new Set(sources)].map((name) =>
    name === 'dns' ? createDnsSource(connections) : createFarSource(name, settings, connections),
  );
}

function createFarSource(name: FarSource, settings: PollSettings, connections: SourceConnections): Source {
  const { service, crossesLink } = traitsOf(name);
  return {
    name,
    async observe(context, signal) {
      // the API server is on the site; of the upstreams the forwarder knows which are across
      if (crossesLink && connections.isCutOff()) {
        const detail = `observe by "${name}": not tried: a drill runs`;
        return failed(name, { reason: 'network', reachedFarSide: false, detail });
      }
      const { region } = context;
      const seen = await connections.poll(name, settings, context, signal, (url) => {
        if (service === undefined || region === undefined) return;
        connections.asked({ service, region, profile: settings.profile }, url);
      });
      return seen.kind === 'addresses' && seen.targets !== undefined
        ? withTargets(seen, seen.targets, connections, signal)
        : seen;
    },
  };
}

/** All targets or none: a part of them would look like lost addresses. */
async function withTargets(
  { targets: _, ...seen }: AddressObservation,
  targets: readonly string[],
  upstream: UpstreamView,
  signal: AbortSignal,
): Promise<Observation> {
  try {
    const resolved = await Promise.all(targets.map((target) => resolveAddresses(upstream, target, signal)));
    const addresses = [...seen.addresses, ...resolved.flatMap((target) => target.addresses)];
    const ttls = [seen, ...resolved].flatMap(({ ttlSeconds }) => ttlSeconds ?? []);
    return { ...seen, addresses: [...new Set(addresses)], ttlSeconds: Math.min(...ttls) };
  } catch (error) {
    // the zone was read, so AWS has answered, whatever became of the target
    return failed(seen.source, { ...explain(error), reachedFarSide: true });
  }
}
