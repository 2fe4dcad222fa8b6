import type { ResourceRecordSet } from '@aws-sdk/client-route-53';
import t from 'tap';
import type { Observation } from '../../src/records/observation.ts';
import { FROM_AWS, poll } from './polling.ts';

/** Polls a zone that holds these sets; `echo`: under the very name that was asked for. */
function pollSets(
  sets: readonly ResourceRecordSet[],
  endpoint = 'api.site.example',
  echo = false,
  asked: string[] = [],
): Promise<Observation> {
  const ListResourceRecordSetsCommand = ({ StartRecordName: Name }: { readonly StartRecordName: string }) => {
    asked.push(Name);
    return { ...FROM_AWS, ResourceRecordSets: sets.map((set) => (echo ? { ...set, Name } : set)) };
  };
  const settings = { route53: { zoneId: 'Z1' } };
  return poll('route53', { endpoint }, { route53: { ListResourceRecordSetsCommand }, settings });
}

function set(values: readonly string[], more: Partial<ResourceRecordSet> = {}): ResourceRecordSet {
  return {
    Name: 'api.site.example.',
    Type: 'A',
    TTL: 60,
    ResourceRecords: values.map((Value) => ({ Value })),
    ...more,
  };
}

function alias(target: string): ResourceRecordSet {
  const AliasTarget = { HostedZoneId: 'Z1', DNSName: target, EvaluateTargetHealth: false };
  return { Name: 'api.site.example.', Type: 'A', AliasTarget };
}

const rows: readonly (readonly [string, readonly ResourceRecordSet[], Partial<Observation>])[] = [
  ['simple', [set(['10.0.0.1', '10.0.0.2'])], { addresses: ['10.0.0.1', '10.0.0.2'], ttlSeconds: 60 }],
  [
    'weighted: all that have a weight, the shortest TTL',
    [
      set(['10.0.0.1'], { Weight: 3 }),
      set(['10.0.0.2'], { Weight: 1, TTL: 30 }),
      set(['10.0.0.3'], { Weight: 0, TTL: 5 }),
    ],
    { addresses: ['10.0.0.1', '10.0.0.2'], ttlSeconds: 30 },
  ],
  [
    'weighted: all of them when every weight is 0',
    [set(['10.0.0.1'], { Weight: 0 }), set(['10.0.0.2'], { Weight: 0 })],
    { addresses: ['10.0.0.1', '10.0.0.2'], ttlSeconds: 60 },
  ],
  [
    'multivalue: all, each once',
    [
      set(['10.0.0.1'], { MultiValueAnswer: true }),
      set(['10.0.0.1', '10.0.0.2'], { MultiValueAnswer: true }),
    ],
    { addresses: ['10.0.0.1', '10.0.0.2'], ttlSeconds: 60 },
  ],
  [
    'failover: the primary',
    [set(['10.0.0.9'], { Failover: 'SECONDARY' }), set(['10.0.0.1'], { Failover: 'PRIMARY' })],
    { addresses: ['10.0.0.1'], ttlSeconds: 60 },
  ],
  [
    'failover: the secondary when it is alone',
    [set(['10.0.0.9'], { Failover: 'SECONDARY' })],
    { addresses: ['10.0.0.9'], ttlSeconds: 60 },
  ],
  ['alias', [alias('LB.example.COM.')], { addresses: [], targets: ['lb.example.com'] }],
  [
    'alias beside addresses',
    [alias('lb.example.com.'), set(['10.0.0.1'], { TTL: 20 })],
    { addresses: ['10.0.0.1'], targets: ['lb.example.com'], ttlSeconds: 20 },
  ],
  [
    'CNAME',
    [set(['other.example.'], { Type: 'CNAME' })],
    { addresses: [], targets: ['other.example'], ttlSeconds: 60 },
  ],
  ['none', [], { kind: 'failed', reason: 'not-found', reachedFarSide: true }],
];

t.test('the sets of one name are merged into addresses and targets', async (t) => {
  for (const [what, sets, expected] of rows) {
    const seen = await pollSets(sets);
    if (seen.kind === 'failed') t.match(seen, expected, what);
    else t.same(seen, { kind: 'addresses', source: 'route53', ...expected }, what);
  }
});

t.test('a value that is no address, or a target that is no name, is malformed', async (t) => {
  for (const sets of [
    [set(['10.0.0.1', '10.0.0'])],
    [set(['fd00::1'])],
    [set([''])],
    [alias('')],
    [alias('.')],
    [set(['a..b'], { Type: 'CNAME' })],
  ]) {
    const malformed = { kind: 'failed', reason: 'malformed', reachedFarSide: true };
    t.match(await pollSets(sets), malformed, JSON.stringify(sets));
  }
});

t.test('names of Route 53 are read with octal escapes, and written with them', async (t) => {
  for (const [theirs, ours] of [
    ['API.Site.example.', 'api.site.example'],
    ['\\052.apps.site.example.', '*.apps.site.example'],
    ['a\\100b.example.', 'a\\@b.example'],
    ['a\\040b.example.', 'a\\032b.example'],
    ['a\\056b.example.', 'a\\.b.example'],
    ['a\\377.example.', 'a\\255.example'],
  ] as const) {
    const one = [set(['10.0.0.1'], { Name: theirs })];
    const found = { kind: 'addresses', addresses: ['10.0.0.1'] };
    t.match(await pollSets(one, ours), found, theirs);
    t.match(await pollSets(one, ours, true), found, `${ours} back and forth`);
  }
  const asked: string[] = [];
  await pollSets([], 'a\\032b\\.c.example', false, asked);
  t.strictSame(asked, ['a\\040b\\056c.example.']);
  for (const broken of ['a..b', `${'a'.repeat(64)}.example.`, '\\']) {
    const sets = [set(['10.0.0.1'], { Name: broken })];
    t.match(await pollSets(sets), { kind: 'failed', reason: 'not-found' }, broken);
  }
});
