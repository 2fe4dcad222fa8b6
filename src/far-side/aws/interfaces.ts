/**
 * Polls EC2 for the addresses that exist: the network interfaces of a cluster, of either generation of local cluster.
 *
 *     instance-store   interfaces that AWS put into the customer's subnets, known by their exact description
 *     ebs              interfaces of the control plane's instances in the customer's account
 *     not known        the first, and the second where the first finds nothing
 *
 * Where all of that finds nothing, a description that only contains the text is accepted in the VPC and subnets of the
 * cluster. It is marked as doubtful: AWS only says that the description "has the text".
 *
 * An empty listing is a failure: interfaces do not vanish while the cluster lives, but filters, permissions and eventual
 * consistency can make a listing empty.
 */
import { isIPv6 } from 'node:net';
import type { Filter, Instance, InstanceNetworkInterface, NetworkInterface } from '@aws-sdk/client-ec2';
import { isEndpointAddress } from '../../records/endpoint-record.ts';
import { answeredBut, type SourceContext } from '../../records/observation.ts';
import { allPages, type PollDeps, type PollFunction, present } from '../poll.ts';
import { type AwsPlace, placeOf } from './credentials.ts';

export const pollInterfaces: PollFunction = async ({ settings, context, signal }, { aws }) => {
  const ask = { ec2: aws.ec2, place: placeOf(context, settings.profile), context, signal };
  const { rejected, ...found } = await find(ask);
  if (found.addresses.length === 0) {
    throw answeredBut('empty', `listing interfaces of cluster "${context.cluster}" found none${rejected}`);
  }
  return { kind: 'addresses', source: 'interfaces', ...found };
};

async function find(ask: Asking): Promise<InterfaceFinding> {
  const { context } = ask;
  if (context.generation === 'ebs') return controlPlaneInterfaces(ask);
  const found = await describedInterfaces(ask);
  if (found.addresses.length > 0) return found;
  const older =
    context.generation === 'instance-store'
      ? { addresses: [], rejected: '' }
      : await controlPlaneInterfaces(ask);
  if (older.addresses.length > 0) return older;
  const loose = await looselyDescribedInterfaces(ask);
  return { ...loose, rejected: found.rejected + older.rejected + loose.rejected };
}

/** Finds interfaces by description, not by requester, tags or instance, which are unreliable on a control plane that AWS owns. */
async function describedInterfaces(ask: Asking): Promise<InterfaceFinding> {
  const description = `Amazon EKS ${ask.context.cluster}`;
  const listed = await listInterfaces(ask, { Name: 'description', Values: [escapeFilter(description)] });
  const isDescribed = (listing: NetworkInterface) => listing.Description?.trim() === description;
  return keepUsable(ask.context, listed.filter(isDescribed));
}

/** Finds interfaces whose description contains the text. Needs VPC and subnets: the text alone could belong to another cluster. */
async function looselyDescribedInterfaces(ask: Asking): Promise<InterfaceFinding> {
  const { cluster, vpcId, subnetIds } = ask.context;
  if (vpcId === undefined || subnetIds.length === 0) return { addresses: [], rejected: '' };
  const pattern = `*Amazon EKS ${escapeFilter(cluster)}*`;
  const listed = await listInterfaces(ask, { Name: 'description', Values: [pattern] });
  const found = keepUsable(
    ask.context,
    listed.filter(({ Description = '' }) => hasTextOf(Description, cluster)),
  );
  return found.addresses.length === 0 ? found : { ...found, isDoubtful: true };
}

