/** EC2's XML of an interface and of an instance; the element names are those of the SDK's own model. */
import type { Attachment, Instance, NetworkInterface } from './facts.ts';
import { leaf, node } from './xml.ts';

const STATE_CODES: Record<Instance['state'], number> = {
  pending: 0,
  running: 16,
  'shutting-down': 32,
  terminated: 48,
  stopping: 64,
  stopped: 80,
};

/** The content of one `item` of a `networkInterfaceSet`. */
export function interfaceXml(face: NetworkInterface): string {
  return [
    leaf('networkInterfaceId', face.id),
    leaf('subnetId', face.subnetId),
    leaf('vpcId', face.vpcId),
    leaf('availabilityZone', face.availabilityZone),
    leaf('outpostArn', face.outpostArn),
    leaf('description', face.description),
    leaf('ownerId', face.ownerId),
    leaf('requesterId', face.requesterId),
    leaf('requesterManaged', face.requesterManaged),
    leaf('status', face.status),
    leaf('macAddress', face.macAddress),
    leaf('privateIpAddress', face.address),
    leaf('privateDnsName', privateDnsName(face.address, face.region)),
    leaf('sourceDestCheck', true),
    groupsXml(face),
    face.attachment === undefined ? '' : attachmentXml(face.attachment),
    tagsXml(face.tags),
    addressesXml(face),
    node('ipv6AddressesSet'),
    leaf('interfaceType', face.interfaceType),
  ].join('');
}

/** The content of one `item` of a `reservationSet`: a reservation of one instance. */
export function instanceXml(instance: Instance, faces: readonly NetworkInterface[]): string {
  const primary = faces[0];
  return [
    leaf('reservationId', instance.id.replace(/^i-/, 'r-')),
    leaf('ownerId', instance.ownerId),
    node('groupSet'),
    node(
      'instancesSet',
      node(
        'item',
        leaf('instanceId', instance.id),
        node('instanceState', leaf('code', STATE_CODES[instance.state]), leaf('name', instance.state)),
        leaf('instanceType', instance.instanceType),
        leaf('privateIpAddress', primary?.address),
        leaf('privateDnsName', primary && privateDnsName(primary.address, primary.region)),
        leaf('subnetId', primary?.subnetId),
        leaf('vpcId', primary?.vpcId),
        leaf('outpostArn', instance.outpostArn),
        node('placement', leaf('availabilityZone', primary?.availabilityZone)),
        tagsXml(instance.tags),
        node('networkInterfaceSet', ...faces.map((face) => node('item', instanceInterfaceXml(face)))),
      ),
    ),
  ].join('');
}

function instanceInterfaceXml(face: NetworkInterface): string {
  return [
    leaf('networkInterfaceId', face.id),
    leaf('subnetId', face.subnetId),
    leaf('vpcId', face.vpcId),
    leaf('description', face.description),
    leaf('ownerId', face.ownerId),
    leaf('status', face.status),
    leaf('macAddress', face.macAddress),
    leaf('privateIpAddress', face.address),
    leaf('sourceDestCheck', true),
    groupsXml(face),
    face.attachment === undefined ? '' : attachmentXml(face.attachment),
    addressesXml(face),
    leaf('interfaceType', face.interfaceType),
  ].join('');
}

function attachmentXml(attachment: Attachment): string {
  return node(
    'attachment',
    leaf('attachmentId', attachment.id),
    leaf('instanceId', attachment.instanceId),
    leaf('instanceOwnerId', attachment.instanceOwnerId),
    leaf('deviceIndex', attachment.deviceIndex),
    leaf('status', attachment.status),
    leaf('deleteOnTermination', true),
  );
}

function addressesXml(face: NetworkInterface): string {
  const addresses = [face.address, ...face.secondaryAddresses];
  return node(
    'privateIpAddressesSet',
    ...addresses.map((address, index) =>
      node('item', leaf('privateIpAddress', address), leaf('primary', index === 0)),
    ),
  );
}

function groupsXml(face: NetworkInterface): string {
  return node(
    'groupSet',
    ...face.securityGroupIds.map((id) => node('item', leaf('groupId', id), leaf('groupName', 'eks-cluster'))),
  );
}

function tagsXml(tags: Readonly<Record<string, string>>): string {
  return node(
    'tagSet',
    ...Object.entries(tags).map(([key, value]) => node('item', leaf('key', key), leaf('value', value))),
  );
}

/** The name that the VPC's resolver gives to an address. */
export function privateDnsName(address: string, region: string): string {
  const suffix = region === 'us-east-1' ? 'ec2.internal' : `${region}.compute.internal`;
  return `ip-${address.replaceAll('.', '-')}.${suffix}`;
}
