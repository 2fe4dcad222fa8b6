/** EC2's Query protocol: the listings of interfaces and of instances. */
import {
  type ApiContext,
  type ApiReply,
  type ApiRequest,
  isRefusal,
  type Refusal,
  refusal,
  refuse,
  success,
  xmlDocument,
} from './api.ts';
import { applyFilters, type FilterFields, pageOf, readFilters } from './ec2-listing.ts';
import type { Attachment, Instance, NetworkInterface } from './facts.ts';
import type { RegionState } from './region-state.ts';

const NAMESPACE = 'http://ec2.amazonaws.com/doc/2016-11-15/';
// With more interfaces than this, EC2 requires pages or a filter that narrows the search. Its documentation tells neither
// the number nor the code of the refusal: both are guesses.
const MANY_INTERFACES = 1000;
const NARROWING = [
  'group-id',
  'mac-address',
  'private-dns-name',
  'private-ip-address',
  'subnet-id',
  'vpc-id',
];

export function answerEc2(request: ApiRequest, context: ApiContext): ApiReply {
  switch (request.operation) {
    case 'DescribeNetworkInterfaces':
      return describeNetworkInterfaces(request, context);
    case 'DescribeInstances':
      return describeInstances(request, context);
    default:
      return refuse(
        'ec2',
        'unknown-operation',
        `The action ${request.operation} is not valid for this web service.`,
      );
  }
}

function describeNetworkInterfaces(request: ApiRequest, context: ApiContext): ApiReply {
  const inRegion = context.state.interfaces.filter(
    ({ region, isUnlisted }) => region === request.region && isUnlisted !== true,
  );
  const found = select(request, inRegion, {
    idParameter: 'NetworkInterfaceId',
    missingCode: 'InvalidNetworkInterfaceID.NotFound',
    what: 'networkInterface',
    known: (name) => INTERFACE_FILTERS.has(name) || isTagFilter(name),
    fields: interfaceFields,
  });
  if (isRefusal(found)) return found;
  if (inRegion.length > MANY_INTERFACES && !isNarrowed(request)) {
    return refusal(
      400,
      'OperationNotPermitted',
      'Too many network interfaces: paginate or filter the request.',
    );
  }
  const page = pageOf(found, request, context);
  if (page.kind === 'refusal') return page;
  return success(
    xmlDocument('DescribeNetworkInterfacesResponse', NAMESPACE, {
      requestId: context.requestId,
      networkInterfaceSet: { item: page.items.map(interfaceItem) },
      nextToken: page.nextToken,
    }),
  );
}

function isNarrowed({ parameters }: ApiRequest): boolean {
  if (parameters.has('MaxResults')) return true;
  return [...parameters].some(([key, value]) => /^Filter\.\d+\.Name$/.test(key) && NARROWING.includes(value));
}

function describeInstances(request: ApiRequest, context: ApiContext): ApiReply {
  const inRegion = context.state.instances.filter(({ region }) => region === request.region);
  const found = select(request, inRegion, {
    idParameter: 'InstanceId',
    missingCode: 'InvalidInstanceID.NotFound',
    what: 'instance',
    known: (name) => INSTANCE_FILTERS.has(name) || isTagFilter(name),
    fields: (instance, name) => instanceFields(instance, interfacesOf(instance, context.state), name),
  });
  if (isRefusal(found)) return found;
  const page = pageOf(found, request, context);
  if (page.kind === 'refusal') return page;
  return success(
    xmlDocument('DescribeInstancesResponse', NAMESPACE, {
      requestId: context.requestId,
      reservationSet: {
        item: page.items.map((instance) => reservationItem(instance, interfacesOf(instance, context.state))),
      },
      nextToken: page.nextToken,
    }),
  );
}

function interfacesOf(instance: Instance, state: RegionState): readonly NetworkInterface[] {
  return instance.interfaceIds.flatMap((id) => state.interfaces.filter((face) => face.id === id));
}

