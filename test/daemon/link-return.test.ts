/** What follows a link that comes back, through the daemon's own rooms: noticed, refreshed, and not by all servers in step. */
import { join } from 'node:path';
import t from 'tap';
import { systemRandom } from '../../src/runtime/random.ts';
import { until as realUntil } from '../helpers/patience.ts';
import { ENDPOINT, VirtualSite } from './virtual-site.ts';

const MINUTE_MS = 60_000;
const STEP_MS = 50;

async function until(site: VirtualSite, isSo: () => boolean, mostMs: number): Promise<number> {
  const startMs = site.time.monotonicMs();
  while (!isSo() && site.time.monotonicMs() - startMs < mostMs) await site.time.advance(STEP_MS);
  return site.time.monotonicMs() - startMs;
}

t.test('refresh follows the return within 5 s of its being noticed, spread over many servers', async (t) => {
  const delays: number[] = [];
  for (const [at, fraction] of [0, 0.2, 0.4, 0.6, 0.8, 0.99].entries()) {
    const random = { ...systemRandom, fraction: () => fraction };
    const site = await VirtualSite.open(join(t.testdir(), `site-${at}`), '', random);
    await site.time.advance(10 * MINUTE_MS);
    site.isUp = false;
    site.time.settling = 'promises';
    await site.time.advance((20 + at) * MINUTE_MS);
    site.time.settling = 'all';
    t.equal(site.report.link.summary.condition, 'disconnected');
    t.match(site.report.endpoints, [{ basis: 'kept', lastRefreshFailed: true }]);

    site.addresses = ['10.0.1.10', '10.0.2.10', '10.0.3.77'];
    site.isUp = true;
    const isNoticed = () => site.report.link.summary.condition !== 'disconnected';
    const noticedMs = await until(site, isNoticed, 10_000);
    t.comment(`noticed after ${noticedMs} ms`);
    t.ok(noticedMs < 10_000, 'noticed');
    const isRefreshed = () =>
      site.report.endpoints.every(({ sources }) => sources.every(({ latest }) => latest === 'succeeded'));
    const refreshedMs = await until(site, isRefreshed, 10_000);
    t.ok(refreshedMs <= 5_000, `refreshed ${refreshedMs} ms later`);
    // the disk is real: on a busy machine virtual time passes before a write has ended
    await realUntil('the new addresses are served', async () => {
      await site.time.advance(STEP_MS);
      const { answers } = await site.ask({ name: ENDPOINT });
      return String(answers.map(({ data }) => data).toSorted()) === String(site.addresses);
    });
    delays.push(refreshedMs);
    await site.close();
  }
  t.comment(`refreshed after ${delays.join(', ')} ms`);
  t.ok(Math.max(...delays) - Math.min(...delays) >= 500, 'not all at once');
  t.ok(new Set(delays).size >= 3, 'nor in two crowds');
});
