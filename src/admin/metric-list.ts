/** Every metric. Labels are bounded: configured things only. */
import { ENDPOINT_METRICS } from './endpoint-metrics.ts';
import { counter, gauge, type Metric, type Sample } from './metric.ts';
import type { StatusReport, UpstreamReport } from './status-report.ts';

/** A counter with one label over a record of counts. */
function counts(
  name: string,
  help: string,
  label: string,
  pick: (queries: StatusReport['queries']) => Readonly<Record<string, number>>,
): Metric {
  return counter(name, help, [label], ({ queries }) =>
    Object.entries(pick(queries)).map(([key, value]): Sample => [value, key]),
  );
}

function ofUpstreams(value: (upstream: UpstreamReport) => number | undefined): Metric['read'] {
  return ({ upstreams }) =>
    upstreams.flatMap((upstream): readonly Sample[] => {
      const found = value(upstream);
      return found === undefined ? [] : [[found, upstream.upstream]];
    });
}

const QUERY_METRICS: readonly Metric[] = [
  counts('queries', 'Messages received.', 'transport', ({ received }) => received),
  counts('replies', 'Replies sent.', 'transport', ({ replies }) => replies),
  counts('answers', 'Answers by where they came from.', 'origin', ({ answers }) => answers),
  counts('responses', 'Replies by response code.', 'rcode', ({ rcodes }) => rcodes),
  counts('dropped_messages', 'Messages that got no reply, by reason.', 'reason', ({ dropped }) => dropped),
  counts(
    'limited_queries',
    'Queries refused or cut short by a limit, by reason.',
    'reason',
    ({ limited }) => limited,
  ),
  counts(
    'faults',
    'Faults of this server or its sockets; each is a defect or a host in trouble.',
    'kind',
    ({ faults }) => faults,
  ),
  counts('send_errors', 'Replies that the kernel did not take.', 'reason', ({ sendErrors }) => sendErrors),
  counts(
    'tcp_connections',
    'TCP connections by what became of them.',
    'event',
    ({ connections }) => connections,
  ),
  gauge('pending_queries', 'Queries that wait for an upstream.', [], ({ queries }) => [[queries.pending]]),
  gauge('cache_entries', 'Answers in the cache.', [], ({ cache }) => [[cache.entries]]),
  gauge('cache_size_octets', 'Octets that the cache takes.', [], ({ cache }) => [[cache.octets]]),
  gauge('cache_limit_octets', 'Octets that the cache may take.', [], ({ cache }) => [[cache.limitOctets]]),
  counter('cache_evictions', 'Answers dropped for want of room.', [], ({ cache }) => [[cache.evictions]]),
  counter('cache_prefetches', 'Answers fetched anew before they expired.', [], ({ cache }) => [
    [cache.prefetches],
  ]),
];

const RETAINED_METRICS: readonly Metric[] = [
  gauge(
    'retained_age_max_seconds',
    'Seconds since an upstream last confirmed the retained answer that has waited longest; absent when none was ever confirmed. Which are not fresh: /status.',
    [],
    ({ retainedInAll: { oldestConfirmedAgeSeconds: oldest } }) => (oldest === undefined ? [] : [[oldest]]),
  ),
  gauge(
    'retained_answers',
    'Retained questions by the state of their answers.',
    ['state'],
    ({ retainedInAll: { fresh, stale, denied, unknown } }) =>
      Object.entries({ fresh, stale, denied, unknown }).map(([state, count]): Sample => [count, state]),
  ),
  counter(
    'retained_lookups',
    'Times that retained questions were asked, by result.',
    ['result'],
    ({ retainedInAll: { asked, failed } }) => [
      [asked - failed, 'succeeded'],
      [failed, 'failed'],
    ],
  ),
  counter(
    'retained_denials_ignored',
    'Denials of retained names, and empty answers, that were not believed: the good answer before them was given.',
    [],
    ({ retainedInAll: { denialsIgnored } }) => [[denialsIgnored]],
  ),
];

