/** pin, unpin and flush through the routes of the control socket and the daemon's own rooms. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import * as v from 'valibot';
import { ControlRefusal } from '../../src/admin/control-refusal.ts';
import { flushReport } from '../../src/admin/name-control.ts';
import { pinReport } from '../../src/admin/pin-control.ts';
import { controlRoutes } from '../../src/daemon/control-commands.ts';
import { ROOM_REPORTS } from '../../src/daemon/report.ts';
import { readSnapshot } from '../../src/store/answers-snapshot.ts';
import { systemFiles } from '../../src/store/file-system.ts';
import { readLedger } from '../../src/store/ledger-reader.ts';
import { until } from '../helpers/patience.ts';
import { ENDPOINT, openSite, VirtualSite } from './virtual-site.ts';

async function open(t: Test, more = '', cluster = '') {
  const { site, directory } = await openSite(t, more, cluster);
  await site.rooms.answers.start();
  await site.time.advance(5_000);
  const routes = controlRoutes({ pause: async () => undefined, clock: site.time }, site.rooms);
  /** Runs a command, while virtual time goes on. */
  const command = async (path: string, body: unknown): Promise<unknown> => {
    const answer = routes.find((route) => route.path === path && route.method === 'POST')?.run(body);
    let isOver = false;
    answer?.finally(() => {
      isOver = true;
    });
    for (let turn = 0; !isOver && turn < 1000; turn++) await site.time.advance(1);
    return answer;
  };
  return { site, directory, command };
}

const PIN = { cluster: 'demo', addresses: ['10.0.9.1'], forMs: 14_400_000, why: 'a drill', by: 'ada' };
const FOUND = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];
const addresses = async (site: VirtualSite) =>
  (await site.ask({ name: ENDPOINT })).answers.map(({ data }) => data).toSorted();

t.test('a pin answers clients at once, is on the disk, and every view shows it', async (t) => {
  const { site, directory, command } = await open(t);
  t.strictSame(await addresses(site), FOUND);
  const report = v.parse(pinReport, await command('/pin', PIN));
  t.match(report, {
    cluster: 'demo',
    region: 'us-west-2',
    endpoint: ENDPOINT,
    served: ['10.0.9.1'],
    pin: { addresses: ['10.0.9.1'], why: 'a drill', by: 'ada', endsInSeconds: Number, unpinned: FOUND },
    isSaved: true,
  });
  t.strictSame(await addresses(site), ['10.0.9.1']);
  const status = site.report;
  t.match(status.endpoints[0], {
    basis: 'pin',
    pin: { origin: 'command', addresses: ['10.0.9.1'], why: 'a drill', by: 'ada' },
    warnings: [/ada has pinned/],
  });
  const metrics = ROOM_REPORTS.flatMap(({ metrics }) => metrics as readonly { name: string }[]);
  t.ok(metrics.some(({ name }) => name === 'outpost_dns_endpoint_pinned'));
  const panels = ROOM_REPORTS.flatMap((room) => [
    ...(room.panels as (given: unknown) => Iterable<{ facts?: unknown }>)(status),
  ]);
  t.match(JSON.stringify(panels), /to 10\.0\.9\.1 by ada .*ends in 4 h, in place of 10\.0\.1\.10/);
  const text = await site.ask({ name: `_status.${ENDPOINT}`, type: 'TXT' });
  t.match(JSON.stringify(text.answers), /pin=10\.0\.9\.1 by command, ends in 4h: a drill/);
  const unpinned = v.parse(pinReport, await command('/unpin', { cluster: 'demo' }));
  t.match(unpinned, { served: FOUND, pin: undefined, isSaved: true });
  t.strictSame(await addresses(site), FOUND);
  await site.rooms.ledger.flush();
  const { entries } = await readLedger(directory, { kinds: ['pin'] });
  t.match(
    entries.map(({ event }) => event),
    [
      { phase: 'started', cluster: 'demo', addresses: ['10.0.9.1'], why: 'a drill', pinnedBy: 'ada' },
      { phase: 'ended', by: 'command' },
    ],
  );
});

