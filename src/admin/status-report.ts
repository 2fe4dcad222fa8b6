/** The one report that `/status`, `/metrics` and the CLI are made from. Ages are seconds; absent means never. */
import * as z from 'zod';

const counts = z.record(z.string(), z.number());
const age = z.number().optional();

const source = z.object({
  source: z.string(),
  latest: z.enum(['untried', 'succeeded', 'failed']),
  /** Since the source last confirmed what it lists, restarts included. */
  ageSeconds: age,
  lastFailure: z.object({ reason: z.string(), detail: z.string(), ageSeconds: z.number() }).optional(),
  nextAttemptInSeconds: z.number().optional(),
  addresses: z.array(z.string()).optional(),
  /** What it lists was found by a description that is not the exact one. */
  isDoubtful: z.boolean().optional(),
  /** Refreshes of this process by result. */
  refreshes: counts,
  durationSecondsSum: z.number(),
});

const endpoint = z.object({
  cluster: z.string(),
  region: z.string().optional(),
  /** As EKS gives it, where it gives one: `aws eks get-token --cluster-id` wants it. */
  clusterId: z.string().optional(),
  endpoint: z.string().optional(),
  /** The name that DescribeCluster says, where another one is configured. */
  describedEndpoint: z.string().optional(),
  basis: z.string(),
  ttlSeconds: z.number(),
  lastRefreshFailed: z.boolean(),
  addresses: z.array(
    z.object({
      address: z.string(),
      isDead: z.boolean(),
      seenBy: z.array(z.string()),
      /** EC2's status of its interface, where that is not `in-use`. */
      interfaceStatus: z.string().optional(),
      /** Since EC2's listing lacks it. */
      lackedAgeSeconds: age,
    }),
  ),
  changedAgeSeconds: age,
  /** Since any source last confirmed the addresses. */
  confirmedAgeSeconds: age,
  sources: z.array(source),
  held: z.object({ addresses: z.array(z.string()), reason: z.string(), ageSeconds: z.number() }).optional(),
  disagreement: z.boolean(),
  likelyCause: z.string().optional(),
  refusedAddresses: z.array(z.string()),
  /** Whether AWS takes the credentials, apart from whether it can be reached; absent where nothing is asked of AWS. */
  credentials: z
    .object({
      condition: z.enum(['unknown', 'accepted', 'missing', 'expired', 'refused']),
      detail: z.string(),
      ageSeconds: z.number(),
    })
    .optional(),
  warnings: z.array(z.string()),
});

const upstream = z.object({
  upstream: z.string(),
  isHealthy: z.boolean(),
  rttSeconds: z.number().optional(),
  inFlight: z.number(),
  exchanges: counts,
  failures: counts,
  mismatched: z.number(),
  isLooping: z.boolean(),
  /** Names and suffixes that it fails for while it answers others, and some of them. */
  cutNames: z.number(),
  cutExamples: z.array(z.string()),
});

const retained = z.object({
  name: z.string(),
  type: z.string(),
  state: z.enum(['fresh', 'stale', 'denied', 'unknown']),
  /** Since an upstream last gave the answer that is kept. */
  confirmedAgeSeconds: age,
  /** Since when an upstream repeats a denial, or an empty answer, that is not believed. */
  doubtedAgeSeconds: z.number().optional(),
  lastFailure: z.object({ detail: z.string(), ageSeconds: z.number() }).optional(),
  nextAttemptInSeconds: z.number().optional(),
  asked: z.number(),
  failed: z.number(),
  /** Denials and empty answers that were not believed, so that the good answer before them was given. */
  denialsIgnored: z.number(),
});

const linkState = z.object({
  condition: z.enum(['unknown', 'connected', 'degraded', 'disconnected', 'recovering']),
  reason: z.string(),
  ageSeconds: z.number(),
});

export const statusReport = z.object({
  server: z.object({
    version: z.string(),
    runtime: z.string(),
    startedAt: z.string(),
    uptimeSeconds: z.number(),
    ready: z.boolean(),
    /** One sentence for each reason; empty when ready. */
    notReady: z.array(z.string()),
    listening: z.array(z.object({ address: z.string(), udp: z.string() })),
    configuration: z.object({ ageSeconds: z.number(), lastReloadFailed: z.boolean() }),
  }),
  link: z.object({
    summary: linkState,
    paths: z.array(linkState.extend({ side: z.enum(['aws', 'upstream']), key: z.string() })),
  }),
  endpoints: z.array(endpoint),
  upstreams: z.array(upstream),
  forwarding: z.object({
    inFlight: z.number(),
    coalesced: z.number(),
    failedFast: z.number(),
    /** By reason: limit, network, suffix. */
    overloaded: counts,
    /** Names of endpoints that two upstreams answer differently. */
    differences: z.array(
      z.object({ name: z.string(), opinions: z.array(z.object({ upstream: z.string(), says: z.string() })) }),
    ),
  }),
  /** Names that are kept through an outage, one for each name and type: those that need somebody first, a hundred at most. */
  retained: z.array(retained),
  /** Counts of all of them, those not listed too. */
  retainedInAll: z.object({
    fresh: z.number(),
    stale: z.number(),
    denied: z.number(),
    unknown: z.number(),
    asked: z.number(),
    failed: z.number(),
    denialsIgnored: z.number(),
    oldestConfirmedAgeSeconds: age,
  }),
  /** A rehearsed outage. */
  drill: z.object({ isRunning: z.boolean(), endsInSeconds: z.number().optional() }),
  queries: z.object({
    received: counts,
    replies: counts,
    /** By the step of the resolver that answered. */
    answers: counts,
    rcodes: counts,
    dropped: counts,
    limited: counts,
    faults: counts,
    sendErrors: counts,
    connections: counts,
    pending: z.number(),
  }),
  cache: z.object({
    entries: z.number(),
    octets: z.number(),
    limitOctets: z.number(),
    evictions: z.number(),
    prefetches: z.number(),
  }),
  state: z.object({
    directory: z.string(),
    generation: z.number(),
    isPending: z.boolean(),
    savedAgeSeconds: age,
    saveFailures: z.number(),
    failure: z.string().optional(),
    faults: z.array(z.string()),
    /** Whether this process holds the lock of the directory; without it nothing is written. */
    isOurs: z.boolean(),
    retained: z.object({
      saveFailures: z.number(),
      failure: z.string().optional(),
      /** Answers for which the file has no room. */
      leftOut: z.number().optional(),
    }),
    /** The answer cache as it is on disk. */
    snapshot: z.object({
      answers: z.number().optional(),
      octets: z.number().optional(),
      ageSeconds: age,
      loadedAnswers: z.number().optional(),
      writeFailures: z.number(),
      failure: z.string().optional(),
    }),
    ledger: z.object({
      written: z.number(),
      lost: z.number(),
      failures: z.number(),
      failure: z.string().optional(),
    }),
  }),
  /** What goes wrong in this process without a query noticing. */
  process: z.object({
    log: z.object({ dropped: counts, failure: z.string().optional() }),
    /** By work; a work that never failed is absent. */
    backgroundFailures: counts,
  }),
});

export type StatusReport = z.infer<typeof statusReport>;
export type EndpointReport = StatusReport['endpoints'][number];
export type RetainedReport = StatusReport['retained'][number];
export type UpstreamReport = StatusReport['upstreams'][number];