const PATH_METRICS: readonly Metric[] = [
  gauge(
    'upstream_healthy',
    '1 while the upstream answers.',
    ['upstream'],
    ofUpstreams(({ isHealthy }) => Number(isHealthy)),
  ),
  gauge(
    'upstream_rtt_seconds',
    'Smoothed round-trip time; absent when never measured.',
    ['upstream'],
    ofUpstreams(({ rttSeconds }) => rttSeconds),
  ),
  gauge(
    'upstream_in_flight',
    'Exchanges under way.',
    ['upstream'],
    ofUpstreams(({ inFlight }) => inFlight),
  ),
  gauge(
    'upstream_looping',
    '1 when our own query came back from it: it forwards to us.',
    ['upstream'],
    ofUpstreams(({ isLooping }) => Number(isLooping)),
  ),
  gauge(
    'upstream_cut_names',
    'Names and suffixes that the upstream fails for while it answers others; the rules for an outage hold for them.',
    ['upstream'],
    ofUpstreams(({ cutNames }) => cutNames),
  ),
  counter(
    'upstream_mismatched_replies',
    'Replies that matched no exchange (RFC 5452): strays or forgeries.',
    ['upstream'],
    ofUpstreams(({ mismatched }) => mismatched),
  ),
  counter('upstream_exchanges', 'Exchanges begun.', ['upstream', 'transport'], ({ upstreams }) =>
    upstreams.flatMap(({ upstream, exchanges }) =>
      Object.entries(exchanges).map(([transport, value]): Sample => [value, upstream, transport]),
    ),
  ),
  counter('upstream_failures', 'Exchanges that failed, by reason.', ['upstream', 'reason'], ({ upstreams }) =>
    upstreams.flatMap(({ upstream, failures }) =>
      Object.entries(failures).map(([reason, value]): Sample => [value, upstream, reason]),
    ),
  ),
  gauge('forward_in_flight', 'Questions on their way to upstreams.', [], ({ forwarding }) => [
    [forwarding.inFlight],
  ]),
  counter('forward_coalesced', 'Questions that joined an identical one on its way.', [], ({ forwarding }) => [
    [forwarding.coalesced],
  ]),
  counter(
    'forward_failed_fast',
    'Questions that failed at once, because no upstream answers for the name.',
    [],
    ({ forwarding }) => [[forwarding.failedFast]],
  ),
  counter(
    'forward_overloaded',
    'Questions that failed because too many were on their way: no place was left (limit), or the oldest of the largest network, or of a suffix with half of all, gave way.',
    ['reason'],
    ({ forwarding }) =>
      Object.entries(forwarding.overloaded).map(([reason, value]): Sample => [value, reason]),
  ),
  gauge(
    'forward_differences',
    'Names of endpoints that two upstreams answer differently; status says which and how.',
    [],
    ({ forwarding }) => [[forwarding.differences.length]],
  ),
  gauge(
    'link_connected',
    '1 connected, 0.5 degraded or recovering, 0 disconnected; absent while unknown. side="summary" is the whole.',
    ['side', 'key'],
    ({ link }) =>
      withSummary(link).flatMap(({ side, key, condition }): readonly Sample[] =>
        condition === 'unknown' ? [] : [[LINK_VALUE[condition], side, key]],
      ),
  ),
  gauge(
    'link_condition_age_seconds',
    'Seconds since the path took its present condition.',
    ['side', 'key'],
    ({ link }) => withSummary(link).map(({ side, key, ageSeconds }): Sample => [ageSeconds, side, key]),
  ),
];

/** The paths, and the one word for all of them as another. */
function withSummary({ paths, summary }: StatusReport['link']) {
  return [...paths, { side: 'summary', key: 'all', ...summary }];
}

const LINK_VALUE = { connected: 1, degraded: 0.5, recovering: 0.5, disconnected: 0 } as const;

