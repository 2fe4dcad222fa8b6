import {
  ACCOUNT_ID,
  type AccessKey,
  type ClusterSketch,
  clusterFacts,
  DEMO_SUBNET_IDS,
  DEMO_VPC_ID,
  type DnsRecord,
  type HostedZone,
  macAddress,
  type NetworkInterface,
  type Population,
  type RecordSet,
  resourceId,
} from './facts.ts';

/** AWS's documentation key: it opens nothing anywhere. */
export const DEMO_ACCESS_KEY: AccessKey = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  accountId: ACCOUNT_ID,
  arn: `arn:aws:iam::${ACCOUNT_ID}:user/outpost-dns`,
};

/** The Region of `npm start`: one cluster, a second one whose name a wildcard would match too, and an ordinary internet. */
export function demoPopulation(): Population {
  return populationOf([
    {
      name: 'demo',
      endpoint: '5E9D0F3C7A1B4286B0D4C8E2F6A19753.gr7.us-west-2.eks.amazonaws.com',
      addresses: ['10.0.1.10', '10.0.2.10', '10.0.3.10'],
    },
    { name: 'demo-2', addresses: ['10.0.1.90', '10.0.2.90', '10.0.3.90'] },
    { name: 'legacy', generation: 'ebs', addresses: ['10.0.1.30', '10.0.2.30', '10.0.3.30'] },
  ]);
}

/** A population with these clusters beside the demonstration's bystanders, hosted zones and ordinary names. */
export function populationOf(sketches: readonly ClusterSketch[]): Population {
  const facts = sketches.map(clusterFacts);
  return {
    clusters: facts.map(({ cluster }) => cluster),
    interfaces: [...facts.flatMap(({ interfaces }) => interfaces), ...bystanders()],
    instances: facts.flatMap(({ instances }) => instances),
    hostedZones: demoHostedZones(),
    records: [...facts.flatMap(({ records }) => records), ...ordinaryRecords()],
    accessKeys: [DEMO_ACCESS_KEY],
  };
}

/** Interfaces of no endpoint: of a worker node, of a load balancer, of a deleted cluster. */
function bystanders(): NetworkInterface[] {
  return [
    bystander('aws-K8S-i-0aaaaaaaaaaaaaaaa', '10.0.1.101', 'in-use'),
    bystander('ELB app/shop/0123456789abcdef', '10.0.2.102', 'in-use'),
    bystander('Amazon EKS demolished', '10.0.3.103', 'available'),
  ];
}

function bystander(
  description: string,
  address: string,
  status: NetworkInterface['status'],
): NetworkInterface {
  return {
    id: resourceId('eni', 'bystander', address),
    region: 'us-west-2',
    description,
    vpcId: DEMO_VPC_ID,
    subnetId: DEMO_SUBNET_IDS[0],
    availabilityZone: 'us-west-2a',
    status,
    address,
    secondaryAddresses: [],
    macAddress: macAddress([address]),
    ownerId: ACCOUNT_ID,
    requesterManaged: false,
    interfaceType: 'interface',
    securityGroupIds: ['sg-0fedcba9876543210'],
    tags: {},
  };
}

/** Two zones of the customer under one name, public and private, and a zone that sorts beside them. */
function demoHostedZones(): HostedZone[] {
  return [
    hostedZone('Z0PUBLICSITEEXAMPLE', 'site.example', false, [
      {
        name: 'api.site.example',
        type: 'A',
        ttlSeconds: 60,
        values: ['10.0.1.10', '10.0.2.10', '10.0.3.10'],
      },
      weighted('blue', 3, '10.0.1.10'),
      weighted('green', 1, '10.0.2.10'),
      weighted('off', 0, '10.0.9.9'),
      multiValue('one', '10.0.1.10'),
      multiValue('two', '10.0.2.10'),
      {
        name: 'alias.site.example',
        type: 'A',
        alias: { hostedZoneId: 'Z0PUBLICSITEEXAMPLE', name: 'api.site.example', evaluateTargetHealth: false },
      },
      { name: '*.apps.site.example', type: 'A', ttlSeconds: 60, values: ['10.0.4.4'] },
    ]),
    hostedZone('Z0PRIVATESITEEXAMPL', 'site.example', true, [
      { name: 'api.site.example', type: 'A', ttlSeconds: 60, values: ['10.0.7.7'] },
    ]),
    hostedZone('Z0OTHERSITEEXAMPLE0', 'site2.example', false, []),
  ];
}

