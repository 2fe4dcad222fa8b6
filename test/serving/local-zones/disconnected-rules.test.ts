import t from 'tap';
import { extendedErrorName, rcodeName } from '../../../src/protocol/words/codes.ts';
import { awsNames, type DisconnectedRules } from '../../../src/serving/local-zones/disconnected-rules.ts';
import { LocalZonesError } from '../../../src/serving/local-zones/own-zones.ts';
import { rr } from '../../helpers/zone-text.ts';
import { asked, replyText } from './asked.ts';
import { build, written } from './disconnected-site.ts';

/** The reply that a client sees, and its place beside the cache: `after-stale NOERROR | answer | authority`. */
function seenBy(rules: DisconnectedRules, name: string, type = 'A', turn = 0): string {
  const query = asked(name, type);
  const found = rules.find(query);
  if (found.kind === 'stale') return 'stale';
  const octets = written(query, found, turn);
  if (found.kind !== 'rcode') return `${found.standing} ${replyText(octets, 0)}`;
  if ((octets[3]! & 0x0f) !== found.rcode) throw new Error('a wrong response code was written');
  return `${found.standing} ${rcodeName(found.rcode)} (${extendedErrorName(found.extendedError)})`;
}

type Row = readonly [name: string, type: string, want: string];

function follows(name: string, rules: DisconnectedRules, rows: readonly Row[]): void {
  t.test(name, (t) => {
    for (const [name, type, want] of rows) t.equal(seenBy(rules, name, type), want, `${name} ${type}`);
    t.end();
  });
}

const negative = (standing: string, rcode: string, apex: string) =>
  `${standing} ${rcode} |  | ${apex} 30 SOA ${apex} nobody.invalid 30`;

const ec2 = 'us-west-2.compute.internal';
const ec2NoName = negative('after-stale', 'NXDOMAIN', ec2);
const ec2NoData = negative('after-stale', 'NOERROR', ec2);
const address = (name: string, text: string) => `after-stale NOERROR | ${name} 30 A ${text}`;

