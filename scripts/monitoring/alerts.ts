/**
 * The alert rules, written over the list of metrics. An alert about a cut is silent while a drill runs on that server. An
 * alert that nobody can act on during a cut is silent while the link is down.
 */
import { stringify } from 'yaml';
import { ofTheRuntime, series } from './metric-names.ts';

export interface Alert {
  readonly name: string;
  readonly severity: 'critical' | 'warning' | 'info';
  readonly expr: string;
  /** How long the condition lasts before the alert fires. */
  readonly for: string;
  /** One sentence; `{{ $labels.x }}` names the series. */
  readonly summary: string;
  /** What a person does. */
  readonly fix: string;
  /** The page, and its anchor, that says more. */
  readonly page: string;
}

const SAME = 'on (job, instance)';
const DRILL = `${SAME} (${series('drill_running')} == 1)`;
/** The summary is that of the regions where there are any: an upstream on the site that answers does not hide a cut. */
const LINK_DOWN = `${series('link_connected', { side: 'summary' })} == 0`;
const CUT = `${SAME} (${LINK_DOWN})`;

/** Silent while a drill runs. */
const unlessDrill = (expr: string): string => `${expr} unless ${DRILL}`;
/** Silent while the link is down, in a drill too. */
const unlessCut = (expr: string): string => `${expr} unless ${CUT} unless ${DRILL}`;

/** Certificates alone: a provider renews its sessions. */
function endsWithin(days: number): string {
  const left = series('credentials_left_seconds');
  return `${left} < ${days} * 86400 unless ${series('credentials_left_seconds', { what: 'session' })}`;
}

