import type { Page } from '../../src/admin/http-server.ts';
import { joiningPanels } from '../../src/admin/pages.ts';
import { ROOM_REPORTS, type StatusReport } from '../../src/daemon/report.ts';
import type { Panel, RoomReport } from '../../src/report/report.ts';
import { atOnce } from '../../src/runtime/slices.ts';

export type RetainedReport = StatusReport['retained'][number];
type EndpointReport = StatusReport['endpoints'][number];

const registry: RetainedReport = {
  name: 'registry.example',
  type: 'A',
  state: 'fresh',
  confirmedAgeSeconds: 30,
  nextAttemptInSeconds: 200,
  asked: 9,
  failed: 2,
  denialsIgnored: 4,
};

/** Of these and no others. */
function totals(retained: readonly RetainedReport[]): StatusReport['retainedInAll'] {
  const all = { fresh: 0, stale: 0, denied: 0, unknown: 0, asked: 0, failed: 0, denialsIgnored: 0 };
  let oldest = -1;
  for (const { state, asked, failed, denialsIgnored, confirmedAgeSeconds = -1 } of retained) {
    all[state]++;
    all.denialsIgnored += denialsIgnored;
    all.asked += asked;
    all.failed += failed;
    oldest = Math.max(oldest, confirmedAgeSeconds);
  }
  return { ...all, ...(oldest < 0 ? {} : { oldestConfirmedAgeSeconds: oldest }) };
}

const NO_LATEST = { queriesPerSecond: null, hitRatio: null, upstreamSeconds: null, link: null };
const NO_FIGURES = { queriesPerSecond: [], hitRatio: [], upstreamSeconds: [], link: [] };

/** A server that is ready: one cluster with two sources, two upstreams. Parts of it are replaced by tests. */
export function report(parts: Partial<StatusReport> = {}): StatusReport {
  const { retained = [registry] } = parts;
  return {
    server: {
      version: '0.2.0',
      runtime: 'node 26.10.0',
      startedAt: '2026-01-01T00:00:00.000Z',
      uptimeSeconds: 7300,
      ready: true,
      notReady: [],
      listening: [{ address: '127.0.0.1:5300', udp: 'plain' }],
      configuration: { ageSeconds: 7300, lastReloadFailed: false },
    },
    trend: { hours: NO_FIGURES, days: NO_FIGURES, latest: NO_LATEST },
    link: {
      summary: { condition: 'connected', reason: 'answer', ageSeconds: 300 },
      paths: [
        { side: 'aws', key: 'us-west-2', condition: 'connected', reason: 'answer', ageSeconds: 300 },
        {
          side: 'upstream',
          key: '10.0.0.2:53',
          condition: 'unknown',
          reason: 'nothing yet',
          ageSeconds: 7300,
        },
      ],
    },
    outposts: [],
    endpoints: [endpoint()],
    upstreams: [
      {
        upstream: '10.0.0.2:53',
        isHealthy: true,
        rttSeconds: 0.0123,
        inFlight: 2,
        exchanges: { udp: 10, tcp: 1, tls: 0 },
        failures: { timeout: 3 },
        unhelpful: { SERVFAIL: 6, REFUSED: 0, referral: 0 },
        mismatched: 4,
        isLooping: false,
        isLate: false,
        isUnsteady: false,
        dropsEdns: false,
        cutNames: 0,
        cutFailures: [],
        cutExamples: [],
      },
      {
        upstream: 'tls://9.9.9.9:853#dns.quad9.net',
        isHealthy: false,
        inFlight: 0,
        exchanges: { udp: 0, tcp: 0, tls: 5 },
        failures: {},
        unhelpful: {},
        mismatched: 0,
        isLooping: true,
        isLate: false,
        isUnsteady: false,
        dropsEdns: false,
        cutNames: 4,
        cutExamples: ['example.com', 'a.example.net', 'b.example.net'],
        cutFailures: [
          { name: 'example.com', failure: 'SERVFAIL' },
          { name: 'a.example.net', failure: 'REFUSED' },
          { name: 'b.example.net', failure: 'no reply in time' },
        ],
      },
    ],
    forwarding: {
      inFlight: 7,
      coalesced: 8,
      failedFast: 9,
      overloaded: { limit: 1, network: 2, suffix: 3 },
      differences: [],
    },
    retained,
    retainedInAll: totals(retained),
    drill: { isRunning: false },
    queries: {
      received: { udp: 100, tcp: 7 },
      replies: { udp: 99, tcp: 6 },
      answers: { endpoint: 50, cache_fresh: 20 },
      rcodes: { NOERROR: 90, NXDOMAIN: 15 },
      dropped: { short: 1 },
      limited: { prohibited: 2 },
      faults: { handler: 0 },
      sendErrors: { unreachable: 1 },
      connections: { accepted: 7 },
      pending: 3,
    },
    cache: {
      entries: 12,
      octets: 3_145_728,
      hits: 30,
      staleHits: 1,
      misses: 14,
      limitOctets: 67_108_864,
      evictions: 5,
      prefetches: 6,
    },
    state: {
      directory: '/var/lib/outpost-dns',
      generation: 42,
      isPending: false,
      savedAgeSeconds: 3,
      saveFailures: 1,
      faults: [],
      isOurs: true,
      retained: { saveFailures: 0 },
      snapshot: { answers: 12, octets: 3456, ageSeconds: 20, loadedAnswers: 12, writeFailures: 0 },
      ledger: { written: 3, lost: 0, failures: 0 },
    },
    process: { log: { dropped: { failed: 0, full: 0 } }, backgroundFailures: {}, threadsNotEnded: 0 },
    ...parts,
  };
}

