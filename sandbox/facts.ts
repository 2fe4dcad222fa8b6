/** What a simulated Region can know, as plain data: it goes through JSON and back unchanged. */

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
  /** Its addresses are those of these interfaces, the first one being the primary. */
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
