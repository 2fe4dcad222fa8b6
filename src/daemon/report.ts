/** The rooms' own figures brought into the one report that status, metrics and the CLI read. */
import type { EndpointReport, RetainedReport, StatusReport, UpstreamReport } from '../admin/status-report.ts';
import type { LinkMonitor } from '../link/link-monitor.ts';
import type { LogState } from '../log/line-queue.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { ClusterSnapshot, SourceSnapshot } from '../refresh/cluster-report.ts';
import type { RefreshSnapshot } from '../refresh/refresh-plane.ts';
import type { RetainedSnapshot, RetainedTotals } from '../refresh/retained/retained-report.ts';
import { backgroundFailures } from '../runtime/background.ts';
import type { Clock } from '../runtime/clock.ts';
import type { AnswerCacheStats } from '../serving/answer-cache/answer-cache.ts';
import {
  COUNT_MEANINGS,
  type CountMeaning,
  type CountName,
  type ResolverCounters,
} from '../serving/counters.ts';
import type { ForwarderSnapshot } from '../serving/forwarder/forwarder.ts';
import type { Difference } from '../serving/forwarder/own-questions.ts';
import type { UpstreamSnapshot } from '../serving/forwarder/upstream-client.ts';
import type { Intake } from '../serving/listener/intake.ts';
import { formatListenAddress } from '../serving/listener/listen-address.ts';
import type { ListeningOn } from '../serving/listener/listeners.ts';
import type { SnapshotState } from '../store/answers-snapshot.ts';
import type { LedgerState } from '../store/ledger.ts';
import type { Claim } from '../store/state-directory.ts';
import type { StoreState } from '../store/state-store.ts';
import { notReady } from './readiness.ts';

export interface ReportParts {
  readonly clock: Clock;
  readonly version: string;
  readonly runtime: string;
  readonly startedMs: number;
  readonly configuration: { readonly loadedMs: number; readonly lastReloadFailed: boolean };
  readonly stateDirectory: string;
  readonly stateFaults: readonly string[];
  /** Whose the state directory is. */
  readonly claim: Claim | undefined;
  readonly cacheLimitOctets: number;
  readonly link: LinkMonitor;
  readonly refresh: RefreshSnapshot;
  /** The records that queries are answered from. */
  readonly served: readonly EndpointRecord[];
  readonly forwarder: ForwarderSnapshot;
  readonly cache: AnswerCacheStats;
  readonly intake: Intake;
  readonly counters: ResolverCounters;
  readonly listening: readonly ListeningOn[];
  readonly store: StoreState;
  readonly retained: RetainedSnapshot;
  readonly retainedStore: StoreState;
  readonly answers: SnapshotState;
  readonly ledger: LedgerState;
  readonly log: LogState;
  /** Until a drill ends; absent where none runs. */
  readonly drillEndsInMs: number | undefined;
}

export function composeReport(parts: ReportParts): StatusReport {
  const nowMs = parts.clock.monotonicMs();
  const reasons = notReady(parts.refresh.clusters, parts.served);
  const uptimeSeconds = seconds(nowMs - parts.startedMs);
  const { summary, paths } = parts.link.current();
  return {
    server: {
      version: parts.version,
      runtime: parts.runtime,
      startedAt: new Date(parts.clock.wallMs() - uptimeSeconds * 1000).toISOString(),
      uptimeSeconds,
      ready: reasons.length === 0,
      notReady: [...reasons],
      listening: parts.listening.map((one) => ({ address: formatListenAddress(one), udp: one.udp })),
      configuration: {
        ageSeconds: seconds(nowMs - parts.configuration.loadedMs),
        lastReloadFailed: parts.configuration.lastReloadFailed,
      },
    },
    link: {
      summary: {
        condition: summary.condition,
        reason: summary.reason,
        ageSeconds: seconds(nowMs - summary.sinceMs),
      },
      paths: paths.map(({ side, key, condition, reason, sinceMs }) => ({
        side,
        key,
        condition,
        reason,
        ageSeconds: seconds(nowMs - sinceMs),
      })),
    },
    endpoints: parts.refresh.clusters.map((cluster) => endpointReport(cluster, parts.forwarder.differences)),
    upstreams: parts.forwarder.upstreams.map(upstreamReport),
    forwarding: forwardingReport(parts.forwarder),
    retained: parts.retained.questions.map(retainedReport),
    retainedInAll: retainedTotals(parts.retained.all),
    drill: {
      isRunning: parts.drillEndsInMs !== undefined,
      endsInSeconds: optionalSeconds(parts.drillEndsInMs),
    },
    queries: queryReport(parts),
    cache: { ...parts.cache, limitOctets: parts.cacheLimitOctets },
    state: stateReport(parts),
    process: {
      log: { dropped: { ...parts.log.dropped }, failure: parts.log.failure },
      backgroundFailures: backgroundFailures(),
    },
  };
}