follows(
  "EC2's own names: computed from the label, denied without an address in it",
  build([], {
    regions: ['us-west-2', 'us-east-1', 'us-west-2', 'cn-north-1'],
    vpcs: [{ region: 'us-west-2', cidr: '203.0.113.0/24' }],
  }),
  [
    [`ip-10-0-3-10.${ec2}`, 'A', address(`ip-10-0-3-10.${ec2}`, '10.0.3.10')],
    [`IP-10-0-3-10.US-West-2.compute.internal`, 'A', address(`ip-10-0-3-10.${ec2}`, '10.0.3.10')],
    [`ip-10-0-3-10.${ec2}`, 'ANY', address(`ip-10-0-3-10.${ec2}`, '10.0.3.10')],
    [`ip-10-0-3-10.${ec2}`, 'AAAA', ec2NoData],
    [`ip-10-0-3-10.${ec2}`, 'HTTPS', ec2NoData],
    [`ip-10-0-0-0.${ec2}`, 'A', address(`ip-10-0-0-0.${ec2}`, '10.0.0.0')],
    [`ip-10-255-255-255.${ec2}`, 'A', address(`ip-10-255-255-255.${ec2}`, '10.255.255.255')],
    [`ip-172-31-255-1.${ec2}`, 'A', address(`ip-172-31-255-1.${ec2}`, '172.31.255.1')],
    [`ip-192-168-0-1.${ec2}`, 'A', address(`ip-192-168-0-1.${ec2}`, '192.168.0.1')],
    [`ip-100-64-0-1.${ec2}`, 'A', address(`ip-100-64-0-1.${ec2}`, '100.64.0.1')],
    ['ip-10-0-3-10.ec2.internal', 'A', address('ip-10-0-3-10.ec2.internal', '10.0.3.10')],
    [
      'ip-10-0-3-10.cn-north-1.compute.internal',
      'A',
      address('ip-10-0-3-10.cn-north-1.compute.internal', '10.0.3.10'),
    ],
    // a VPC may have public addresses, in its own Region alone
    [`ip-203-0-113-9.${ec2}`, 'A', address(`ip-203-0-113-9.${ec2}`, '203.0.113.9')],
    ['ip-203-0-113-9.ec2.internal', 'A', negative('after-stale', 'NXDOMAIN', 'ec2.internal')],
    // never an address that no VPC has: the name would lead to loopback, or to a foreign host
    [`ip-127-0-0-1.${ec2}`, 'A', ec2NoName],
    [`ip-169-254-169-254.${ec2}`, 'A', ec2NoName],
    [`ip-8-8-8-8.${ec2}`, 'A', ec2NoName],
    [`ip-172-32-0-1.${ec2}`, 'A', ec2NoName],
    [`ip-0-0-0-0.${ec2}`, 'A', ec2NoName],
    [`ip-8-8-8-8.${ec2}`, 'AAAA', ec2NoName],
    // names that pods with ndots:5 ask for
    [`example.com.${ec2}`, 'A', ec2NoName],
    [`example.com.${ec2}`, 'AAAA', ec2NoName],
    [`kubernetes.default.svc.cluster.local.${ec2}`, 'A', ec2NoName],
    [`x.ip-10-0-3-10.${ec2}`, 'A', ec2NoName],
    [`ip-10-0-3-10.x.${ec2}`, 'A', ec2NoName],
    [`ip-10-0-3-10.ip-10-0-3-10.${ec2}`, 'A', ec2NoName],
    [`i-0123456789abcdef0.${ec2}`, 'A', ec2NoName],
    [`ip-10-0-3.${ec2}`, 'A', ec2NoName],
    [`ip-10-0-3-010.${ec2}`, 'A', ec2NoName],
    [`ip-10-0-3-256.${ec2}`, 'A', ec2NoName],
    // RFC 8020: the suffix exists, because there are names under it
    [ec2, 'A', ec2NoData],
    [ec2, 'SOA', ec2NoData],
    // names that are not denied here: other Regions, and names above
    ['ip-10-0-3-10.eu-west-1.compute.internal', 'A', 'stale'],
    ['ip-10-0-3-10.us-east-1.compute.internal', 'A', 'stale'],
    ['compute.internal', 'A', 'stale'],
    ['internal', 'A', 'stale'],
    ['.', 'NS', 'stale'],
  ],
);

const ptr = (name: string, target: string) => `after-stale NOERROR | ${name} 30 PTR ${target}`;
const reverse = (rcode: string, apex: string) => negative('after-stale', rcode, `${apex}.in-addr.arpa`);

