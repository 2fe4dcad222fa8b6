import { readFileSync } from 'node:fs';
import t from 'tap';
import { addressesOf, type EndpointRecord, lastConfirmedAtMs } from '../../../src/records/endpoint-record.ts';
import type { SourceState } from '../../../src/refresh/reconcile/decision.ts';
import { decide, emptyRecord, keep } from '../../../src/refresh/reconcile/plan.ts';
import { A, B, C, D, fails, NOW_MS, saw, serving, settings } from './planned.ts';

t.test('decide: the first addresses are adopted with their provenance', (t) => {
  const { record, changes } = decide(
    emptyRecord('my-cluster', undefined),
    [saw('dns', [A, B], { ttlSeconds: 20, agoMs: 10 }), saw('interfaces', [B, A, C])],
    settings,
    NOW_MS,
  );
  const byDns = { firstSeenMs: NOW_MS - 10, lastSeenMs: NOW_MS - 10 };
  const byInterfaces = { firstSeenMs: NOW_MS, lastSeenMs: NOW_MS };
  t.strictSame(record, {
    cluster: 'my-cluster',
    addresses: [
      { address: A, provenance: { dns: byDns, interfaces: byInterfaces } },
      { address: B, provenance: { dns: byDns, interfaces: byInterfaces } },
    ],
    ttlSeconds: 20,
    basis: 'name',
    confirmedAtMs: { dns: NOW_MS - 10, interfaces: NOW_MS },
    lastRefreshFailed: false,
    corroborated: [A, B],
    endpoint: 'api.example',
    changedAtMs: NOW_MS,
  });
  t.strictSame(changes, [
    { kind: 'endpoint', from: undefined, to: 'api.example' },
    { kind: 'addresses', added: [A, B], removed: [], basis: 'name' },
  ]);
  t.end();
});

t.test('decide: what is served, seen again, only moves the times on', (t) => {
  const before = serving([A, B]);
  const { record, changes } = decide(
    before,
    [saw('dns', [B, A]), saw('interfaces', [A, B])],
    settings,
    NOW_MS,
  );
  t.strictSame(changes, []);
  t.equal(record.changedAtMs, before.changedAtMs);
  t.strictSame(record.addresses[0]?.provenance.dns, { firstSeenMs: 1_000, lastSeenMs: NOW_MS });
  t.strictSame(addressesOf(record), [A, B], 'the order stays');
  t.end();
});

t.test('decide: the set is replaced, not merged, and who goes takes its provenance along', (t) => {
  const { record, changes } = decide(serving([A, B, C]), [saw('dns', [A, B, D])], settings, NOW_MS);
  t.strictSame(addressesOf(record), [A, B, D]);
  t.strictSame(record.addresses[2]?.provenance, { dns: { firstSeenMs: NOW_MS, lastSeenMs: NOW_MS } });
  t.strictSame(changes, [{ kind: 'addresses', added: [D], removed: [C], basis: 'name' }]);
  t.equal(record.changedAtMs, NOW_MS);
  const back = decide(record, [saw('dns', [A, B, C])], settings, NOW_MS + 1).record;
  t.equal(
    back.addresses[2]?.provenance.interfaces,
    undefined,
    'an address that comes back has a new provenance',
  );
  t.end();
});

t.test('decide: a suspicious loss is held and shown, and adopted when repeated', (t) => {
  const unnamed = serving([A, B, C], { confirmedAtMs: { interfaces: NOW_MS - 60_000 } });
  const first = decide(unnamed, [saw('interfaces', [D]), fails('dns')], settings, NOW_MS);
  t.strictSame(addressesOf(first.record), [A, B, C]);
  t.match(first.record, {
    basis: 'kept',
    lastRefreshFailed: false,
    held: { addresses: [D], sinceMs: NOW_MS },
  });
  t.strictSame(
    first.changes.map((change) => change.kind),
    ['basis', 'held'],
  );
  const early = decide(first.record, [saw('interfaces', [D])], settings, NOW_MS + 1_000);
  t.strictSame(addressesOf(early.record), [A, B, C]);
  t.equal(early.record.held?.sinceMs, NOW_MS);
  const second = decide(early.record, [saw('interfaces', [D])], settings, NOW_MS + 15_000);
  t.strictSame(addressesOf(second.record), [D]);
  t.notOk('held' in second.record);
  t.match(second.changes, [{ kind: 'addresses' }, { kind: 'released', outcome: 'adopted' }]);
  t.end();
});

