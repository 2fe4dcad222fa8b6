import fs from 'node:fs';
import t from 'tap';
import { createMetrics } from '../../src/admin/metrics.ts';
import { ROOM_REPORTS, type StatusReport } from '../../src/daemon/report.ts';
import type { Metric, RoomReport } from '../../src/report/report.ts';
import { endpoint, report, textOf } from './report-fixture.ts';

const REPORTS: readonly RoomReport<StatusReport>[] = ROOM_REPORTS;
const METRICS: readonly Metric<StatusReport>[] = REPORTS.flatMap(({ metrics }) => metrics);

interface Parsed {
  /** `name{a="b"}` to value. */
  readonly samples: ReadonlyMap<string, number>;
  readonly types: ReadonlyMap<string, string>;
  readonly helps: ReadonlyMap<string, string>;
}

const SAMPLE =
  /^(?<series>[a-z_:][a-z0-9_:]*(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})?) (?<value>[-+.0-9e]+|NaN|[-+]?Inf)$/i;

/** Reads the text format strictly: every line is a comment of two kinds or a sample of a metric declared before. */
function parse(text: string): Parsed {
  const [samples, types, helps] = [
    new Map<string, number>(),
    new Map<string, string>(),
    new Map<string, string>(),
  ];
  for (const line of text.split('\n').filter((line) => line !== '')) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment;
      (kind === 'HELP' ? helps : types).set(name, rest);
      continue;
    }
    const groups = SAMPLE.exec(line)?.groups;
    if (groups === undefined) throw new Error(`not a line of the text format: ${line}`);
    const series = groups['series'] ?? '';
    if (!types.has(series.replace(/\{.*/s, ''))) throw new Error(`sample without a type: ${line}`);
    if (samples.has(series)) throw new Error(`the series comes twice: ${line}`);
    samples.set(series, Number(groups['value']));
  }
  return { samples, types, helps };
}

const scrape = async (of: StatusReport) =>
  parse(textOf(await createMetrics(REPORTS, () => of, false).render()));

