/**
 * Pages for people and scrapers are made on the loop that answers queries, so each has to be short. The
 * measure is the processor time of this thread, which other programs on the machine do not lengthen; the least of several
 * runs, because the first compiles.
 */
import t from 'tap';
import { createPages } from '../../src/admin/pages.ts';
import { ROOM_REPORTS } from '../../src/daemon/report.ts';
import {
  composeSnapshot,
  MOST_LISTED,
  type RetainedMember,
} from '../../src/refresh/retained/retained-report.ts';
import { atOnce } from '../../src/runtime/slices.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { endpoint, report } from './report-fixture.ts';

const RUNS = 10;
/** The clock of a thread is coarse. */
const IN_ONE_RUN = 20;
/** The longest that a query may wait for one page of the largest site. */
const LIMITS_MS: Readonly<Record<string, number>> = {
  '/': 3,
  '/metrics': 10, // in pieces, each far shorter
  '/status': 3,
  '/panels': 3,
  '/readyz': 3,
  '/healthz': 3,
};
/** Names that may be retained, by two types each: what config/ allows. */
const RETAINED = 2000;

/** A hundred clusters with eight addresses each, ten upstreams, as many retained names as are listed: more than any site has. */
function largest() {
  const usual = report();
  const addresses = Array.from({ length: 8 }, (_, at) => ({
    address: `10.0.1.${at}`,
    isDead: false,
    seenBy: ['dns', 'interfaces'],
  }));
  return report({
    endpoints: Array.from({ length: 100 }, (_, at) =>
      endpoint({ cluster: `cluster-${at}`, endpoint: `c${at}.gr7.us-west-2.eks.amazonaws.com`, addresses }),
    ),
    upstreams: Array.from({ length: 10 }, (_, at) => ({
      ...usual.upstreams[0]!,
      upstream: `10.0.0.${at}:53`,
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

t.test('each page of the largest site takes the loop for a moment only', async (t) => {
  const of = largest();
  let nowMs = 0;
  const clock = { monotonicMs: () => (nowMs += 1000) }; // no page is shared
  const pages = createPages({ reports: ROOM_REPORTS, status: () => of, clock });
  for (const [path, limitMs] of Object.entries(LIMITS_MS)) {
    const page = pages.get(path);
    if (page === undefined) throw new Error(`no page ${path}`);
    const size = (await page()).body.length;
    const least = await leastMillis(page);
    t.ok(least < limitMs, `${path}: ${least.toFixed(1)} ms for ${size} characters`);
  }
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