/** Characters that may stand next to a whole word: `my-cluster-2` and `my-cluster.x` are not the word `my-cluster`. */
const BEFORE = /(?:^|[\s"'([{,;:/])$/;
const AFTER = /^(?:$|[\s"')\]},;:/]|\.(?:\s|$))/;
const TEXT = 'Amazon EKS ';

/** Whether the description names this cluster in whole words, and no other cluster. */
function hasTextOf(description: string, cluster: string): boolean {
  const parts = description.split(TEXT);
  const isNamedIn = (part: string) => part.startsWith(cluster) && AFTER.test(part.slice(cluster.length));
  const isWhole = parts.slice(0, -1).every((before, at) => BEFORE.test(at === 0 ? before : before.slice(-1)));
  return parts.length > 1 && isWhole && parts.slice(1).every(isNamedIn);
}

/**
 * The control plane of the older generation: three instances in the customer's account, whose interfaces carry a tag with
 * the name of the cluster. Where no interface has the tag, all interfaces of the instances are reported. The interfaces of the
 * endpoint are among them, and the name sources say which.
 */
async function controlPlaneInterfaces(ask: Asking): Promise<InterfaceFinding> {
  const tagged = await taggedInterfaces(ask);
  if (tagged.addresses.length > 0) return tagged;
  const attached = await instanceInterfaces(ask);
  return { ...attached, rejected: tagged.rejected + attached.rejected };
}

const TAG = 'eks-local:controlplane-name';

/** EC2 filters by the key, which all clusters share and which alone is known for certain; the value is compared here. */
async function taggedInterfaces(ask: Asking): Promise<InterfaceFinding> {
  const listed = await listInterfaces(ask, { Name: 'tag-key', Values: [TAG] });
  const own = listed.filter((candidate) =>
    candidate.TagSet?.some((tag) => tag.Key === TAG && tag.Value?.trim() === ask.context.cluster),
  );
  return keepUsable(ask.context, own);
}

async function instanceInterfaces(ask: Asking): Promise<InterfaceFinding> {
  const instances = await listInstances(ask);
  const own = instances.filter((instance) => isOfControlPlane(instance, ask.context.cluster));
  const interfaces = own.flatMap((instance): InstanceNetworkInterface[] => instance.NetworkInterfaces ?? []);
  return keepUsable(ask.context, interfaces);
}

async function listInstances(ask: Asking): Promise<Instance[]> {
  const { ec2, place, context, signal } = ask;
  const { DescribeInstancesCommand } = await import('@aws-sdk/client-ec2');
  const Filters = [
    { Name: 'tag:Name', Values: [`${escapeFilter(context.cluster)}${INFIX}*`] },
    { Name: 'instance-state-name', Values: [...EXISTING] },
    ...vpcFilter(context),
  ];
  return allPages<Instance, string>(async (NextToken) => {
    const input = { Filters, MaxResults: PAGE_SIZE, NextToken };
    const output = await ec2.call(place, signal, (client, abort) =>
      client.send(new DescribeInstancesCommand(input), abort),
    );
    const reservations = present(output.Reservations, output, 'control-plane instances');
    const items = reservations.flatMap((reservation) => reservation.Instances ?? []);
    return { items, next: output.NextToken || undefined };
  });
}

const INFIX = '-control-plane-';
/** All states except `terminated`: an instance that stops or has stopped still has its interfaces. */
const EXISTING: readonly string[] = ['pending', 'running', 'stopping', 'stopped', 'shutting-down'];

/** The rest of the name is an ID. `a-control-plane-b-control-plane-i1` belongs to a cluster named `a-control-plane-b`. */
function isOfControlPlane(instance: Instance, cluster: string): boolean {
  const name = instance.Tags?.find((tag) => tag.Key === 'Name')?.Value ?? '';
  const prefix = `${cluster}${INFIX}`;
  const id = name.slice(prefix.length);
  const isOwn = name.startsWith(prefix) && id !== '' && !id.includes(INFIX);
  return isOwn && EXISTING.includes(instance.State?.Name ?? '');
}

interface Asking {
  readonly ec2: PollDeps['aws']['ec2'];
  readonly place: AwsPlace;
  readonly context: SourceContext;
  readonly signal: AbortSignal;
}

interface InterfaceFinding {
  readonly addresses: readonly string[];
  /** EC2's status of the interfaces that are not `in-use`, by address. */
  readonly statuses?: Readonly<Record<string, string>>;
  readonly customerOwned?: readonly string[];
  /** Found by a description that contains the text. */
  readonly isDoubtful?: true;
  /** The number of rejected interfaces and the reason, as part of a failure's text (`: 2 in another vpc`); empty without rejections. */
  readonly rejected: string;
}

/**
 * Unpaginated calls fail where an account has many interfaces, and are throttled sooner. EC2 may filter what it has already put
 * into pages, which then come empty: `allPages` reaches through 25,000 interfaces.
 */
const PAGE_SIZE = 500;

/** Lists every interface in the cluster's VPC that passes `filter`; without a known VPC, every such interface in the Region. */
async function listInterfaces(ask: Asking, filter: Filter): Promise<NetworkInterface[]> {
  const { ec2, place, context, signal } = ask;
  const { DescribeNetworkInterfacesCommand } = await import('@aws-sdk/client-ec2');
  const Filters = [filter, ...vpcFilter(context)];
  return allPages<NetworkInterface, string>(async (NextToken) => {
    const input = { Filters, MaxResults: PAGE_SIZE, NextToken };
    const output = await ec2.call(place, signal, (client, abort) =>
      client.send(new DescribeNetworkInterfacesCommand(input), abort),
    );
    const items = present(output.NetworkInterfaces, output, 'network interfaces');
    return { items, next: output.NextToken || undefined };
  });
}

function vpcFilter(context: SourceContext): Filter[] {
  return context.vpcId === undefined ? [] : [{ Name: 'vpc-id', Values: [context.vpcId] }];
}

/** The value of a filter without wildcards: EC2 reads `*` and `?` as such. */
function escapeFilter(value: string): string {
  return value.replaceAll(/[\\*?]/g, '\\$&');
}

/**
 * Keeps the interfaces in the VPC of the cluster and in one of its subnets, as far as VPC and subnets are known. An interface
 * that exists counts with any status: during patching an interface is detached, and keeps its address.
 */
function keepUsable(
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
  const customerOwned = [...new Set(kept.flatMap(({ Association }) => Association?.CustomerOwnedIp ?? []))];
  const rejected = [...counts].map(([fault, count]) => `${count} ${fault}`).join(', ');
  return {
    addresses,
    rejected: rejected === '' ? '' : `: ${rejected}`,
    ...(Object.keys(statuses).length === 0 ? {} : { statuses }),
    ...(customerOwned.length === 0 ? {} : { customerOwned: customerOwned.sort() }),
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
  if (isElsewhere) return 'in another subnet';
  return hasIpv6Alone(candidate) ? 'with IPv6 alone' : undefined;
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

/** An interface in a subnet that has only IPv6: it has no address that an endpoint could lose. */
function hasIpv6Alone(candidate: NetworkInterface | InstanceNetworkInterface): boolean {
  const { PrivateIpAddress, PrivateIpAddresses = [], Ipv6Addresses = [] } = candidate;
  const listed = PrivateIpAddresses.map((address) => address.PrivateIpAddress);
  const named = [PrivateIpAddress, ...listed].flatMap((address) => address || []);
  return named.every((address) => isIPv6(address)) && named.length + Ipv6Addresses.length > 0;
}

/** Clusters on Outposts are IPv4 only; secondary addresses do not belong to the endpoint. */
function primaryAddress(candidate: NetworkInterface | InstanceNetworkInterface): string {
  const address = ipv4Address(candidate);
  if (isEndpointAddress(address)) return address;
  throw answeredBut(
    'malformed',
    `listing interfaces failed: "${candidate.NetworkInterfaceId}" has address "${address}"`,
  );
}

function ipv4Address({
  PrivateIpAddress,
  PrivateIpAddresses,
}: NetworkInterface | InstanceNetworkInterface): string {
  const primary = PrivateIpAddresses?.find((address) => address.Primary);
  return PrivateIpAddress || (primary?.PrivateIpAddress ?? '');
}
