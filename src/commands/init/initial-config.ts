/** The text of the configuration that `init` writes: the smallest that is useful, with a comment at each key. Pure. */
import { stringify } from 'yaml';
import type { ClusterDetails } from '../../records/endpoint-record.ts';

export interface Discovered {
  readonly name: string;
  readonly region: string;
  readonly profile?: string | undefined;
  /** From a kubeconfig. */
  readonly endpoint?: string | undefined;
  /** From DescribeCluster. */
  readonly details?: ClusterDetails | undefined;
  readonly addresses: readonly string[];
  readonly upstreams: readonly string[];
  /** Why AWS said nothing. */
  readonly failures: readonly string[];
}

export function initialConfig({
  name,
  region,
  profile,
  endpoint,
  details,
  addresses,
  upstreams,
  failures,
}: Discovered): string {
  // DescribeCluster returns the endpoint; without it, only the name from the kubeconfig is known
  const isNamed = details === undefined && endpoint !== undefined;
  return `# The configuration of outpost-dns. docs/configuration.md explains every key, "outpost-dns check" finds its faults.

clusters:
  - name: ${scalar(name)}
    region: ${scalar(region)}
${isNamed ? `    # from the kubeconfig; where eks:DescribeCluster is allowed, this line can go\n    endpoint: ${scalar(endpoint)}\n` : ''}${profile === undefined ? '' : `    # the profile of the AWS configuration files\n    profile: ${scalar(profile)}\n`}${factsComment(details, addresses, failures)}
# Every other name is forwarded to these resolvers. Two are better than one; resolvers on the site go on in an outage.
upstreams:
${upstreams.map((one) => `  - ${scalar(one)}`).join('\n')}

# Names that the site needs in an outage besides the endpoint, such as a registry on the site: their last answer is kept.
# retain:
#   - registry.example.com

# Clients that may ask. The default is private networks.
# clients:
#   allow: [127.0.0.0/8, 10.0.0.0/8]

# Where the addresses survive a power cut: a directory on a disk.
# state:
#   directory: /var/lib/outpost-dns
`;
}

/** The facts need not be configured: the server learns them, and follows when they change. */
function factsComment(
  details: ClusterDetails | undefined,
  addresses: readonly string[],
  failures: readonly string[],
): string {
  const facts = [
    ...(details === undefined ? [] : [`endpoint ${details.endpoint}`]),
    ...(details?.vpcId === undefined ? [] : [`VPC ${details.vpcId}`]),
    ...(details?.generation === undefined ? [] : [`generation ${details.generation}`]),
    ...(addresses.length === 0 ? [] : [`addresses ${addresses.join(', ')}`]),
  ].map(oneLine);
  const learned =
    facts.length === 0
      ? []
      : [
          '    # Learned from AWS, and kept up to date by the server:',
          ...facts.map((fact) => `    #   ${fact}`),
        ];
  const unknown = failures.map((failure) => `    # Not learned yet: ${oneLine(failure)}`);
  return [...learned, ...unknown, ''].join('\n');
}

/** A comment ends with its line. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ');
}

function scalar(text: string): string {
  return stringify(text, { lineWidth: 0 }).trimEnd();
}
