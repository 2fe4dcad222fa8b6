/** Every key of the configuration, declared once: kind, bounds, default and a line of doc. */
import * as z from 'zod';
import {
  alternative,
  choice,
  choosing,
  defaulted,
  flag,
  list,
  optional,
  required,
  section,
  wholeNumber,
  wordOrList,
} from './key.ts';
import { ipv4Address, ipv4Network } from './kinds/address.ts';
import { clusterName, hostedZoneId, profileName, regionName, vpcId } from './kinds/aws-names.ts';
import { domainName } from './kinds/domain-name.ts';
import { duration, durationOrUnlimited, ttl } from './kinds/duration.ts';
import { retainedEntry } from './kinds/retained-name.ts';
import { size } from './kinds/size.ts';
import { absolutePath, line } from './kinds/text.ts';
import { upstream } from './kinds/upstream.ts';
import { admin, clients, drill, identity, limits, listen, log, state } from './server-sections.ts';

const route53 = choosing(
  { count: 'exactly one', keys: ['zoneId', 'findZone'] },
  z.strictObject({
    zoneId: alternative(
      hostedZoneId(),
      'the hosted zone that holds the endpoint name',
      'Z0123456789ABCDEFGHIJ',
    ),
    findZone: optional(flag(), 'look the zone up by walking up the labels of the endpoint name', true),
  }),
);

const kubernetes = choosing(
  { count: 'exactly one', keys: ['kubeconfig', 'certificate'] },
  z.strictObject({
    kubeconfig: optional(
      absolutePath('/etc/outpost-dns/kubeconfig'),
      'a kubeconfig whose current context has a client certificate or a token, and no command (aws eks get-token needs AWS); read anew at each look',
      '/etc/outpost-dns/kubeconfig',
    ),
    certificate: alternative(
      absolutePath('/etc/outpost-dns/kubernetes.crt'),
      'a client certificate in PEM, in place of a kubeconfig; read anew at each look',
      '/etc/outpost-dns/kubernetes.crt',
    ),
    key: alternative(
      absolutePath('/etc/outpost-dns/kubernetes.key'),
      'the key of that certificate, in PEM',
      '/etc/outpost-dns/kubernetes.key',
    ),
    ca: alternative(
      absolutePath('/etc/outpost-dns/kubernetes-ca.crt'),
      'certificate authority of the cluster in PEM, beside certificate; by default the one that DescribeCluster told',
      '/etc/outpost-dns/kubernetes-ca.crt',
    ),
  }),
);

const probe = z.strictObject({
  enabled: defaulted(
    flag(),
    true,
    'connect to each address by TCP and order the dead ones last; none is ever removed',
  ),
  port: defaulted(wholeNumber(1, 65_535), 443, 'port to connect to'),
  interval: defaulted(duration('1s', '1h'), '30s', 'time between two probes of an address'),
  timeout: defaulted(duration('50ms', '30s'), '2s', 'time after which a probe has failed'),
});

const cluster = choosing(
  { count: 'at least one', keys: ['region', 'endpoint'] },
  z.strictObject({
    name: required(clusterName(), 'name of the EKS local cluster', 'my-cluster'),
    region: optional(
      regionName(),
      'AWS Region of the Outpost; without it only the name in `endpoint` is looked up',
      'us-west-2',
    ),
    endpoint: optional(
      domainName('eks-cluster.us-west-2.eks.amazonaws.com'),
      'name of the API endpoint, where DescribeCluster is not allowed or not reachable yet',
      'eks-cluster.us-west-2.eks.amazonaws.com',
    ),
    vpcId: optional(
      vpcId(),
      'VPC of the cluster, where DescribeCluster is not allowed',
      'vpc-0a1b2c3d4e5f60718',
    ),
    vpcNetworks: defaulted(
      list(ipv4Network(), 0, 64),
      [],
      'networks of the VPC; while disconnected, reverse names in them are worked out as the resolver of the VPC would',
    ),
    sources: optional(
      list(choice('dns', 'interfaces', 'cluster', 'route53', 'kubernetes'), 1, 5),
      'where the addresses come from; by default dns, with `region` also interfaces and cluster, with `route53` and `kubernetes` also these',
      ['dns', 'interfaces', 'cluster', 'route53', 'kubernetes'],
    ),
    route53: section(route53.optional(), 'where the endpoint name is in a hosted zone of your own'),
    kubernetes: section(
      kubernetes.optional(),
      'how the API server is asked for its own view of its addresses (EndpointSlices of default/kubernetes), which goes on in a cut; it must be allowed to list them in the namespace default',
    ),
    allowedAddresses: defaulted(
      list(ipv4Network(), 1, 64),
      ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'],
      'networks that an address of the endpoint may be in; any other is refused. A public network counts where it is listed here',
    ),
    pin: defaulted(
      list(ipv4Address(), 0, 64),
      [],
      'addresses to serve whatever the sources say; shown everywhere as pinned',
    ),
    probe: section(probe.prefault({}), 'how the addresses of the endpoint are probed'),
    profile: optional(
      profileName(),
      'profile of the AWS configuration files to take credentials from',
      'outpost-dns',
    ),
  }),
);

const recordLine = line(
  'a record as owner, TTL in seconds (may be left out), type and data, such as "www A 10.0.0.5"; ' +
    'the owner is relative to the zone, "@" is the zone itself',
);

