/**
 * Whatever is made for people and scrapers is made on the loop that answers queries, in one go: it has to be short. The
 * measure is the processor time of this thread, which other programs on the machine do not lengthen; the least of several
 * runs, because the first compiles.
 */
import t from 'tap';
import { createMetrics } from '../../src/admin/metrics.ts';
import { createPages } from '../../src/admin/pages.ts';
import { endpoint, report } from './report-fixture.ts';

const RUNS = 10;
/** What a query may have to wait for one page of the largest site: a tenth of what a resolver waits before it asks again. */
const LIMIT_MS = 100;

/** Twenty clusters with eight addresses each, ten upstreams, a hundred retained names: more than any site has. */
function largest() {
  const usual = report();
  const addresses = Array.from({ length: 8 }, (_, at) => ({
    address: `10.0.1.${at}`,
    isDead: false,
    seenBy: ['dns', 'interfaces'],
  }));
  return report({
    endpoints: Array.from({ length: 20 }, (_, at) =>
      endpoint({ cluster: `cluster-${at}`, endpoint: `c${at}.gr7.us-west-2.eks.amazonaws.com`, addresses }),
    ),
    upstreams: Array.from({ length: 10 }, (_, at) => ({
      ...usual.upstreams[0]!,
      upstream: `10.0.0.${at}:53`,
    })),
    retained: Array.from({ length: 100 }, (_, at) => ({
      ...usual.retained[0]!,
      name: `registry-${at}.example`,
    })),
  });
}

async function leastMillis(work: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const before = process.threadCpuUsage();
    await work();
    const { user, system } = process.threadCpuUsage(before);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}

t.test('each page of the largest site takes the loop for a moment only', async (t) => {
  const of = largest();
  const pages = createPages({ report: () => of, metrics: createMetrics(() => of, true) });
  for (const path of ['/', '/metrics', '/status', '/readyz', '/healthz']) {
    const page = pages.get(path);
    if (page === undefined) throw new Error(`no page ${path}`);
    const size = (await page()).body.length;
    const least = await leastMillis(page);
    t.ok(least < LIMIT_MS, `${path}: ${least.toFixed(1)} ms for ${size} characters`);
  }
});
