/** The figures as plots: nothing where there is nothing, and words for a reader who sees no picture. */
import t from 'tap';
import { figure } from '../../src/admin/status-page.ts';
import { TREND_REPORT, Trend, trendStatus } from '../../src/trend/trend.ts';

const START = Date.parse('2026-01-01T00:00:00Z');

function panelOf(trend: Trend, wallMs: number) {
  const [panel] = [...TREND_REPORT.panels(trendStatus(trend, wallMs))];
  return panel;
}

t.test('before the first figure there is a sentence and no plot', async (t) => {
  t.match(panelOf(new Trend(), START), { notes: [/no figures yet/], plots: [] });
});

t.test('an idle hour, a cut and a gap are read without a picture', async (t) => {
  const trend = new Trend();
  for (let ms = 0; ms < 3_600_000; ms += 10_000)
    trend.note(START + ms, { queriesPerSecond: ms < 1_800_000 ? 10 : 0, link: ms < 2_700_000 ? 1 : 0 });
  const plots = panelOf(trend, START + 3_599_000)?.plots ?? [];
  const [queries, hits, , link] = plots;
  t.equal(plots.length, 8, 'four figures over hours and over days');
  t.match(queries, { label: 'queries per second', latest: '0', range: '0 to 10', top: 10 });
  t.match(hits, { latest: 'no figures yet', range: '' });
  t.match(link, { latest: 'disconnected', range: /^connected 7\d %$/ });
  const drawn = queries === undefined ? '' : figure(queries).text;
  t.match(drawn, 'role="img" aria-label="queries per second, last 6 hours: 0 now; 0 to 10"');
  t.equal(drawn.match(/<polyline/g)?.length, 1, 'one stretch');
  t.notMatch(drawn, 'NaN');
  t.equal(
    figure({ ...plots[0], points: [null, 1, null, null, 2, 3], top: 0 } as never).text.match(/<polyline/g)
      ?.length,
    2,
  );
});

t.test('beside the plot stands the condition of now and not the mean of its newest point', async (t) => {
  const trend = new Trend();
  for (let ms = 0; ms < 7_200_000; ms += 10_000) trend.note(START + ms, { link: ms < 7_140_000 ? 1 : 0 });
  const plots = panelOf(trend, START + 7_199_000)?.plots ?? [];
  const links = plots.filter(({ label }) => label === 'link');
  t.match(links, [{ latest: 'disconnected' }, { latest: 'disconnected' }], 'cut for a minute');
  t.match(links, [{ range: 'connected 99 %' }, { range: 'connected 99 %' }], 'a minute of two hours');
});