interface Selection<T> {
  readonly idParameter: string;
  readonly missingCode: string;
  readonly what: string;
  readonly known: (filterName: string) => boolean;
  readonly fields: FilterFields<T>;
}

/** The items that match the IDs and the filters of a request. */
function select<T extends { readonly id: string }>(
  { parameters }: ApiRequest,
  items: readonly T[],
  selection: Selection<T>,
): readonly T[] | Refusal {
  const ids = [...parameters]
    .filter(([key]) => key.startsWith(`${selection.idParameter}.`))
    .map(([, id]) => id);
  if (ids.length > 0 && parameters.has('MaxResults')) {
    return refusal(
      400,
      'InvalidParameterCombination',
      `The parameter ${selection.idParameter} cannot be used with the parameter MaxResults`,
    );
  }
  const missing = ids.find((id) => !items.some((item) => item.id === id));
  if (missing !== undefined) {
    return refusal(400, selection.missingCode, `The ${selection.what} ID '${missing}' does not exist`);
  }
  const filters = readFilters(parameters);
  if (isRefusal(filters)) return filters;
  const named = ids.length === 0 ? items : items.filter(({ id }) => ids.includes(id));
  return applyFilters(named, filters, selection.known, selection.fields);
}

const isTagFilter = (name: string): boolean => name.startsWith('tag:') || name === 'tag-key';

const INTERFACE_FILTERS = new Map<string, (face: NetworkInterface) => readonly (string | undefined)[]>([
  ['description', (face) => [face.description]],
  ['vpc-id', (face) => [face.vpcId]],
  ['subnet-id', (face) => [face.subnetId]],
  ['availability-zone', (face) => [face.availabilityZone]],
  ['status', (face) => [face.status]],
  ['network-interface-id', (face) => [face.id]],
  ['interface-type', (face) => [face.interfaceType]],
  ['mac-address', (face) => [face.macAddress]],
  ['owner-id', (face) => [face.ownerId]],
  ['requester-id', (face) => [face.requesterId]],
  ['requester-managed', (face) => [String(face.requesterManaged)]],
  ['group-id', (face) => face.securityGroupIds],
  ['private-ip-address', (face) => [face.address]],
  ['private-dns-name', (face) => [privateDnsName(face.address, face.region)]],
  ['addresses.private-ip-address', (face) => [face.address, ...face.secondaryAddresses]],
  ['attachment.attachment-id', (face) => [face.attachment?.id]],
  ['attachment.instance-id', (face) => [face.attachment?.instanceId]],
  ['attachment.instance-owner-id', (face) => [face.attachment?.instanceOwnerId]],
  ['attachment.status', (face) => [face.attachment?.status]],
]);

function interfaceFields(face: NetworkInterface, name: string): readonly string[] {
  return tagFields(face.tags, name) ?? defined(INTERFACE_FILTERS.get(name)?.(face) ?? []);
}

const INSTANCE_FILTERS = new Map<
  string,
  (instance: Instance, faces: readonly NetworkInterface[]) => readonly (string | undefined)[]
>([
  ['instance-id', (instance) => [instance.id]],
  ['instance-state-name', (instance) => [instance.state]],
  ['instance-type', (instance) => [instance.instanceType]],
  ['owner-id', (instance) => [instance.ownerId]],
  ['outpost-arn', (instance) => [instance.outpostArn]],
  ['vpc-id', (_, faces) => [faces[0]?.vpcId]],
  ['subnet-id', (_, faces) => [faces[0]?.subnetId]],
  ['availability-zone', (_, faces) => [faces[0]?.availabilityZone]],
  ['private-ip-address', (_, faces) => [faces[0]?.address]],
  ['network-interface.network-interface-id', (_, faces) => faces.map(({ id }) => id)],
  ['network-interface.vpc-id', (_, faces) => faces.map(({ vpcId }) => vpcId)],
]);

