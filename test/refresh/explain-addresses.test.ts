import t from 'tap';
import type { AddressSnapshot, ClusterSnapshot } from '../../src/refresh/cluster-snapshot.ts';
import { explainAddresses } from '../../src/refresh/explain-addresses.ts';
import { clusterSnapshot, sourceSnapshot } from '../daemon/snapshots.ts';

const [A, B, C] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const seen = { firstSeenAgoMs: 60_000, lastSeenAgoMs: 1_000 };

function one(address: string, more: Partial<AddressSnapshot> = {}): AddressSnapshot {
  return { address, isDead: false, provenance: { dns: seen }, ...more };
}

function explained(cluster: Partial<ClusterSnapshot>, address: string) {
  return explainAddresses(clusterSnapshot(cluster)).find((each) => each.address === address);
}

t.test('the deciding reason of each address', (t) => {
  const proof = (state: 'proven' | 'unproven' | 'refused', more: object = {}) => ({
    state,
    sinceAgoMs: 5_000,
    ...more,
  });
  const table: readonly (readonly [
    what: string,
    cluster: Partial<ClusterSnapshot>,
    address: string,
    served: 'first' | 'last' | 'no',
    why: readonly (string | RegExp)[],
  ])[] = [
    ['by name', { addresses: [one(A)] }, A, 'first', ['the name resolves to it']],
    ['kept', { addresses: [one(A)], basis: 'kept' }, A, 'first', [/served before, and no source is usable/]],
    [
      'kept, because a change is held back',
      {
        addresses: [one(A)],
        basis: 'kept',
        held: { addresses: [B], reason: 'loses 1 of 1 addresses', heldForMs: 1 },
      },
      A,
      'first',
      ['it was served before, and the guard holds back a change: loses 1 of 1 addresses'],
    ],
    ['proven', { addresses: [one(A, { proof: proof('proven') })] }, A, 'first', [/name/, 'proven']],
    [
      'dead',
      { addresses: [one(A), one(B, { isDead: true, proof: proof('unproven', { reason: 'timeout' }) })] },
      B,
      'last',
      [/name/, 'unproven: it does not answer in time', /answered last/],
    ],
    ['lacked', { addresses: [one(A, { lackedAgoMs: 1 })] }, A, 'first', [/name/, /EC2 does not list it/]],
    [
      'leaving',
      { addresses: [one(A, { isLeaving: true })] },
      A,
      'first',
      [/sources have dropped it; it stays/],
    ],
    [
      'refused by its certificate',
      { addresses: [one(A)], withheld: [one(B, { proof: proof('refused', { reason: 'other-authority' }) })] },
      B,
      'no',
      [/another server answers there/, /not signed by an authority of the cluster/],
    ],
    [
      'new',
      { addresses: [one(A)], withheld: [one(B)] },
      B,
      'no',
      [/it is new, and is served once it is proven/, 'it was not checked yet'],
    ],
    [
      'refused by the guard',
      { addresses: [one(A)], refused: [{ address: B, reason: 'public' }] },
      B,
      'no',
      [/the guard refuses it: it is public/],
    ],
    [
      'held',
      { addresses: [one(A)], held: { addresses: [B], reason: 'loses 1 of 1 addresses', heldForMs: 1 } },
      B,
      'no',
      [/guard holds back: loses 1 of 1/],
    ],
    [
      'hidden by a pin',
      {
        addresses: [one(A, { provenance: { pin: seen } })],
        basis: 'pin',
        pin: {
          origin: 'command',
          addresses: [A],
          by: 'ada',
          why: 'x',
          sinceAgoMs: 1,
          unpinned: [B],
          refused: [],
        } as never,
      },
      B,
      'no',
      ['a pin hides it'],
    ],
    [
      'only by name',
      {
        addresses: [one(A)],
        disagreement: { onlyByName: [B], onlyByInterfaces: [] },
        sources: [sourceSnapshot({ addresses: [A, B] })],
      },
      B,
      'no',
      [/only the name has it/],
    ],
    [
      'only by interfaces, which do not decide',
      { addresses: [one(A)], sources: [sourceSnapshot({ source: 'interfaces', addresses: [A, C] })] },
      C,
      'no',
      [/an interface source lists it, and the name, which decides/],
    ],
  ];
  for (const [what, cluster, address, served, why] of table) {
    const found = explained(cluster, address);
    t.equal(found?.served, served, what);
    t.match(found?.why, why, what);
  }
  t.match(
    explained({ addresses: [one(A)], sources: [sourceSnapshot({ addresses: [B] })] }, A)?.sources,
    [{ source: 'dns', isInLastAnswer: false, ...seen }],
    'a source that names it no longer',
  );
  t.strictSame(explainAddresses(clusterSnapshot({ serves: [], sources: [] })), []);
  t.end();
});
