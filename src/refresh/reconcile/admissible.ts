/** Which addresses an endpoint of a local cluster may have at all: those within what the operator allows. */
import { isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';

export type RefusalReason =
  | 'not-ipv4'
  | 'public'
  | 'loopback'
  | 'multicast'
  | 'unspecified'
  | 'broadcast'
  | 'link-local'
  | 'not-allowed';

/** Why `address` must not be served, or undefined when it may be. */
export type Admission = (address: string) => RefusalReason | undefined;

/**
 * The operator's range decides, public or not: AWS allows public ranges in the VPC of the EBS generation. An address that
 * no interface can have is refused even there, because a filter or a hijacked answer may give it.
 *
 * @param allowedRanges CIDR texts, already validated; ranges of IPv6 match nothing (endpoints have A records only)
 */
export function admission(allowedRanges: readonly string[]): Admission {
  const ranges = allowedRanges
    .map((range) => ipaddr.parseCIDR(range))
    .filter(([network]) => network.kind() === 'ipv4');
  return (address) => {
    if (!isIPv4(address)) return 'not-ipv4';
    const parsed = ipaddr.IPv4.parse(address);
    const suspicious = REFUSED_RANGES[parsed.range()];
    if (suspicious !== undefined && suspicious !== 'public') return suspicious;
    return ranges.some((range) => parsed.match(range)) ? undefined : (suspicious ?? 'not-allowed');
  };
}

const REFUSED_RANGES: Readonly<Partial<Record<ReturnType<ipaddr.IPv4['range']>, RefusalReason>>> = {
  unicast: 'public', // ipaddr.js's name for whatever no registry set apart
  as112: 'public', // RFC 7534, RFC 7535
  amt: 'public', // RFC 7450
  unspecified: 'unspecified', // the whole of 0.0.0.0/8, RFC 1122 section 3.2.1.3
  loopback: 'loopback',
  multicast: 'multicast',
  broadcast: 'broadcast',
  linkLocal: 'link-local', // RFC 3927 section 2.8: never forwarded, so never an endpoint for another host
};