follows(
  'reverse names: computed inside the networks of VPCs, and not elsewhere',
  build([], {
    regions: ['us-west-2'],
    vpcs: [
      { region: 'us-west-2', cidr: '10.0.0.0/16' },
      { region: 'us-east-1', cidr: '10.1.16.0/20' },
      { region: 'eu-west-1', cidr: '10.1.32.0/20' },
      { region: 'eu-west-1', cidr: '10.0.5.0/24' },
      { region: 'us-west-2', cidr: '192.168.255.255/32' },
    ],
  }),
  [
    ['10.3.0.10.in-addr.arpa', 'PTR', ptr('10.3.0.10.in-addr.arpa', `ip-10-0-3-10.${ec2}`)],
    ['10.3.0.10.IN-ADDR.ARPA', 'PTR', ptr('10.3.0.10.in-addr.arpa', `ip-10-0-3-10.${ec2}`)],
    ['255.255.0.10.in-addr.arpa', 'ANY', ptr('255.255.0.10.in-addr.arpa', `ip-10-0-255-255.${ec2}`)],
    ['0.0.0.10.in-addr.arpa', 'PTR', ptr('0.0.0.10.in-addr.arpa', `ip-10-0-0-0.${ec2}`)],
    ['10.3.0.10.in-addr.arpa', 'A', reverse('NOERROR', '0.10')],
    ['10.3.0.10.in-addr.arpa', 'TXT', reverse('NOERROR', '0.10')],
    ['3.0.10.in-addr.arpa', 'PTR', reverse('NOERROR', '0.10')],
    ['0.10.in-addr.arpa', 'SOA', reverse('NOERROR', '0.10')],
    ['x.3.0.10.in-addr.arpa', 'PTR', reverse('NXDOMAIN', '0.10')],
    ['256.3.0.10.in-addr.arpa', 'PTR', reverse('NXDOMAIN', '0.10')],
    ['010.3.0.10.in-addr.arpa', 'PTR', reverse('NXDOMAIN', '0.10')],
    ['x.10.3.0.10.in-addr.arpa', 'PTR', reverse('NXDOMAIN', '0.10')],
    ['1.10.3.0.10.in-addr.arpa', 'PTR', reverse('NXDOMAIN', '0.10')],
    // the narrower network counts for its part of a wider network
    ['9.5.0.10.in-addr.arpa', 'PTR', ptr('9.5.0.10.in-addr.arpa', 'ip-10-0-5-9.eu-west-1.compute.internal')],
    // networks that end between two dots share the name above them
    ['1.16.1.10.in-addr.arpa', 'PTR', ptr('1.16.1.10.in-addr.arpa', 'ip-10-1-16-1.ec2.internal')],
    ['1.31.1.10.in-addr.arpa', 'PTR', ptr('1.31.1.10.in-addr.arpa', 'ip-10-1-31-1.ec2.internal')],
    [
      '1.32.1.10.in-addr.arpa',
      'PTR',
      ptr('1.32.1.10.in-addr.arpa', 'ip-10-1-32-1.eu-west-1.compute.internal'),
    ],
    ['1.48.1.10.in-addr.arpa', 'PTR', 'stale'],
    ['1.15.1.10.in-addr.arpa', 'PTR', 'stale'],
    ['x.1.10.in-addr.arpa', 'PTR', 'stale'],
    ['16.1.10.in-addr.arpa', 'PTR', reverse('NOERROR', '1.10')],
    ['1.10.in-addr.arpa', 'PTR', 'stale'],
    ['10.in-addr.arpa', 'PTR', 'stale'],
    ['255.255.168.192.in-addr.arpa', 'PTR', ptr('255.255.168.192.in-addr.arpa', `ip-192-168-255-255.${ec2}`)],
    ['254.255.168.192.in-addr.arpa', 'PTR', 'stale'],
    ['in-addr.arpa', 'NS', 'stale'],
  ],
);

const FAST = 'before-stale SERVFAIL (no reachable authority)';

follows(
  'names of AWS: services fail at once, names of things on the Outpost are answered while they are known',
  build([], {
    regions: ['us-west-2', 'cn-north-1'],
  }),
  [
    ['sts.us-west-2.amazonaws.com', 'A', FAST],
    ['STS.US-WEST-2.AMAZONAWS.COM', 'AAAA', FAST],
    ['123456789012.dkr.ecr.us-west-2.amazonaws.com', 'A', FAST],
    ['bucket.s3.us-west-2.amazonaws.com', 'A', FAST],
    ['eks.us-west-2.amazonaws.com', 'A', FAST],
    ['rds.us-west-2.amazonaws.com', 'A', FAST],
    ['oidc.eks.us-west-2.amazonaws.com', 'A', FAST],
    ['amazonaws.com', 'A', FAST],
    ['ec2.us-west-2.api.aws', 'A', FAST],
    ['sts.cn-north-1.amazonaws.com.cn', 'A', FAST],
    ['ABC.gr7.us-west-2.eks.amazonaws.com', 'A', 'stale'],
    ['shop-1234567890.us-west-2.elb.amazonaws.com', 'A', 'stale'],
    ['shop-0123456789abcdef.elb.us-west-2.amazonaws.com', 'A', 'stale'],
    ['shop-0123456789abcdef.elb.cn-north-1.amazonaws.com.cn', 'A', 'stale'],
    ['db.abcdefghijkl.us-west-2.rds.amazonaws.com', 'A', 'stale'],
    ['x.s3-outposts.us-west-2.amazonaws.com', 'A', 'stale'],
    ['x.s3-outposts.eu-west-1.amazonaws.com', 'A', FAST],
    ['123456789012.dkr-ecr.us-west-2.on.aws', 'A', FAST],
    ['123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn', 'A', FAST],
    ['ec2.cn-north-1.api.amazonwebservices.com.cn', 'A', FAST],
    ['sts.eusc-de-east-1.amazonaws.eu', 'A', FAST],
    ['ec2.us-iso-east-1.c2s.ic.gov', 'A', FAST],
    ['sts.us-isob-east-1.sc2s.sgov.gov', 'A', FAST],
    ['s3.eu-isoe-west-1.cloud.adc-e.uk', 'A', FAST],
    ['s3.us-isof-south-1.csp.hci.ic.gov', 'A', FAST],
    ['public.ecr.aws', 'A', FAST],
    ['ABC.x.cn-north-1.eks.amazonaws.com.cn', 'A', 'stale'],
    ['ABC.x.us-iso-east-1.eks.c2s.ic.gov', 'A', 'stale'],
    ['ABC.eks-cluster.us-west-2.api.aws', 'A', 'stale'],
    ['eks-cluster.us-west-2.api.aws', 'A', 'stale'],
    ['eks.us-west-2.api.aws', 'A', FAST],
    ['ic.gov', 'A', 'stale'],
    ['gallery.ecr.aws', 'A', 'stale'],
    ['aws.amazon.com', 'A', 'stale'],
    ['notamazonaws.com', 'A', 'stale'],
    ['com', 'NS', 'stale'],
  ],
);

