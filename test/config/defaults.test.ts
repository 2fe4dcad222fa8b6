import t from 'tap';
import { load } from './loading.ts';

const DEFAULTS = {
  clusters: [
    {
      name: 'my-cluster',
      region: 'us-west-2',
      vpcNetworks: [],
      sources: ['dns', 'interfaces', 'cluster'],
      allowedAddresses: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'],
      pin: [],
      probe: { port: 443, intervalMs: 30_000, timeoutMs: 2000, prove: true },
    },
  ],
  upstreams: [{ text: '10.0.0.2:53', address: '10.0.0.2', port: 53 }],
  listen: {
    dns: [
      { address: '0.0.0.0', port: 53 },
      { address: '::', port: 53 },
    ],
    udp: 'auto',
  },
  clients: {
    allow: [
      '127.0.0.0/8',
      '::1/128',
      '10.0.0.0/8',
      '172.16.0.0/12',
      '192.168.0.0/16',
      '100.64.0.0/10',
      '169.254.0.0/16',
      'fe80::/10',
      'fc00::/7',
    ],
  },
  zones: [],
  retain: [],
  refresh: {
    intervalMs: {
      dns: 45_000,
      interfaces: 300_000,
      route53: 300_000,
      cluster: 3_600_000,
      kubernetes: 60_000,
    },
    jitterPercent: 20,
    retryMinMs: 5000,
    retryMaxMs: 60_000,
    deadlineMs: 20_000,
  },
  forward: {
    deadlineMs: 5000,
    attemptMinMs: 200,
    attemptMaxMs: 2000,
    inFlight: 1000,
    caseRandomization: true,
    siteNames: 'auto',
    trustAuthenticatedData: false,
  },
  cache: {
    sizeOctets: 67_108_864,
    maxTtlSeconds: 86_400,
    negativeTtlSeconds: 60,
    staleForMs: 30 * 86_400_000,
    staleTtlSeconds: 30,
    prefetch: true,
  },
  limits: {
    tcp: { connections: 150, connectionsPerClient: 20, idleMs: 10_000, frameMs: 3000, pipelined: 100 },
    responsesPerSecond: 0,
    refusalsPerSecond: 100,
    slip: 2,
  },
  identity: {},
  admin: {
    listen: { address: '127.0.0.1', port: 9153 },
    allow: ['127.0.0.0/8', '::1/128', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'],
    hosts: [],
  },
  drill: { onSite: [] },
  state: { directory: '/var/lib/outpost-dns' },
  outbound: { noProxy: [] },
  log: { level: 'info', format: 'auto' },
  untilRestart: {
    'listen.udp': '"auto"',
    'admin.listen': '{"address":"127.0.0.1","port":9153}',
    'state.directory': '"/var/lib/outpost-dns"',
    'log.format': '"auto"',
  },
};

t.test('the smallest file gets every default', async (t) => {
  const config = await load(
    'clusters:\n  - name: my-cluster\n    region: us-west-2\nupstreams:\n  - 10.0.0.2\n',
  );
  t.strictSame(config, DEFAULTS);
});

t.test('sources follow from region, route53 and kubernetes unless they are given', async (t) => {
  const cases: [keys: string, sources: string[]][] = [
    ['endpoint: x.example', ['dns']],
    ['region: us-west-2', ['dns', 'interfaces', 'cluster']],
    ['region: us-west-2, route53: {findZone: true}', ['dns', 'interfaces', 'cluster', 'route53']],
    ['endpoint: x.example, kubernetes: {kubeconfig: /k}', ['dns', 'kubernetes']],
    [
      'region: us-west-2, kubernetes: {certificate: /c, key: /k}, route53: {findZone: true}',
      ['dns', 'interfaces', 'cluster', 'route53', 'kubernetes'],
    ],
    ['region: us-west-2, sources: [cluster, dns]', ['cluster', 'dns']],
    ['region: us-west-2, sources: [cluster], pin: [10.0.0.1]', ['cluster']],
  ];
  for (const [keys, sources] of cases) {
    const config = await load(`clusters: [{name: a, ${keys}}]\nupstreams: [10.0.0.2]\n`);
    t.strictSame(config.clusters[0]?.sources, sources, keys);
  }
});

t.test('options have their units and canonical form', async (t) => {
  const config = await load(`
clusters:
  - {name: a, region: us-gov-west-1, endpoint: ABC.GR7.Example., vpcId: vpc-01234567, route53: {zoneId: Z12}, profile: site a}
  - {name: b, region: eu-west-1, route53: {findZone: true}}
upstreams: [10.0.0.2:5353, 'FD00:0::0001', '[fd00::2]', '[fd00::3]:5353', 'tls://9.9.9.9#DNS.Quad9.net.', 'tls://[2620:fe::fe]:8853#dns.quad9.net']
listen: {dns: [127.0.0.1, '[::1]:0']}
clients: {allow: ['FD00::/8']}
zones:
  - {name: Corp.Example., forwardTo: [10.0.0.53]}
  - {name: ads.example, answer: nxdomain}
  - {name: z.example, records: [www A 10.0.0.5]}
cache: {size: 1GiB, staleFor: unlimited, maxTtl: 1h}
forward: {attemptMin: 10ms}
identity: {version: '1.2', id: site}
state: {directory: /srv/state//}
`);
  t.match(config.clusters, [
    {
      endpoint: 'abc.gr7.example',
      route53: { zoneId: 'Z12' },
      profile: 'site a',
      vpcId: 'vpc-01234567',
    },
    { route53: {} },
  ]);
  t.strictSame(config.upstreams, [
    { text: '10.0.0.2:5353', address: '10.0.0.2', port: 5353 },
    { text: '[fd00::1]:53', address: 'fd00::1', port: 53 },
    { text: '[fd00::2]:53', address: 'fd00::2', port: 53 },
    { text: '[fd00::3]:5353', address: 'fd00::3', port: 5353 },
    {
      text: 'tls://9.9.9.9:853#dns.quad9.net',
      address: '9.9.9.9',
      port: 853,
      transport: 'tls',
      serverName: 'dns.quad9.net',
    },
    {
      text: 'tls://[2620:fe::fe]:8853#dns.quad9.net',
      address: '2620:fe::fe',
      port: 8853,
      transport: 'tls',
      serverName: 'dns.quad9.net',
    },
  ]);
  t.strictSame(config.listen.dns, [
    { address: '127.0.0.1', port: 53 },
    { address: '::1', port: 0 },
  ]);
  t.strictSame(config.clients.allow, ['fd00::/8']);
  t.strictSame(config.zones, [
    {
      name: 'corp.example',
      forwardTo: {
        name: 'corp.example',
        upstreams: [{ text: '10.0.0.53:53', address: '10.0.0.53', port: 53 }],
      },
    },
    { name: 'ads.example', answer: 'nxdomain' },
    {
      name: 'z.example',
      records: [{ owner: 'www.z.example', ttlSeconds: 60, type: 'A', address: '10.0.0.5' }],
    },
  ]);
  t.match(config.cache, {
    sizeOctets: 1_073_741_824,
    staleForMs: Number.POSITIVE_INFINITY,
    maxTtlSeconds: 3600,
  });
  t.equal(config.forward.attemptMinMs, 10);
  t.strictSame(config.identity, { version: '1.2', id: 'site' });
  t.equal(config.state.directory, '/srv/state');
});

t.test(
  'whileDisconnected beside forwardTo, or alone with the upstreams that the zone has anyway',
  async (t) => {
    const zones = `
  - {name: a.example, forwardTo: [10.0.0.53], whileDisconnected: nxdomain}
  - {name: b.example, whileDisconnected: stale}
  - {name: c.example, whileDisconnected: ['@ A 10.0.0.5', 'www 30 CNAME c.example.']}
  - {name: d.example, forwardTo: [10.0.0.53]}
  - {name: y.x.d.example, whileDisconnected: stale}
  - {name: x.d.example, whileDisconnected: servfail}
  - {name: e.example, answer: refused}
  - {name: x.e.example, whileDisconnected: stale}
`;
    const config = await load(
      `clusters: [{name: a, region: us-west-2}]\nupstreams: [10.0.0.2, 'tls://9.9.9.9#dns.quad9.net']\nzones:${zones}`,
    );
    const site = [{ text: '10.0.0.53:53', address: '10.0.0.53', port: 53 }];
    const group = (name: string, upstreams: object) => ({ name, forwardTo: { name, upstreams } });
    t.strictSame(config.zones, [
      { ...group('a.example', site), whileDisconnected: 'nxdomain' },
      { ...group('b.example', config.upstreams), whileDisconnected: 'stale' },
      {
        ...group('c.example', config.upstreams),
        whileDisconnected: [
          { owner: 'c.example', ttlSeconds: 60, type: 'A', address: '10.0.0.5' },
          { owner: 'www.c.example', ttlSeconds: 30, type: 'CNAME', target: 'c.example' },
        ],
      },
      group('d.example', site),
      { ...group('y.x.d.example', site), whileDisconnected: 'stale' },
      { ...group('x.d.example', site), whileDisconnected: 'servfail' },
      { name: 'e.example', answer: 'refused' },
      { ...group('x.e.example', config.upstreams), whileDisconnected: 'stale' },
    ]);
  },
);

t.test('how the API server is asked', async (t) => {
  const cases: readonly [text: string, kubernetes: object][] = [
    ['{kubeconfig: /etc/k}', { kind: 'kubeconfig', kubeconfig: '/etc/k' }],
    ['{certificate: /c, key: /k}', { kind: 'certificate', certificate: '/c', key: '/k' }],
    ['{certificate: /c, key: /k, ca: /a}', { kind: 'certificate', certificate: '/c', key: '/k', ca: '/a' }],
  ];
  for (const [text, expected] of cases) {
    const config = await load(
      `clusters: [{name: a, region: us-west-2, kubernetes: ${text}}]\nupstreams: [10.0.0.2]\nrefresh: {kubernetes: 10s}\n`,
    );
    t.strictSame(config.clusters[0]?.kubernetes, expected, text);
    t.equal(config.refresh.intervalMs.kubernetes, 10_000);
  }
});

t.test('the configuration is frozen with everything in it', async (t) => {
  const config = await load(
    'clusters: [{name: a, region: us-west-2}]\nupstreams: [10.0.0.2]\nzones: [{name: z, records: [a TXT b]}]\n',
  );
  const open: string[] = [];
  (function visit(value: unknown, path: string): void {
    if (typeof value !== 'object' || value === null) return;
    if (!Object.isFrozen(value)) open.push(path);
    for (const [key, inner] of Object.entries(value)) visit(inner, `${path}.${key}`);
  })(config, 'config');
  t.strictSame(open, []);
});