t.test('decide: a portal that answers with its own address confirms nothing', (t) => {
  const before = serving([A, B]);
  const confirmedAtMs = lastConfirmedAtMs(before);
  const lied = decide(before, [saw('dns', [D]), fails('interfaces')], settings, NOW_MS);
  t.strictSame(addressesOf(lied.record), [A, B]);
  t.equal(lastConfirmedAtMs(lied.record), confirmedAtMs, 'the age of the truth goes on');
  const again = decide(lied.record, [saw('dns', [A, B]), fails('interfaces')], settings, NOW_MS);
  t.equal(lastConfirmedAtMs(again.record), NOW_MS);
  t.end();
});

t.test('decide: a held change that is not repeated is dropped', (t) => {
  const { record } = decide(serving([A, B, C]), [saw('dns', [D])], settings, NOW_MS);
  const next = decide(record, [saw('dns', [A, B, C])], settings, NOW_MS + 20_000);
  t.strictSame(addressesOf(next.record), [A, B, C]);
  t.notOk('held' in next.record);
  t.match(next.changes.at(-1), { kind: 'released', outcome: 'dropped' });
  t.end();
});

t.test('decide: a held change outlives a cut', (t) => {
  const { record } = decide(serving([A, B, C]), [saw('dns', [D])], settings, NOW_MS);
  const cut = keep(record, [fails('dns')], settings, NOW_MS + 1_000).record;
  t.strictSame(cut.held, record.held);
  t.end();
});

t.test('decide: a set of which everything is refused counts as a failed refresh', (t) => {
  const { record, refused } = decide(serving([A]), [saw('dns', ['52.1.1.1'])], settings, NOW_MS);
  t.strictSame(addressesOf(record), [A]);
  t.match(record, { basis: 'kept', lastRefreshFailed: true, ttlSeconds: 30 });
  t.strictSame(refused, [{ address: '52.1.1.1', reason: 'public' }]);
  t.end();
});

t.test('decide: a view that is too old counts for nothing', (t) => {
  const states = [saw('dns', [D], { agoMs: 155_001 }), saw('interfaces', [A])];
  const { record } = decide(serving([A]), states, settings, NOW_MS);
  t.match(record, { basis: 'interfaces', addresses: [{ address: A }] });
  t.end();
});

t.test('note: a failure takes nothing away, whatever fails', (t) => {
  const before = serving([A, B]);
  const { record, changes } = keep(before, [fails('dns'), fails('interfaces', 'empty')], settings, NOW_MS);
  t.strictSame(addressesOf(record), [A, B]);
  t.strictSame(record.addresses, before.addresses, 'and seen is what was seen before');
  t.match(record, { basis: 'kept', lastRefreshFailed: true, ttlSeconds: 30 });
  t.strictSame(
    changes.map((change) => change.kind),
    ['basis', 'refresh-failed'],
  );
  t.equal(
    keep(record, [fails('dns')], settings, NOW_MS + 5).record,
    record,
    'the next failure is no change at all',
  );
  t.end();
});

t.test('note: one source that fails beside one that works is no failed refresh', (t) => {
  const { record } = keep(serving([A]), [fails('interfaces', 'denied'), saw('dns', [A])], settings, NOW_MS);
  t.match(record, { basis: 'name', lastRefreshFailed: false, ttlSeconds: 60 });
  t.end();
});

t.test('note: before any poll, what was kept is served as kept', (t) => {
  const untried: SourceState = { source: 'dns', latest: 'untried' };
  const { record } = keep(serving([A], { ttlSeconds: 12 }), [untried], settings, NOW_MS);
  t.match(record, { basis: 'kept', lastRefreshFailed: false, ttlSeconds: 12 });
  t.match(keep(emptyRecord('x', undefined), [untried], settings, NOW_MS).record, { basis: 'none' });
  const failed = serving([A], { lastRefreshFailed: true });
  t.match(keep(failed, [untried], settings, NOW_MS).record, { lastRefreshFailed: true, ttlSeconds: 30 });
  t.end();
});