export const ALERTS: readonly Alert[] = [
  {
    name: 'OutpostDnsGone',
    severity: 'critical',
    expr: `up == 0 and ${SAME} last_over_time(${series('build_info')}[1d])`,
    for: '2m',
    summary: '{{ $labels.instance }} does not answer the scrape.',
    fix: 'On the host: systemctl status outpost-dns; journalctl -u outpost-dns. The other server of the site answers meanwhile.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsNotReady',
    severity: 'critical',
    expr: `${series('ready')} == 0`,
    for: '1m',
    summary: '{{ $labels.instance }} cannot answer an endpoint: it has never learned an address.',
    fix: 'outpost-dns check names the reason. Until then: outpost-dns pin, or a line in /etc/hosts.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsLinkDown',
    severity: 'critical',
    expr: unlessDrill(LINK_DOWN),
    for: '1m',
    summary: '{{ $labels.instance }} does not reach AWS: the site is cut off.',
    fix: 'Follow docs/outage.md. Endpoints are answered however long it lasts.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsRegionDown',
    severity: 'warning',
    expr: unlessCut(`${series('link_connected', { side: 'aws' })} == 0`),
    for: '5m',
    summary: '{{ $labels.instance }} does not reach {{ $labels.key }}, while it reaches other regions.',
    fix: 'Check a firewall or proxy on the way: outpost-dns status says the reason.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsEndpointUnconfirmed',
    severity: 'warning',
    expr: unlessCut(`${series('endpoint_age_seconds')} > 3600`),
    for: '15m',
    summary:
      'No source has confirmed the addresses of {{ $labels.cluster }} for an hour, while the link works.',
    fix: 'outpost-dns check names the source that fails, and its fix.',
    page: 'docs/metrics.md',
  },
  {
    name: 'OutpostDnsEndpointOld',
    severity: 'warning',
    expr: unlessDrill(`${series('endpoint_age_seconds')} > 7 * 86400`),
    for: '10m',
    summary:
      'The addresses of {{ $labels.cluster }} have not been confirmed for {{ $value | humanizeDuration }}.',
    fix: 'An address that changed meanwhile is not known: compare with kubectl get --raw /healthz --server https://ADDRESS.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsEndpointVeryOld',
    severity: 'critical',
    expr: unlessDrill(`${series('endpoint_age_seconds')} > 30 * 86400`),
    for: '10m',
    summary:
      'The addresses of {{ $labels.cluster }} have not been confirmed for {{ $value | humanizeDuration }}.',
    fix: 'Certificates on the Outpost end too: plan how the link comes back.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsAddressDead',
    severity: 'warning',
    expr: `${series('endpoint_dead_addresses')} > 0`,
    for: '5m',
    summary: '{{ $value }} addresses of {{ $labels.cluster }} do not answer; they are given last.',
    fix: 'During a patch: nothing for 15 minutes. Otherwise check that control-plane instance and the routes to it.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsAddressRefused',
    severity: 'warning',
    expr: `${series('endpoint_refused_addresses')} > 0`,
    for: '5m',
    summary: '{{ $value }} addresses that a source lists for {{ $labels.cluster }} are refused.',
    fix: 'outpost-dns status says why. If they are right: allowedAddresses of the cluster.',
    page: 'docs/configuration.md',
  },
  {
    name: 'OutpostDnsAddressNotProven',
    severity: 'warning',
    expr: `${series('endpoint_addresses_without_proof')} > 0`,
    for: '15m',
    summary:
      '{{ $value }} addresses of {{ $labels.cluster }} no longer prove by TLS that the cluster answers there: {{ $labels.reason }}.',
    fix: 'outpost-dns explain shows each address. An address of another host must not be served: pin the right ones.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsAddressOfAnotherHost',
    severity: 'critical',
    expr: `${series('endpoint_address_proof', { state: 'refused' })} > 0`,
    for: '5m',
    summary:
      'Another host answers at {{ $value }} addresses of {{ $labels.cluster }}; they are not served while a proven one exists.',
    fix: 'outpost-dns explain shows each address. Find out who has the address: a reused interface, or somebody in between.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsChangeHeld',
    severity: 'warning',
    expr: `${series('endpoint_change_held')} == 1`,
    for: '10m',
    summary: 'A suspicious change of the addresses of {{ $labels.cluster }} is held back.',
    fix: 'outpost-dns status shows it. It is adopted once a source repeats it; otherwise pin what is right.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsSourcesDisagree',
    severity: 'warning',
    expr: unlessCut(`${series('endpoint_sources_disagree')} == 1`),
    for: '30m',
    summary: 'Name and interfaces of {{ $labels.cluster }} say different addresses.',
    fix: 'outpost-dns status shows both sides and the likely cause.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsCredentialsRefused',
    severity: 'warning',
    expr: unlessCut(`${series('credentials_accepted')} == 0`),
    for: '10m',
    summary: 'AWS does not accept the credentials for {{ $labels.cluster }}, while the link works.',
    fix: 'Renew them: outpost-dns check says what AWS answers. DNS alone goes on confirming the addresses.',
    page: 'docs/install.md',
  },
  {
    name: 'OutpostDnsCertificateEnding',
    severity: 'warning',
    expr: endsWithin(30),
    for: '10m',
    summary: 'The {{ $labels.what }} for {{ $labels.cluster }} ends in {{ $value | humanizeDuration }}.',
    fix: 'Renew it while the link works: in a cut nobody can.',
    page: 'docs/prepare.md',
  },
  {
    name: 'OutpostDnsCertificateEndingSoon',
    severity: 'critical',
    expr: endsWithin(7),
    for: '10m',
    summary: 'The {{ $labels.what }} for {{ $labels.cluster }} ends in {{ $value | humanizeDuration }}.',
    fix: 'Renew it while the link works: in a cut nobody can.',
    page: 'docs/prepare.md',
  },
  {
    name: 'OutpostDnsSourceSilent',
    severity: 'warning',
    expr: unlessCut(`${series('endpoint_source_silent')} == 1`),
    for: '5m',
    summary: 'Source {{ $labels.source }} of {{ $labels.cluster }} gives no answer, while other sources do.',
    fix: 'outpost-dns status shows its last failure; outpost-dns check tries it and says the fix.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsUpstreamDown',
    severity: 'warning',
    expr: unlessCut(`${series('upstream_healthy')} == 0`),
    for: '5m',
    summary: 'Upstream {{ $labels.upstream }} does not answer.',
    fix: 'Check it with dig. Names that were asked before are answered stale.',
    page: 'docs/outage.md',
  },
  {
    name: 'OutpostDnsUpstreamLoops',
    severity: 'warning',
    expr: `${series('upstream_looping')} == 1`,
    for: '2m',
    summary: 'Upstream {{ $labels.upstream }} forwards our queries back to us.',
    fix: 'Name an upstream that does not forward to this server.',
    page: 'docs/configuration.md',
  },
  {
    name: 'OutpostDnsStateNotSaved',
    severity: 'critical',
    expr: `increase(${series('state_save_failures_total')}[10m]) > 0 or ${series('state_locked')} == 0`,
    for: '1m',
    summary: '{{ $labels.instance }} cannot save what it serves: a restart would serve older addresses.',
    fix: 'Free the disk, correct the permissions of state.directory, or end the other server that holds it.',
    page: 'docs/log.md',
  },
  {
    name: 'OutpostDnsReloadRefused',
    severity: 'warning',
    expr: `${series('configuration_reload_failed')} == 1`,
    for: '2m',
    summary:
      '{{ $labels.instance }} refused its configuration file: it serves with the one that it took last.',
    fix: 'outpost-dns check lists its faults. Correct them, then systemctl reload outpost-dns.',
    page: 'docs/configuration.md',
  },
  {
    name: 'OutpostDnsLimitBites',
    severity: 'warning',
    expr: `increase(${series('limited_queries_total')}[5m]) > 0 or increase(${series('forward_overloaded_total')}[5m]) > 0`,
    for: '5m',
    summary: '{{ $labels.instance }} holds queries back by a limit ({{ $labels.reason }}).',
    fix: 'The log names a network that is held back. Find the client; raise the limit only for legitimate load.',
    page: 'docs/log.md',
  },
  {
    name: 'OutpostDnsLoopSlow',
    severity: 'warning',
    expr: `${ofTheRuntime('nodejs_eventloop_lag_max_seconds')} > 0.1 and ${SAME} ${series('build_info')}`,
    for: '5m',
    summary:
      'A query of {{ $labels.instance }} waited up to {{ $value | humanizeDuration }} for the processor.',
    fix: 'Find what takes the processor of the host (top), or give the server more of it (CPUWeight=).',
    page: 'docs/metrics.md',
  },
  {
    name: 'OutpostDnsDefect',
    severity: 'warning',
    expr: `increase(${series('background_failures_total')}[1h]) > 0 or increase(${series('faults_total', { kind: 'handler' })}[1h]) > 0`,
    for: '0m',
    summary: '{{ $labels.instance }} has met a defect of its own ({{ $labels.kind }}); answers go on.',
    fix: 'Report the log line of level error.',
    page: 'docs/log.md',
  },
  {
    name: 'OutpostDnsPinned',
    severity: 'info',
    expr: `${series('endpoint_pinned', { origin: 'command' })} == 1`,
    for: '1d',
    summary:
      'The addresses of {{ $labels.cluster }} have been pinned for more than a day: no source is believed.',
    fix: 'outpost-dns unpin, once the sources are right again.',
    page: 'docs/outage.md',
  },
];

/** Prometheus' rule file. `holds` replaces the time that every condition lasts, for the lab, which has no hour to wait. */
export function rulesFile(alerts: readonly Alert[] = ALERTS, holds?: string): string {
  const rules = alerts.map((alert) => ({
    alert: alert.name,
    expr: alert.expr,
    for: holds ?? alert.for,
    labels: { severity: alert.severity },
    annotations: { summary: alert.summary, description: alert.fix, runbook: alert.page },
  }));
  const head = '# Generated from scripts/monitoring/alerts.ts by "npm run generate": do not edit.\n';
  return `${head}${stringify({ groups: [{ name: 'outpost-dns', rules }] }, { lineWidth: 0 })}`;
}