function endpointReport(snapshot: ClusterSnapshot, differences: readonly Difference[]): EndpointReport {
  const { held, credentials } = snapshot;
  return {
    cluster: snapshot.cluster,
    region: snapshot.region,
    clusterId: snapshot.details?.id,
    endpoint: snapshot.endpoint,
    describedEndpoint: snapshot.describedEndpoint,
    basis: snapshot.basis,
    ttlSeconds: snapshot.ttlSeconds,
    lastRefreshFailed: snapshot.lastRefreshFailed,
    addresses: snapshot.addresses.map(({ address, isDead, provenance, interfaceStatus, lackedAgoMs }) => ({
      address,
      isDead,
      seenBy: Object.keys(provenance),
      interfaceStatus,
      lackedAgeSeconds: optionalSeconds(lackedAgoMs),
    })),
    changedAgeSeconds: optionalSeconds(snapshot.changedAgoMs),
    confirmedAgeSeconds: optionalSeconds(snapshot.confirmedAgoMs),
    sources: snapshot.sources.map(sourceReport),
    held: held && {
      addresses: [...held.addresses],
      reason: held.reason,
      ageSeconds: seconds(held.heldForMs),
    },
    disagreement: snapshot.disagreement !== undefined,
    likelyCause: snapshot.likelyCause,
    refusedAddresses: snapshot.refused.map(({ address }) => address),
    credentials: credentials && {
      condition: credentials.condition,
      detail: credentials.detail,
      ageSeconds: seconds(credentials.sinceAgoMs),
    },
    warnings: [...snapshot.warnings, ...differences.filter(isAbout(snapshot)).map(differenceText)],
  };
}

function sourceReport(source: SourceSnapshot): EndpointReport['sources'][number] {
  const { lastFailure } = source;
  return {
    source: source.source,
    latest: source.latest,
    ageSeconds: optionalSeconds(source.lastSuccessAgoMs),
    lastFailure: lastFailure && {
      reason: lastFailure.reason,
      detail: lastFailure.detail,
      ageSeconds: seconds(lastFailure.agoMs),
    },
    nextAttemptInSeconds: optionalSeconds(source.nextAttemptInMs),
    addresses: source.addresses && [...source.addresses],
    isDoubtful: source.isDoubtful,
    refreshes: { ...source.stats.refreshes },
    durationSecondsSum: seconds(source.stats.durationMsSum),
  };
}

function isAbout({ endpoint, describedEndpoint }: ClusterSnapshot): (difference: Difference) => boolean {
  return ({ name }) => name === endpoint || name === describedEndpoint;
}

function differenceText({ name, opinions: [one, other] }: Difference): string {
  return `upstreams differ about ${name}: "${one.upstream}" says ${one.says}, "${other.upstream}" says ${other.says}`;
}

function forwardingReport(forwarder: ForwarderSnapshot): StatusReport['forwarding'] {
  const { inFlight, coalesced, failedFast, overloaded, differences } = forwarder;
  return {
    inFlight,
    coalesced,
    failedFast,
    overloaded: { ...overloaded },
    differences: differences.map(({ name, opinions }) => ({
      name,
      opinions: opinions.map((opinion) => ({ ...opinion })),
    })),
  };
}

/** The latest ones: enough to see what they have in common. */
const CUT_EXAMPLES = 3;

