import t from 'tap';
import type { LoadedConfig } from '../../src/config/config.ts';
import { load, SMALLEST } from './loading.ts';

interface Case {
  readonly name: string;
  readonly text?: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly of: (config: LoadedConfig) => unknown;
  readonly is: unknown;
}

const CASES: Case[] = [
  { name: 'a word', environment: { OUTPOST_DNS_LOG__LEVEL: 'debug' }, of: (c) => c.log.level, is: 'debug' },
  {
    name: 'over the file',
    text: 'log: {level: warn}\n',
    environment: { OUTPOST_DNS_LOG__LEVEL: 'debug' },
    of: (c) => c.log,
    is: { level: 'debug', format: 'auto' },
  },
  {
    name: 'a section that the file leaves empty',
    text: 'log:\n',
    environment: { OUTPOST_DNS_LOG__LEVEL: 'debug' },
    of: (c) => c.log.level,
    is: 'debug',
  },
  { name: 'a number', environment: { OUTPOST_DNS_LIMITS__SLIP: '0' }, of: (c) => c.limits.slip, is: 0 },
  {
    name: 'a truth value',
    environment: { OUTPOST_DNS_CACHE__PREFETCH: 'False' },
    of: (c) => c.cache.prefetch,
    is: false,
  },
  {
    name: 'a text of digits stays a text',
    environment: { OUTPOST_DNS_IDENTITY__ID: '007' },
    of: (c) => c.identity.id,
    is: '007',
  },
  {
    name: 'a duration',
    environment: { OUTPOST_DNS_CACHE__STALEFOR: 'unlimited' },
    of: (c) => c.cache.staleForMs,
    is: Number.POSITIVE_INFINITY,
  },
  {
    name: 'the case of a key does not count',
    environment: { OUTPOST_DNS_Cache__maxTtl: '2s' },
    of: (c) => c.cache.maxTtlSeconds,
    is: 2,
  },
  {
    name: 'a key of a list item',
    environment: { OUTPOST_DNS_CLUSTERS__0__REGION: 'eu-west-1' },
    of: (c) => c.clusters[0]?.region,
    is: 'eu-west-1',
  },
  {
    name: 'a key deeper down',
    environment: { OUTPOST_DNS_CLUSTERS__0__PROBE__PORT: '6443' },
    of: (c) => c.clusters[0]?.probe?.port,
    is: 6443,
  },
  {
    name: 'one item more',
    environment: { OUTPOST_DNS_CLUSTERS__1__NAME: 'b', OUTPOST_DNS_CLUSTERS__1__REGION: 'us-east-1' },
    of: (c) => c.clusters.map((one) => one.name),
    is: ['a', 'b'],
  },
  {
    name: 'a list with commas',
    environment: { OUTPOST_DNS_UPSTREAMS: '10.0.0.3, 10.0.0.4' },
    of: (c) => c.upstreams.map((one) => one.address),
    is: ['10.0.0.3', '10.0.0.4'],
  },
  {
    name: 'a list and then its items',
    environment: {
      OUTPOST_DNS_UPSTREAMS__2: '10.0.0.9',
      OUTPOST_DNS_UPSTREAMS__1: '10.0.0.8',
      OUTPOST_DNS_UPSTREAMS: '10.0.0.3',
    },
    of: (c) => c.upstreams.map((one) => one.address),
    is: ['10.0.0.3', '10.0.0.8', '10.0.0.9'],
  },
  {
    name: 'ten items and more in their order',
    environment: Object.fromEntries(
      Array.from({ length: 12 }, (_, i) => [`OUTPOST_DNS_UPSTREAMS__${i}`, `10.0.1.${i}`]),
    ),
    of: (c) => c.upstreams.map((one) => one.address),
    is: Array.from({ length: 12 }, (_, i) => `10.0.1.${i}`),
  },
  {
    name: 'an empty list',
    environment: { OUTPOST_DNS_CLUSTERS__0__PIN: '' },
    of: (c) => c.clusters[0]?.pin,
    is: [],
  },
  {
    name: 'an empty variable for a single value or a map, as of a compose file: it is not set',
    environment: { OUTPOST_DNS_LOG__LEVEL: '', OUTPOST_DNS_CLUSTERS__0__ENDPOINT: '', OUTPOST_DNS_LOG: '' },
    of: (c) => c.log.level,
    is: 'info',
  },
  {
    name: 'a record with a comma, by its number',
    environment: { OUTPOST_DNS_ZONES__0__NAME: 'z', OUTPOST_DNS_ZONES__0__RECORDS__0: '@ TXT "a, b"' },
    of: (c) => c.zones[0],
    is: {
      name: 'z',
      records: [{ owner: 'z', ttlSeconds: 60, type: 'TXT', strings: ['a, b'] }],
    },
  },
  {
    name: 'a word where a list may stand',
    environment: { OUTPOST_DNS_ZONES__0__NAME: 'z', OUTPOST_DNS_ZONES__0__WHILEDISCONNECTED: 'nxdomain' },
    of: (c) => c.zones[0],
    is: {
      name: 'z',
      forwardTo: { name: 'z', upstreams: [{ text: '10.0.0.2:53', address: '10.0.0.2', port: 53 }] },
      whileDisconnected: 'nxdomain',
    },
  },
  {
    name: 'a list where a word may stand, by its numbers',
    environment: {
      OUTPOST_DNS_ZONES__0__NAME: 'z',
      OUTPOST_DNS_ZONES__0__WHILEDISCONNECTED__0: '@ A 10.0.0.1',
    },
    of: (c) => c.zones[0],
    is: {
      name: 'z',
      forwardTo: { name: 'z', upstreams: [{ text: '10.0.0.2:53', address: '10.0.0.2', port: 53 }] },
      whileDisconnected: [{ owner: 'z', ttlSeconds: 60, type: 'A', address: '10.0.0.1' }],
    },
  },
  {
    name: 'other variables and unset ones',
    environment: { PATH: '/bin', OUTPOST_DNS_LOG__LEVEL: undefined, OUTPOST_DNSX: '1' },
    of: (c) => c.log.level,
    is: 'info',
  },
  {
    name: 'what Kubernetes sets for services',
    environment: {
      OUTPOST_DNS_SERVICE_HOST: '10.96.0.53',
      OUTPOST_DNS_SERVICE_PORT: '53',
      OUTPOST_DNS_SERVICE_PORT_DNS_TCP: '53',
      OUTPOST_DNS_PORT: 'udp://10.96.0.53:53',
      OUTPOST_DNS_PORT_53_UDP: 'udp://10.96.0.53:53',
      OUTPOST_DNS_PORT_53_UDP_PROTO: 'udp',
      OUTPOST_DNS_PORT_53_UDP_PORT: '53',
      OUTPOST_DNS_PORT_53_UDP_ADDR: '10.96.0.53',
      OUTPOST_DNS_METRICS_SERVICE_HOST: '10.96.0.54',
      OUTPOST_DNS_METRICS_PORT_9153_TCP: 'tcp://10.96.0.54:9153',
    },
    of: (c) => c.log.level,
    is: 'info',
  },
];

t.test('variables override single keys', async (t) => {
  for (const { name, text = '', environment, of, is } of CASES) {
    t.strictSame(of(await load(`${SMALLEST}${text}`, { environment })), is, name);
  }
});

t.test('the order of the environment does not matter', async (t) => {
  const environment = {
    OUTPOST_DNS_UPSTREAMS__0: '10.0.0.1',
    OUTPOST_DNS_CLUSTERS__0__PROBE__PORT: '1',
    OUTPOST_DNS_UPSTREAMS: '10.0.0.8,10.0.0.9',
    OUTPOST_DNS_LOG__LEVEL: 'debug',
  };
  const forth = await load(SMALLEST, { environment });
  const back = await load(SMALLEST, {
    environment: Object.fromEntries(Object.entries(environment).reverse()),
  });
  t.match(forth, {
    upstreams: [{ address: '10.0.0.1' }, { address: '10.0.0.9' }],
    clusters: [{ probe: { port: 1 } }],
    log: { level: 'debug' },
  });
  t.strictSame(back, forth);
});