t.test('a command that no disk keeps says so, and clients get it all the same', async (t) => {
  const { site, directory, command } = await open(t);
  await site.ask({ name: 'www.example.com' });
  await site.rooms.answers.write();
  await until('a file is in the place of the directory: not even root can write into that', async () => {
    await rm(directory, { recursive: true, force: true, maxRetries: 50 });
    // the server may have made the directory again meanwhile
    return writeFile(directory, '').then(
      () => true,
      () => false,
    );
  });
  t.match(await command('/pin', PIN), { served: ['10.0.9.1'], isSaved: false, saveFailure: /\S/ });
  t.strictSame(await addresses(site), ['10.0.9.1']);
  t.match(await command('/flush', { name: '.', below: true, by: 'ada' }), {
    answers: 1,
    isSaved: false,
    saveFailure: /\S/,
  });
  t.equal(site.rooms.cache.stats().entries, 0);
});

t.test('a command that makes no sense is refused with its fix, and changes nothing', async (t) => {
  const { site, command } = await open(t);
  for (const [path, body, error, fix] of [
    ['/pin', { ...PIN, addresses: [] }, /"addresses"/, /version/],
    ['/pin', { ...PIN, addresses: ['10.0.9'] }, /"addresses\.0"/, /version/],
    ['/pin', { ...PIN, why: '' }, /"why"/, /version/],
    ['/pin', { ...PIN, why: 'a\nb' }, /"why"/, /version/],
    ['/pin', { ...PIN, more: 1 }, /more/, /version/],
    ['/pin', { ...PIN, cluster: 'other' }, /no cluster "other"/, /demo \(us-west-2\)/],
    ['/pin', { ...PIN, region: 'eu-west-1' }, /in Region "eu-west-1"/, /demo/],
    [
      '/pin',
      { ...PIN, addresses: ['192.0.2.1'] },
      /"192\.0\.2\.1" is refused/,
      /no network interface|allowedAddresses/,
    ],
    ['/pin', { ...PIN, addresses: ['8.8.8.8'] }, /"8\.8\.8\.8" is refused: public/, /allowedAddresses/],
    [
      '/pin',
      { ...PIN, addresses: ['10.0.9.1', '127.0.0.1'] },
      /"127\.0\.0\.1" is refused/,
      /no network interface/,
    ],
    ['/pin', { ...PIN, forMs: 0 }, /not a length for a pin: 0 s/, /30d/],
    ['/pin', { ...PIN, forMs: -1 }, /not a length/, /30d/],
    ['/pin', { ...PIN, forMs: 31 * 86_400_000 }, /not a length/, /clusters\[\]\.pin/],
    ['/unpin', { cluster: 'demo' }, /cluster "demo" is not pinned/, /status/],
    ['/unpin', { cluster: 'other' }, /no cluster "other"/, /demo/],
    ['/flush', { name: 'a..b', below: false, by: 'ada' }, /"a\.\.b" is not a domain name/, /\./],
    ['/flush', { name: '', below: false, by: 'ada' }, /not a domain name/, /\./],
    ['/flush', { name: 'x', below: 'yes', by: 'ada' }, /"below"/, /version/],
  ] as const) {
    const answer = await command(path, body);
    t.ok(answer instanceof ControlRefusal, `${path} ${JSON.stringify(body)}`);
    t.match(answer, { error, fix });
  }
  t.strictSame(await addresses(site), FOUND);
});

t.test('a pin in the configuration wins over the command, which is told so', async (t) => {
  const { site, command } = await open(t, '', 'pin: [10.0.8.1]');
  t.strictSame(await addresses(site), ['10.0.8.1']);
  t.match(await command('/pin', PIN), {
    status: 409,
    error: /the configuration pins cluster "demo" to 10\.0\.8\.1, and that pin wins/,
    fix: /clusters\[\]\.pin/,
  });
  t.match(await command('/unpin', { cluster: 'demo' }), { status: 409, fix: /remove clusters\[\]\.pin/ });
  t.strictSame(await addresses(site), ['10.0.8.1']);
});

/** The names in the snapshot on the disk. */
async function namesOnDisk(directory: string): Promise<readonly string[]> {
  const names: string[] = [];
  await readSnapshot(systemFiles, join(directory, 'answers.snapshot'), async (entries) => {
    for (const { octets } of entries) {
      const labels: string[] = [];
      for (let at = 12; octets[at] !== 0; at += 1 + (octets[at] ?? 0)) {
        const length = octets[at] ?? 0;
        labels.push(
          Buffer.from(octets.subarray(at + 1, at + 1 + length))
            .toString()
            .toLowerCase(),
        );
      }
      names.push(labels.join('.'));
    }
    return true;
  });
  return names.toSorted();
}

