import { createHash } from 'node:crypto';
import type { Cluster, DnsRecord, Generation, Instance, NetworkInterface } from './facts.ts';

/** What has to be said about a cluster; the rest follows from it, the same on every run. */
export interface ClusterSketch {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly region?: string;
  readonly generation?: Generation;
  readonly endpoint?: string;
  readonly vpcId?: string;
  readonly subnetIds?: readonly string[];
  readonly endpointPublicAccess?: boolean;
}

export interface ClusterFacts {
  readonly cluster: Cluster;
  readonly interfaces: readonly NetworkInterface[];
  readonly instances: readonly Instance[];
  readonly records: readonly DnsRecord[];
}

export const ACCOUNT_ID = '111122223333'; // the account that AWS's own examples use
const CONTROL_PLANE_ACCOUNT_ID = '444455556666'; // plays the account of AWS that owns the hidden instances
export const DEMO_VPC_ID = 'vpc-0d1a2b3c4d5e6f708';
export const DEMO_SUBNET_IDS = ['subnet-0a11111111111111a', 'subnet-0b22222222222222b'] as const;
const ENDPOINT_TTL_SECONDS = 60;
const CREATED_AT_MS = Date.UTC(2026, 0, 15, 9, 30);

/** An EKS local cluster as the APIs and the DNS show it: its interfaces, its instances and its endpoint's records. */
export function clusterFacts(sketch: ClusterSketch): ClusterFacts {
  const cluster = sketchedCluster(sketch);
  const interfaces = sketch.addresses.map((address, index) => controlPlaneInterface(cluster, address, index));
  return {
    cluster,
    interfaces,
    instances:
      cluster.generation === 'ebs' ? interfaces.map((face) => controlPlaneInstance(cluster, face)) : [],
    records: [
      ...sketch.addresses.map((value) => ({
        name: cluster.endpoint,
        type: 'A',
        ttlSeconds: ENDPOINT_TTL_SECONDS,
        value,
      })),
      endpointZoneStart(cluster.endpoint),
    ],
  };
}

/** The EC2 form of an ID: a prefix and 17 hexadecimal digits. */
export function resourceId(prefix: string, ...seed: readonly (string | number)[]): string {
  return `${prefix}-0${digest(seed).slice(0, 16)}`;
}

function sketchedCluster(sketch: ClusterSketch): Cluster {
  const region = sketch.region ?? 'us-west-2';
  return {
    name: sketch.name,
    region,
    generation: sketch.generation ?? 'instance-store',
    status: 'ACTIVE',
    endpoint:
      sketch.endpoint ??
      `${digest(['endpoint', region, sketch.name]).slice(0, 32).toUpperCase()}.gr7.${region}.eks.amazonaws.com`,
    vpcId: sketch.vpcId ?? DEMO_VPC_ID,
    subnetIds: sketch.subnetIds ?? DEMO_SUBNET_IDS,
    securityGroupId: resourceId('sg', region, sketch.name),
    certificateAuthority: Buffer.from(
      `-----BEGIN CERTIFICATE-----\nthe sandbox's cluster ${sketch.name}\n-----END CERTIFICATE-----\n`,
    ).toString('base64'),
    endpointPublicAccess: sketch.endpointPublicAccess ?? false,
    endpointPrivateAccess: true,
    outpostArn: `arn:aws:outposts:${region}:${ACCOUNT_ID}:outpost/op-0123456789abcdef0`,
    accountId: ACCOUNT_ID,
    kubernetesVersion: '1.33',
    createdAtMs: CREATED_AT_MS,
  };
}

/** One interface of the control plane, with the tells that real ones of its generation show. */
export function controlPlaneInterface(cluster: Cluster, address: string, index: number): NetworkInterface {
  const seed = [cluster.region, cluster.name, address];
  const ebs = cluster.generation === 'ebs';
  return {
    id: resourceId('eni', ...seed),
    region: cluster.region,
    description: ebs ? '' : `Amazon EKS ${cluster.name}`,
    vpcId: cluster.vpcId,
    subnetId: cluster.subnetIds[index % cluster.subnetIds.length] ?? '',
    availabilityZone: `${cluster.region}a`,
    status: 'in-use',
    address,
    secondaryAddresses: [],
    macAddress: macAddress(seed),
    ownerId: cluster.accountId,
    ...(ebs ? {} : { requesterId: 'AROAEXAMPLEEXAMPLE0:AmazonEKS' }),
    requesterManaged: false,
    interfaceType: 'interface',
    securityGroupIds: [cluster.securityGroupId],
    tags: ebs ? { 'eks-local:controlplane-name': cluster.name } : {},
    attachment: {
      id: resourceId('eni-attach', ...seed),
      ...(ebs ? { instanceId: resourceId('i', ...seed) } : {}),
      instanceOwnerId: ebs ? cluster.accountId : CONTROL_PLANE_ACCOUNT_ID,
      deviceIndex: ebs ? 0 : 1,
      status: 'attached',
    },
    outpostArn: cluster.outpostArn,
  };
}

function controlPlaneInstance(cluster: Cluster, face: NetworkInterface): Instance {
  const id = face.attachment?.instanceId ?? resourceId('i', face.id);
  return {
    id,
    region: cluster.region,
    state: 'running',
    instanceType: 'm5.large',
    ownerId: cluster.accountId,
    interfaceIds: [face.id],
    tags: { Name: `${cluster.name}-control-plane-${id}` },
    outpostArn: cluster.outpostArn,
  };
}

/** Route 53 gives every zone this SOA; its TTL bounds how long a negative answer is kept (RFC 2308 section 5). */
function endpointZoneStart(endpoint: string): DnsRecord {
  return {
    name: endpoint.slice(endpoint.indexOf('.') + 1),
    type: 'SOA',
    ttlSeconds: 900,
    value: 'ns-1.awsdns-01.example awsdns-hostmaster.amazon.com 1 7200 900 1209600 86400',
  };
}

export function macAddress(seed: readonly (string | number)[]): string {
  const octets =
    digest(['mac', ...seed])
      .slice(0, 10)
      .match(/../g) ?? [];
  return ['0a', ...octets].join(':');
}

function digest(seed: readonly (string | number)[]): string {
  return createHash('sha256').update(seed.join('/')).digest('hex');
}
