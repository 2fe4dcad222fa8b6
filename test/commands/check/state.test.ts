import t from 'tap';
import type { Finding } from '../../../src/commands/check/finding.ts';
import { configFindings } from '../../../src/commands/check/host.ts';
import { type DirectoryState, recordsOf, stateFindings } from '../../../src/commands/check/state.ts';
import type { EndpointRecord } from '../../../src/records/endpoint-record.ts';
import type { Fault } from '../../../src/store/set-aside.ts';
import type { Generation } from '../../../src/store/state-backend.ts';
import { load, SMALLEST } from '../../config/loading.ts';
import { record } from '../../store/record-sets.ts';
import { DAY_MS, fresh, HOUR_MS, NOW_MS } from '../state-files.ts';

const PRESENT: DirectoryState = { kind: 'present', isWritable: true, isOwner: true };
const OF_ANOTHER: DirectoryState = { kind: 'present', isWritable: true, isOwner: false };
const CONFIG = 'clusters: [{name: my-cluster, region: us-west-2}]\nupstreams: [10.0.0.2, 10.0.0.3]\n';

interface Case {
  readonly name: string;
  readonly config?: string;
  readonly state?: DirectoryState;
  /** `null`: no state file. */
  readonly records?: readonly EndpointRecord[] | null;
  readonly from?: Generation;
  readonly faults?: readonly Fault[];
  readonly writtenAtMs?: number;
  readonly isRunning?: true;
  /** Severity and a part of the text, for each finding in order. */
  readonly found: ReadonlyArray<
    readonly [severity: 'problem' | 'warning', is: Pick<Finding, 'code'>, text: RegExp, fix?: RegExp]
  >;
}

const corrupt: Fault = {
  path: '/s/endpoints.json',
  kind: 'corrupt',
  reason: 'checksum-mismatch',
  detail: 'the content is not what was written',
};