t.test('every name of the table of AWS has its reason', (t) => {
  const names = awsNames(['us-west-2', 'us-west-2', 'eusc-de-east-1']);
  for (const { name, because } of names) t.match(because, /^\S.{15,}/, name);
  t.equal(new Set(names.map(({ name }) => name)).size, names.length, 'and stands there once');
  t.ok(names.some(({ name }) => name === 'elb.eusc-de-east-1.amazonaws.eu'));
  t.end();
});

const STOPPED = 'before-cache SERVFAIL (no reachable authority)';

follows(
  "the operator's rules: the longest name decides, and a zone without an answer hides no built-in rule",
  build(
    [
      { name: 'Corp.Example.', whileDisconnected: 'nxdomain' },
      { name: 'dc.corp.example' },
      { name: 'mail.corp.example', whileDisconnected: 'stale' },
      { name: 'cloud.example', whileDisconnected: 'servfail' },
      { name: 'amazonaws.com', whileDisconnected: 'stale' },
      { name: 's3.us-west-2.amazonaws.com', whileDisconnected: 'nxdomain' },
      { name: 'dkr.ecr.us-west-2.amazonaws.com' },
      { name: 'api.aws', whileDisconnected: 'servfail' },
      { name: ec2 },
      { name: 'internal', whileDisconnected: 'servfail' },
      { name: 'x.compute.internal', whileDisconnected: 'nxdomain' },
    ],
    { regions: ['us-west-2'] },
  ),
  [
    ['corp.example', 'A', negative('before-cache', 'NXDOMAIN', 'corp.example')],
    ['a.b.corp.example', 'AAAA', negative('before-cache', 'NXDOMAIN', 'corp.example')],
    ['host.dc.corp.example', 'A', 'stale'],
    ['mail.corp.example', 'MX', 'stale'],
    ['www.cloud.example', 'A', STOPPED],
    ['cloud.example', 'TXT', STOPPED],
    ['example', 'A', 'stale'],
    ['sts.us-west-2.amazonaws.com', 'A', 'stale'],
    ['b.s3.us-west-2.amazonaws.com', 'A', negative('before-cache', 'NXDOMAIN', 's3.us-west-2.amazonaws.com')],
    // the operator's rule for all of AWS does not hold in a zone without an answer: the built-in rule does
    ['x.dkr.ecr.us-west-2.amazonaws.com', 'A', FAST],
    ['x.api.aws', 'A', STOPPED],
    [`ip-10-0-3-10.${ec2}`, 'A', address(`ip-10-0-3-10.${ec2}`, '10.0.3.10')],
    [`y.${ec2}`, 'A', ec2NoName],
    ['y.internal', 'A', STOPPED],
    ['y.x.compute.internal', 'A', negative('before-cache', 'NXDOMAIN', 'x.compute.internal')],
  ],
);