/** A hosted zone with the SOA and NS sets that Route 53 gives every zone. */
function hostedZone(
  id: string,
  name: string,
  privateZone: boolean,
  recordSets: readonly RecordSet[],
): HostedZone {
  const nameServers = ['ns-1.awsdns-01.example.', 'ns-2.awsdns-02.example.'];
  return {
    id,
    name,
    privateZone,
    vpcs: privateZone ? [{ region: 'us-west-2', vpcId: DEMO_VPC_ID }] : [],
    recordSets: [
      { name, type: 'NS', ttlSeconds: 172_800, values: nameServers },
      {
        name,
        type: 'SOA',
        ttlSeconds: 900,
        values: [`${nameServers[0]} awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400`],
      },
      ...recordSets,
    ],
  };
}

function weighted(setIdentifier: string, weight: number, value: string): RecordSet {
  return { name: 'weighted.site.example', type: 'A', ttlSeconds: 60, values: [value], setIdentifier, weight };
}

function multiValue(setIdentifier: string, value: string): RecordSet {
  return {
    name: 'multi.site.example',
    type: 'A',
    ttlSeconds: 60,
    values: [value],
    setIdentifier,
    multiValueAnswer: true,
  };
}

/** Ordinary records of the upstream, in names and addresses that are reserved for documentation. */
function ordinaryRecords(): DnsRecord[] {
  const zoneStart = 'ns.example.com hostmaster.example.com 2026010101 7200 900 1209600 300';
  return [
    record('.', 'SOA', 86_400, 'a.root-servers.net nstld.verisign-grs.com 2026010100 1800 900 604800 86400'),
    record('.', 'NS', 518_400, 'a.root-servers.net'),
    record('.', 'NS', 518_400, 'b.root-servers.net'),
    record('example.com', 'SOA', 3600, zoneStart),
    record('example.com', 'NS', 3600, 'ns.example.com'),
    record('example.com', 'MX', 300, '10 mail.example.com'),
    record('example.com', 'MX', 300, '20 backup.example.com'),
    record('example.com', 'TXT', 300, '"v=spf1 mx -all" "second string"'),
    record('example.com', 'CAA', 300, '0 issue ca.example.net'),
    record('www.example.com', 'A', 300, '192.0.2.10'),
    record('www.example.com', 'A', 300, '192.0.2.11'),
    record('www.example.com', 'AAAA', 300, '2001:db8::10'),
    record('ns.example.com', 'A', 3600, '192.0.2.53'),
    record('mail.example.com', 'A', 300, '192.0.2.25'),
    record('v4only.example.com', 'A', 60, '192.0.2.44'),
    record('shop.example.com', 'CNAME', 120, 'web.example.com'),
    record('web.example.com', 'CNAME', 60, 'edge.example.net'),
    record('dangling.example.com', 'CNAME', 60, 'nothing.example.net'),
    record('_ldap._tcp.example.com', 'SRV', 300, '10 5 389 www.example.com'),
    record('big.example.com', 'TXT', 300, 'outpost '.repeat(500)),
    record('secure.example.com', 'HTTPS', 300, '\\# 13 00010000010006026832026833'),
    record('future.example.com', 'TYPE65280', 300, '\\# 4 0a0b0c0d'),
    record('*.many.example.com', 'A', 60, '192.0.2.77'),
    record('example.net', 'SOA', 3600, zoneStart),
    record('edge.example.net', 'A', 30, '198.51.100.7'),
    record('10.2.0.192.in-addr.arpa', 'PTR', 300, 'www.example.com'),
  ];
}

function record(name: string, type: string, ttlSeconds: number, value: string): DnsRecord {
  return { name, type, ttlSeconds, value };
}
