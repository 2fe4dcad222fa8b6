import t from 'tap';
import type { AskedName, DrillImpact } from '../../src/drill/drill-counts.ts';
import { retainAdvice } from '../../src/drill/drill-counts.ts';

const BY_POLICY = () => (name: string) => name.endsWith('.us-west-2.amazonaws.com');

/** `['name', 'type', queries]` as collected. */
type Row = readonly [name: string, type: string, queries: number];

function hurt(failed: readonly Row[], stale: readonly Row[] = []): DrillImpact {
  const names = (rows: readonly Row[]): AskedName[] =>
    rows.map(([name, type, queries]) => ({ name, type, queries }));
  return {
    failed: { queries: 0, names: names(failed), otherQueries: 0 },
    stale: { queries: 0, names: names(stale), otherQueries: 0 },
    endpoints: [{ endpoint: 'abc.eks.amazonaws.com', answers: 100 }],
  };
}

const advised = (report: DrillImpact) =>
  retainAdvice(report, BY_POLICY, []).map(({ name, asked }) => `${name} ${asked}`);

t.test(
  'names asked for at least twice, failed and stale together, most wanted first and then by name',
  async (t) => {
    t.strictSame(
      retainAdvice(
        hurt(
          [
            ['registry.site.example', 'A', 2],
            ['registry.site.example', 'AAAA', 3],
            ['once.example', 'A', 1],
            ['z.example', 'A', 2],
            ['a.example', 'A', 2],
          ],
          [
            ['oidc.example', 'A', 1],
            ['registry.site.example', 'A', 2],
            ['z.example', 'HTTPS', 1],
            ['_ntp._udp.example', 'SRV', 2],
          ],
        ),
        BY_POLICY,
        [],
      ),
      [
        { name: 'registry.site.example', types: ['A', 'AAAA'], asked: 4 },
        { name: '_ntp._udp.example', types: ['SRV'], asked: 2 },
        { name: 'a.example', types: ['A'], asked: 2 },
        { name: 'z.example', types: ['A'], asked: 2 },
      ],
    );
  },
);

t.test('which names are proposed, by name', async (t) => {
  for (const [what, name, isProposed] of [
    ['a name', 'a.example', true],
    ['a single label', 'registry', true],
    ['the root', '.', false],
    ['a reverse name', '9.0.0.10.in-addr.arpa', false],
    ['a reverse name of IPv6', '1.0.0.0.ip6.arpa', false],
    ['what only ends like one', 'notin-addr.arpa', true],
    ['a name that is meant to fail', 'sts.us-west-2.amazonaws.com', false],
  ] as const)
    t.strictSame(advised(hurt([[name, 'A', 2]])), isProposed ? [`${name} 2`] : [], what);
});

t.test('A and AAAA of one look-up are one asking', async (t) => {
  t.strictSame(
    advised(
      hurt([
        ['a.example', 'A', 1],
        ['a.example', 'AAAA', 1],
      ]),
    ),
    [],
  );
  t.strictSame(advised(hurt([['a.example', 'A', 1]], [['a.example', 'A', 1]])), ['a.example 2']);
});

t.test('which names fail by policy is the caller’s to say', async (t) => {
  const report = hurt([
    ['x.lab.example', 'A', 5],
    ['sts.us-west-2.amazonaws.com', 'A', 5],
  ]);
  t.strictSame(
    retainAdvice(report, () => (name) => name === 'x.lab.example', []).map(({ name }) => name),
    ['sts.us-west-2.amazonaws.com'],
  );
});

t.test('what is retained already is not proposed again, nor what a client does without', async (t) => {
  const report = hurt([
    ['kept.example', 'A', 5],
    ['kept.example', 'SRV', 3],
    ['b.example', 'HTTPS', 9],
    ['b.example', 'ANY', 9],
  ]);
  const retained = [
    { name: 'kept.example', qtype: 1 },
    { name: 'kept.example', qtype: 28 },
  ];
  t.strictSame(
    retainAdvice(report, () => () => false, retained),
    [{ name: 'kept.example', types: ['SRV'], asked: 3 }],
  );
});

t.test('the order does not depend on the order in which names were collected', async (t) => {
  const rows: Row[] = ['d', 'b', 'c', 'a'].map((label) => [`${label}.example`, 'A', 2]);
  t.strictSame(advised(hurt(rows)), advised(hurt(rows.toReversed())));
});
