/**
 * A made-up source is registered and reaches every reader: its keys, its polls, the state file, the metrics, the link's
 * evidence, the warnings, a drill. A new source of this kind touches three files under src/, and a fourth where it has
 * settings of its own:
 *
 *     records/sources.ts           its line in the table
 *     far-side/far-side-thread.ts  its line in the table of polls
 *     far-side/.../new.ts          the poll itself, and the type of its settings, if it has any
 *     config/keys/clusters.ts      the keys of these settings
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { PollSettings } from '../../src/far-side/far-side-thread.ts';
import { SOURCE_NAMES, SOURCES, type SourceTraits } from '../../src/records/sources.ts';

const TRAITS: SourceTraits = {
  speaksOf: 'interfaces',
  asksFor: 'name',
  service: 'ec2',
  needsCredentials: true,
  crossesLink: true,
  interval: { default: '40s', maximum: '2h', doc: 'time between two polls of the registry' },
};

// the rooms read the tables at their own load, so the test loads them after this change
Object.assign(SOURCES, { registry: TRAITS });
// the assertion: the tables are constant for everybody but this test
(SOURCE_NAMES as string[]).push('registry');
const REGISTRY = 'registry' as (typeof SOURCE_NAMES)[number]; // known only here

const { createMetrics } = await import('../../src/admin/metrics.ts');
const { ROOM_REPORTS } = await import('../../src/daemon/report.ts');
const { createPolls, POLLS } = await import('../../src/far-side/far-side-thread.ts');
const { errorOf, load, SMALLEST } = await import('../config/loading.ts');
const { VirtualSite } = await import('../daemon/virtual-site.ts');
const { createSources, evidenceOf } = await import('../../src/refresh/cluster-sources.ts');
const { LocalFiles } = await import('../../src/far-side/local-files.ts');
const { ENDPOINTS } = await import('../../src/store/endpoints-format.ts');
const { FileReader } = await import('../../src/store/state-backend.ts');
const { readState } = await import('../../src/store/state-format.ts');
const { VirtualTime } = await import('../helpers/virtual-time.ts');
const { until } = await import('../helpers/patience.ts');
const { fakeService } = await import('../far-side/polling.ts');

const ADDRESSES = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];
let isBroken = false;
let settingsSeen: unknown;
Object.assign(POLLS, {
  registry: async () => async (asked: { readonly settings: unknown }) => {
    settingsSeen = asked.settings;
    if (isBroken) throw new Error('the registry is on fire');
    return { kind: 'addresses', source: 'registry', addresses: ADDRESSES };
  },
});

async function open(t: { testdir(): string }) {
  const directory = t.testdir();
  const site = await VirtualSite.open(
    directory,
    'refresh: { registry: 7s }',
    undefined,
    'sources: [cluster, registry]',
  );
  const polls = createPolls({
    aws: { ec2: fakeService({}), eks: fakeService({}), route53: fakeService({}) },
    files: new LocalFiles(site.time),
    clock: site.time,
    zones: new Map(),
  });
  const context = { cluster: 'demo', region: 'us-west-2', subnetIds: [], knownAddresses: [] };
  let count = 0;
  site.polled = (source, signal) => {
    count++;
    return polls({ source, settings: {}, context }, signal, () => undefined);
  };
  await site.time.advance(10_000);
  const reported = () =>
    site.report.endpoints[0]?.sources.find(({ source }: { source: string }) => source === 'registry');
  return { directory, site, reported, count: () => count };
}

t.test('schema: its name, its interval and their bounds', async (t) => {
  const intervalOf = async (more: string) =>
    Reflect.get((await load(`${SMALLEST}${more}`)).refresh.intervalMs, 'registry');
  t.equal(await intervalOf(''), 40_000);
  t.equal(await intervalOf('refresh: { registry: 7s }'), 7_000);
  const { faults } = await errorOf(load(`${SMALLEST}refresh: { registry: 3h }`));
  t.match(faults, [{ path: 'refresh.registry' }]);
  const { clusters } = await load(SMALLEST);
  t.ok(clusters[0]?.sources.includes(REGISTRY), 'asked without being named, as its traits say');
});

t.test('schedule, evidence, state file, metrics', async (t) => {
  const { directory, site, reported, count } = await open(t);
  t.match(site.report.endpoints[0], { basis: 'interfaces' });
  const addresses = site.report.endpoints[0]?.addresses.map(({ address }) => address).toSorted();
  t.strictSame(addresses, ADDRESSES, 'its addresses are served');
  const before = count();
  await site.time.advance(70_000);
  t.ok(count() - before >= 8 && count() - before <= 12, `polled at its own interval: ${count() - before}`);
  t.match(reported(), { source: 'registry' });
  const observation = { kind: 'addresses', source: REGISTRY as 'interfaces', addresses: [] } as const; // known only here
  const ending = { observation, startedMs: 0, durationMs: 1, isUnsettled: false, isLate: false };
  t.match(
    evidenceOf(ending, 'us-west-2'),
    { side: 'aws', key: 'us-west-2', proves: 'reachable' },
    'its answers are evidence for the link',
  );

  const text = await createMetrics(ROOM_REPORTS, () => site.report, false).render();
  t.match(text, /outpost_dns_endpoint_source_age_seconds\{[^}]*source="registry"[^}]*\} \d/);

  const file = await until('it is saved', async () => {
    await site.time.advance(10_000); // the disk is real
    const text = await readFile(join(directory, 'endpoints.json'), 'utf8').catch(() => '');
    return text.includes('registry') && JSON.stringify(JSON.parse(text));
  });
  await site.close();
  t.match(file, /"registry":\{"firstSeen"/, 'the provenance of an address');
  t.match(file, /"confirmedAt":\{[^}]*"registry":"/);
  const { served } = await readState(new FileReader(directory), ENDPOINTS);
  const [record] = served?.content ?? [];
  t.match(record?.addresses, [{ provenance: { registry: {} } }, {}, {}], 'and is read back');
  t.ok(Reflect.has(record?.confirmedAtMs ?? {}, 'registry'));
});

t.test('warnings and a drill name it', async (t) => {
  const { site, reported, count } = await open(t);
  isBroken = true;
  t.teardown(() => {
    isBroken = false;
  });
  await site.time.advance(60_000);
  t.match(reported(), { lastFailure: { reason: 'internal' } });
  t.match(site.report.endpoints[0]?.warnings.join('\n'), /registry is on fire/);
  t.ok(
    site.log.lines.some(({ fields }) => 'source' in fields && fields['source'] === 'registry'),
    'the log names it',
  );
  t.ok(site.report.endpoints[0]?.addresses.length === 3, 'and nothing is taken away');
  isBroken = false;
  const before = count();
  site.rooms.drill.start(600_000);
  await site.time.advance(60_000);
  t.equal(count(), before, 'a drill: it is across the link');
  t.match(site.report.endpoints[0]?.warnings.join('\n'), /observe by "registry": not tried: a drill runs/);
  site.rooms.drill.stop();
  await site.close();
});

t.test('a setting of its own arrives at its poll', async (t) => {
  const time = new VirtualTime();
  const polls = createPolls({
    aws: { ec2: fakeService({}), eks: fakeService({}), route53: fakeService({}) },
    files: new LocalFiles(time),
    clock: time,
    zones: new Map(),
  });
  const settings = { profile: 'site', registry: { url: 'https://registry.example' } };
  const [source] = createSources(
    { sources: [REGISTRY], ...settings },
    {
      poll: (source, settings, context, signal, onUrl = () => undefined) =>
        polls({ source, settings, context }, signal, onUrl),
      asked: () => undefined,
      isDrilled: () => false,
      resolve: () => Promise.reject(new Error('not asked here')),
      answersText: () => Promise.reject(new Error('not asked here')),
    },
  );
  const context = { cluster: 'demo', region: 'us-west-2', subnetIds: [], knownAddresses: [] };
  t.match(await source?.observe(context, new AbortController().signal), { addresses: ADDRESSES });
  t.match(settingsSeen, settings);
});

t.test('what carries settings to a poll names none of them', async (t) => {
  // the type follows from the table of polls: each poll names its own settings
  const known: PollSettings = {
    profile: 'site',
    route53: { zoneId: 'Z0123456789' },
    kubernetes: { kind: 'kubeconfig', kubeconfig: '/etc/kubeconfig' },
  };
  // @ts-expect-error no poll names this one
  const foreign: PollSettings = { foreign: true };
  t.notSame(known, foreign);
  for (const file of [
    'far-side/poll.ts',
    'far-side/far-side.ts',
    'refresh/cluster-sources.ts',
    'refresh/source-poller.ts',
    'refresh/cluster-refresher.ts',
    'refresh/refresh-plane.ts',
    'daemon/refresh-rooms.ts',
  ]) {
    const text = await readFile(new URL(`../../src/${file}`, import.meta.url), 'utf8');
    const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*|^import [\s\S]*?;$/gm, '');
    t.notMatch(code, /\b(?:route53|kubernetes|zoneId)\b/, file);
  }
});
