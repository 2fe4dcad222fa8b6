/** What the refresher of retained names publishes, loads, saves and gives up at a reload or a stop. */
import t from 'tap';
import { StoreError } from '../../../src/store/store-messages.ts';
import { addresses, benchFor, denial, lastOctets, question } from './scripted-upstream.ts';

const name = 'registry.example';
const A = question(name);
const NXDOMAIN = 0x8183;

t.test(
  'what is loaded is published at once as stale, goes back to the file as it came, and is asked for',
  async (t) => {
    const before = benchFor([A, question('gone.example'), question('other.example', 'AAAA')]);
    before.answer = (of, type) => (type === 'A' ? addresses(of, 86_400, 1) : denial(of, type, 60));
    before.refresher.start();
    await before.time.advance(100_000);
    const records = before.refresher.records();
    t.equal(records.length, 3);
    for (const at of ['2026-01-01T00:10:00Z', '1970-01-01T00:00:00Z', '2106-01-01T00:00:00Z']) {
      const after = benchFor([A, question('other.example', 'AAAA'), question('new.example')], { at });
      await after.refresher.load(records);
      t.strictSame([...after.published.keys()].sort(), ['other.example AAAA', 'registry.example A'], at);
      t.equal(
        after.published.get(`${name} A`)?.ageMs,
        Number.POSITIVE_INFINITY,
        `${at}: no clock makes it fresh`,
      );
      t.equal(after.asked.length, 0, `${at}: nothing is asked yet`);
      t.match(
        after.refresher.snapshot().questions,
        [{ state: 'stale' }, { state: 'stale' }, { state: 'unknown' }],
        at,
      );
      const sorted = (some: typeof records) => [...some].sort((a, b) => (a.name < b.name ? -1 : 1));
      t.strictSame(
        sorted(after.refresher.records()),
        sorted(records),
        `${at}: an answer that was not confirmed is as it was, also for a name that is not retained now`,
      );
      for (const { confirmedAgoMs = -1 } of after.refresher.snapshot().questions.slice(0, 2))
        t.ok(confirmedAgoMs >= 0, `${at}: age ${confirmedAgoMs}`);
      after.answer = (of) => addresses(of, 60, 2);
      after.refresher.start();
      await after.time.advance(1000);
      t.equal(after.published.get(`${name} A`)?.ageMs, 0, at);
      await after.stop();
    }
  },
);

t.test(
  'a denial is published in front of the answer before it, and is not what the disk keeps',
  async (t) => {
    const bench = benchFor([A]);
    bench.answer = () => addresses(name, 60, 1);
    bench.refresher.start();
    await bench.time.advance(1000);
    bench.answer = () => denial(name, 'A', 60, NXDOMAIN);
    await bench.time.advance(300_000);
    const published = bench.published.get(`${name} A`);
    t.strictSame(lastOctets(published?.earlier?.message), [1]);
    t.equal(published?.earlier?.ageMs, bench.asked.at(-1)!.atMs - bench.asked[0]!.atMs);
    t.strictSame(
      bench.refresher.records().map((record) => lastOctets(record.message)),
      [[1]],
    );
    t.match(bench.refresher.snapshot().questions, [{ state: 'denied', consecutiveFailures: 0 }]);
    t.equal(bench.log.lines.filter(({ text }) => text === 'upstream denies a retained name').length, 1);
  },
);

t.test(
  'a file that is read late: a newer answer stays, and a denial alone does not take the kept answer away',
  async (t) => {
    const before = benchFor([A]);
    before.answer = () => addresses(name, 60, 1);
    before.refresher.start();
    await before.time.advance(1000);
    const records = before.refresher.records();
    for (const [what, answer, served, earlier, kept] of [
      ['an answer', addresses(name, 60, 2), [2], [], [2]],
      ['NXDOMAIN', denial(name, 'A', 60, NXDOMAIN), [0], [1], [1]], // 0: the SOA record
      ['an empty answer', denial(name, 'A', 60), [1], [], [1]],
    ] as const) {
      const late = benchFor([A]);
      late.answer = () => answer;
      late.refresher.start();
      await late.time.advance(1000);
      await late.refresher.load(records);
      const published = late.published.get(`${name} A`);
      t.strictSame(lastOctets(published?.message), served, what);
      t.strictSame(lastOctets(published?.earlier?.message), earlier, what);
      const toKeep = late.refresher.records().map((record) => lastOctets(record.message));
      t.strictSame(toKeep, [kept], `${what}: the file keeps the last good answer`);
      await late.stop();
    }
    await before.stop();
  },
);