export function endpoint(parts: Partial<EndpointReport> = {}): EndpointReport {
  return {
    cluster: 'my-cluster',
    region: 'us-west-2',
    endpoint: 'abc.gr7.us-west-2.eks.amazonaws.com',
    describedEndpoint: 'def.gr7.us-west-2.eks.amazonaws.com',
    basis: 'name',
    ttlSeconds: 60,
    lastRefreshFailed: false,
    endings: [],
    silentSources: [],
    addresses: [
      { address: '10.0.1.10', isDead: false, seenBy: ['dns', 'interfaces'] },
      { address: '10.0.1.11', isDead: true, seenBy: ['dns'] },
    ],
    changedAgeSeconds: 86_400 * 5,
    confirmedAgeSeconds: 30,
    sources: [
      {
        source: 'dns',
        latest: 'succeeded',
        ageSeconds: 30,
        nextAttemptInSeconds: 14.6,
        addresses: ['10.0.1.10', '10.0.1.11'],
        refreshes: { success: 12, timeout: 1 },
        lateResults: 1,
        unsettled: 0,
        durationSecondsSum: 1.5,
      },
      {
        source: 'interfaces',
        isDoubtful: true,
        latest: 'failed',
        lastFailure: { reason: 'denied', detail: 'list interfaces: "AccessDenied"', ageSeconds: 240 },
        refreshes: { denied: 2 },
        lateResults: 0,
        unsettled: 0,
        durationSecondsSum: 0.25,
      },
    ],
    disagreement: true,
    likelyCause: 'public-access',
    refusedAddresses: ['8.8.8.8'],
    credentials: { condition: 'expired', detail: 'aws answered 403 "ExpiredToken"', ageSeconds: 600 },
    withheld: [],
    warnings: [],
    ...parts,
  };
}

/** `report()` with other facts about the server itself. */
export function serverReport(server: Partial<StatusReport['server']>): StatusReport {
  const whole = report();
  return { ...whole, server: { ...whole.server, ...server } };
}

/** As the page and the terminal get it. */
export function panelsOf(of: StatusReport): readonly Panel[] {
  const panels = ROOM_REPORTS.flatMap((room: RoomReport<StatusReport>) => [...room.panels(of)]);
  return atOnce(joiningPanels(panels));
}

/** The text of a page, or of pieces of one. */
export function textOf(body: Page['body']): string {
  return typeof body === 'string' ? body : Buffer.concat(body).toString();
}
