/** Findings about the addresses of endpoints: refused, not proven, dead. The running server has checked them; without it, the state has the last proof. */
import { servedIn } from '../../records/address-proof.ts';
import { type Finding, problem, warning } from './finding.ts';
import { runningEndpoint, type ServerFacts, type Site, type SiteEndpoint } from './site.ts';

interface CheckedAddress {
  readonly address: string;
  readonly isDead?: boolean | undefined;
  readonly proof?: { readonly state: string; readonly reason?: string | undefined } | undefined;
}

interface Checked {
  readonly served: readonly CheckedAddress[];
  readonly withheld: readonly CheckedAddress[];
}

export function addressFindings({
  endpoints,
  server,
}: Pick<Site, 'endpoints' | 'server'>): readonly Finding[] {
  return endpoints.flatMap((endpoint) => {
    // a pin is the operator's own word
    if (endpoint.cluster.probe === undefined || endpoint.cluster.pin.length > 0) return [];
    const { served, withheld } = checkedOf(endpoint, server);
    const name = `"${endpoint.name ?? endpoint.cluster.name}"`;
    return [
      ...served.flatMap((one) => findingOf(one, name, true)),
      ...withheld.flatMap((one) => findingOf(one, name, false)),
    ];
  });
}

function checkedOf({ cluster, record }: SiteEndpoint, server: ServerFacts | undefined): Checked {
  const running = runningEndpoint(server, cluster);
  if (running !== undefined) return { served: running.addresses, withheld: running.withheld };
  return record === undefined ? { served: [], withheld: [] } : servedIn(record);
}

function findingOf(
  { address, isDead, proof }: CheckedAddress,
  name: string,
  isServed: boolean,
): readonly Finding[] {
  const reason = proof?.reason === undefined ? '' : ` (${proof.reason})`;
  if (proof?.state === 'refused') {
    const text = `${address} of ${name} shows another certificate than the cluster's${reason}`;
    if (!isServed) return [warning('address-refused', `${text}: it is not served`, REFUSED)];
    return [problem('address-refused', `${text}: it is served, because no address is proven`, REFUSED)];
  }
  if (isDead === true)
    return [
      warning('address-dead', `${address} of ${name} does not answer: it is served last`, tryIt(address)),
    ];
  if (proof?.state !== 'unproven') return [];
  return [
    warning(
      'address-not-proven',
      `${address} of ${name} is not proven${reason}`,
      UNPROVEN[proof.reason ?? ''] ?? tryIt(address),
    ),
  ];
}

const REFUSED =
  'compare it with the network interfaces of the cluster in EC2; "outpost-dns pin" serves the right addresses until the sources agree';
const UNPROVEN: Readonly<Record<string, string>> = {
  'no-authority':
    'allow eks:DescribeCluster, which returns the authority of the cluster, or name its file in clusters[].probe.ca',
};

function tryIt(address: string): string {
  return `try it from this host: curl -k https://${address}/healthz; a firewall or the local gateway may not let this host through`;
}