const site = 'registry.example';
const standIns = build([
  {
    name: site,
    whileDisconnected: [
      rr('registry.example 60 A 10.0.0.1'),
      rr('registry.example 60 A 10.0.0.2'),
      rr('auth.registry.example 300 CNAME registry.example'),
      rr('gone.registry.example 60 CNAME nothing.registry.example'),
      rr('deep.er.registry.example 60 TXT hello'),
      rr('routed.registry.example 60 CNAME x.eu.registry.example'),
    ],
  },
  { name: 'eu.registry.example', whileDisconnected: 'stale' },
]);
const both = 'registry.example 60 A 10.0.0.1; registry.example 60 A 10.0.0.2';

follows("the operator's records answer for the whole zone, before any cached answer", standIns, [
  [site, 'A', `before-cache NOERROR | ${both}`],
  ['Registry.Example', 'A', `before-cache NOERROR | ${both}`],
  [site, 'AAAA', negative('before-cache', 'NOERROR', site)],
  [
    'auth.registry.example',
    'A',
    `before-cache NOERROR | auth.registry.example 300 CNAME registry.example; ${both}`,
  ],
  [
    'auth.registry.example',
    'AAAA',
    `before-cache NOERROR | auth.registry.example 300 CNAME registry.example | registry.example 30 SOA registry.example nobody.invalid 30`,
  ],
  [
    'gone.registry.example',
    'A',
    `before-cache NXDOMAIN | gone.registry.example 60 CNAME nothing.registry.example | registry.example 30 SOA registry.example nobody.invalid 30`,
  ],
  ['er.registry.example', 'A', negative('before-cache', 'NOERROR', site)],
  ['deep.er.registry.example', 'TXT', 'before-cache NOERROR | deep.er.registry.example 60 TXT ["hello"]'],
  ['x.deep.er.registry.example', 'TXT', negative('before-cache', 'NXDOMAIN', site)],
  ['other.registry.example', 'A', negative('before-cache', 'NXDOMAIN', site)],
  ['x.eu.registry.example', 'A', 'stale'],
  [
    'routed.registry.example',
    'A',
    'before-cache NOERROR | routed.registry.example 60 CNAME x.eu.registry.example',
  ],
  ['example', 'A', 'stale'],
]);

t.test('addresses of the operator are rotated', (t) => {
  t.equal(
    seenBy(standIns, site, 'A', 1),
    'before-cache NOERROR | registry.example 60 A 10.0.0.2; registry.example 60 A 10.0.0.1',
  );
  t.end();
});

t.test('a lookup makes no object: the same finding every time', (t) => {
  const rules = build([{ name: 'corp.example', whileDisconnected: 'nxdomain' }], { regions: ['us-west-2'] });
  for (const name of [
    'example.com',
    'corp.example',
    `ip-10-0-3-10.${ec2}`,
    `x.${ec2}`,
    'sts.amazonaws.com',
  ]) {
    t.equal(rules.find(asked(name)), rules.find(asked(name)), name);
  }
  t.end();
});

t.test('a zone that cannot be served is refused with every fault', (t) => {
  try {
    build([
      { name: 'a.example', whileDisconnected: [rr('b.example 60 A 10.0.0.1')] },
      { name: 'A.example', whileDisconnected: 'stale' },
      { name: 'c..example' },
    ]);
    t.fail('it was built');
  } catch (error) {
    if (!(error instanceof LocalZonesError)) throw error;
    t.strictSame(
      error.faults.map(({ zone, reason }) => [zone, reason]),
      [
        ['c..example', 'not a domain name: "c..example": empty label'],
        ['a.example', 'more than one rule for this zone'],
        ['a.example', 'owner "b.example." is not in the zone'],
      ],
    );
  }
  t.end();
});
