import t from 'tap';
import type { Config } from '../../src/config/config.ts';
import { clusterSettings } from '../../src/daemon/refresh-rooms.ts';
import {
  defaultGroup,
  disconnectedRules,
  routesOf,
  siteGroup,
  upstreamsBoundHere,
} from '../../src/daemon/routes.ts';
import { atOnce } from '../../src/runtime/slices.ts';
import { DEFAULT_SETTINGS } from '../../src/serving/forwarder/exchange.ts';
import { awsNames, failsWhileDisconnected } from '../../src/serving/local-zones/disconnected-rules.ts';
import { LocalZones } from '../../src/serving/local-zones/local-zones.ts';
import { load, SMALLEST } from '../config/loading.ts';

const routes = (config: Config) => atOnce(routesOf(config));

const connections = {
  poll: () => Promise.reject(new Error('not asked here')),
  asked: () => undefined,
  resolve: async () => ({ kind: 'no-addresses', rcode: 0 }) as const,
  answersText: async () => false,
  isDrilled: () => false,
};

t.test('upstreams: as text, address, port, and the name that TLS is verified with', async (t) => {
  const config = await load(
    `${SMALLEST.replace('[10.0.0.2]', '[10.0.0.2, "10.0.0.3:5353", "[fd00::1]:54", "tls://9.9.9.9#dns.quad9.net"]')}`,
  );
  t.same(defaultGroup(config).upstreams, [
    { text: '10.0.0.2:53', address: '10.0.0.2', port: 53 },
    { text: '10.0.0.3:5353', address: '10.0.0.3', port: 5353 },
    { text: '[fd00::1]:54', address: 'fd00::1', port: 54 },
    {
      text: 'tls://9.9.9.9:853#dns.quad9.net',
      address: '9.9.9.9',
      port: 853,
      transport: 'tls',
      serverName: 'dns.quad9.net',
    },
  ]);
});

t.test('an upstream is this server itself where that address is really bound', async (t) => {
  const config = await load(SMALLEST.replace('[10.0.0.2]', '[127.0.0.53, 10.0.0.2, "10.0.0.2:5353"]'));
  const here = (...bound: string[]) =>
    atOnce(
      upstreamsBoundHere(
        routes(config).groups,
        bound.map((address) => ({ address, port: 53 })),
        (address) => address === '10.0.0.2',
      ),
    );
  t.same(here('127.0.0.1', '192.168.1.9'), [], "another program's");
  t.same(here('127.0.0.1', '10.0.0.2'), ['10.0.0.2:53'], 'an address that came after the file was checked');
  t.same(
    here('0.0.0.0'),
    ['127.0.0.53:53', '10.0.0.2:53'],
    'a wildcard that is bound as one holds all of loopback, and every address of the host',
  );
  t.same(here('::'), []);
});

t.test(
  'zones: each kind of rule, and a group for each that forwards; the room takes them as they are',
  async (t) => {
    const config = await load(`${SMALLEST}zones:
  - { name: Corp.Example, forwardTo: [10.0.0.53] }
  - { name: gone.example, answer: nxdomain }
  - name: own.example
    records: ['www 300 A 10.0.0.5', 'v6 AAAA fd00::5', '@ MX 10 www', 'alias CNAME www', '@ TXT "a b" c', '@ NS www']
`);
    const rules = config.zones;
    t.match(rules, [
      { name: 'corp.example', forwardTo: { name: 'corp.example', upstreams: [{ address: '10.0.0.53' }] } },
      { name: 'gone.example', answer: 'nxdomain' },
      {
        name: 'own.example',
        records: [
          { owner: 'www.own.example', ttlSeconds: 300, type: 'A', address: '10.0.0.5' },
          { owner: 'v6.own.example', ttlSeconds: 60, type: 'AAAA', address: 'fd00::5' },
          { owner: 'own.example', type: 'MX', preference: 10, exchange: 'www.own.example' },
          { owner: 'alias.own.example', type: 'CNAME', target: 'www.own.example' },
          { owner: 'own.example', type: 'TXT', strings: ['a b', 'c'] },
          { owner: 'own.example', type: 'NS', target: 'www.own.example' },
        ],
      },
    ]);
    t.doesNotThrow(() => new LocalZones({ rules }));
    const groups = routes(config).groups;
    t.equal(new Set(groups.map(({ name }) => name)).size, groups.length, 'no two groups share a name');
    t.match(groups, [{ upstreams: [{ address: '10.0.0.2' }] }, { name: 'corp.example' }]);
  },
);

t.test('what is not said has the room’s own defaults, in the room’s own units', async (t) => {
  const config = await load(SMALLEST);
  t.match(config.limits.tcp, {
    connections: 150,
    connectionsPerClient: 20,
    idleMs: 10_000,
    frameMs: 3000,
    pipelined: 100,
  });
  t.match(config.refresh, { intervalMs: { dns: 45_000, interfaces: 300_000 }, deadlineMs: 20_000 });
  t.match(config.forward, DEFAULT_SETTINGS, 'the defaults of the room are those that are declared');
  t.match(config.forward, {
    deadlineMs: 5000,
    attemptMinMs: 200,
    attemptMaxMs: 2000,
    inFlight: 1000,
  });
  t.match(config.cache, {
    sizeOctets: 64 << 20,
    staleForMs: 30 * 86_400_000,
    staleTtlSeconds: 30,
    negativeTtlSeconds: 60,
    prefetch: true,
  });
});

