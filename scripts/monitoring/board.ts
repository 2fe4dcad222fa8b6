/** The Grafana board, written over the list of metrics with Grafana's own typed SDK: the compiler holds its form. */
import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import { ofTheRuntime, series } from './metric-names.ts';

const SOURCE: common.DataSourceRef = { type: 'prometheus', uid: '$source' };
/** Panels of a row: Grafana's grid is 24 wide. */
const WIDTH = { third: 8, half: 12, whole: 24 } as const;

type Query = readonly [expr: string, legend: string];

/** The metric on the chosen servers. */
function here(short: string, where: Readonly<Record<string, string>> = {}): string {
  return chosen(series(short, where));
}

function chosen(selector: string): string {
  const open = selector.indexOf('{');
  const inner = open < 0 ? '' : `${selector.slice(open + 1, -1)},`;
  return `${open < 0 ? selector : selector.slice(0, open)}{${inner}instance=~"$instance"}`;
}

function rate(short: string): string {
  return `rate(${here(short)}[$__rate_interval])`;
}

function targets(queries: readonly Query[], isInstant = false): prometheus.DataqueryBuilder[] {
  return queries.map(([expr, legend], at) => {
    const target = new prometheus.DataqueryBuilder()
      .refId(String.fromCharCode(65 + at))
      .datasource(SOURCE)
      .expr(expr)
      .legendFormat(legend);
    return isInstant ? target.instant() : target.range();
  });
}

function plot(title: string, unit: string, width: number, ...queries: readonly Query[]) {
  return new timeseries.PanelBuilder()
    .title(title)
    .datasource(SOURCE)
    .unit(unit)
    .min(0)
    .height(7)
    .span(width)
    .lineWidth(1)
    .fillOpacity(8)
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi))
    .targets(targets(queries));
}

interface Value {
  readonly text: string;
  readonly color: string;
}

function word(title: string, query: Query, values: Readonly<Record<string, Value>>) {
  const options = Object.fromEntries(
    Object.entries(values).map(([value, shown], index) => [value, { ...shown, index }]),
  );
  return new stat.PanelBuilder()
    .title(title)
    .datasource(SOURCE)
    .height(4)
    .span(WIDTH.third)
    .colorMode(common.BigValueColorMode.Background)
    .graphMode(common.BigValueGraphMode.None)
    .mappings([{ type: dashboard.MappingType.ValueToText, options }])
    .targets(targets([query], true));
}

const GOOD = 'green';
const DOUBTFUL = 'orange';
const BAD = 'red';

