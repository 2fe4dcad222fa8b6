import { spawnSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { hostsText } from '../../src/commands/export/hosts-and-nodes.ts';
import { zoneText } from '../../src/commands/export/resolvers.ts';
import { jsonText } from '../../src/commands/export.ts';
import type { EndpointRecord } from '../../src/records/endpoint-record.ts';
import { record } from '../store/record-sets.ts';
import { run } from './running.ts';
import { DAY_MS, fresh, NOW_MS, writeConfig, writeState } from './state-files.ts';

const file = (...records: EndpointRecord[]) => ({
  file: { generation: 42, writtenAtMs: NOW_MS - 60_000, content: records },
  nowMs: NOW_MS,
});
const other = record('other', ['10.0.2.20'], NOW_MS - 3 * DAY_MS);
const empty = fresh({ addresses: [], confirmedAtMs: {} });
const { endpoint: _, ...nameless } = fresh();

t.test('hosts: a comment with the age for each cluster, a line for each address', async (t) => {
  t.strictSame(hostsText(file(fresh(), other)).split('\n'), [
    '# outpost-dns begin',
    '# outpost-dns export: generation 42, written 2026-05-31T23:59:00.000Z',
    '# such lines win over DNS and are never refreshed: remove them after the outage',
    '# my-cluster (us-west-2), confirmed 60 s ago',
    '10.0.1.10 my-cluster.example.net',
    '10.0.1.11 my-cluster.example.net',
    '# other (us-west-2), confirmed 3 d ago',
    '10.0.2.20 other.example.net',
    '# outpost-dns end',
    '',
  ]);
});

t.test('the name in DescribeCluster is exported beside the configured one', async (t) => {
  const details = { endpoint: 'real.example', subnetIds: [], learnedAtMs: NOW_MS };
  const both = file(fresh({ details }));
  const names = ['my-cluster.example.net', 'real.example'];
  t.strictSame(
    hostsText(both)
      .split('\n')
      .filter((line) => line.startsWith('10.')),
    names.flatMap((name) => [`10.0.1.10 ${name}`, `10.0.1.11 ${name}`]),
  );
  t.strictSame(
    zoneText(both).match(/^\$ORIGIN .*$/gm),
    names.map((name) => `$ORIGIN ${name}.`),
  );
  t.match(JSON.parse(jsonText(both)), [{ endpoint: names[0], describedEndpoint: names[1] }]);
});

t.test('hosts: a record without a usable name or address is a comment', async (t) => {
  t.match(hostsText(file(empty)), /^# my-cluster \(us-west-2\), never confirmed: no address is known\n/m);
  t.match(hostsText(file(nameless)), /^# my-cluster .*: its endpoint name is not known\n/m);
  const odd = hostsText(file(fresh({ endpoint: String.raw`a\032b.example` })));
  t.match(odd, /: "a\\032b\.example" cannot stand in a hosts file\n/);
  t.notMatch(odd, /^10\./m);
});

t.test('json: an array of records with times in text', async (t) => {
  const details = {
    endpoint: 'my-cluster.example.net',
    vpcId: 'vpc-01234567',
    subnetIds: ['subnet-1'],
    certificateAuthority: 'Q0E=',
    generation: 'ebs',
    learnedAtMs: NOW_MS,
  } as const;
  const held = { addresses: ['10.0.1.99'], reason: 'loses more than half', sinceMs: NOW_MS };
  t.strictSame(JSON.parse(jsonText(file(fresh({ details, held }), empty))), [
    {
      cluster: 'my-cluster',
      region: 'us-west-2',
      endpoint: 'my-cluster.example.net',
      addresses: ['10.0.1.10', '10.0.1.11'],
      basis: 'name',
      ttlSeconds: 60,
      changedAt: '2026-01-01T00:00:00.000Z',
      confirmedAt: { dns: '2026-05-31T23:59:00.000Z' },
      confirmedAgeSeconds: 60,
      lastRefreshFailed: false,
      held: { addresses: ['10.0.1.99'], reason: 'loses more than half', since: '2026-06-01T00:00:00.000Z' },
      vpcId: 'vpc-01234567',
      subnetIds: ['subnet-1'],
      generation: 'ebs',
      certificateAuthority: 'Q0E=',
    },
    {
      cluster: 'my-cluster',
      region: 'us-west-2',
      endpoint: 'my-cluster.example.net',
      addresses: [],
      basis: 'name',
      ttlSeconds: 60,
      changedAt: '2026-01-01T00:00:00.000Z',
      confirmedAt: {},
      lastRefreshFailed: false,
    },
  ]);
});

t.test('zone: one zone for each endpoint name, with SOA and NS, parted by $ORIGIN', async (t) => {
  t.strictSame(zoneText(file(fresh(), empty, nameless, other)).split('\n'), [
    '; outpost-dns export: generation 42, written 2026-05-31T23:59:00.000Z',
    '; each $ORIGIN line begins a zone of its own: with several, cut here and load one file a zone',
    '',
    '; my-cluster (us-west-2), confirmed 60 s ago',
    '$ORIGIN my-cluster.example.net.',
    '$TTL 60',
    '@ IN SOA localhost. root.localhost. 1767225600 3600 600 604800 60',
    '@ IN NS localhost.',
    '@ IN A 10.0.1.10',
    '@ IN A 10.0.1.11',
    '',
    '; my-cluster (us-west-2), never confirmed: no address is known',
    '',
    '; my-cluster (us-west-2), confirmed 60 s ago: its endpoint name is not known',
    '',
    '; other (us-west-2), confirmed 3 d ago',
    '$ORIGIN other.example.net.',
    '$TTL 60',
    '@ IN SOA localhost. root.localhost. 1767225600 3600 600 604800 60',
    '@ IN NS localhost.',
    '@ IN A 10.0.2.20',
    '',
  ]);
});

t.test('zone: the TTL stays between 5 s and 60 s', async (t) => {
  for (const [ttlSeconds, line] of [
    [0, '$TTL 5'],
    [30, '$TTL 30'],
    [86_400, '$TTL 60'],
  ] as const)
    t.ok(
      zoneText(file(fresh({ ttlSeconds })))
        .split('\n')
        .includes(line),
      `${ttlSeconds}`,
    );
});

const hasChecker = spawnSync('named-checkzone', ['-v']).status === 0;

t.test('zone: BIND loads each of them', { skip: !hasChecker && 'named-checkzone is not here' }, async (t) => {
  const escaped = fresh({ cluster: 'odd', endpoint: String.raw`a\032\;\"b.example` });
  const text = zoneText(file(fresh(), other, escaped));
  const [head = '', ...zones] = text.split(/^(?=\$ORIGIN)/m);
  t.equal(zones.length, 3);
  for (const zone of zones) {
    const origin = /^\$ORIGIN (.*)\.$/m.exec(zone)?.[1] ?? '';
    const path = join(t.testdir(), 'zone');
    await writeFile(path, head + zone);
    // local: no name outside of the zone is resolved
    const { status, stdout } = spawnSync('named-checkzone', ['-i', 'local', origin, path], {
      encoding: 'utf8',
    });
    t.equal(status, 0, stdout);
    t.match(stdout, 'loaded serial 1767225600');
  }
});

t.test(
  'a process that exports, with nothing running: every format, from --state and from the configuration',
  async (t) => {
    const state = await writeState(join(t.testdir(), 'state'), [fresh()]);
    const before = await readdir(state);
    const [hosts, json, zone] = await Promise.all([
      run(['export', '--state', state]),
      run(['export', '--format', 'json', '-c', await writeConfig(t.testdirName, state)]),
      run(['export', '-f', 'zone', '--state', state]),
    ]);
    for (const { code, stderr } of [hosts, json, zone])
      t.strictSame({ code, stderr }, { code: 0, stderr: '' });
    t.match(hosts?.stdout, /^10\.0\.1\.10 my-cluster\.example\.net$/m);
    t.match(JSON.parse(json?.stdout ?? ''), [
      { cluster: 'my-cluster', addresses: ['10.0.1.10', '10.0.1.11'] },
    ]);
    t.match(zone?.stdout, /^\$ORIGIN my-cluster\.example\.net\.$/m);
    t.strictSame(await readdir(state), before, 'no file is added');
  },
);

t.test(
  'a corrupt file: the previous generation is exported, said on standard error, and nothing is set aside',
  async (t) => {
    const state = await writeState(join(t.testdir(), 'state'), [fresh()], {
      from: 'previous',
      generation: 41,
    });
    await writeFile(join(state, 'endpoints.json'), 'not JSON');
    const { code, stdout, stderr } = await run(['export', '--state', state]);
    t.equal(code, 0);
    t.match(stdout, '10.0.1.10 my-cluster.example.net');
    t.match(stderr, /endpoints\.json" cannot be used \(not-json\)[^\n]*\n.*previous generation \(41\)\n$/);
    t.equal(await readFile(join(state, 'endpoints.json'), 'utf8'), 'not JSON');
    t.strictSame((await readdir(state)).sort(), ['endpoints.json', 'endpoints.previous.json']);
  },
);

t.test('nothing known: exit 1 with a sentence on standard error', async (t) => {
  const directory = t.testdir({ corrupt: { 'endpoints.json': '{' }, none: {} });
  await writeState(join(directory, 'empty'), [empty, nameless]);
  const cases = [
    ['none', /nothing to export: there is no state file in ".*none"/],
    ['missing', /nothing to export: there is no state file in ".*missing"/],
    ['corrupt', /nothing to export: no state file in ".*corrupt" can be used\n$/],
    ['empty', /nothing to export: the state in ".*empty" holds no endpoint with an address\n$/],
  ] as const;
  const ended = await Promise.all(cases.map(([name]) => run(['export', '--state', join(directory, name)])));
  for (const [at, { code, stdout, stderr }] of ended.entries()) {
    t.equal(code, 1);
    t.equal(stdout, '');
    t.match(stderr, cases[at]![1]);
  }
});

t.test('no configuration and no --state: exit 2, and both ways out are named', async (t) => {
  const { code, stdout, stderr } = await run(['export', '-c', join(t.testdir(), 'none.yaml')]);
  t.equal(code, 2);
  t.equal(stdout, '');
  t.match(stderr, /none\.yaml: no such file[\s\S]*--config[\s\S]*--state/);
  t.equal((await run(['export', '--format', 'csv'])).code, 2);
});
