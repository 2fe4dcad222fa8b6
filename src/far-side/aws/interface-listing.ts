import { isIPv4 } from 'node:net';
import type { Filter, InstanceNetworkInterface, NetworkInterface } from '@aws-sdk/client-ec2';
import type { SourceContext } from '../../records/observation.ts';
import { allPages, present } from '../pages.ts';
import { answeredBut } from '../source-error.ts';
import type { AwsPlace } from './client-pool.ts';
import type { Ec2Calls } from './clients.ts';

/** Listing network interfaces to the end, and deciding which of them can be the cluster's. */
export interface InterfaceLook {
  readonly ec2: Ec2Calls;
  readonly place: AwsPlace;
  readonly context: SourceContext;
  readonly signal: AbortSignal;
}

export interface InterfaceFinding {
  readonly addresses: readonly string[];
  /** EC2's status of those that are not `in-use`, by address. */
  readonly statuses?: Readonly<Record<string, string>>;
  /** Found by a description that has the text among others. */
  readonly isDoubtful?: true;
  /** What was left out and why, for the text of a failure: `: 2 in another vpc`; empty when nothing was. */
  readonly rejected: string;
}

/** Unpaginated calls fail where an account has many interfaces, and are throttled sooner. */
export const PAGE_SIZE = 100;

/** Every interface in the cluster's VPC (in the Region where that is not known) that passes `filter`. */
export function listInterfaces(look: InterfaceLook, filter: Filter): Promise<NetworkInterface[]> {
  const { ec2, place, context, signal } = look;
  const Filters = [filter, ...vpcFilter(context)];
  return allPages<NetworkInterface, string>(async (NextToken) => {
    const input = { Filters, MaxResults: PAGE_SIZE, ...(NextToken === undefined ? {} : { NextToken }) };
    const output = await ec2.describeNetworkInterfaces(place, input, signal);
    const items = present(output.NetworkInterfaces, output, 'network interfaces');
    return { items, next: output.NextToken || undefined };
  });
}

export function vpcFilter(context: SourceContext): Filter[] {
  return context.vpcId === undefined ? [] : [{ Name: 'vpc-id', Values: [context.vpcId] }];
}

/** A filter's value that stands for itself: EC2 takes `*` and `?` as wildcards. */
export function escapeFilter(value: string): string {
  return value.replaceAll(/[\\*?]/g, '\\$&');
}

/**
 * Addresses of the interfaces in the cluster's VPC and in one of its subnets, as far as those are known. An interface that
 * exists counts, whatever its status: during patching it is detached, and keeps its address.
 */
export function keepUsable(
  context: SourceContext,
  interfaces: readonly (NetworkInterface | InstanceNetworkInterface)[],
): InterfaceFinding {
  const counts = new Map<string, number>();
  const kept = interfaces.filter((candidate) => {
    const fault = faultOf(context, candidate);
    if (fault !== undefined) counts.set(fault, (counts.get(fault) ?? 0) + 1);
    return fault === undefined;
  });
  refuseSeveralVpcs(context, kept);
  const addresses = [...new Set(kept.map(primaryAddress))].sort();
  const inUse = new Set(kept.filter(({ Status }) => Status === IN_USE).map(primaryAddress));
  const statuses = Object.fromEntries(
    kept
      .map((candidate) => [primaryAddress(candidate), candidate.Status ?? 'unknown'] as const)
      .filter(([address]) => !inUse.has(address)),
  );
  const rejected = [...counts].map(([fault, count]) => `${count} ${fault}`).join(', ');
  return {
    addresses,
    rejected: rejected === '' ? '' : `: ${rejected}`,
    ...(Object.keys(statuses).length === 0 ? {} : { statuses }),
  };
}

const IN_USE = 'in-use';

function faultOf(
  context: SourceContext,
  candidate: NetworkInterface | InstanceNetworkInterface,
): string | undefined {
  const { VpcId, SubnetId } = candidate;
  if (context.vpcId !== undefined && VpcId !== context.vpcId) return 'in another vpc';
  const isElsewhere = context.subnetIds.length > 0 && !context.subnetIds.includes(SubnetId ?? '');
  return isElsewhere ? 'in another subnet' : undefined;
}

function refuseSeveralVpcs(
  context: SourceContext,
  kept: readonly (NetworkInterface | InstanceNetworkInterface)[],
): void {
  const vpcs = new Set(kept.map((candidate) => candidate.VpcId));
  if (vpcs.size < 2) return;
  throw answeredBut(
    'malformed',
    `listing interfaces of cluster "${context.cluster}" failed: they are in several vpcs (${[...vpcs].join(', ')}): ` +
      'set vpcId',
  );
}

/** Clusters on Outposts are IPv4 only; secondary addresses are not the endpoint's. */
function primaryAddress(candidate: NetworkInterface | InstanceNetworkInterface): string {
  const primary = candidate.PrivateIpAddresses?.find((address) => address.Primary);
  const address = candidate.PrivateIpAddress ?? primary?.PrivateIpAddress ?? '';
  if (isIPv4(address)) return address;
  throw answeredBut(
    'malformed',
    `listing interfaces failed: "${candidate.NetworkInterfaceId}" has address "${address}"`,
  );
}
