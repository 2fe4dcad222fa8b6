/** The facts of a simulated Region as plain data, which JSON keeps unchanged; and the facts of a cluster from a sketch of it. */
import { createHash } from 'node:crypto';
import { CLUSTER_AUTHORITY } from './certificates.ts';

/** `ebs`: control-plane instances in the customer's account; `instance-store`: only their interfaces are visible. */
export type Generation = 'ebs' | 'instance-store';

export interface Cluster {
  readonly name: string;
  readonly region: string;
  readonly generation: Generation;
  readonly status: 'CREATING' | 'ACTIVE' | 'DELETING' | 'FAILED' | 'UPDATING';
  /** The domain name as EKS writes it: upper-case hexadecimal, no scheme. */
  readonly endpoint: string;
  readonly vpcId: string;
  readonly subnetIds: readonly string[];
  readonly securityGroupId: string;
  /** PEM in base64, as DescribeCluster gives it. */
  readonly certificateAuthority: string;
  readonly endpointPublicAccess: boolean;
  readonly endpointPrivateAccess: boolean;
  readonly outpostArn: string;
  readonly accountId: string;
  readonly kubernetesVersion: string;
  readonly createdAtMs: number;
}

export interface Attachment {
  readonly id: string;
  /** Absent on the interfaces of an `instance-store` cluster: the instance is in an account of AWS. */
  readonly instanceId?: string;
  readonly instanceOwnerId: string;
  readonly deviceIndex: number;
  readonly status: 'attaching' | 'attached' | 'detaching' | 'detached';
}

export interface NetworkInterface {
  readonly id: string;
  readonly region: string;
  readonly description: string;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly availabilityZone: string;
  readonly status: 'available' | 'associated' | 'attaching' | 'in-use' | 'detaching';
  /** Left out of every listing: EC2 is eventually consistent. */
  readonly isUnlisted?: boolean;
  readonly address: string;
  readonly secondaryAddresses: readonly string[];
  /** From a pool of customer-owned addresses. */
  readonly customerOwnedAddress?: string;
  readonly macAddress: string;
  readonly ownerId: string;
  readonly requesterId?: string;
  readonly requesterManaged: boolean;
  readonly interfaceType: string;
  readonly securityGroupIds: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  readonly attachment?: Attachment;
  readonly outpostArn?: string;
}

export interface Instance {
  readonly id: string;
  readonly region: string;
  readonly state: 'pending' | 'running' | 'shutting-down' | 'terminated' | 'stopping' | 'stopped';
  readonly instanceType: string;
  readonly ownerId: string;
  /** Its addresses are those of these interfaces; the first interface is the primary one. */
  readonly interfaceIds: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  readonly outpostArn?: string;
}

export interface AliasTarget {
  readonly hostedZoneId: string;
  readonly name: string;
  readonly evaluateTargetHealth: boolean;
}

/** One item of a hosted zone: values or an alias, never both. */
export interface RecordSet {
  readonly name: string;
  readonly type: string;
  readonly ttlSeconds?: number;
  readonly values?: readonly string[];
  readonly alias?: AliasTarget;
  readonly setIdentifier?: string;
  readonly weight?: number;
  readonly multiValueAnswer?: boolean;
}

export interface HostedZone {
  /** Without the `/hostedzone/` prefix. */
  readonly id: string;
  readonly name: string;
  readonly privateZone: boolean;
  readonly comment?: string;
  readonly vpcs: readonly { readonly region: string; readonly vpcId: string }[];
  readonly recordSets: readonly RecordSet[];
}

/** A record that the DNS server answers; `value` in presentation form, or RFC 3597's `\# length hex` for any type. */
export interface DnsRecord {
  readonly name: string;
  readonly type: string;
  readonly ttlSeconds: number;
  readonly value: string;
}

export interface AccessKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Wall time by the Region's own clock; absent: never. */
  readonly expiresAtMs?: number;
  readonly accountId: string;
  readonly arn: string;
}

export interface Population {
  readonly clusters: readonly Cluster[];
  readonly interfaces: readonly NetworkInterface[];
  readonly instances: readonly Instance[];
  readonly hostedZones: readonly HostedZone[];
  readonly records: readonly DnsRecord[];
  readonly accessKeys: readonly AccessKey[];
}

/** The facts of a cluster that a caller chooses; the others follow from them, the same on every run. */
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
    certificateAuthority: Buffer.from(CLUSTER_AUTHORITY).toString('base64'),
    endpointPublicAccess: sketch.endpointPublicAccess ?? false,
    endpointPrivateAccess: true,
    outpostArn: `arn:aws:outposts:${region}:${ACCOUNT_ID}:outpost/op-0123456789abcdef0`,
    accountId: ACCOUNT_ID,
    kubernetesVersion: '1.33',
    createdAtMs: CREATED_AT_MS,
  };
}

/** One interface of the control plane, with the description and tags of its generation. */
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
    requesterId: ebs ? undefined : 'AROAEXAMPLEEXAMPLE0:AmazonEKS',
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
