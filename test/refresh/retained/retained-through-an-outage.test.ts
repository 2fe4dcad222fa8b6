import t from 'tap';
import { systemRandom } from '../../../src/runtime/random.ts';
import { AnswerCache } from '../../../src/serving/answer-cache/answer-cache.ts';
import {
  answerWhileStale,
  freshness,
  mayRecheck,
  staleExtendedError,
} from '../../../src/serving/answer-cache/cached-answer.ts';
import type { FileSystem } from '../../../src/store/file-system.ts';
import { FileBackend } from '../../../src/store/state-backend.ts';
import { collectGarbage } from '../../helpers/collect-garbage.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { asked, settings } from '../../serving/answer-cache/asked.ts';
import { PowerCutDisk } from '../../store/power-cut-disk.ts';
import { addresses, benchFor, denial, lastOctets, question } from './scripted-upstream.ts';

const name = 'registry.example';
const DAY = 86_400_000;

/** Refresher, store and cache as the daemon wires them. */
function processOn(files: FileSystem, at: string) {
  const time = new VirtualTime(at);
  const cache = new AnswerCache(settings);
  const bench = benchFor([question(name), question(name, 'AAAA')], {
    time,
    publish: (of, answer) => cache.retain(of.name, of.qtype, answer, time.monotonicMs()),
    withdraw: (of) => cache.release(of.name, of.qtype),
    fraction: systemRandom.fraction,
    backend: new FileBackend('/state', { random: systemRandom, files }),
  });
  const { store } = bench;
  /** What a client gets: the state of the answer, and its last octets. */
  const given = (type = 'A', aspects = {}) => {
    const nowMs = time.monotonicMs();
    const found = cache.find(asked(name, type, aspects), nowMs);
    if (found === undefined) return 'nothing';
    const state = freshness(found, nowMs, cache.settings);
    if (state === 'stale' && mayRecheck(found, nowMs)) return 'waits for an upstream';
    const given = state === 'stale' ? answerWhileStale(found, nowMs, cache.settings) : found;
    return `${state} ${given.kind}${given.kind === 'positive' ? ` ${lastOctets(given.octets)}` : ''}${state === 'stale' ? ` EDE ${staleExtendedError(given)}` : ''}`;
  };
  const start = async () => {
    const loaded = await store.load();
    bench.refresher.load(loaded.kind === 'loaded' ? loaded.content : []);
    bench.refresher.start();
    return loaded;
  };
  return { time, cache, bench, given, start, store };
}

const connected = (_of: string, type: string) =>
  type === 'A' ? addresses(name, 300, 1, 2) : denial(name, type, 900);

t.test(
  'thirty days without an upstream, a kill in the middle and a wrong clock after it: answered all the while',
  async (t) => {
    const disk = new PowerCutDisk();
    const first = processOn(disk.files, '2026-01-01T00:00:00Z');
    first.bench.answer = connected;
    await first.start();
    await first.time.advance(2 * 3_600_000);
    t.equal(first.given(), 'fresh positive 1,2');
    t.equal(
      first.given('AAAA'),
      'fresh nodata',
      'what is not there is known as well: musl fails on SERVFAIL',
    );
    const atCut = first.bench.asked.length;
    first.bench.answer = () => 'no upstream';
    let wasStale = false;
    const began = process.hrtime.bigint();
    for (let day = 0; day < 30; day++) {
      await first.time.advance(DAY);
      for (const aspects of [{}, { dnssecOk: true }, { checkingDisabled: true }]) {
        if (first.given('A', aspects) !== 'stale positive 1,2 EDE 3')
          t.fail(`day ${day}: ${first.given('A', aspects)}`);
        if (first.given('AAAA', aspects) !== 'stale nodata EDE 3')
          t.fail(`day ${day}: ${first.given('AAAA', aspects)}`);
      }
      wasStale = true;
    }
    t.ok(wasStale);
    const polls = first.bench.asked.length - atCut;
    t.comment(
      `${polls} polls in 30 days, ${Number((process.hrtime.bigint() - began) / 1_000_000n)} ms of real time`,
    );
    t.ok(polls < 2 * 30 * 720 * 1.3, 'about one in two minutes for each question');
    for (const { state, confirmedAgoMs = 0, stats } of first.bench.refresher.snapshot().questions) {
      t.equal(state, 'stale');
      t.ok(Math.abs(confirmedAgoMs - 30 * DAY) < 3_600_000, `age ${confirmedAgoMs / DAY} days`);
      t.equal(stats.asked - stats.failed < 400, true);
    }
    // killed here; what was saved last was before the cut
    for (const at of ['2026-01-31T02:00:10Z', '1970-01-01T00:00:00Z', '2031-01-01T00:00:00Z']) {
      const next = processOn(disk.files, at);
      next.bench.answer = () => 'no upstream';
      t.equal((await next.start()).kind, 'loaded', at);
      t.equal(next.given(), 'stale positive 1,2 EDE 3', `${at}: the first answer`);
      t.equal(next.given('AAAA'), 'stale nodata EDE 3', at);
      await next.time.advance(3 * DAY);
      t.equal(next.given(), 'stale positive 1,2 EDE 3', `${at}: and three days on`);
      next.bench.answer = () => addresses(name, 300, 9);
      next.bench.refresher.kick('upstream reachable again');
      await next.time.advance(1000);
      t.equal(next.given(), 'fresh positive 9', `${at}: the link is back`);
    }
  },
);