const PANELS: readonly (readonly [row: string, panels: readonly Builder<dashboard.Panel>[]])[] = [
  [
    'Now',
    [
      word('Link', [here('link_connected', { side: 'summary' }), '{{instance}}'], {
        0: { text: 'disconnected', color: BAD },
        0.5: { text: 'degraded', color: DOUBTFUL },
        1: { text: 'connected', color: GOOD },
      }),
      word('Endpoints', [here('ready'), '{{instance}}'], {
        0: { text: 'not ready', color: BAD },
        1: { text: 'ready', color: GOOD },
      }),
      word('Drill', [here('drill_running'), '{{instance}}'], {
        0: { text: 'none', color: 'text' },
        1: { text: 'running', color: DOUBTFUL },
      }),
    ],
  ],
  [
    'Endpoints',
    [
      plot('Age of the addresses', 's', WIDTH.third, [
        here('endpoint_age_seconds'),
        '{{cluster}} {{instance}}',
      ]),
      plot(
        'Addresses',
        'short',
        WIDTH.third,
        [here('endpoint_addresses'), 'served {{cluster}} {{instance}}'],
        [here('endpoint_dead_addresses'), 'dead {{cluster}} {{instance}}'],
        [here('endpoint_refused_addresses'), 'refused {{cluster}} {{instance}}'],
        [here('endpoint_address_proof'), '{{state}} {{cluster}} {{instance}}'],
      ),
      plot(
        'Doubt',
        'short',
        WIDTH.third,
        [here('endpoint_change_held'), 'change held {{cluster}} {{instance}}'],
        [here('endpoint_sources_disagree'), 'sources disagree {{cluster}} {{instance}}'],
        [here('endpoint_pinned'), 'pinned {{cluster}} {{instance}}'],
        [`1 - ${here('credentials_accepted')}`, 'credentials refused {{cluster}} {{instance}}'],
      ),
      new table.PanelBuilder()
        .title('Addresses served')
        .datasource(SOURCE)
        .height(7)
        .span(WIDTH.whole)
        .targets(
          targets(
            [[`max by (cluster, region, endpoint, address) (${here('endpoint_address_info')})`, '']],
            true,
          ).map((target) => target.format(prometheus.PromQueryFormat.Table)),
        ),
    ],
  ],
  [
    'Link and upstreams',
    [
      plot('Link', 'short', WIDTH.third, [here('link_connected'), '{{side}} {{key}} {{instance}}']),
      plot('Upstream round trip', 's', WIDTH.third, [
        here('upstream_rtt_seconds'),
        '{{upstream}} {{instance}}',
      ]),
      plot('Upstream failures', 'ops', WIDTH.third, [
        rate('upstream_failures_total'),
        '{{upstream}} {{reason}} {{instance}}',
      ]),
    ],
  ],
  [
    'Queries',
    [
      plot('Queries', 'qps', WIDTH.third, [rate('queries_total'), '{{transport}} {{instance}}']),
      plot('Answers by origin', 'ops', WIDTH.third, [rate('answers_total'), '{{origin}} {{instance}}']),
      plot('Responses by code', 'ops', WIDTH.third, [rate('responses_total'), '{{rcode}} {{instance}}']),
      plot('Held back by limits', 'ops', WIDTH.third, [
        rate('limited_queries_total'),
        '{{reason}} {{instance}}',
      ]),
      plot(
        'Cache',
        'bytes',
        WIDTH.third,
        [here('cache_size_octets'), 'used {{instance}}'],
        [here('cache_limit_octets'), 'limit {{instance}}'],
      ),
      plot('Longest wait for the processor', 's', WIDTH.third, [
        chosen(ofTheRuntime('nodejs_eventloop_lag_max_seconds')),
        '{{instance}}',
      ]),
    ],
  ],
  [
    'State',
    [
      plot('Retained answers', 'short', WIDTH.third, [here('retained_answers'), '{{state}} {{instance}}']),
      plot('Age of the saved state', 's', WIDTH.third, [here('state_saved_age_seconds'), '{{instance}}']),
      plot(
        'Failed writes',
        'short',
        WIDTH.third,
        [`increase(${here('state_save_failures_total')}[$__rate_interval])`, 'endpoints {{instance}}'],
        [`increase(${here('ledger_write_failures_total')}[$__rate_interval])`, 'ledger {{instance}}'],
      ),
    ],
  ],
];

export function board(): dashboard.Dashboard {
  const builder = new dashboard.DashboardBuilder('outpost-dns')
    .uid('outpost-dns')
    .description('What outpost-dns serves, how fresh it is, and what an outage does to it.')
    .tags(['dns', 'eks', 'outposts'])
    .refresh('30s')
    .time({ from: 'now-6h', to: 'now' })
    .timezone('browser')
    .readonly()
    .withVariable(new dashboard.DatasourceVariableBuilder('source').label('Prometheus').type('prometheus'))
    .withVariable(
      new dashboard.QueryVariableBuilder('instance')
        .label('server')
        .datasource(SOURCE)
        .query(`label_values(${series('build_info')}, instance)`)
        .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
        .multi(true)
        .includeAll(true),
    );
  for (const [title, panels] of PANELS) {
    builder.withRow(new dashboard.RowBuilder(title));
    for (const panel of panels) builder.withPanel(panel);
  }
  return builder.build();
}

export function boardFile(): string {
  return `${JSON.stringify(board(), undefined, 2)}\n`;
}