const zone = choosing(
  {
    count: 'exactly one',
    keys: ['forwardTo', 'answer', 'records', 'whileDisconnected'],
    alsoBeside: { key: 'whileDisconnected', other: 'forwardTo' },
  },
  z.strictObject({
    name: required(domainName('corp.example'), 'the zone: this name and everything below it', 'corp.example'),
    forwardTo: alternative(list(upstream(), 1, 16), 'ask these servers', ['10.0.0.53']),
    answer: alternative(choice('nxdomain', 'servfail', 'refused'), 'answer every question so', 'nxdomain'),
    records: optional(
      list(recordLine, 1, 10_000),
      'answer from these records (A, AAAA, CNAME, TXT, PTR, MX, NS; TTL 60 unless given)',
      ['www A 10.0.0.5', 'mail 300 MX 10 www', '@ TXT "kept on the site"'],
    ),
    whileDisconnected: alternative(
      wordOrList(choice('stale', 'servfail', 'nxdomain'), list(recordLine, 1, 10_000)),
      'what to answer while none of the servers asked for this zone answers; alone, the zone is forwarded to where it would be anyway',
      'servfail',
    ),
  }),
);

const refresh = z.strictObject({
  dns: defaulted(duration('1s', '1h'), '45s', 'time between two DNS lookups of an endpoint'),
  interfaces: defaulted(duration('1s', '1d'), '5m', 'time between two listings of network interfaces'),
  route53: defaulted(
    duration('1s', '1d'),
    '5m',
    'time between two listings of record sets of an own hosted zone',
  ),
  cluster: defaulted(duration('1s', '7d'), '1h', 'time between two calls of DescribeCluster'),
  kubernetes: defaulted(duration('1s', '1d'), '60s', "time between two looks at the API server's own view"),
  jitterPercent: defaulted(
    wholeNumber(0, 50),
    20,
    'how far each of these times is varied at random, in per cent',
  ),
  retryMin: defaulted(
    duration('100ms', '10m'),
    '5s',
    'wait after the first failure; it doubles with each further one',
  ),
  retryMax: defaulted(duration('100ms', '1h'), '60s', 'longest wait after failures'),
  deadline: defaulted(
    duration('500ms', '5m'),
    '20s',
    'time after which a refresh is given up, whatever it waits for',
  ),
});

const forward = z.strictObject({
  deadline: defaulted(duration('500ms', '30s'), '5s', 'time in which a client gets an answer or SERVFAIL'),
  attemptMin: defaulted(
    duration('10ms', '10s'),
    '200ms',
    'shortest wait for one upstream before the next is tried',
  ),
  attemptMax: defaulted(
    duration('10ms', '30s'),
    '2s',
    'longest wait for one upstream before the next is tried',
  ),
  inFlight: defaulted(
    wholeNumber(1, 65_535),
    1000,
    'exchanges with upstreams at a time; above it clients get SERVFAIL',
  ),
  caseRandomization: defaulted(
    flag(),
    true,
    'vary the case of names at random against forged replies (0x20); without it, and for upstreams that lose it, each exchange has a source port of its own, which takes twice the processor time',
  ),
  siteNames: defaulted(
    choice('auto', 'always', 'never'),
    'auto',
    'whether names that a site may have for itself (reverse names of private addresses, local, home.arpa, test) are forwarded: auto asks upstreams on the site, always asks all, never denies them at once',
  ),
  trustAuthenticatedData: defaulted(
    flag(),
    false,
    'pass on the AD bit of upstreams, which must be near and trusted',
  ),
});

const cache = z.strictObject({
  size: defaulted(size('1MiB', '16GiB'), '64MiB', 'memory for forwarded answers'),
  maxTtl: defaulted(ttl('1s', '7d'), '1d', 'longest time an answer counts as fresh'),
  negativeTtl: defaulted(ttl('1s', '3h'), '60s', 'longest time a negative answer counts as fresh'),
  staleFor: defaulted(
    durationOrUnlimited('0s', '3650d'),
    '30d',
    'time after its end in which an answer is served while its upstreams do not answer; 0s turns it off',
  ),
  staleTtl: defaulted(ttl('1s', '1h'), '30s', 'TTL that a stale answer is given'),
  prefetch: defaulted(flag(), true, 'refresh answers in use shortly before their end'),
});

export const schema = z.strictObject({
  clusters: section(list(cluster, 1, 100), 'the EKS local clusters whose endpoints are kept resolvable'),
  upstreams: required(list(upstream(), 1, 16), 'servers that everything else is forwarded to', ['10.0.0.2']),
  listen: section(listen.prefault({}), 'where DNS is served'),
  clients: section(clients.prefault({}), 'who is served'),
  zones: section(list(zone, 0, 10_000).prefault([]), 'rules for single zones; none may cover an endpoint'),
  retain: defaulted(
    list(retainedEntry(), 0, 1000),
    [],
    'names that are asked for on a schedule while an upstream answers, kept on disk, and answered without limit while none does: for the local registry, the OIDC issuer, NTP; A or AAAA alone means both',
  ),
  refresh: section(refresh.prefault({}), 'how often the endpoints are looked up'),
  forward: section(forward.prefault({}), 'how queries are forwarded'),
  cache: section(cache.prefault({}), 'how forwarded answers are kept'),
  limits: section(limits.prefault({}), 'what one client, or all of them, may take'),
  identity: section(identity.prefault({}), 'what the server says about itself'),
  admin: section(admin.prefault({}), 'where it is watched'),
  drill: section(drill.prefault({}), 'what a rehearsed outage leaves alone'),
  state: section(state.prefault({}), 'where it keeps what it knows'),
  log: section(log.prefault({}), 'what it logs'),
});

/** What validation yields, still with the file's own structure; nothing outside this folder sees it. */
export type Settings = z.output<typeof schema>;