const CASES: readonly Case[] = [
  { name: 'fresh state, all configured clusters in it', found: [] },
  {
    name: 'directory missing',
    state: { kind: 'missing' },
    records: null,
    found: [
      [
        'problem',
        { code: 'state-directory-missing' },
        /"\/s" does not exist/,
        /start the server while AWS can be reached/,
      ],
    ],
  },
  {
    name: 'a file in place of the directory',
    state: { kind: 'not-a-directory' },
    records: null,
    found: [
      ['problem', { code: 'state-directory-unusable' }, /"\/s" is not a directory/, /state\.directory/],
    ],
  },
  {
    name: 'directory not readable',
    state: { kind: 'unreadable', code: 'EACCES' },
    records: null,
    found: [
      [
        'problem',
        { code: 'state-directory-unreadable' },
        /cannot be read by this user \(EACCES\)/,
        /sudo -u outpost-dns/,
      ],
    ],
  },
  {
    name: 'a path that no directory can have',
    state: { kind: 'unreadable', code: 'ENAMETOOLONG' },
    records: null,
    found: [['problem', { code: 'state-directory-unreadable' }, /ENAMETOOLONG/, /check the path/]],
  },
  {
    name: 'directory not readable by this user, while the server runs',
    state: { kind: 'unreadable', code: 'EACCES' },
    records: null,
    isRunning: true,
    found: [['warning', { code: 'state-directory-unreadable' }, /by this user/, /sudo -u outpost-dns/]],
  },
  {
    name: 'file not readable by this user, while the server runs',
    records: null,
    faults: [{ ...corrupt, kind: 'unreadable', reason: 'eacces' }],
    state: OF_ANOTHER,
    isRunning: true,
    found: [['warning', { code: 'state-file-unusable' }, /unreadable, eacces/, /sudo -u outpost-dns/]],
  },
  {
    name: "file not readable by the server's own user, while the server runs",
    records: null,
    faults: [{ ...corrupt, kind: 'unreadable', reason: 'eacces' }],
    isRunning: true,
    found: [['problem', { code: 'state-file-unusable' }, /unreadable, eacces/, /chown/]],
  },
  {
    name: 'a disk that cannot be read, while the server runs',
    state: { kind: 'unreadable', code: 'EIO' },
    records: null,
    isRunning: true,
    found: [['problem', { code: 'state-directory-unreadable' }, /EIO/, /file system/]],
  },
  {
    name: 'a file that the disk does not give, while the server runs',
    state: OF_ANOTHER,
    records: null,
    faults: [{ ...corrupt, kind: 'unreadable', reason: 'eio' }],
    isRunning: true,
    found: [['problem', { code: 'state-file-unusable' }, /unreadable, eio/, /disk/]],
  },
  {
    name: 'own directory not writable',
    state: { kind: 'present', isWritable: false, isOwner: true },
    found: [
      [
        'problem',
        { code: 'state-not-writable' },
        /cannot be written by this user: new addresses would not survive/,
        /read-only/,
      ],
    ],
  },
  {
    name: 'directory of another user not writable',
    state: { kind: 'present', isWritable: false, isOwner: false },
    found: [
      [
        'warning',
        { code: 'state-not-writable' },
        /whether the server can write it is not known/,
        /sudo -u outpost-dns/,
      ],
    ],
  },
  {
    name: 'no state file',
    records: null,
    found: [['problem', { code: 'state-missing' }, /no state has been saved in "\/s"/, /start the server/]],
  },
  {
    name: 'corrupt, and nothing to serve',
    records: null,
    faults: [corrupt],
    found: [
      [
        'problem',
        { code: 'state-file-unusable' },
        /"\/s\/endpoints\.json" cannot be used \(corrupt, checksum-mismatch\)/,
        /sets the file aside/,
      ],
    ],
  },
  {
    name: 'corrupt, the previous generation serves',
    from: 'previous',
    faults: [corrupt],
    found: [
      ['warning', { code: 'state-file-unusable' }, /cannot be used \(corrupt, checksum-mismatch\)/],
      [
        'warning',
        { code: 'state-previous-generation' },
        /start from the previous generation of the state \(42\)$/,
      ],
    ],
  },
  {
    name: 'current file missing, the previous generation serves',
    from: 'previous',
    found: [
      [
        'warning',
        { code: 'state-previous-generation' },
        /previous generation of the state \(42\): the current one is missing/,
      ],
    ],
  },
  {
    name: 'written by a later version',
    records: null,
    faults: [{ ...corrupt, kind: 'newer', reason: 'version-2' }],
    found: [
      ['problem', { code: 'state-file-unusable' }, /newer, version-2/, /run the version that wrote it/],
    ],
  },
  {
    name: 'not our file',
    records: null,
    faults: [{ ...corrupt, kind: 'foreign', reason: 'not-our-format' }],
    found: [
      ['problem', { code: 'state-file-unusable' }, /foreign, not-our-format/, /mv "\/s\/endpoints\.json"/],
    ],
  },
  {
    name: 'file not readable',
    state: OF_ANOTHER,
    records: null,
    faults: [{ ...corrupt, kind: 'unreadable', reason: 'eacces' }],
    found: [['problem', { code: 'state-file-unusable' }, /unreadable, eacces/, /sudo -u outpost-dns/]],
  },
  {
    name: 'no record of the cluster',
    records: [record('other', ['10.0.9.9'])],
    found: [
      [
        'problem',
        { code: 'cluster-unknown' },
        /cluster "my-cluster" is not ready for an outage: the state has no record of it/,
        /^where "other" in us-west-2 is meant, whose addresses the state has, correct clusters.*; otherwise .*status/,
      ],
    ],
  },
  {
    name: 'record of the same cluster name in another Region',
    records: [fresh({ region: 'eu-west-1' })],
    found: [
      ['problem', { code: 'cluster-unknown' }, /no record of it/, /where "my-cluster" in eu-west-1 is/],
    ],
  },
  {
    name: 'record without the endpoint name',
    records: [withoutEndpoint(fresh())],
    found: [
      [
        'problem',
        { code: 'endpoint-name-unknown' },
        /the name of its endpoint is not known/,
        /clusters\[\]\.endpoint.*eks:DescribeCluster/,
      ],
    ],
  },
  {
    name: 'record without the endpoint name, which the configuration has',
    config: `${CONFIG}`.replace('us-west-2}', 'us-west-2, endpoint: a.example}'),
    records: [withoutEndpoint(fresh())],
    found: [],
  },
  {
    name: 'record without addresses',
    records: [fresh({ addresses: [] })],
    found: [
      [
        'problem',
        { code: 'endpoint-without-addresses' },
        /endpoint "my-cluster\.example\.net" is not ready for an outage: no address/,
        /start the server/,
      ],
    ],
  },
  { name: 'confirmed 59 min ago', records: [confirmed(HOUR_MS - 60_000)], found: [] },
  {
    name: 'confirmed 61 min ago',
    records: [confirmed(HOUR_MS + 60_000)],
    found: [['warning', { code: 'addresses-old' }, /for 61 min/, /is AWS reachable/]],
  },
  {
    name: 'confirmed 8 d ago',
    records: [confirmed(8 * DAY_MS)],
    found: [['warning', { code: 'addresses-old' }, /for 8 d/, /names each source/]],
  },
  {
    name: 'confirmed 31 d ago',
    records: [confirmed(31 * DAY_MS)],
    found: [['problem', { code: 'addresses-old' }, /for 31 d/, /before the next outage/]],
  },
  {
    name: 'one source long ago, the other lately',
    records: [seen({ dns: NOW_MS - 40 * DAY_MS, interfaces: NOW_MS - 1000 })],
    found: [],
  },
  {
    name: "the cluster's details confirm no address, and neither does an answer with other addresses",
    records: [{ ...seen({}), confirmedAtMs: { cluster: NOW_MS - 1000, dns: NOW_MS - 1000 } }],
    found: [['warning', { code: 'addresses-old' }, /no source has ever confirmed/]],
  },
  {
    name: 'pinned by a command',
    records: [
      fresh({
        pin: {
          addresses: ['10.0.9.1'],
          why: 'ticket 7',
          by: 'ada',
          sinceMs: NOW_MS - HOUR_MS,
          untilMs: NOW_MS + 3 * HOUR_MS,
        },
      }),
    ],
    found: [
      [
        'warning',
        { code: 'pinned-by-command' },
        /are pinned to 10\.0\.9\.1 by ada for 3 h more: ticket 7/,
        /outpost-dns unpin my-cluster/,
      ],
    ],
  },
  {
    name: 'a pin whose time is up',
    records: [
      fresh({
        pin: { addresses: ['10.0.9.1'], why: 'x', by: 'ada', sinceMs: NOW_MS - HOUR_MS, untilMs: NOW_MS },
      }),
    ],
    found: [],
  },
  {
    name: 'held change',
    records: [
      fresh({
        held: { addresses: ['10.0.1.99'], reason: 'loses more than half', sinceMs: NOW_MS - 3 * HOUR_MS },
      }),
    ],
    found: [
      [
        'warning',
        { code: 'change-held' },
        /to 10\.0\.1\.99 is held back for 3 h: loses more than half/,
        /EC2/,
      ],
    ],
  },
  {
    name: 'endpoint renamed in the configuration',
    config: CONFIG.replace('us-west-2}', 'us-west-2, endpoint: new.example}'),
    found: [
      [
        'warning',
        { code: 'endpoint-renamed' },
        /kept for "new\.example" were learned for "my-cluster\.example\.net"/,
      ],
    ],
  },
  {
    name: 'a configured endpoint that is not what AWS says',
    config: CONFIG.replace('us-west-2}', 'us-west-2, endpoint: old.example}'),
    records: [
      fresh({
        endpoint: 'old.example',
        details: { endpoint: 'real.example', subnetIds: [], learnedAtMs: NOW_MS },
      }),
    ],
    found: [
      [
        'warning',
        { code: 'endpoint-not-described' },
        /"old\.example" is not the endpoint in DescribeCluster, "real\.example"/,
        /remove it/,
      ],
    ],
  },
  {
    name: 'a pinned endpoint needs no record',
    config: CONFIG.replace('us-west-2}', 'us-west-2, endpoint: a.example, pin: [10.0.1.1]}'),
    records: [],
    found: [],
  },
  {
    name: 'a pin without a name answers nothing',
    config: CONFIG.replace('us-west-2}', 'us-west-2, pin: [10.0.1.1]}'),
    records: [],
    found: [['problem', { code: 'cluster-unknown' }, /no record of it/]],
  },
  {
    name: 'written in the future',
    writtenAtMs: NOW_MS + 3 * HOUR_MS,
    found: [
      ['warning', { code: 'state-in-the-future' }, /written 3 h in the future: the clock/, /timedatectl/],
    ],
  },
  { name: 'written a moment in the future', writtenAtMs: NOW_MS + 60_000, found: [] },
];

