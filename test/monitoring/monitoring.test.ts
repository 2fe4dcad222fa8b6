/** The alert rules and the board: they name metrics that exist, and pages that exist. */
import { existsSync } from 'node:fs';
import t from 'tap';
import { ALERTS } from '../../scripts/monitoring/alerts.ts';
import { board } from '../../scripts/monitoring/board.ts';
import { ofTheRuntime, series } from '../../scripts/monitoring/metric-names.ts';
import { ROOM_REPORTS } from '../../src/daemon/report.ts';

const NAMES = new Set(ROOM_REPORTS.flatMap(({ metrics }) => metrics.map(({ name }) => name)));

t.test('a metric or a label that no room reports is an error', async (t) => {
  t.equal(series('link_connected', { side: 'summary' }), 'outpost_dns_link_connected{side="summary"}');
  t.throws(() => series('link_conected'), /no room reports the metric "outpost_dns_link_conected"/);
  t.throws(() => series('link_connected', { sides: 'aws' }), /has no label "sides"/);
  t.throws(() => ofTheRuntime('nodejs_nothing'), /prom-client has no metric/);
});

t.test('each alert has its own name, known metrics, a fix, and a page that exists', async (t) => {
  t.equal(new Set(ALERTS.map(({ name }) => name)).size, ALERTS.length);
  for (const { name, expr, summary, fix, page } of ALERTS) {
    const named = expr.match(/outpost_dns_\w+/g) ?? [];
    t.strictSame(
      named.filter((metric) => !NAMES.has(metric)),
      [],
      name,
    );
    t.ok(summary.endsWith('.') && fix.endsWith('.'), `${name}: sentences`);
    t.ok(existsSync(new URL(`../../${page}`, import.meta.url)), `${name}: ${page}`);
  }
});

t.test('every alert about a cut is silent while a drill runs', async (t) => {
  for (const { name, expr } of ALERTS.filter((alert) =>
    /link_connected|age_seconds|credentials_accepted|upstream_healthy/.test(alert.expr),
  ))
    t.match(expr, /unless on \(job, instance\) \(outpost_dns_drill_running == 1\)$/, name);
});

t.test('every panel of the board asks for known metrics, on the chosen servers', async (t) => {
  const panels = (board().panels ?? []).flatMap((panel) => ('targets' in panel ? [panel] : []));
  t.ok(panels.length > 15, `${panels.length} panels`);
  for (const { title = '', targets = [], datasource } of panels) {
    t.strictSame(datasource, { type: 'prometheus', uid: '$source' }, title);
    t.ok(targets.length > 0, title);
    for (const { expr = '' } of targets as readonly { readonly expr?: string }[]) {
      const named = expr.match(/outpost_dns_\w+/g) ?? [];
      t.strictSame(
        named.filter((metric) => !NAMES.has(metric)),
        [],
        expr,
      );
      t.match(expr, /instance=~"\$instance"/);
    }
  }
});