t.test('clusters: sources by what is configured, probes only where they are wanted', async (t) => {
  const config = await load(`upstreams: [10.0.0.2]
clusters:
  - { name: a, region: us-west-2 }
  - { name: b, endpoint: B.eks.example, probe: { enabled: false }, pin: [10.0.0.9] }
  - { name: c, region: us-west-2, endpoint: c.site.example, vpcId: vpc-0a1b2c3d4e5f60718, route53: { zoneId: Z0123456789ABCDEFGHIJ } }
`);
  const clusters = clusterSettings(config, connections);
  const sources = clusters.map((cluster) => cluster.sources.map(({ name }) => name).toSorted());
  t.same(sources[0], ['cluster', 'dns', 'interfaces']);
  t.same(sources[1], ['dns']);
  t.ok(sources[2]?.includes('route53'));
  t.match(clusters, [
    {
      name: 'a',
      region: 'us-west-2',
      probe: { port: 443, intervalMs: 30_000, timeoutMs: 2000, prove: true },
    },
    { name: 'b', endpoint: 'b.eks.example', pin: ['10.0.0.9'] },
    { name: 'c', vpcId: 'vpc-0a1b2c3d4e5f60718' },
  ]);
  t.notOk('probe' in (clusters[1] ?? {}));
  t.notOk('region' in (clusters[1] ?? {}), 'absent, not undefined: records are found by it');
});

t.test('a drill: which upstreams it cuts off', async (t) => {
  const config = await load(`${SMALLEST.replace('[10.0.0.2]', '[10.0.0.2, "[fd00::1]:54"]')}zones:
  - { name: corp.example, forwardTo: ['10.9.0.53:5353', 10.0.0.2] }
drill: { onSite: [10.9.0.0/16, 'fd00::/64'] }
`);
  t.same([...routes(config).acrossLink], ['10.0.0.2:53']);
  t.same(
    [...routes(await load(SMALLEST)).acrossLink],
    ['10.0.0.2:53'],
    'without a word all are across the link',
  );
});

t.test(
  'whose names are meant to fail in a cut: as while disconnected, the longest name decides',
  async (t) => {
    const config = await load(`upstreams: [10.0.0.2]
zones:
  - { name: failing.example, whileDisconnected: servfail }
  - { name: silent.failing.example, forwardTo: [10.0.0.2] }
  - { name: kept.failing.example, whileDisconnected: stale }
  - { name: gone.example, whileDisconnected: nxdomain }
  - { name: here.example, whileDisconnected: ["www A 10.0.0.5"] }
  - { name: sqs.us-west-2.amazonaws.com, whileDisconnected: stale }
  - { name: sts.us-west-2.amazonaws.com, forwardTo: [10.0.0.2] }
  - { name: amazonaws.eu, whileDisconnected: stale }
clusters: [{ name: a, region: us-west-2 }]
`);
    const routes = atOnce(routesOf(config));
    const failing = (names?: readonly string[]) =>
      atOnce(failsWhileDisconnected(disconnectedRules(config, routes), names));
    const fails = failing();
    for (const [name, want] of [
      ['failing.example', true],
      ['x.failing.example', true],
      ['notfailing.example', false],
      ['x.silent.failing.example', false],
      ['x.kept.failing.example', false],
      ['gone.example', true],
      ['www.here.example', false],
      ['www.example.com', false],
      ['myamazonaws.com', false],
      ['s3.us-west-2.amazonaws.com', true],
      ['sts.cn-north-1.amazonaws.com.cn', true],
      ['ec2.us-west-2.api.aws', true],
      ['sqs.us-west-2.amazonaws.com', false],
      ['sts.us-west-2.amazonaws.com', true],
      ['sts.eusc-de-east-1.amazonaws.eu', false],
      ['db.abc.us-west-2.rds.amazonaws.com', false],
      ['rds.us-west-2.amazonaws.com', true],
      ['lb.us-west-2.elb.amazonaws.com', false],
      ['lb.elb.us-west-2.amazonaws.com', false],
      ['lb.elb.eu-west-1.amazonaws.com', true],
      ['a.s3-outposts.us-west-2.amazonaws.com', false],
      ['ip-10-0-3-10.us-west-2.compute.internal', true],
      ['ip-10-0-3-10.ec2.internal', true],
      ['.', false],
    ] as const)
      t.same([fails(name), failing([name])(name)], [want, want], name);
    for (const { name, says } of awsNames(['us-west-2'])) {
      if (name !== 'amazonaws.eu') t.equal(fails(`x.${name}`), says === 'servfail', name);
    }
  },
);