function withoutEndpoint({ endpoint: _, ...rest }: EndpointRecord): EndpointRecord {
  return rest;
}

function confirmed(agoMs: number): EndpointRecord {
  return seen({ dns: NOW_MS - agoMs, interfaces: NOW_MS - agoMs - DAY_MS });
}

/** A record whose addresses each source gave last at these times. */
function seen(confirmedAtMs: EndpointRecord['confirmedAtMs']): EndpointRecord {
  const sightings = Object.entries(confirmedAtMs).map(([source, ms]) => [
    source,
    { firstSeenMs: 1_000, lastSeenMs: ms },
  ]);
  const provenance = Object.fromEntries(sightings);
  const addresses = fresh().addresses.map(({ address }) => ({ address, provenance }));
  return fresh({ addresses, confirmedAtMs });
}

for (const one of CASES) {
  t.test(`state: ${one.name}`, async (t) => {
    const { config = CONFIG, state = PRESENT, records = [fresh()], from = 'current' as const } = one;
    const { faults = [], writtenAtMs = NOW_MS - 60_000 } = one;
    const served =
      records === null ? {} : { served: { generation: 42, writtenAtMs, content: records, from } };
    const facts = { directory: '/s', state, reading: { ...served, faults }, nowMs: NOW_MS };
    const findings = stateFindings(await load(config), facts, one.isRunning ?? false);
    t.strictSame(
      findings.map(({ severity }) => severity),
      one.found.map(([severity]) => severity),
      JSON.stringify(findings),
    );
    for (const [at, [, { code }, text, fix = /\w{3,}/]] of one.found.entries()) {
      t.equal(findings[at]?.code, code);
      t.match(findings[at]?.text, text);
      t.match(findings[at]?.fix, fix);
    }
  });
}