t.test(
  'while an upstream answers, an answer is never stale, whatever its TTL and however slow the upstream',
  async (t) => {
    for (const ttlSeconds of [0, 1, 5, 9, 10, 12, 30, 60]) {
      const { time, bench, given, start } = processOn(new PowerCutDisk().files, '2026-01-01T00:00:00Z');
      bench.answer = async () => {
        await new Promise<void>((resolve) => time.after(4000, resolve));
        return addresses(name, ttlSeconds, 1);
      };
      await start();
      await time.advance(6000);
      const seen = new Set<string>();
      for (let quarters = 0; quarters < 4 * 150; quarters++) {
        seen.add(given());
        await time.advance(250);
      }
      t.strictSame([...seen], ['fresh positive 1'], `TTL ${ttlSeconds}`);
      const { questions } = bench.refresher.snapshot();
      t.equal(questions.find(({ type }) => type === 'A')?.state, 'fresh', `TTL ${ttlSeconds}`);
      await bench.stop();
    }
  },
);

t.test('in the first minutes of a cut no client waits for an upstream, whatever the TTL', async (t) => {
  for (const ttlSeconds of [5, 40, 60, 300, 3600]) {
    const { time, bench, given, start } = processOn(new PowerCutDisk().files, '2026-01-01T00:00:00Z');
    bench.answer = () => addresses(name, ttlSeconds, 1);
    await start();
    await time.advance(7_777_777);
    bench.answer = async () => {
      await new Promise<void>((resolve) => time.after(5000, resolve));
      return 'no reply within 5 s';
    };
    const seen = new Set<string>();
    for (let second = 0; second < 2 * ttlSeconds + 60; second++) {
      seen.add(given());
      await time.advance(1000);
    }
    const odd = [...seen].filter((what) => !['fresh positive 1', 'stale positive 1 EDE 3'].includes(what));
    t.strictSame(odd, [], `TTL ${ttlSeconds}`);
    await bench.stop();
  }
});

t.test('upstreams that deny the name on their way down do not take it away', async (t) => {
  for (const [it, most, denied] of [
    ['NXDOMAIN', 5, () => denial(name, 'A', 60, 0x8183)],
    ['NODATA, once', 1, () => denial(name, 'A', 60)],
  ] as const) {
    const disk = new PowerCutDisk();
    const { time, bench, given, start } = processOn(disk.files, '2026-01-01T00:00:00Z');
    bench.answer = connected;
    await start();
    await time.advance(3_600_000);
    let denials = 0;
    bench.answer = (_of, type) => {
      if (type === 'AAAA') return denial(name, type, 60);
      return ++denials <= most ? denied() : 'no upstream';
    };
    await time.advance(DAY);
    t.ok(denials > most);
    t.equal(given(), 'stale positive 1,2 EDE 3', it);
    const after = processOn(disk.files, '2026-01-02T02:00:00Z');
    after.bench.answer = () => 'no upstream';
    await after.start();
    t.equal(after.given(), 'stale positive 1,2 EDE 3', `${it}: and after a restart`);
  }
});

t.test('memory stays flat over days of failures and days of changes', async (t) => {
  const { time, bench, given, start } = processOn(new PowerCutDisk().files, '2026-01-01T00:00:00Z');
  bench.answer = connected;
  await start();
  const used: number[] = [];
  let last = 0;
  for (let day = 0; day < 8; day++) {
    bench.answer =
      day % 2 === 0
        ? () => 'no upstream'
        : (_of, type) => (type === 'A' ? addresses(name, 3600, last++ % 250) : denial(name, type, 900));
    await time.advance(DAY);
    bench.asked.length = 0;
    bench.saves.length = 0;
    bench.log.lines.length = 0;
    collectGarbage();
    used.push(process.memoryUsage().heapUsed / 1e6);
  }
  t.match(given(), /positive/);
  t.comment(`MB: ${used.map((mb) => mb.toFixed(1)).join(', ')}`);
  const least = (some: number[]) => Math.min(...some);
  t.ok(least(used.slice(4)) - least(used.slice(0, 4)) < 10);
});

t.test('a name that never had an answer is named in the log, ten names at most', async (t) => {
  const questions = Array.from({ length: 12 }, (_, n) => question(`n${n}.example`));
  const bench = benchFor(questions);
  bench.answer = () => 'no upstream answers';
  bench.refresher.start();
  await bench.time.advance(3_600_000);
  const told = () => bench.log.lines.filter(({ text }) => text.startsWith('retained name has no answer'));
  t.equal(told().length, 10, 'each once');
  t.match(told()[0], { level: 'warn', fields: { type: 'A' } });
  await bench.stop();
});
