import t from 'tap';
import type { FailureReason, ResolvedName, Source, SourceContext } from '../../src/records/observation.ts';
import { createDnsSource } from '../../src/refresh/cluster-sources.ts';
import { contextOf, ENDPOINT } from '../far-side/polling.ts';

const poll = (source: Source, known: Partial<SourceContext> = {}) =>
  source.observe(contextOf(known), new AbortController().signal);

const noText = async () => false;

function answering(resolved: ResolvedName) {
  return createDnsSource({ resolve: async () => resolved, answersText: noText });
}

t.test('addresses and TTL pass through, each address once', async (t) => {
  const addresses = ['10.0.3.10', '10.0.3.11', '10.0.3.10'];
  t.same(await poll(answering({ kind: 'addresses', addresses, ttlSeconds: 37 })), {
    kind: 'addresses',
    source: 'dns',
    addresses: ['10.0.3.10', '10.0.3.11'],
    ttlSeconds: 37,
  });
});

t.test('the name and the signal reach the upstream query', async (t) => {
  const asked: unknown[] = [];
  const source = createDnsSource({
    resolve: async (name, signal) => {
      asked.push(name, signal);
      return { kind: 'no-addresses', rcode: 3 };
    },
    answersText: async (name, signal) => {
      asked.push(name, signal);
      return false;
    },
  });
  const { signal } = new AbortController();
  await source.observe(contextOf(), signal);
  t.same(asked, [ENDPOINT, signal, `_status.${ENDPOINT}`, signal]);
});

t.test(
  "the name that AWS says is asked for before the operator's, which is asked where it has no address",
  async (t) => {
    const real = 'real.gr7.us-west-2.eks.amazonaws.com';
    const given: Record<string, ResolvedName> = {
      [ENDPOINT]: { kind: 'addresses', addresses: ['10.0.9.9'], ttlSeconds: 60 },
      [real]: { kind: 'addresses', addresses: ['10.0.3.10'], ttlSeconds: 60 },
    };
    const source = createDnsSource({
      resolve: async (name) => given[name] ?? { kind: 'no-addresses', rcode: 3 },
      answersText: noText,
    });
    t.match(await poll(source, { describedEndpoint: real }), { addresses: ['10.0.3.10'] });
    for (const rcode of [0, 3]) {
      given[real] = { kind: 'no-addresses', rcode };
      t.match(await poll(source, { describedEndpoint: real }), { addresses: ['10.0.9.9'] });
    }
    given[real] = { kind: 'failed', reason: 'timeout', detail: 'silent' };
    t.match(await poll(source, { describedEndpoint: real }), { kind: 'failed', reason: 'timeout' });
  },
);

const failures: readonly (readonly [string, ResolvedName, FailureReason, RegExp, string?])[] = [
  ['NODATA for a name of EKS', { kind: 'no-addresses', rcode: 0 }, 'filtered', /rebinding/],
  ['no address in the list', { kind: 'addresses', addresses: [], ttlSeconds: 60 }, 'filtered', /rebinding/],
  ['NODATA for an own name', { kind: 'no-addresses', rcode: 0 }, 'empty', /rebinding/, 'api.example.com'],
  ['NXDOMAIN', { kind: 'no-addresses', rcode: 3 }, 'not-found', /NXDOMAIN/],
  ['REFUSED', { kind: 'no-addresses', rcode: 5 }, 'denied', /REFUSED/],
  ['SERVFAIL as RCODE', { kind: 'no-addresses', rcode: 2 }, 'network', /SERVFAIL/],
  ['an RCODE without a name', { kind: 'no-addresses', rcode: 12 }, 'malformed', /RCODE12/],
  ['SERVFAIL', { kind: 'failed', reason: 'servfail', detail: '' }, 'network', /SERVFAIL/],
  [
    'no reply',
    { kind: 'failed', reason: 'timeout', detail: 'no reply from 10.0.0.2' },
    'timeout',
    /no reply from/,
  ],
  ['no network', { kind: 'failed', reason: 'network', detail: 'ENETUNREACH' }, 'network', /ENETUNREACH/],
  ['a broken reply', { kind: 'failed', reason: 'malformed', detail: 'cut off' }, 'malformed', /cut off/],
];

t.test('what is no address is a failure, and proves nothing of AWS', async (t) => {
  for (const [what, resolved, reason, detail, endpoint = ENDPOINT] of failures) {
    const expected = { kind: 'failed', source: 'dns', reason, reachedFarSide: false, detail };
    t.match(await poll(answering(resolved), { endpoint }), expected, what);
  }
});

t.test('an endpoint that EKS has named is managed by AWS, whatever suffix it has', async (t) => {
  const source = answering({ kind: 'no-addresses', rcode: 0 });
  for (const [endpoint, isEndpointOfEks, reason] of [
    ['abc.us-west-2.new-suffix.example', true, 'filtered'],
    ['abc.us-west-2.new-suffix.example', undefined, 'empty'],
    ['abc.cn-north-1.eks.amazonaws.com.cn', undefined, 'filtered'],
    ['abc.eks.api.amazonwebservices.com.cn', undefined, 'filtered'],
    ['abc.us-iso-east-1.eks.c2s.ic.gov', undefined, 'filtered'],
    ['abc.eusc-de-east-1.eks.amazonaws.eu', undefined, 'filtered'],
  ] as const) {
    const known = { endpoint, ...(isEndpointOfEks === undefined ? {} : { isEndpointOfEks }) };
    t.match(await poll(source, known), { reason }, endpoint);
  }
});

t.test('without a name nothing is asked', async (t) => {
  const source = createDnsSource({
    resolve: () => t.fail('asked') as never,
    answersText: () => t.fail('asked') as never,
  });
  const { endpoint: _, ...unnamed } = contextOf();
  const { signal } = new AbortController();
  t.match(await source.observe(unnamed, signal), {
    kind: 'failed',
    reason: 'internal',
    reachedFarSide: false,
  });
});

t.test('a resolve that never settles ends with the signal', async (t) => {
  const source = createDnsSource({ resolve: () => new Promise(() => {}), answersText: noText });
  const aborter = new AbortController();
  const observed = source.observe(contextOf(), aborter.signal);
  aborter.abort();
  t.match(await observed, { kind: 'failed', source: 'dns', reason: 'timeout', reachedFarSide: false });
});

t.test('a resolve that rejects against its promise is a failure all the same', async (t) => {
  const source = createDnsSource({ resolve: () => Promise.reject(new Error('bug')), answersText: noText });
  t.same(await poll(source), {
    kind: 'failed',
    source: 'dns',
    reason: 'internal',
    reachedFarSide: false,
    detail: 'poll failed: Error: bug',
  });
});

t.test('an answer that comes from an outpost-dns is not believed, nor is the lack of one', async (t) => {
  for (const resolved of [
    { kind: 'addresses', addresses: ['10.0.3.10'], ttlSeconds: 60 },
    { kind: 'failed', reason: 'servfail', detail: '' },
  ] as const) {
    const source = createDnsSource({ resolve: async () => resolved, answersText: async () => true });
    t.match(await poll(source), {
      kind: 'failed',
      reason: 'looping',
      reachedFarSide: false,
      detail: /forwards this name back to an outpost-dns.*list an upstream that/,
    });
  }
});
