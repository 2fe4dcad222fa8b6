/**
 * EC2's own names while the resolver of the VPC cannot be asked: `ip-10-0-3-10.<region>.compute.internal` carries its
 * address, and the reverse name of an address in a cluster's VPC carries its name. Both are what that resolver says.
 * Everything else there is denied at once: pods with ndots:5 put such a suffix behind every name they look for, musl
 * goes on to the next suffix after NXDOMAIN alone, and a name that is not answered costs 10 s a look-up.
 */

import { apexAnswers } from '../../protocol/wire/apex-answers.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { TYPE } from '../../protocol/words/types.ts';
import { pointerWriter, writeAddressReply } from './computed-replies.ts';
import { DISCONNECTED_TTL_SECONDS, type DisconnectedFinding, STALE } from './disconnected-finding.ts';
import { addressOfLabel, labelAt, NONE, octetOfLabel } from './ec2-name-parser.ts';
import { holdsAddress, holdsBlock, type Ipv4Network, ipv4Network } from './ipv4-network.ts';

/** What is said of one name of the table and of all under it. */
export type DisconnectedRule = (query: Query) => DisconnectedFinding;

export interface NamedRule {
  /** In normal form. */
  readonly name: string;
  readonly rule: DisconnectedRule;
}

/** Addresses of one cluster's VPC. */
export interface VpcNetwork {
  readonly region: string;
  /** IPv4, as `10.0.0.0/16`. */
  readonly cidr: string;
}

/** Where EC2 puts its names in a Region. */
function ec2Suffix(region: string): string {
  return region === 'us-east-1' ? 'ec2.internal' : `${region}.compute.internal`;
}

/** RFC 1918 and RFC 6598: where the addresses of a VPC are, unless the operator says more. */
const PRIVATE_NETWORKS = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'].map(ipv4Network);

/** The names of these Regions. A name with an address outside of every private and every VPC's network is denied, as EC2 would. */
export function ec2NameRules(regions: readonly string[], vpcs: readonly VpcNetwork[]): readonly NamedRule[] {
  return [...new Set(regions)].map((region) => {
    const own = vpcs.filter((vpc) => vpc.region === region).map(({ cidr }) => ipv4Network(cidr));
    const name = ec2Suffix(region);
    return { name, rule: forwardRule(name, [...PRIVATE_NETWORKS, ...own]) };
  });
}

function forwardRule(apex: string, networks: readonly Ipv4Network[]): DisconnectedRule {
  const { noData, noName } = negatives(apex);
  const apexLabels = apex.split('.').length;
  const address = { kind: 'computed', standing: 'behind-stale', write: writeAddressReply } as const;
  return (query) => {
    if (query.labelCount === apexLabels) return noData;
    if (query.labelCount > apexLabels + 1) return noName;
    const number = addressOfLabel(query.octets, query.nameStart);
    if (number === NONE || !networks.some((network) => holdsAddress(network, number))) return noName;
    // RFC 8482 section 4.1: to ANY a part of what there is will do, and here it is all
    return query.qtype === TYPE.A || query.qtype === TYPE.ANY ? address : noData;
  };
}

const REVERSE_APEX = 'in-addr.arpa';
const REVERSE_LABELS = 2;

interface ReverseNetwork extends Ipv4Network {
  readonly pointer: DisconnectedFinding;
  readonly noData: DisconnectedFinding;
  readonly noName: DisconnectedFinding;
}

/**
 * Reverse names, in the networks of VPCs alone: elsewhere in private space other people's names may be, and a made-up
 * one would be a lie. The rule is put at the nearest name above each network and told of all of them, since a network
 * need not end at a dot (RFC 2317).
 */
export function reverseRules(vpcs: readonly VpcNetwork[]): readonly NamedRule[] {
  const networks = vpcs
    .map((vpc) => reverseNetwork(vpc))
    .sort((one, other) => other.network.prefix - one.network.prefix);
  const rule = reverseRule(networks.map(({ network }) => network));
  return [...new Set(networks.map(({ apex }) => apex))].map((name) => ({ name, rule }));
}

function reverseNetwork({ region, cidr }: VpcNetwork): { apex: string; network: ReverseNetwork } {
  const network = ipv4Network(cidr);
  const octets = cidr
    .split('/', 1)
    .join()
    .split('.', Math.floor(network.prefix / 8));
  const apex = [...octets.reverse(), REVERSE_APEX].join('.');
  const pointer = {
    kind: 'computed',
    standing: 'behind-stale',
    write: pointerWriter(ec2Suffix(region)),
  } as const;
  return { apex, network: { ...network, pointer, ...negatives(apex) } };
}

function reverseRule(networks: readonly ReverseNetwork[]): DisconnectedRule {
  return (query) => {
    let base = 0;
    let known = 0;
    const deepest = Math.min(query.labelCount, REVERSE_LABELS + 4);
    for (let depth = REVERSE_LABELS + 1; depth <= deepest; depth++) {
      const octet = octetOfLabel(query.octets, labelAt(query, depth));
      if (octet === NONE) break;
      base = base * 256 + octet;
      known++;
    }
    base *= 256 ** (4 - known);
    const network = networks.find((one) => holdsBlock(one, base, known * 8));
    if (network === undefined) return STALE;
    if (known < query.labelCount - REVERSE_LABELS) return network.noName;
    // RFC 8020 section 2: a name with names under it exists
    if (known < 4) return network.noData;
    return query.qtype === TYPE.PTR || query.qtype === TYPE.ANY ? network.pointer : network.noData;
  };
}

function negatives(apex: string) {
  const { noData, noName } = apexAnswers(apex, DISCONNECTED_TTL_SECONDS);
  return {
    noData: { kind: 'answer', standing: 'behind-stale', answer: noData },
    noName: { kind: 'answer', standing: 'behind-stale', answer: noName },
  } as const;
}