t.test('configuration: a single upstream, and pins in force', async (t) => {
  const pinned = `clusters: [{name: a, region: us-west-2, pin: [10.0.1.1, 10.0.1.2]}]\nupstreams: [10.0.0.2]\n`;
  t.match(configFindings(await load(pinned)), [
    {
      code: 'pinned-in-configuration',
      severity: 'warning',
      text: /cluster "a" are pinned to 10\.0\.1\.1, 10\.0\.1\.2/,
    },
    { code: 'single-upstream', severity: 'warning', text: /a single upstream, "10\.0\.0\.2:53"/ },
  ]);
  t.equal(configFindings(await load(SMALLEST)).length, 1);
  t.strictSame(configFindings(await load(CONFIG)), []);
  const abroad = CONFIG.replace(/^upstreams:.*$/m, 'upstreams: [9.9.9.9, 1.1.1.1]');
  t.match(configFindings(await load(abroad)), [
    { code: 'site-names-denied', text: /no upstream is on the site.*denied: test, local/ },
  ]);
  t.strictSame(configFindings(await load(`${abroad}\nforward: { siteNames: always }`)), []);
});

t.test('the record for a cluster is the one that the server would take', async (t) => {
  const [west, east] = [fresh({ region: 'us-west-2' }), fresh({ region: 'us-east-1' })];
  const { region: _, ...anywhere } = fresh();
  const find = (region: string | undefined, records: readonly EndpointRecord[]) =>
    [...recordsOf([{ name: 'my-cluster', region }], records).values()][0];
  t.equal(find('us-east-1', [west, east]), east);
  t.equal(find('us-east-1', [west]), undefined);
  t.equal(find('us-east-1', [anywhere, east]), east, 'the exact one first');
  t.equal(find('us-east-1', [west, anywhere]), anywhere);
  t.equal(find(undefined, [west]), west);
  t.equal(recordsOf([{ name: 'other' }], [west]).size, 0);
});