t.test('names: prefix outpost_dns_, counters and only counters end in _total', async (t) => {
  const { types } = await scrape(report());
  t.equal(types.size, METRICS.length, 'every metric of the list is there once');
  for (const [name, type] of types) {
    t.match(name, /^outpost_dns_[a-z][a-z0-9_]*$/, name);
    t.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`);
    t.notMatch(
      name,
      /_(?:ms|milliseconds|minutes|hours|days|kib|mib|bytes|percent)(?:_|$)/,
      `${name}: base units`,
    );
  }
});

t.test('what measures time is in seconds, what measures room in octets', async (t) => {
  const { types } = await scrape(report());
  for (const name of types.keys()) {
    if (/_(?:age|rtt|duration)(?:_|$)/.test(name)) t.match(name, /_seconds(?:_total)?$/, name);
    if (/_(?:size|limit)$/.test(name)) t.fail(`${name} lacks its unit`);
  }
});

t.test('help: a sentence for each metric', async (t) => {
  const { helps } = await scrape(report());
  t.equal(helps.size, METRICS.length);
  for (const [name, help] of helps) t.match(help, /^[A-Z0-9].{10,}\.$/, name);
});

t.test('labels: only those that the configuration or the code bounds', async (t) => {
  const bounded = new Set([
    ...['cluster', 'region', 'endpoint', 'address', 'source', 'result', 'basis', 'cause', 'condition'],
    ...[
      'what',
      'outpost',
      'transport',
      'origin',
      'rcode',
      'reason',
      'kind',
      'event',
      'upstream',
      'side',
      'key',
      'version',
      'runtime',
      'udp',
      // of the names that the operator retains
      'name',
      'type',
      'state',
    ],
  ]);
  for (const { name, labels } of METRICS) {
    t.strictSame(
      labels.filter((label) => !bounded.has(label)),
      [],
      name,
    );
    t.equal(new Set(labels).size, labels.length, `${name}: no label twice`);
  }
});

/** What never happens on an ordinary day. */
const WITHHELD: StatusReport['endpoints'][number]['withheld'] = [
  {
    address: '10.0.1.12',
    isDead: false,
    seenBy: ['dns'],
    proof: { state: 'refused', reason: 'other-name', ageSeconds: 60, provenAgeSeconds: 3600 },
  },
];

const TROUBLE = {
  process: {
    log: { dropped: { failed: 8, full: 9 } },
    backgroundFailures: { 'address-checks': 2 },
    threadsNotEnded: 1,
  },
  outposts: [
    {
      outpost: 'op-0123456789abcdef0',
      region: 'us-west-2',
      view: 'impaired' as const,
      connected: 0.5,
      ageSeconds: 90,
    },
  ],
  endpoints: [
    endpoint({
      endings: [
        {
          what: 'kubernetes-certificate' as const,
          endsAt: '2026-01-31T00:00:00.000Z',
          leftSeconds: 86_400 * 6,
          isRenewed: false,
        },
      ],
      silentSources: [{ source: 'interfaces' as const, silentSeconds: 7_200 }],
      withheld: WITHHELD,
      pin: {
        origin: 'command' as const,
        addresses: ['10.0.9.1'],
        why: 'a drill',
        by: 'ada',
        ageSeconds: 60,
        endsInSeconds: 7200,
        unpinned: ['10.0.1.10'],
        refused: [],
      },
    }),
  ],
};

t.test('every sample of the list has a value for each of its labels', async (t) => {
  for (const { name, labels, read } of METRICS) {
    const samples = [...read(report(TROUBLE))];
    t.ok(samples.length > 0, `${name}: the fixture shows it`);
    for (const [value, ...values] of samples) {
      t.equal(values.length, labels.length, name);
      t.ok(Number.isFinite(value), name);
    }
  }
});

const CLUSTER = 'cluster="my-cluster",region="us-west-2"';

t.test('the metrics have the values of the report', async (t) => {
  const { samples } = await scrape(report(TROUBLE));
  const wanted: ReadonlyArray<readonly [string, number]> = [
    [`endpoint_source_age_seconds{${CLUSTER},source="dns"}`, 30],
    [`endpoint_age_seconds{${CLUSTER}}`, 30],
    [`endpoint_addresses{${CLUSTER}}`, 2],
    [`endpoint_dead_addresses{${CLUSTER}}`, 1],
    [`endpoint_address_proof{${CLUSTER},state="proven"}`, 0],
    [`endpoint_address_proof{${CLUSTER},state="unproven"}`, 2],
    [`endpoint_address_proof{${CLUSTER},state="refused"}`, 1],
    [`endpoint_addresses_without_proof{${CLUSTER},reason="other-name"}`, 1],
    [`endpoint_withheld_addresses{${CLUSTER}}`, 1],
    [
      `endpoint_address_info{${CLUSTER},endpoint="abc.gr7.us-west-2.eks.amazonaws.com",address="10.0.1.10"}`,
      1,
    ],
    [`endpoint_basis_info{${CLUSTER},basis="name"}`, 1],
    [`endpoint_change_held{${CLUSTER}}`, 0],
    [`endpoint_name_differs{${CLUSTER}}`, 1],
    [`endpoint_interfaces_doubtful{${CLUSTER}}`, 1],
    [`endpoint_pinned{${CLUSTER},origin="command"}`, 1],
    [`endpoint_pin_left_seconds{${CLUSTER}}`, 7200],
    [`endpoint_sources_disagree{${CLUSTER}}`, 1],
    [`endpoint_likely_cause_info{${CLUSTER},cause="public-access"}`, 1],
    [`endpoint_refused_addresses{${CLUSTER}}`, 1],
    [`credentials_accepted{${CLUSTER}}`, 0],
    [`credentials_condition_info{${CLUSTER},condition="expired"}`, 1],
    [`credentials_condition_age_seconds{${CLUSTER}}`, 600],
    ['outpost_connected{outpost="op-0123456789abcdef0",region="us-west-2"}', 0.5],
    ['outpost_connected_age_seconds{outpost="op-0123456789abcdef0",region="us-west-2"}', 90],
    [`credentials_left_seconds{${CLUSTER},what="kubernetes-certificate"}`, 86_400 * 6],
    [`endpoint_source_silent{${CLUSTER},source="interfaces"}`, 1],
    [`refreshes_total{${CLUSTER},source="dns",result="success"}`, 12],
    [`refreshes_total{${CLUSTER},source="interfaces",result="denied"}`, 2],
    [`refresh_late_answers_total{${CLUSTER},source="dns"}`, 1],
    [`refresh_duration_seconds_total{${CLUSTER},source="dns"}`, 1.5],
    ['queries_total{transport="tcp"}', 7],
    ['replies_total{transport="udp"}', 99],
    ['answers_total{origin="endpoint"}', 50],
    ['responses_total{rcode="NXDOMAIN"}', 15],
    ['dropped_messages_total{reason="short"}', 1],
    ['limited_queries_total{reason="prohibited"}', 2],
    ['faults_total{kind="handler"}', 0],
    ['send_errors_total{reason="unreachable"}', 1],
    ['tcp_connections_total{event="accepted"}', 7],
    ['pending_queries', 3],
    ['cache_entries', 12],
    ['cache_size_octets', 3_145_728],
    ['cache_limit_octets', 67_108_864],
    ['cache_evictions_total', 5],
    ['cache_prefetches_total', 6],
    ['upstream_healthy{upstream="10.0.0.2:53"}', 1],
    ['upstream_rtt_seconds{upstream="10.0.0.2:53"}', 0.0123],
    ['upstream_in_flight{upstream="10.0.0.2:53"}', 2],
    ['upstream_looping{upstream="tls://9.9.9.9:853#dns.quad9.net"}', 1],
    ['forward_differences', 0],
    ['forward_in_flight', 7],
    ['forward_coalesced_total', 8],
    ['forward_failed_fast_total', 9],
    ['forward_overloaded_total{reason="limit"}', 1],
    ['forward_overloaded_total{reason="network"}', 2],
    ['forward_overloaded_total{reason="suffix"}', 3],
    ['upstream_cut_names{upstream="tls://9.9.9.9:853#dns.quad9.net"}', 4],
    ['upstream_mismatched_replies_total{upstream="10.0.0.2:53"}', 4],
    ['upstream_exchanges_total{upstream="10.0.0.2:53",transport="tcp"}', 1],
    ['upstream_failures_total{upstream="10.0.0.2:53",reason="timeout"}', 3],
    ['upstream_unhelpful_replies_total{upstream="10.0.0.2:53",reason="SERVFAIL"}', 6],
    ['link_connected{side="aws",key="us-west-2"}', 1],
    ['link_condition_age_seconds{side="aws",key="us-west-2"}', 300],
    ['build_info{version="0.2.0",runtime="node 26.10.0"}', 1],
    ['listener_info{address="127.0.0.1:5300",udp="plain"}', 1],
    ['ready', 1],
    ['configuration_age_seconds', 7300],
    ['configuration_reload_failed', 0],
    ['state_generation', 42],
    ['state_saved_age_seconds', 3],
    ['state_pending', 0],
    ['state_save_failures_total', 1],
    ['state_save_failing', 0],
    ['link_connected{side="summary",key="all"}', 1],
    ['retained_age_max_seconds', 30],
    ['retained_answers{state="fresh"}', 1],
    ['retained_answers{state="unknown"}', 0],
    ['retained_lookups_total{result="succeeded"}', 7],
    ['retained_lookups_total{result="failed"}', 2],
    ['retained_denials_ignored_total', 4],
    ['retained_save_failures_total', 0],
    ['drill_running', 0],
    ['cache_snapshot_age_seconds', 20],
    ['cache_snapshot_answers', 12],
    ['cache_snapshot_failures_total', 0],
    ['ledger_events_total{result="written"}', 3],
    ['ledger_events_total{result="lost"}', 0],
    ['ledger_write_failures_total', 0],
    ['state_locked', 1],
    ['log_lines_dropped_total{reason="failed"}', 8],
    ['log_lines_dropped_total{reason="full"}', 9],
    ['background_failures_total{kind="address-checks"}', 2],
    ['threads_not_ended', 1],
  ];
  for (const [series, value] of wanted) t.equal(samples.get(`outpost_dns_${series}`), value, series);
  const names = new Set(wanted.map(([series]) => `outpost_dns_${series.replace(/\{.*/, '')}`));
  t.strictSame(
    METRICS.map(({ name }) => name).filter((name) => !names.has(name)),
    [],
    'no metric is left unread here',
  );
});

t.test('a value that was never measured is absent, not zero', async (t) => {
  const whole = report();
  const never = report({
    endpoints: [endpoint({ confirmedAgeSeconds: undefined, likelyCause: undefined })],
    state: { ...whole.state, savedAgeSeconds: undefined },
  });
  const { samples } = await scrape(never);
  const series = [...samples.keys()];
  for (const absent of [
    'outpost_dns_state_saved_age_seconds',
    `outpost_dns_endpoint_age_seconds{${CLUSTER}}`,
    `outpost_dns_endpoint_source_age_seconds{${CLUSTER},source="interfaces"}`,
    'outpost_dns_upstream_rtt_seconds{upstream="tls://9.9.9.9:853#dns.quad9.net"}',
    'outpost_dns_link_connected{side="upstream",key="10.0.0.2:53"}',
  ])
    t.notOk(series.includes(absent), absent);
  t.notOk(series.some((one) => one.startsWith('outpost_dns_endpoint_likely_cause_info')));
});

t.test('each scrape reads the report once', async (t) => {
  let reads = 0;
  const metrics = createMetrics(
    REPORTS,
    () => report({ cache: { ...report().cache, entries: ++reads } }),
    false,
  );
  const entries = async () => parse(textOf(await metrics.render())).samples.get('outpost_dns_cache_entries');
  t.equal(await entries(), 1);
  t.equal(await entries(), 2, 'a counter of the scrape before is not added to');
});

t.test('the text of a large site is made in pieces, between which queries are answered', async (t) => {
  const endpoints = Array.from({ length: 100 }, (_, at) => endpoint({ cluster: `cluster-${at}` }));
  let pauses = 0;
  const pieces = await createMetrics(
    REPORTS,
    () => report({ endpoints }),
    false,
    async () => {
      pauses += 1;
    },
  ).render();
  const { length: lines } = textOf(pieces).split('\n');
  t.ok(lines > 2000, `${lines} lines`);
  t.equal(pieces.length, pauses + 1);
  t.ok(lines / pieces.length <= 300, `${pieces.length} pieces of ${lines} lines`);
});

t.test('a series goes away with its endpoint or upstream', async (t) => {
  let current = report();
  const metrics = createMetrics(REPORTS, () => current, false);
  await metrics.render();
  current = report({ endpoints: [], upstreams: [] });
  const { samples } = parse(textOf(await metrics.render()));
  t.strictSame(
    [...samples.keys()].filter((series) => /_endpoint_|_upstream_(?!.*unknown)|_refresh/.test(series)),
    [],
  );
});

t.test('label values are escaped: quotes, backslashes and line feeds cannot break the text', async (t) => {
  const evil = 'a"b\\c\nd';
  const { samples } = await scrape(report({ endpoints: [endpoint({ endpoint: evil })] }));
  t.ok([...samples.keys()].some((series) => series.includes('endpoint="a\\"b\\\\c\\nd"')));
});

t.test(
  'open descriptors are counted without a stop: thousands of sockets are listed by another thread',
  async (t) => {
    const { readdirSync } = fs;
    t.teardown(() => Object.assign(fs, { readdirSync }));
    let listings = 0;
    Object.assign(fs, {
      readdirSync: (...words: Parameters<typeof readdirSync>) => {
        listings++;
        return readdirSync(...words);
      },
    });
    const metrics = createMetrics(REPORTS, report, true);
    const openFds = async () => Number(/^process_open_fds (\d+)$/m.exec(textOf(await metrics.render()))?.[1]);
    const before = await openFds();
    const opened = Array.from({ length: 300 }, () => fs.openSync('/dev/null', 'r'));
    t.ok((await openFds()) >= before + 300);
    for (const fd of opened) fs.closeSync(fd);
    t.equal(listings, 0);
  },
);

t.test('the process metrics come along where they are wanted', async (t) => {
  const text = textOf(await createMetrics(REPORTS, report, true).render());
  t.match(text, /^process_cpu_seconds_total /m);
  t.match(text, /^nodejs_eventloop_lag_seconds /m);
  for (const [name, type] of parse(text).types) {
    if (name.endsWith('_total')) t.equal(type, 'counter', `${name}: promtool refuses any other type`);
  }
});
