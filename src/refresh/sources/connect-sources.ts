/**
 * Sources: what looks outside for a cluster's endpoint, and reports what it saw as one value.
 *
 *     dns         the endpoint's name, asked of the upstreams past our own cache
 *     route53     the endpoint's name in a hosted zone of the customer's own
 *     interfaces  the cluster's network interfaces, as EC2 lists them
 *     cluster     the cluster's description: endpoint, VPC, subnets, certificate authority, generation
 *     kubernetes  the API server's own view of its addresses, asked for on the site
 *
 * A source never rejects, never reports a part of what there is, and settles when its signal is aborted, whatever the
 * AWS SDK does meanwhile. The room refuses to know what was seen before and what will be served, and keeps no
 * schedule. Everything that the SDK does wrong for a daemon is dealt with here (client-pool, sdk-config,
 * credentials), and every word that AWS has for a failure is put into ours (aws-failure).
 */

import type { AwsCalls } from '../../far-side/aws/clients.ts';
import { createClusterSource } from '../../far-side/aws/cluster.ts';
import { createInterfacesSource } from '../../far-side/aws/interfaces.ts';
import { createRoute53Source } from '../../far-side/aws/route53.ts';
import type { KubernetesAccess } from '../../far-side/kubernetes/identity.ts';
import type { KubernetesLook } from '../../far-side/kubernetes/kubernetes.ts';
import type { Source, UpstreamView } from '../../records/observation.ts';
import type { SourceName } from '../../records/sources.ts';
import type { Clock } from '../../runtime/clock.ts';
import { withCutOff } from './cut-off.ts';
import { createDnsSource, resolveAddresses } from './dns.ts';

export interface SourceSettings {
  /** Those to be asked for one cluster; `interfaces` and `cluster` need its region. */
  readonly sources: readonly SourceName[];
  /** Profile of the AWS configuration files; the environment's choice when absent. */
  readonly profile?: string | undefined;
  /** Without a zone ID the zone is found by name. */
  readonly route53?: { readonly zoneId?: string | undefined } | undefined;
  /** How the API server is asked; without it that source fails. */
  readonly kubernetes?: KubernetesAccess | undefined;
}

export interface SourceConnections extends UpstreamView {
  readonly clients: AwsCalls;
  /** Looks at the API servers, in another thread. */
  readonly kubernetes: KubernetesLook;
  readonly clock: Clock;
  /** Whether AWS is to be treated as unreachable although it may answer: a rehearsal. */
  readonly isCutOff: () => boolean;
}

/** The sources of one cluster. Clients are shared by all clusters of a Region and profile, and loaded at the first look. */
export function createSources(settings: SourceSettings, connections: SourceConnections): Source[] {
  return [...new Set(settings.sources)].map((name) => {
    const source = createSource(name, settings, connections);
    // the API server is on the site, and so may be the upstreams that `dns` asks: the forwarder cuts off those that are not
    const isAcross = name !== 'kubernetes' && name !== 'dns';
    return isAcross ? withCutOff(source, connections.isCutOff) : source;
  });
}

function createSource(name: SourceName, settings: SourceSettings, connections: SourceConnections): Source {
  const { clients, clock, kubernetes } = connections;
  const { explain, ec2, eks, route53 } = clients;
  const { profile } = settings;
  switch (name) {
    case 'dns':
      return createDnsSource(connections);
    case 'route53':
      return createRoute53Source({
        route53,
        resolveTarget: (target, signal) => resolveAddresses(connections, target, signal),
        explain,
        zoneId: settings.route53?.zoneId,
        profile,
      });
    case 'interfaces':
      return createInterfacesSource({ ec2, explain, profile });
    case 'cluster':
      return createClusterSource({ eks, explain, clock, profile });
    case 'kubernetes':
      return {
        name,
        observe: (context, signal) => kubernetes({ access: settings.kubernetes, context }, signal),
      };
  }
}
