/**
 * Pages for people and scrapers are made on the loop that answers queries, so each is made in pieces. Counted in characters,
 * because a time says nothing on a busy machine; the longest turn is printed.
 */
import fc from 'fast-check';
import t from 'tap';
import { createPages } from '../../src/admin/pages.ts';
import { ROOM_REPORTS } from '../../src/daemon/report.ts';
import {
  composeSnapshot,
  MOST_LISTED,
  type RetainedMember,
} from '../../src/refresh/retained/retained-report.ts';
import { atOnce, jsonTexts, PIECE_CHARACTERS } from '../../src/runtime/slices.ts';
import { FORWARDER_REPORT, forwarderStatus } from '../../src/serving/forwarder/forwarder-report.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { group, VirtualUpstreams } from '../serving/forwarder/virtual-upstreams.ts';
import { endpoint, report } from './report-fixture.ts';

const RUNS = 10;
/** The clock of a thread is coarse. */
const IN_ONE_RUN = 20;
/** A text that no page divides: a label, a row, an endpoint's facts. */
const LONGEST_TEXT = 4096;
const CLUSTERS = 1000;
/** Names that may be retained, by two types each: what config/ allows. */
const RETAINED = 2000;

/** A thousand clusters with eight addresses each, a thousand upstreams, as many retained names as are listed: more than any site has. */
function largest() {
  const usual = report();
  const addresses = Array.from({ length: 8 }, (_, at) => ({
    address: `10.0.1.${at}`,
    isDead: false,
    seenBy: ['dns', 'interfaces'],
  }));
  return report({
    endpoints: Array.from({ length: CLUSTERS }, (_, at) =>
      endpoint({ cluster: `cluster-${at}`, endpoint: `c${at}.gr7.us-west-2.eks.amazonaws.com`, addresses }),
    ),
    upstreams: Array.from({ length: 1000 }, (_, at) => ({
      ...usual.upstreams[0]!,
      upstream: `10.0.${at >> 8}.${at & 255}:53`,
    })),
    retained: Array.from({ length: MOST_LISTED }, (_, at) => ({
      ...usual.retained[0]!,
      name: `registry-${at}.example`,
    })),
  });
}

async function leastMillis(work: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const before = process.threadCpuUsage();
    for (let again = 0; again < IN_ONE_RUN; again++) await work();
    const { user, system } = process.threadCpuUsage(before);
    least = Math.min(least, (user + system) / 1000 / IN_ONE_RUN);
  }
  return least;
}

t.test('each page of the largest site is made in pieces, between which queries are answered', async (t) => {
  const of = largest();
  let [pauses, longestMs, startedMs] = [0, 0, 0];
  const spentMs = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  const pause = async () => {
    pauses += 1;
    longestMs = Math.max(longestMs, spentMs() - startedMs);
    await new Promise((resolve) => setImmediate(resolve));
    startedMs = spentMs();
  };
  const clock = { monotonicMs: () => 0 };
  const options = { reports: ROOM_REPORTS, status: () => of, clock, pause, processMetrics: false };
  const pages = createPages(options);
  for (const [path, page] of pages) {
    [pauses, longestMs, startedMs] = [0, 0, spentMs()];
    const { body } = await page();
    const pieces = typeof body === 'string' ? [body] : body;
    const longest = Math.max(...pieces.map(({ length }) => length));
    t.ok(longest < PIECE_CHARACTERS + LONGEST_TEXT, `${path}: at most ${longest} octets in one turn`);
    t.ok(pauses >= pieces.length - 1, `${path}: ${pieces.length} pieces, ${pauses} pauses`);
    t.comment(`${path}: the longest turn took ${longestMs.toFixed(1)} ms`);
  }
});

t.test(
  'figures of thousands of upstreams come one by one, and the page lists those that need somebody',
  async (t) => {
    const [usual] = report().upstreams;
    let read = 0;
    const upstreams = Array.from({ length: 5_000 }, (_, at) => ({
      ...usual!,
      upstream: `u${at}`,
      isHealthy: at < 4_990,
    }));
    const counted = new Proxy(upstreams, {
      get(target, key) {
        if (typeof key === 'string' && /^\d+$/.test(key)) read++;
        return Reflect.get(target, key);
      },
    });
    const of = report({ upstreams: counted });
    for (const { name, labels, read: readMetric } of FORWARDER_REPORT.metrics) {
      if (!labels.includes('upstream')) continue;
      read = 0;
      for (const _ of readMetric(of)) break;
      t.ok(read < 3, `${name}: ${read} upstreams for the first sample`);
    }
    const [panel] = FORWARDER_REPORT.panels(of);
    t.equal(panel?.rows?.length, 200);
    t.same(
      [0, 9, 10].map((at) => panel?.rows?.[at]?.[0]),
      ['u4990', 'u4999', 'u0'],
    );
    t.equal(panel?.rest, 'and 4800 more upstreams: /status lists all');
  },
);

t.test('a status of thousands of upstreams is composed in steps', async (t) => {
  const groups = Array.from({ length: 3_000 }, (_, at) => group(`z${at}.example`, `u${at}`));
  const { forwarder } = new VirtualUpstreams(groups, () => 'silence');
  const steps = forwarder.snapshotting();
  let [count, next] = [0, steps.next()];
  for (; !next.done; next = steps.next()) count++;
  t.ok(count >= 3_000 / 16 - 1, `${count} steps of a snapshot`);
  const described = forwarderStatus(next.value);
  let [more, status] = [0, described.next()];
  for (; !status.done; status = described.next()) more++;
  t.ok(more >= 3_000 / 32 - 1, `${more} steps of a status`);
  t.equal(status.value.upstreams.length, 3_000);
});

t.test('a text of JSON that comes in pieces is the text of JSON.stringify', async (t) => {
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff);
  t.comment(`fast-check seed ${seed}`);
  const isSame = (value: unknown) => [...jsonTexts(value)].join('') === JSON.stringify(value, null, 2);
  for (const value of [
    {},
    [],
    null,
    7,
    'a\nb',
    [[]],
    { a: undefined, b: [undefined] },
    [{ a: { b: [[[{ c: [1] }]]] } }],
  ])
    t.ok(isSame(value), JSON.stringify(value));
  fc.assert(fc.property(fc.jsonValue({ maxDepth: 7 }), isSame), { seed });
});

t.test('so many retained names are counted in a moment, and few of them are listed', async (t) => {
  const confirmed = { monotonicMs: 0 };
  const members = Array.from(
    { length: RETAINED },
    (_, at): RetainedMember => ({
      question: { name: `registry-${at}.example`, qtype: 1 },
      known: { kind: 'positive', message: new Uint8Array(0), confirmed, changed: confirmed, isLoaded: false },
      freshUntilMs: at % 2,
      lifetimeMs: 1,
      isInterrupted: false,
      dueAtMs: 1,
      isAsking: false,
      failures: 0,
      failuresInARow: 0,
      lastFailure: undefined,
      asked: 1,
      failed: 0,
      denialsIgnored: 0,
    }),
  );
  const snapshot = () => atOnce(composeSnapshot(members, new VirtualTime()));
  t.equal(snapshot().questions.length, MOST_LISTED);
  const least = await leastMillis(snapshot);
  t.ok(least < 3, `${least.toFixed(2)} ms`);
});
