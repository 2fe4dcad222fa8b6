/** What an outage would cost, on the page: in words, made once a minute, and a page waits a moment for it at most. */
import t from 'tap';
import { cutPanel, cutPanelOf } from '../../src/daemon/pages.ts';
import { backgroundFailures } from '../../src/runtime/background.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

const none = { tried: 0, failing: [], more: 0 };
const report = {
  endpoints: { ...none, tried: 1 },
  retained: none,
  asked: none,
  failByRule: 0,
  untried: 0,
  tookMs: 1,
};

t.test('nothing would fail; names would fail; an endpoint would', async (t) => {
  t.match(cutPanel(report), {
    badge: { tone: 'good' },
    facts: [['endpoints', '1 of 1 answered'], ['retained names', 'none'], {}],
  });
  const failing = Array.from({ length: 12 }, (_, at) => ({
    name: `n${at}.example`,
    type: 'A',
    step: 'forward',
  }));
  const some = cutPanel({ ...report, asked: { tried: 20, failing, more: 3 }, failByRule: 2 });
  t.match(some, { badge: { tone: 'doubtful', text: '15 would fail' }, rest: 'and 5 more' });
  t.equal(some.rows?.length, 10);
  const bad = cutPanel({ ...report, endpoints: { tried: 1, failing: failing.slice(0, 1), more: 0 } });
  t.match(bad, { badge: { tone: 'bad' }, rows: [['n0.example', 'A', 'endpoints', 'forward']] });
});

t.test('the first page has it already, and many pages ask once a minute', async (t) => {
  const time = new VirtualTime();
  let asked = 0;
  const panels = cutPanelOf(
    async () => {
      asked++;
      return report;
    },
    { clock: time, timers: time },
  );
  const pages = await Promise.all([panels(), panels()]);
  for (const page of pages) t.match(page, [{ badge: { text: 'nothing would fail' } }]);
  await time.advance(59_999);
  await panels();
  t.equal(asked, 1);
  await time.advance(1);
  await panels();
  t.equal(asked, 2);
});

t.test('where it takes long the page waits a moment, says so, and has it later', async (t) => {
  const time = new VirtualTime();
  const { promise, resolve } = Promise.withResolvers<typeof report>();
  const panels = cutPanelOf(() => promise, { clock: time, timers: time });
  const first = panels();
  await time.advance(300);
  t.match(await first, [{ title: 'If the link were cut now', about: /finding out/, badge: undefined }]);
  resolve(report);
  await time.advance(1);
  t.match(await panels(), [{ badge: { text: 'nothing would fail' } }]);
});

t.test('a rehearsal that fails ends no page', async (t) => {
  const time = new VirtualTime();
  const panels = cutPanelOf(() => Promise.reject(new Error('scripted')), { clock: time, timers: time });
  t.match(await panels(), [{ about: /finding out/ }]);
  t.match(backgroundFailures(), { admin: 1 });
});