t.test('the TTL is the smallest of the name sources, from 5 to 60, and never 0', (t) => {
  const cases: readonly [readonly (number | undefined)[], number][] = [
    [[60], 60],
    [[300], 60],
    [[17.9], 17],
    [[4], 5],
    [[0], 5],
    [[-1], 5],
    [[Number.NaN], 60],
    [[undefined], 60],
    [[40, 20], 20],
    [[undefined, 20], 20],
  ];
  for (const [ttls, expected] of cases) {
    const names = (['dns', 'route53'] as const).slice(0, ttls.length);
    const states = names.map((source, index) => {
      const ttlSeconds = ttls[index];
      return saw(source, [A], ttlSeconds === undefined ? {} : { ttlSeconds });
    });
    t.equal(decide(serving([A]), states, settings, NOW_MS).record.ttlSeconds, expected, `${ttls}`);
  }
  const failing = [fails('dns'), saw('interfaces', [A])];
  t.equal(decide(serving([A]), failing, settings, NOW_MS).record.ttlSeconds, 60, 'interfaces have none');
  t.end();
});

const silence = [
  ['timeout', 'interfaces'],
  ['network', 'interfaces'],
  ['malformed', 'interfaces'],
  ['denied', undefined],
  ['throttled', undefined],
  ['no-credentials', 'interfaces'],
  ['expired-credentials', undefined],
  ['empty', undefined],
] as const;

t.test('decide: a large loss by names alone awaits an interface source that is silent', (t) => {
  for (const [failure, awaits] of silence) {
    const states = [saw('dns', [D]), fails('interfaces', failure)];
    const { held } = decide(serving([A, B, C]), states, settings, NOW_MS).record;
    t.match(held, { addresses: [D], awaits }, failure);
    t.equal(held?.awaits, awaits, failure);
  }
  const unconfirmed = serving([A, B, C], { confirmedAtMs: { dns: 1 } });
  const cases: readonly [string, EndpointRecord, readonly SourceState[]][] = [
    ['an interface source that never confirmed', unconfirmed, [saw('dns', [D]), fails('interfaces')]],
    [
      'an interface source that never had credentials',
      unconfirmed,
      [saw('dns', [D]), fails('interfaces', 'no-credentials')],
    ],
    ['no interface source', serving([A, B, C]), [saw('dns', [D])]],
    ['one that answers', serving([A, B, C]), [saw('dns', [D]), saw('interfaces', [D])]],
    [
      'another one that answers',
      serving([A, B, C]),
      [saw('dns', [D]), fails('interfaces'), saw('kubernetes', [D])],
    ],
    ['the API server is silent', serving([A, B, C]), [saw('dns', [D]), fails('kubernetes')]],
  ];
  for (const [what, record, states] of cases) {
    const { held } = decide(record, states, settings, NOW_MS).record;
    t.match(held, { addresses: [D] }, what);
    t.notOk(held?.awaits, what);
  }
  t.end();
});

interface Row {
  readonly row: string;
  readonly states: readonly SourceState[];
  readonly served: readonly string[];
  readonly basis: EndpointRecord['basis'];
}

