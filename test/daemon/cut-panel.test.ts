/** What an outage would cost, on the page: in words, made once a minute, and no page waits for it. */
import t from 'tap';
import { cutPanel, cutPanelOf } from '../../src/daemon/cut-panel.ts';

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

t.test('a page does not wait for it, and many pages ask once a minute', async (t) => {
  let [nowMs, asked] = [0, 0];
  const rehearse = async () => {
    asked++;
    return report;
  };
  const panels = cutPanelOf(rehearse, { monotonicMs: () => nowMs });
  t.strictSame(panels(), []);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(panels().length, 1);
  nowMs = 59_999;
  panels();
  t.equal(asked, 1);
  nowMs = 60_000;
  panels();
  t.equal(asked, 2);
});