function upstreamReport(upstream: UpstreamSnapshot): UpstreamReport {
  return {
    upstream: upstream.upstream,
    isHealthy: upstream.isUp,
    rttSeconds: optionalSeconds(upstream.rttMs),
    inFlight: upstream.inFlight,
    exchanges: { ...upstream.exchanges },
    failures: { ...upstream.failures },
    mismatched: upstream.mismatched,
    isLooping: upstream.isLooping,
    cutNames: upstream.cut.length,
    cutExamples: upstream.cut.slice(-CUT_EXAMPLES),
  };
}

function retainedReport({
  name,
  type,
  state,
  confirmedAgoMs,
  doubtedAgoMs,
  lastFailure,
  nextAttemptInMs,
  stats,
}: RetainedSnapshot['questions'][number]): RetainedReport {
  return {
    name,
    type,
    state,
    confirmedAgeSeconds: optionalSeconds(confirmedAgoMs),
    doubtedAgeSeconds: optionalSeconds(doubtedAgoMs),
    lastFailure: lastFailure && { detail: lastFailure.detail, ageSeconds: seconds(lastFailure.agoMs) },
    nextAttemptInSeconds: optionalSeconds(nextAttemptInMs),
    ...stats,
  };
}

function retainedTotals({ oldestAgoMs, ...counts }: RetainedTotals): StatusReport['retainedInAll'] {
  return { ...counts, oldestConfirmedAgeSeconds: optionalSeconds(oldestAgoMs) };
}

function queryReport({ intake, counters }: ReportParts): StatusReport['queries'] {
  const { origins, rcodes } = counters.read();
  const of = (metric: CountMeaning['metric']) =>
    Object.fromEntries(
      Object.entries(COUNT_MEANINGS)
        .filter(([, meaning]) => meaning.metric === metric)
        // the assertion: entries() forgets that the keys are those of COUNT
        .map(([name, { label }]) => [label, intake.counters.get(name as CountName)]),
    );
  return {
    received: of('received'),
    replies: of('replies'),
    answers: origins,
    rcodes,
    dropped: of('dropped'),
    limited: of('limited'),
    faults: of('faults'),
    sendErrors: of('sendErrors'),
    connections: of('connections'),
    pending: intake.pending,
  };
}

function stateReport(parts: ReportParts): StatusReport['state'] {
  const { store, clock } = parts;
  return {
    directory: parts.stateDirectory,
    generation: store.generation,
    isPending: store.pending,
    savedAgeSeconds:
      store.lastSavedMs === undefined ? undefined : seconds(clock.monotonicMs() - store.lastSavedMs),
    saveFailures: store.failures,
    failure: store.lastFailure?.detail,
    faults: [...parts.stateFaults, ...claimFaults(parts.claim)],
    isOurs: parts.claim?.kind === 'ours',
    retained: {
      saveFailures: parts.retainedStore.failures,
      failure: parts.retainedStore.lastFailure?.detail,
      leftOut: parts.retainedStore.leftOut,
    },
    snapshot: snapshotReport(parts),
    ledger: {
      written: parts.ledger.written,
      lost: parts.ledger.lost,
      failures: parts.ledger.failures,
      failure: parts.ledger.lastFailure?.detail,
    },
  };
}

function claimFaults(claim: Claim | undefined): readonly string[] {
  if (claim?.kind === 'taken')
    return [`nothing is written, because another process keeps its state here: ${claim.detail}`];
  return claim?.doubt === undefined ? [] : [`the state directory cannot be locked: ${claim.doubt}`];
}

function snapshotReport({ answers, clock }: ReportParts): StatusReport['state']['snapshot'] {
  const { loaded, lastWrite, writtenAtMs, writeFailures, lastFailure } = answers;
  return {
    answers: lastWrite?.answers,
    octets: lastWrite?.octets,
    ageSeconds: writtenAtMs === undefined ? undefined : seconds(clock.monotonicMs() - writtenAtMs),
    loadedAnswers: loaded?.verdicts.kept,
    writeFailures,
    failure: lastFailure?.detail,
  };
}

/** Whole milliseconds as seconds; a clock that was set back makes no negative age. */
function seconds(ms: number): number {
  return Math.max(0, Math.round(ms) / 1000);
}

function optionalSeconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : seconds(ms);
}
