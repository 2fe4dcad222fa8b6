/** Writes docs/metrics.md from the reports of the rooms, so that the page cannot fall behind. */
import type { RoomReport } from '../src/report/report.ts';

export function metricsPage(reports: readonly Pick<RoomReport<never>, 'metrics'>[]): string {
  const metrics = reports.flatMap((report) => report.metrics);
  const rows = metrics.map(
    ({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help} |`,
  );
  return `<!-- Generated from the rooms' reports by "node scripts/generate.ts": do not edit. -->

# Metrics

\`http://127.0.0.1:9153/metrics\` (\`admin.listen\`), for clients in \`admin.allow\`: loopback and RFC 1918 by default. A page is made once a second at
most, however many ask. Labels hold configured things only: never a client's address or a name that
somebody asked for. Ages are seconds, and absent where there is none. Node's own metrics (\`process_*\`, \`nodejs_*\`, the delay of
the event loop among them) are there too. \`/status\` says as JSON what they are made from; of retained names it lists a hundred at most,
those that need somebody first, and counts the others.

Alert rules over these names are in [config/prometheus](../config/prometheus/outpost-dns.rules.yaml) (\`promtool test rules
config/prometheus/outpost-dns.test.yaml\` tries them), and a board for Grafana in [config/grafana](../config/grafana/outpost-dns.json). Both are generated
from the same list, and alerts about a cut are silent while a drill runs. Watch these first:

- \`outpost_dns_endpoint_age_seconds\`: how old the truth is. Minutes while connected; it grows through an outage. Warn at 7 and 30 days.
- \`outpost_dns_ready\`: 0 when an endpoint cannot be answered at all.
- \`outpost_dns_link_connected\`: AWS and each upstream.
- \`outpost_dns_endpoint_change_held\` and \`outpost_dns_endpoint_sources_disagree\`: something changed that a person should look at.
- \`outpost_dns_state_save_failures_total\`: what is served would not survive a restart.
- \`outpost_dns_configuration_reload_failed\`: 1 when the file as it is now was refused. The configuration that was taken last runs, after a restart
  too: fix the file and reload. \`outpost-dns check\` lists its faults, \`outpost-dns history\` the faults at the time of the reload.
- \`nodejs_eventloop_lag_max_seconds\`: the longest that any work, a query too, has waited for its turn since the last scrape. 0.01 of it is the step in
  which it is measured. Above 0.1 the host has too little processor for us.

| metric | type | labels | says |
|---|---|---|---|
${rows.join('\n')}
`;
}