t.test('of ten thousand zones, those of the names in question are looked at', (t) => {
  const zones = Array.from({ length: 10_000 }, (_, at) => ({
    name: `z${at}.example`,
    forwardTo: 'x',
    whileDisconnected: 'servfail' as const,
  }));
  const steps = (names?: readonly string[]) =>
    [...failsWhileDisconnected({ zones, regions: [] }, names)].length;
  t.equal(steps(), 10_000);
  t.equal(steps(['www.z7.example', 'z8.example', 'other.test']), 2);
  t.end();
});

t.test('retained names: a question for each type', async (t) => {
  const config = await load(`${SMALLEST}retain: [registry.example, "_ntp._udp.example SRV"]\n`);
  t.same(config.retain, [
    { name: 'registry.example', qtype: 1 },
    { name: 'registry.example', qtype: 28 },
    { name: '_ntp._udp.example', qtype: 33 },
  ]);
});

t.test('a denial of a retained name is ignored where the operator says so, for all its types', async (t) => {
  const entries = '[{name: a.example, ignoreDenials: true}, a.example TXT, {name: b.example MX}]';
  const config = await load(`${SMALLEST}retain: ${entries}\n`);
  t.same(config.retain, [
    { name: 'a.example', qtype: 1, ignoreDenials: true },
    { name: 'a.example', qtype: 28, ignoreDenials: true },
    { name: 'a.example', qtype: 16, ignoreDenials: true },
    { name: 'b.example', qtype: 15 },
  ]);
});

t.test('one address type to retain means both, and each question is asked once', async (t) => {
  for (const [retain, qtypes] of [
    ['x.example A', [1, 28]],
    ['x.example AAAA', [1, 28]],
    ['x.example A, x.example AAAA', [1, 28]],
    ['x.example TXT, x.example AAAA', [16, 1, 28]],
    ['x.example TXT', [16]],
  ] as const) {
    const config = await load(`${SMALLEST}retain: [${retain}]\n`);
    const asked = config.retain.map(({ qtype }) => qtype);
    t.strictSame(asked, qtypes, retain);
  }
});

t.test('reverse names are worked out in the networks that are named, each in its Region', async (t) => {
  const config = await load(`upstreams: [10.0.0.2]
clusters: [{ name: a, region: us-west-2, vpcNetworks: [10.0.0.0/16, 10.1.0.0/16] }, { name: b, region: us-east-1 }]
`);
  t.match(disconnectedRules(config, atOnce(routesOf(config))), {
    regions: ['us-west-2', 'us-east-1'],
    vpcs: [
      { region: 'us-west-2', cidr: '10.0.0.0/16' },
      { region: 'us-west-2', cidr: '10.1.0.0/16' },
    ],
  });
});

t.test('the scope of kept answers is another once others are asked, and only then', async (t) => {
  const [one, same, other] = await Promise.all([
    load(SMALLEST),
    load(`${SMALLEST}cache: { size: 8MiB }\n`),
    load(SMALLEST.replace('10.0.0.2', '10.0.0.3')),
  ]);
  t.equal(routes(one).scope, routes(same).scope);
  t.not(routes(one).scope, routes(other).scope);
});

t.test('who is asked about names that the site may have for itself', async (t) => {
  const asked = async (upstreams: string, more = ''): Promise<string> => {
    const config = await load(`${SMALLEST.replace('[10.0.0.2]', `[${upstreams}]`)}${more}`);
    const group = siteGroup(config, defaultGroup(config));
    return group === undefined ? 'nobody' : `${group.name} ${group.upstreams.map(({ address }) => address)}`;
  };
  const rows: [upstreams: string, more: string, who: string][] = [
    ['10.0.0.2', '', '. 10.0.0.2'],
    ['192.168.1.1, "fd00::1"', '', '. 192.168.1.1,fd00::1'],
    ['127.0.0.53', '', '. 127.0.0.53'],
    ['"fe80::1%eth0"', '', '. fe80::1%eth0'],
    ['9.9.9.9', '', 'nobody'],
    ['"2620:fe::fe", "tls://1.1.1.1#one.one.one.one"', '', 'nobody'],
    ['169.254.169.253', '', 'nobody'],
    ['"fd00:ec2::253"', '', 'nobody'],
    ['10.0.0.2, 9.9.9.9', '', '_outpost-dns.home.arpa 10.0.0.2'],
    ['10.0.0.2, 10.9.0.53', 'drill: { onSite: [10.9.0.0/16] }', '_outpost-dns.home.arpa 10.9.0.53'],
    ['203.0.113.53', 'drill: { onSite: [203.0.113.0/24] }', '. 203.0.113.53'],
    ['9.9.9.9', 'forward: { siteNames: always }', '. 9.9.9.9'],
    ['10.0.0.2', 'forward: { siteNames: never }', 'nobody'],
  ];
  for (const [upstreams, more, who] of rows)
    t.equal(await asked(upstreams, more), who, `${upstreams} ${more}`);
  const mixed = await load(SMALLEST.replace('[10.0.0.2]', '[10.0.0.2, 9.9.9.9]'));
  t.equal(routes(mixed).groups.length, 2, 'a group that the forwarder knows');
  t.equal(new Set(routes(mixed).groups.map(({ name }) => name)).size, 2);
});