function instanceFields(
  instance: Instance,
  faces: readonly NetworkInterface[],
  name: string,
): readonly string[] {
  return tagFields(instance.tags, name) ?? defined(INSTANCE_FILTERS.get(name)?.(instance, faces) ?? []);
}

function tagFields(tags: Readonly<Record<string, string>>, name: string): readonly string[] | undefined {
  if (name === 'tag-key') return Object.keys(tags);
  if (!name.startsWith('tag:')) return undefined;
  const value = Object.hasOwn(tags, name.slice(4)) ? tags[name.slice(4)] : undefined;
  return value === undefined ? [] : [value];
}

function defined(values: readonly (string | undefined)[]): readonly string[] {
  return values.filter((value) => value !== undefined);
}

const STATE_CODES: Record<Instance['state'], number> = {
  pending: 0,
  running: 16,
  'shutting-down': 32,
  terminated: 48,
  stopping: 64,
  stopped: 80,
};

/** One `item` of a `networkInterfaceSet`; the element names are those of the SDK's own model. */
function interfaceItem(face: NetworkInterface): object {
  return {
    ...interfaceHead(face),
    availabilityZone: face.availabilityZone,
    outpostArn: face.outpostArn,
    requesterId: face.requesterId,
    requesterManaged: face.requesterManaged,
    privateDnsName: privateDnsName(face.address, face.region),
    tagSet: tags(face.tags),
    ipv6AddressesSet: '',
  };
}

/** The elements that an interface has in both listings. */
function interfaceHead(face: NetworkInterface): object {
  const addresses = [face.address, ...face.secondaryAddresses];
  return {
    networkInterfaceId: face.id,
    subnetId: face.subnetId,
    vpcId: face.vpcId,
    description: face.description,
    ownerId: face.ownerId,
    status: face.status,
    macAddress: face.macAddress,
    privateIpAddress: face.address,
    sourceDestCheck: true,
    groupSet: { item: face.securityGroupIds.map((groupId) => ({ groupId, groupName: 'eks-cluster' })) },
    attachment: face.attachment && attachment(face.attachment),
    privateIpAddressesSet: {
      item: addresses.map((privateIpAddress, index) => ({ privateIpAddress, primary: index === 0 })),
    },
    association: face.customerOwnedAddress && { customerOwnedIp: face.customerOwnedAddress },
    interfaceType: face.interfaceType,
  };
}

/** One `item` of a `reservationSet`: a reservation of one instance. */
function reservationItem(instance: Instance, faces: readonly NetworkInterface[]): object {
  const primary = faces[0];
  return {
    reservationId: instance.id.replace(/^i-/, 'r-'),
    ownerId: instance.ownerId,
    groupSet: '',
    instancesSet: {
      item: {
        instanceId: instance.id,
        instanceState: { code: STATE_CODES[instance.state], name: instance.state },
        instanceType: instance.instanceType,
        privateIpAddress: primary?.address,
        privateDnsName: primary && privateDnsName(primary.address, primary.region),
        subnetId: primary?.subnetId,
        vpcId: primary?.vpcId,
        outpostArn: instance.outpostArn,
        placement: { availabilityZone: primary?.availabilityZone },
        tagSet: tags(instance.tags),
        networkInterfaceSet: { item: faces.map(interfaceHead) },
      },
    },
  };
}

function attachment({ id, instanceId, instanceOwnerId, deviceIndex, status }: Attachment): object {
  return { attachmentId: id, instanceId, instanceOwnerId, deviceIndex, status, deleteOnTermination: true };
}

function tags(tagsOf: Readonly<Record<string, string>>): object {
  return { item: Object.entries(tagsOf).map(([key, value]) => ({ key, value })) };
}

/** The name that the VPC's resolver gives to an address. */
export function privateDnsName(address: string, region: string): string {
  const suffix = region === 'us-east-1' ? 'ec2.internal' : `${region}.compute.internal`;
  return `ip-${address.replaceAll('.', '-')}.${suffix}`;
}