const SERVER_METRICS: readonly Metric[] = [
  gauge('build_info', 'Always 1: what runs.', ['version', 'runtime'], ({ server }) => [
    [1, server.version, server.runtime],
  ]),
  gauge(
    'listener_info',
    'Always 1: an address listened on, and how its datagrams are read.',
    ['address', 'udp'],
    ({ server }) => server.listening.map(({ address, udp }): Sample => [1, address, udp]),
  ),
  gauge('ready', '1 when every endpoint can be answered.', [], ({ server }) => [[Number(server.ready)]]),
  gauge(
    'configuration_age_seconds',
    'Seconds since the running configuration was loaded.',
    [],
    ({ server }) => [[server.configuration.ageSeconds]],
  ),
  gauge(
    'configuration_reload_failed',
    '1 when the last reload was refused and the older configuration runs on.',
    [],
    ({ server }) => [[Number(server.configuration.lastReloadFailed)]],
  ),
  gauge(
    'drill_running',
    '1 while an outage is rehearsed: alerts about it may be silenced.',
    [],
    ({ drill }) => [[Number(drill.isRunning)]],
  ),
  gauge(
    'state_locked',
    '1 while this process holds the lock of the state directory; 0: another one does, and nothing is written.',
    [],
    ({ state }) => [[Number(state.isOurs)]],
  ),
  gauge('state_generation', 'Generation of the state file.', [], ({ state }) => [[state.generation]]),
  gauge(
    'state_saved_age_seconds',
    'Seconds since the state was last written by this process.',
    [],
    ({ state }) => (state.savedAgeSeconds === undefined ? [] : [[state.savedAgeSeconds]]),
  ),
  gauge('state_pending', '1 while something is not on disk yet.', [], ({ state }) => [
    [Number(state.isPending)],
  ]),
  counter('state_save_failures', 'Saves of the endpoints that failed.', [], ({ state }) => [
    [state.saveFailures],
  ]),
  counter('retained_save_failures', 'Saves of the retained answers that failed.', [], ({ state }) => [
    [state.retained.saveFailures],
  ]),
  gauge(
    'cache_snapshot_age_seconds',
    'Seconds since the answer cache was last written to disk by this process.',
    [],
    ({ state }) => (state.snapshot.ageSeconds === undefined ? [] : [[state.snapshot.ageSeconds]]),
  ),
  gauge('cache_snapshot_answers', 'Answers in the last snapshot of the cache.', [], ({ state }) =>
    state.snapshot.answers === undefined ? [] : [[state.snapshot.answers]],
  ),
  counter('cache_snapshot_failures', 'Snapshots of the answer cache that failed.', [], ({ state }) => [
    [state.snapshot.writeFailures],
  ]),
  counter('ledger_events', 'Events of this process by what became of them.', ['result'], ({ state }) => [
    [state.ledger.written, 'written'],
    [state.ledger.lost, 'lost'],
  ]),
  counter('ledger_write_failures', 'Attempts to write the ledger that failed.', [], ({ state }) => [
    [state.ledger.failures],
  ]),
  counter(
    'log_lines_dropped',
    'Log lines that were dropped. full: the destination took nothing until the buffer was full; failed: a write failed.',
    ['reason'],
    ({ process: { log } }) => Object.entries(log.dropped).map(([reason, value]): Sample => [value, reason]),
  ),
  counter(
    'background_failures',
    'Work in the background that was cut short by a defect, by kind of work; please report the log line.',
    ['kind'],
    ({ process: { backgroundFailures } }) =>
      Object.entries(backgroundFailures).map(([kind, value]): Sample => [value, kind]),
  ),
];

export const METRICS: readonly Metric[] = [
  ...ENDPOINT_METRICS,
  ...QUERY_METRICS,
  ...RETAINED_METRICS,
  ...PATH_METRICS,
  ...SERVER_METRICS,
];
