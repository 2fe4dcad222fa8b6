/** The plan and what is laid over it: the operator's pin, and the names and details that EKS gives. */
import t from 'tap';
import { addressesOf, type ClusterDetails } from '../../../src/records/endpoint-record.ts';
import { decide, emptyRecord, keep, learn } from '../../../src/refresh/reconcile/plan.ts';
import { A, B, D, NOW_MS, saw, serving, settings } from './planned.ts';

t.test('a pin wins over everything and is shown as a pin', (t) => {
  const pinned = { ...settings, pin: ['192.0.2.9'] }; // outside the allowed range: the operator's word
  const states = [saw('dns', [A, B]), saw('interfaces', [A, B])];
  for (const plan of [
    keep(serving([A, B]), [], pinned, NOW_MS),
    decide(serving([A, B]), states, pinned, NOW_MS),
    decide(emptyRecord('my-cluster', undefined), states, pinned, NOW_MS),
  ]) {
    t.strictSame(plan.record.addresses, [
      { address: '192.0.2.9', provenance: { pin: { firstSeenMs: NOW_MS, lastSeenMs: NOW_MS } } },
    ]);
    t.equal(plan.record.basis, 'pin');
    t.notOk('held' in plan.record);
  }
  t.end();
});

t.test('a pin that is taken back gives back what the sources had found', (t) => {
  const before = serving([A, B]);
  const pinned = keep(before, [], { ...settings, pin: [D] }, NOW_MS).record;
  t.strictSame(pinned.unpinned, before.addresses);
  const unpinned = keep(pinned, [], settings, NOW_MS + 1).record;
  t.match(unpinned, { basis: 'kept', addresses: before.addresses, changedAtMs: NOW_MS + 1 });
  t.notOk('unpinned' in unpinned);
  t.end();
});

t.test(
  'a pin with nothing beneath it is served until a source speaks, and its loss is not suspicious',
  (t) => {
    const pinned = keep(emptyRecord('my-cluster', undefined), [], { ...settings, pin: [D] }, NOW_MS).record;
    const unpinned = keep(pinned, [], settings, NOW_MS + 1).record;
    t.match(unpinned, { basis: 'kept', addresses: [{ address: D, provenance: { pin: {} } }] });
    const next = decide(unpinned, [saw('dns', [A, B])], settings, NOW_MS + 2).record;
    t.strictSame(addressesOf(next), [A, B]);
    t.notOk(next.held);
    t.end();
  },
);

t.test('a pin of an address that sources see too leaves no trace when it is taken back', (t) => {
  const pinned = decide(serving([A, B]), [saw('dns', [A, B])], { ...settings, pin: [A] }, NOW_MS).record;
  t.strictSame(Object.keys(pinned.addresses[0]?.provenance ?? {}).sort(), ['dns', 'interfaces', 'pin']);
  const unpinned = keep(pinned, [], settings, NOW_MS).record;
  t.strictSame(Object.keys(unpinned.addresses[0]?.provenance ?? {}).sort(), ['dns', 'interfaces']);
  t.end();
});

const details: ClusterDetails = {
  endpoint: 'learned.example',
  vpcId: 'vpc-1',
  subnetIds: ['subnet-1'],
  learnedAtMs: 7,
};
const { endpoint: _, ...unnamed } = settings;

t.test('learn: the endpoint name and details are remembered, with the moment of learning', (t) => {
  const { record, changes } = learn(emptyRecord('my-cluster', 'us-west-2'), details, unnamed, NOW_MS);
  t.match(record, {
    endpoint: 'learned.example',
    details: { ...details, learnedAtMs: NOW_MS },
    confirmedAtMs: { cluster: NOW_MS },
  });
  t.strictSame(changes, [
    { kind: 'endpoint', from: undefined, to: 'learned.example' },
    { kind: 'details', fields: ['endpoint', 'vpcId', 'subnetIds'] },
  ]);
  const again = learn(record, { ...details, learnedAtMs: 8 }, unnamed, NOW_MS + 5);
  t.strictSame(again.changes, []);
  t.equal(again.record.details?.learnedAtMs, NOW_MS, 'the same details were learned before');
  t.equal(again.record.confirmedAtMs.cluster, NOW_MS + 5);
  t.end();
});

t.test('a record from before a field was known learns it: an upgrade finds the Outpost', (t) => {
  const { record: before } = learn(emptyRecord('my-cluster', 'us-west-2'), details, unnamed, NOW_MS);
  for (const field of [{ outpost: 'op-0123456789abcdef0' }, { generation: 'ebs' }] as const) {
    const { record, changes } = learn(before, { ...details, ...field }, unnamed, NOW_MS + 5);
    t.match(record.details, field);
    t.strictSame(changes, [{ kind: 'details', fields: Object.keys(field) }]);
  }
  t.end();
});

t.test('learn: the name that the operator gave wins', (t) => {
  const { record } = learn(serving([A]), details, settings, NOW_MS);
  t.equal(record.endpoint, 'api.example');
  t.equal(record.details?.endpoint, 'learned.example');
  t.end();
});

t.test('learn: a new endpoint name keeps the addresses until they are confirmed', (t) => {
  const { record, changes } = learn(serving([A, B]), details, unnamed, NOW_MS);
  t.strictSame(addressesOf(record), [A, B]);
  t.match(record, { endpoint: 'learned.example', basis: 'kept' });
  t.match(changes[0], { kind: 'endpoint', from: 'api.example', to: 'learned.example' });
  t.end();
});