t.test(
  'a reload: what stays is left alone, what goes is withdrawn and kept, what comes back finds its answer',
  async (t) => {
    const bench = benchFor([A, question('b.example')]);
    bench.answer = (of) => addresses(of, 3600, 1);
    bench.refresher.start();
    await bench.time.advance(1000);
    bench.answer = () => 'no reply';
    await bench.refresher.reconfigure([A, question('c.example')]);
    t.strictSame([...bench.published.keys()], [`${name} A`]);
    await bench.time.advance(1000);
    t.strictSame(
      bench.asked.slice(2).map(({ text }) => text),
      ['c.example A DO'],
    );
    t.equal(bench.refresher.records().length, 2, 'the one that is gone is kept');
    await bench.refresher.reconfigure([question('b.example')]);
    t.strictSame([...bench.published.keys()], ['b.example A']);
    t.equal(bench.published.get('b.example A')?.ageMs, Number.POSITIVE_INFINITY);
    t.match(bench.refresher.snapshot().questions, [{ name: 'b.example', state: 'stale' }]);
    for (let n = 0; n < 1500; n++) {
      bench.answer = (of) => addresses(of, 3600, 1);
      if (n % 500 !== 0) continue;
      await bench.refresher.reconfigure(Array.from({ length: 500 }, (_, m) => question(`n${n + m}.example`)));
      await bench.time.advance(10_000);
    }
    t.equal(bench.refresher.records().length, 1500, 'those parked are bounded: 1,000');
    await bench.stop();
  },
);

t.test(
  'it is saved soon where there was nothing, within a minute of a change, and rarely for the age alone',
  async (t) => {
    const bench = benchFor([A]);
    let last = 1;
    bench.answer = () => addresses(name, 60, last);
    bench.refresher.start();
    const saved = async (ms: number) => {
      const before = bench.saves.length;
      await bench.time.advance(ms);
      return bench.saves.length - before;
    };
    t.equal(await saved(2000), 1, 'the first answer');
    t.equal(await saved(590_000), 0, 'the same again and again');
    t.equal(await saved(60_000), 1, 'its age, after ten minutes');
    last = 2;
    t.equal(await saved(110_000), 1, 'a change');
    t.strictSame(
      bench.saves.at(-1)?.map((record) => lastOctets(record.message)),
      [[2]],
    );
    last = 3;
    bench.disk = () => Promise.reject(new StoreError('write', '/state/retained.json', 'ENOSPC'));
    const failures = await saved(100_000);
    t.ok(failures >= 2 && failures <= 4, `a disk that refuses is asked again: ${failures} times in 100 s`);
    t.match(bench.store.state(), { failures, lastFailure: { code: 'ENOSPC' } });
    bench.disk = async () => undefined;
    await bench.time.advance(30_000);
    t.match(bench.store.state(), { failures, lastFailure: undefined });
    t.strictSame(
      bench.log.lines.filter(({ text }) => text.includes('sav')).map(({ level }) => level),
      ['error', 'info'],
      'said once each',
    );
  },
);

t.test(
  'a stop ends all asking and saves what is not saved; a disk that hangs does not hold it',
  async (t) => {
    const bench = benchFor([A]);
    bench.answer = () => addresses(name, 60, 1);
    bench.refresher.start();
    await bench.time.advance(600);
    await bench.stop();
    t.equal(bench.saves.length, 1);
    await bench.time.advance(600_000);
    t.equal(bench.asked.length, 1);
    t.equal(bench.time.pendingTimers, 0);

    const hanging = benchFor([A]);
    hanging.answer = () => addresses(name, 60, 1);
    hanging.disk = () => new Promise(() => {});
    hanging.refresher.start();
    await hanging.time.advance(600);
    let isOver = false;
    void hanging.stop().then(() => {
      isOver = true;
    });
    await hanging.time.advance(1999);
    t.equal(isOver, false);
    await hanging.time.advance(1);
    t.equal(isOver, true);
  },
);

t.test('answers for which the file has no room cause one warning', async (t) => {
  const bench = benchFor([A]);
  bench.answer = () => addresses(name, 30, Math.floor(bench.time.monotonicMs() / 1000) % 200);
  bench.leftOut = 3;
  bench.refresher.start();
  await bench.time.advance(300_000);
  t.ok(bench.saves.length > 2);
  t.match(
    bench.log.lines.filter(({ level }) => level === 'warn'),
    [{ fields: { leftOut: 3 } }],
  );
  t.equal(bench.store.state().leftOut, 3);
});
