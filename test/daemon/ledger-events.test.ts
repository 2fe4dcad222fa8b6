import t from 'tap';
import { changeEvents, linkEvent, setAsideEvent } from '../../src/daemon/ledger-events.ts';
import type { ClusterSnapshot } from '../../src/refresh/cluster-snapshot.ts';
import type { Change } from '../../src/refresh/reconcile/changes.ts';
import { composeLine, type LedgerEvent } from '../../src/store/ledger-format.ts';
import { clusterSnapshot, sourceSnapshot } from './snapshots.ts';

const cluster: ClusterSnapshot = {
  ...clusterSnapshot(),
  cluster: 'demo',
  region: 'us-west-2',
  endpoint: 'abc.example',
  addresses: ['10.0.0.2', '10.0.0.3'].map((address) => ({ address, isDead: false, provenance: {} })),
  sources: [
    sourceSnapshot({ source: 'dns', addresses: ['10.0.0.2', '10.0.0.3'] }),
    sourceSnapshot({ source: 'cluster' }),
  ],
};
const held = { addresses: ['10.0.0.9'], reason: 'loses 2 of 3', sinceMs: 1 };
const place = { cluster: 'demo', region: 'us-west-2' };

t.test('each change that somebody looks for in months has its event, and no other', async (t) => {
  const rows: readonly (readonly [Change, LedgerEvent | undefined])[] = [
    [
      { kind: 'addresses', added: ['10.0.0.3'], removed: ['10.0.0.1'], basis: 'overlap' },
      {
        kind: 'addresses',
        ...place,
        endpoint: 'abc.example',
        before: ['10.0.0.2', '10.0.0.1'],
        after: ['10.0.0.2', '10.0.0.3'],
        basis: 'overlap',
        seen: { dns: ['10.0.0.2', '10.0.0.3'] },
      },
    ],
    [
      { kind: 'endpoint', from: undefined, to: 'abc.example' },
      { kind: 'endpoint', ...place, to: 'abc.example' },
    ],
    [
      { kind: 'endpoint', from: 'old.example', to: 'abc.example' },
      { kind: 'endpoint', ...place, from: 'old.example', to: 'abc.example' },
    ],
    [
      { kind: 'held', held },
      { kind: 'held', ...place, outcome: 'held', addresses: ['10.0.0.9'], reason: 'loses 2 of 3' },
    ],
    [
      { kind: 'released', held, outcome: 'adopted' },
      { kind: 'held', ...place, outcome: 'adopted', addresses: ['10.0.0.9'], reason: 'loses 2 of 3' },
    ],
    [
      { kind: 'withheld', address: '10.0.0.3', isWithheld: true, reason: 'other-name' },
      {
        kind: 'withheld',
        ...place,
        address: '10.0.0.3',
        phase: 'left',
        reason: 'its certificate is not for the name of the endpoint',
      },
    ],
    [
      { kind: 'withheld', address: '10.0.0.3', isWithheld: false },
      { kind: 'withheld', ...place, address: '10.0.0.3', phase: 'came' },
    ],
    [{ kind: 'addresses', added: ['10.0.0.9'], removed: [], basis: 'name' }, undefined], // it waits for its proof
    [{ kind: 'addresses', added: [], removed: ['10.0.0.2', '10.0.0.3'], basis: 'kept' }, undefined], // leaving
    [{ kind: 'basis', from: 'name', to: 'overlap' }, undefined],
    [{ kind: 'details', fields: ['vpcId'] }, undefined],
    [{ kind: 'refresh-failed' }, undefined],
    [{ kind: 'refresh-recovered' }, undefined],
  ];
  for (const [change, event] of rows)
    t.strictSame(changeEvents(cluster, [change]), event === undefined ? [] : [event], change.kind);
  const { region: _, ...byDnsAlone } = cluster;
  t.strictSame(changeEvents(byDnsAlone, [rows[1]![0]]), [
    { kind: 'endpoint', cluster: 'demo', to: 'abc.example' },
  ]);
});

t.test('transitions and files set aside are lines that the ledger takes', async (t) => {
  const fault = { path: '/s/x', kind: 'corrupt', reason: 'checksum-mismatch', detail: 'no' } as const;
  const events = [
    linkEvent(
      { side: 'aws', key: 'us-west-2' },
      { from: 'connected', to: 'disconnected', reason: 'timeout', atMs: 7, lastedMs: 5, flickers: 3 },
    ),
    setAsideEvent({ ...fault, setAsideTo: '/s/x.corrupt' }),
    setAsideEvent(fault),
  ];
  t.strictSame(
    events.map((event) => {
      const { sequence, at, ...rest } = JSON.parse(
        new TextDecoder().decode(composeLine({ sequence: 1, atMs: 0, lost: 0, event })),
      );
      return rest;
    }),
    [
      {
        kind: 'link',
        side: 'aws',
        key: 'us-west-2',
        from: 'connected',
        to: 'disconnected',
        reason: 'timeout',
        lastedMs: 5,
        flickers: 3,
      },
      { kind: 'set-aside', path: '/s/x', reason: 'checksum-mismatch', detail: 'no', to: '/s/x.corrupt' },
      { kind: 'set-aside', path: '/s/x', reason: 'checksum-mismatch', detail: 'no' },
    ],
  );
});
