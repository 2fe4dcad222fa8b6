import type { LedgerEvent, LedgerKind } from '../../src/store/ledger-format.ts';

/** One event of each kind, and of each phase of a drill. */
export const SAMPLES: readonly LedgerEvent[] = [
  { kind: 'start', version: '1.2.3', runtime: 'node 26.10.0', endpoints: 2 },
  { kind: 'stop', reason: 'SIGTERM' },
  { kind: 'reload', outcome: 'taken' },
  { kind: 'reload', outcome: 'refused', faults: ['line 3: unknown key "upstream"'] },
  {
    kind: 'link',
    side: 'aws',
    key: 'us-west-2',
    from: 'connected',
    to: 'disconnected',
    reason: 'timeout',
    lastedMs: 7_200_000,
  },
  {
    kind: 'addresses',
    cluster: 'my-cluster',
    region: 'us-west-2',
    endpoint: 'abc.gr7.us-west-2.eks.amazonaws.com',
    before: ['10.0.1.10', '10.0.2.10'],
    after: ['10.0.1.10', '10.0.2.77'],
    basis: 'overlap',
    seen: { dns: ['10.0.1.10'], interfaces: ['10.0.1.10', '10.0.2.77'] },
  },
  { kind: 'endpoint', cluster: 'my-cluster', to: 'abc.gr7.us-west-2.eks.amazonaws.com' },
  {
    kind: 'held',
    cluster: 'my-cluster',
    outcome: 'held',
    addresses: ['10.0.9.9'],
    reason: 'loses more than half',
  },
  {
    kind: 'withheld',
    cluster: 'my-cluster',
    address: '10.0.3.10',
    phase: 'left',
    reason: 'its certificate is not for the name of the endpoint',
    unwritten: 4,
  },
  { kind: 'drill', phase: 'started', forMs: 1_800_000 },
  {
    kind: 'drill',
    phase: 'ended',
    by: 'time',
    ranMs: 1_800_000,
    failed: 3,
    stale: 2,
    endpointAnswers: 99,
  },
  {
    kind: 'pin',
    phase: 'started',
    cluster: 'my-cluster',
    addresses: ['10.0.9.9'],
    why: 'a change in the console',
    pinnedBy: 'ada',
    forMs: 14_400_000,
  },
  {
    kind: 'pin',
    phase: 'ended',
    cluster: 'my-cluster',
    addresses: ['10.0.9.9'],
    by: 'time',
    ranMs: 14_400_000,
  },
  { kind: 'flush', name: 'example.com', below: true, answers: 12, flushedBy: 'ada' },
  {
    kind: 'set-aside',
    path: '/var/lib/outpost-dns/endpoints.json',
    reason: 'not-json',
    detail: 'not JSON',
    to: '/var/lib/outpost-dns/endpoints.json.corrupt-20260101T000000Z-not-json',
  },
];

export function sample(kind: LedgerKind): LedgerEvent {
  const found = SAMPLES.find((event) => event.kind === kind);
  if (found === undefined) throw new Error(`no sample of kind ${kind}`);
  return found;
}

/** An event that carries a number. */
export function numbered(number: number): LedgerEvent {
  return { kind: 'stop', reason: `number ${number}` };
}
