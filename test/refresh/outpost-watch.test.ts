/** AWS's own view of an Outpost is asked seldom, only where its Region can be reached, and never lost by a failure. */
import t from 'tap';
import type { OutpostRequest, OutpostView } from '../../src/far-side/poll.ts';
import { OUTPOST_REPORT, OutpostWatch, outpostsStatus } from '../../src/refresh/outpost-watch.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

const REQUEST: OutpostRequest = { place: { region: 'us-west-2' }, outpost: 'op-1' };
const seen = (connected: number): OutpostView => ({ kind: 'seen', connected, atMs: 0 });
const fails = (reason: 'denied' | 'timeout'): OutpostView => ({ kind: 'failed', reason, detail: 'scripted' });
const MINUTE_MS = 60_000;

function watching(first: OutpostView) {
  const time = new VirtualTime();
  const log = new CollectingLog();
  const script = { view: first, wanted: [REQUEST] as readonly OutpostRequest[], asked: 0 };
  const watch = new OutpostWatch({
    ask: async () => {
      script.asked++;
      return script.view;
    },
    outposts: () => script.wanted,
    clock: time,
    timers: time,
    random: { uint16: () => 0, uint32: () => 0, fraction: () => 0.5 },
    log,
  });
  watch.start();
  const status = () => outpostsStatus(watch.snapshot(), time.monotonicMs()).outposts;
  const lines = () => log.lines.map(({ level, text }) => `${level} ${text}`);
  return { time, script, watch, status, lines };
}

t.test('connected, impaired, connected again: asked every five minutes, each change one line', async (t) => {
  const { time, script, watch, status, lines } = watching(seen(1));
  t.strictSame(status(), []);
  await time.advance(MINUTE_MS);
  t.match(status(), [{ outpost: 'op-1', region: 'us-west-2', view: 'connected', connected: 1 }]);
  t.strictSame([script.asked, lines()], [1, []]);
  script.view = seen(0.4);
  await time.advance(10 * MINUTE_MS);
  t.strictSame([script.asked, lines()], [3, ['warn aws sees the outpost as impaired']]);
  t.match(status(), [{ view: 'impaired', connected: 0.4 }]);
  script.view = seen(1);
  await time.advance(5 * MINUTE_MS);
  t.equal(lines().at(-1), 'info aws sees the outpost as connected again');
  watch.stop();
  await time.advance(60 * MINUTE_MS);
  t.equal(script.asked, 4, 'nobody asks after a stop');
});

t.test(
  'in a cut nobody is asked, and the last value stays with its age; so it does after a failure',
  async (t) => {
    const { time, script, watch, status, lines } = watching(seen(1));
    await time.advance(MINUTE_MS);
    script.wanted = [];
    await time.advance(30 * MINUTE_MS);
    t.equal(script.asked, 1);
    t.match(status(), [{ view: 'connected', ageSeconds: 1830 }]);
    script.wanted = [REQUEST];
    script.view = fails('timeout');
    await time.advance(10 * MINUTE_MS);
    t.match(status(), [{ view: 'connected', ageSeconds: 2430 }]);
    t.strictSame(lines(), []);
    watch.stop();
  },
);

t.test('without the permission: one line, asked again after hours, and no metric', async (t) => {
  const { time, script, watch, status, lines } = watching(fails('denied'));
  await time.advance(5 * 60 * MINUTE_MS);
  t.equal(script.asked, 1);
  t.strictSame(lines(), ['info aws does not allow to ask how it sees the outpost']);
  t.match(status(), [{ view: 'not-allowed', detail: 'scripted' }]);
  const samples = OUTPOST_REPORT.metrics.flatMap(({ read }) => [...read({ outposts: status() })]);
  t.strictSame(samples, []);
  script.view = seen(1);
  await time.advance(2 * 60 * MINUTE_MS);
  t.match(status(), [{ view: 'connected' }]);
  watch.stop();
});