t.test('flush drops every variant of a name, fresh and stale, in memory and on the disk', async (t) => {
  const { site, directory, command } = await open(t);
  const asks = async () => {
    for (const name of ['www.example.com', 'a.www.example.com', 'other.example.com']) {
      await site.ask({ name });
      await site.ask({ name, type: 'AAAA' });
      await site.ask({ name, edns: { dnssecOk: true } });
      await site.ask({ name, cd: true });
    }
  };
  await asks();
  await site.time.advance(600_000); // all are stale
  await site.rooms.answers.write();
  t.equal((await namesOnDisk(directory)).filter((name) => name === 'www.example.com').length, 4);
  const report = v.parse(
    flushReport,
    await command('/flush', { name: 'WWW.Example.Com.', below: false, by: 'ada' }),
  );
  t.match(report, {
    name: 'www.example.com',
    below: false,
    answers: 4,
    retained: [],
    endpoints: [],
    isSaved: true,
  });
  t.notOk((await namesOnDisk(directory)).includes('www.example.com'), 'a kill now brings nothing back');
  t.equal((await namesOnDisk(directory)).length, 8);
  site.isUp = false;
  await site.time.advance(120_000);
  t.match(await site.ask({ name: 'www.example.com' }), { rcode: 2 }, 'not even stale');
  t.match(await site.ask({ name: 'a.www.example.com' }), { rcode: 0 }, 'a name under it stays');
  t.match(await command('/flush', { name: 'example.com', below: true, by: 'ada' }), { answers: 8 });
  t.strictSame(await namesOnDisk(directory), []);
  await site.rooms.ledger.flush();
  const { entries } = await readLedger(directory, { kinds: ['flush'] });
  t.match(entries.at(-1)?.event, { name: 'example.com', below: true, answers: 8, flushedBy: 'ada' });
});

t.test(
  'a flush of all names in a cut or a drill is refused: nothing could replace the answers',
  async (t) => {
    const { site, directory, command } = await open(t);
    const flush = (more: object = {}) => command('/flush', { name: '.', below: true, by: 'ada', ...more });
    await site.ask({ name: 'www.example.com' });
    await site.rooms.answers.write();
    site.rooms.drill.start(60_000);
    t.match(await flush(), {
      status: 409,
      error: /^a drill is running: nothing could replace the dropped answers/,
      fix: /--even-in-cut/,
    });
    site.rooms.drill.stop();
    site.isUp = false;
    await site.time.advance(120_000);
    t.match(await flush(), {
      status: 409,
      error: /^the link to aws is down: nothing could replace the dropped answers/,
    });
    t.match(await site.ask({ name: 'www.example.com' }), { rcode: 0 }, 'still known');
    t.strictSame(await namesOnDisk(directory), ['www.example.com']);
    t.match(await flush({ evenInCut: true }), { answers: 1 }, 'an operator may insist');
    t.match(await site.ask({ name: 'www.example.com' }), { rcode: 2 });
  },
);

t.test('flush tells of names that no flush takes away: retained names and endpoints', async (t) => {
  const { site, command } = await open(t, 'retain: [www.example.com]');
  await site.time.advance(10_000);
  t.match(await command('/flush', { name: '.', below: true, by: 'ada' }), {
    retained: ['www.example.com A', 'www.example.com AAAA'],
    endpoints: [ENDPOINT],
  });
  site.isUp = false;
  await site.time.advance(60_000);
  t.match(await site.ask({ name: 'www.example.com' }), { rcode: 0 });
  t.strictSame(await addresses(site), FOUND);
});

t.test('a flush while the snapshot is still being loaded takes what comes in later, too', async (t) => {
  const { site, directory } = await open(t);
  await site.ask({ name: 'www.example.com' });
  await site.rooms.answers.write();
  const again = await VirtualSite.open(directory);
  t.teardown(() => again.close());
  const routes = controlRoutes({ pause: async () => undefined, clock: again.time }, again.rooms);
  const loading = again.rooms.answers.start();
  const report = await routes
    .find(({ path }) => path === '/flush')
    ?.run({ name: 'www.example.com', below: false, by: 'ada' });
  await loading;
  t.match(report, { answers: 1 });
  t.equal(again.rooms.cache.stats().entries, 0);
});