const twoInterfaceSources: readonly Row[] = [
  {
    row: 'EC2 alone: what the name had stays',
    states: [fails('dns'), saw('interfaces', [A, B, D])],
    served: [A, B, C, D],
    basis: 'interfaces',
  },
  {
    row: 'EC2, and an API server that cannot be asked',
    states: [fails('dns'), saw('interfaces', [A, B, D]), fails('kubernetes', 'no-credentials')],
    served: [A, B, C, D],
    basis: 'interfaces',
  },
  {
    row: 'both, and they agree',
    states: [saw('dns', [A, B, C]), saw('interfaces', [A, B, C]), saw('kubernetes', [C, B, A])],
    served: [A, B, C],
    basis: 'name',
  },
  {
    row: 'both, and one is ahead of the other: what either lists exists',
    states: [fails('dns'), saw('interfaces', [A, B, C]), saw('kubernetes', [A, B, D])],
    served: [A, B, C, D],
    basis: 'interfaces',
  },
  {
    row: "both, and one is ahead of the other: the name's addresses as long as either lists them",
    states: [saw('dns', [A, B, D]), saw('interfaces', [A, B, C]), saw('kubernetes', [A, B, D])],
    served: [A, B, D],
    basis: 'name',
  },
  {
    row: 'a cut: only the API server answers',
    states: [fails('dns'), fails('interfaces'), saw('kubernetes', [A, B, D])],
    served: [A, B, D],
    basis: 'interfaces',
  },
  {
    row: 'a cut, and a poll of EC2 before it that is too old',
    states: [fails('dns'), saw('interfaces', [A, B, C], { agoMs: 920_001 }), saw('kubernetes', [A, B, D])],
    served: [A, B, D],
    basis: 'interfaces',
  },
  {
    row: 'a cut, and an upstream on the site that still has the name: what both know',
    states: [saw('dns', [A, B, C]), fails('interfaces'), saw('kubernetes', [A, B, D])],
    served: [A, B],
    basis: 'overlap',
  },
  {
    row: 'a view of the API server that has grown old is none',
    states: [fails('dns'), fails('interfaces'), saw('kubernetes', [A, B, D], { agoMs: 200_001 })],
    served: [A, B, C],
    basis: 'kept',
  },
  {
    row: 'everything is down',
    states: [fails('dns'), fails('interfaces'), fails('kubernetes', 'network')],
    served: [A, B, C],
    basis: 'kept',
  },
];

t.test("decide: EC2's listing and the API server's view say together which addresses exist", (t) => {
  for (const { row, states, served, basis } of twoInterfaceSources) {
    const { record } = decide(serving([A, B, C]), states, settings, NOW_MS);
    t.strictSame(addressesOf(record), served, row);
    t.equal(record.basis, basis, `${row}: basis`);
  }
  t.end();
});

t.test('decide: what the API server lists is seen by it, and confirms', (t) => {
  const { record } = decide(
    serving([A, B, C]),
    [fails('dns'), fails('interfaces'), saw('kubernetes', [A, B, D], { agoMs: 5 })],
    settings,
    NOW_MS,
  );
  const seen = { firstSeenMs: NOW_MS - 5, lastSeenMs: NOW_MS - 5 };
  t.strictSame(record.addresses[2], { address: D, provenance: { kubernetes: seen } });
  t.equal(record.confirmedAtMs.kubernetes, NOW_MS - 5);
  t.match(record, { lastRefreshFailed: false, ttlSeconds: 60 });
  t.end();
});

t.test('decide: an API server that lists nothing is no listing of EC2 that is empty', (t) => {
  const states = [saw('dns', [A, B, C]), fails('kubernetes', 'empty')];
  const { comparison } = decide(serving([A, B, C]), states, settings, NOW_MS);
  t.strictSame(comparison, { candidate: [A, B, C], basis: 'name', isTwoSided: false });
  t.end();
});

t.test('the example in the comment of `guard` holds, row by row', (t) => {
  const comment = readFileSync(
    new URL('../../../src/refresh/reconcile/decision.ts', import.meta.url),
    'utf8',
  );
  const rows = [
    ...comment.matchAll(/^ \* {5}([A-E]+|silent) +([A-E]+|silent) +([A-E]+)( +[A-E]+)? +[a-z]/gm),
  ];
  t.equal(rows.length, 10);
  const addressOf = (letter: string) => `10.0.0.${letter.charCodeAt(0) - 64}`;
  const addressesIn = (letters: string) => [...letters.trim()].map(addressOf);
  let record = serving(addressesIn('ABC'));
  for (const [minute, [, names = '', interfaces = '', served = '', held]] of rows.entries()) {
    const agoMs = -minute * 60_000;
    const state = (source: 'dns' | 'interfaces', says: string) =>
      says === 'silent' ? fails(source) : saw(source, addressesIn(says), { agoMs });
    const states = [state('dns', names), state('interfaces', interfaces)];
    record = decide(record, states, settings, NOW_MS - agoMs).record;
    const row = `row ${minute}: ${names} ${interfaces}`;
    t.strictSame(addressesOf(record).toSorted(), addressesIn(served), row);
    t.strictSame(record.held?.addresses, held && addressesIn(held), `${row}, held`);
  }
  t.end();
});
