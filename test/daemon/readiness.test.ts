import t from 'tap';
import { notReady } from '../../src/daemon/server-report.ts';
import type { EndpointRecord } from '../../src/records/endpoint-record.ts';
import { clusterSnapshot, NAME, sourceSnapshot } from './snapshots.ts';

function served(record: Partial<EndpointRecord> & { readonly addressCount?: number } = {}): EndpointRecord {
  const { addressCount = 2, ...rest } = record;
  const addresses = Array.from({ length: addressCount }, (_, at) => ({
    address: `10.0.0.${at}`,
    provenance: {},
  }));
  return {
    cluster: 'demo',
    region: 'us-west-2',
    endpoint: NAME,
    addresses,
    ttlSeconds: 60,
    basis: 'name',
    confirmedAtMs: {},
    lastRefreshFailed: false,
    ...rest,
  };
}

const failing = sourceSnapshot({
  source: 'interfaces',
  latest: 'failed',
  lastFailure: { reason: 'denied', detail: 'list network interfaces: access denied', agoMs: 10 },
});

t.test(
  'ready: every endpoint is in the table with an address, whatever AWS and the upstreams do',
  async (t) => {
    const outage = { lastRefreshFailed: true, basis: 'kept', sources: [failing] } as const;
    t.same(notReady([clusterSnapshot()], [served()]), []);
    t.same(notReady([clusterSnapshot(outage)], [served({ basis: 'kept' })]), []);
    const other = { cluster: 'other', region: 'eu-west-1', endpoint: 'other.example' };
    t.same(notReady([clusterSnapshot(), clusterSnapshot(other)], [served(other), served()]), []);
    const { region: _, ...anywhere } = served({ cluster: 'nowhere' });
    const { region: __, ...snapshot } = clusterSnapshot({ cluster: 'nowhere' });
    t.same(notReady([snapshot], [anywhere]), [], 'a cluster without a Region');
  },
);

t.test(
  'not ready: a sentence for each endpoint that cannot be answered, with what the sources said',
  async (t) => {
    const { endpoint: _, ...nameless } = clusterSnapshot({ serves: [], sources: [failing] });
    const { endpoint: __, ...record } = served();
    for (const [what, snapshots, records, expected] of [
      [
        'no name',
        [nameless],
        [],
        [/^cluster "demo": its endpoint name is not known yet \(interfaces: .*access denied\)$/],
      ],
      [
        'no address',
        [clusterSnapshot({ serves: [] })],
        [served({ addressCount: 0 })],
        [/^endpoint "demo\..*": no address is known yet$/],
      ],
      [
        'learned, but not served yet',
        [clusterSnapshot()],
        [served({ addressCount: 0 })],
        [/: its addresses are about to be served$/],
      ],
      [
        'an address, but no name',
        [{ ...nameless, addresses: clusterSnapshot().addresses }],
        [record],
        [/endpoint name is not known/],
      ],
      ['the record of another Region', [clusterSnapshot()], [served({ region: 'eu-west-1' })], [/demo/]],
      [
        'one of two',
        [clusterSnapshot(), clusterSnapshot({ cluster: 'b', serves: [] })],
        [served()],
        [/no address/],
      ],
    ] as const) {
      const reasons = notReady(snapshots, records);
      t.match(reasons, expected, what);
      t.equal(reasons.length, expected.length, what);
    }
  },
);
