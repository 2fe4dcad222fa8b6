/** Reports the state of the forwarder: its upstreams, and its pending questions. */
import {
  byLabel,
  type Cell,
  metricsOf,
  optionalSeconds,
  type RoomReport,
  type Sample,
  single,
  toned,
} from '../../report/report.ts';
import type { Steps } from '../../runtime/slices.ts';
import type { ForwarderSnapshot } from './forwarder.ts';
import type { Difference } from './own-questions.ts';
import type { UpstreamSnapshot } from './upstream-client.ts';

export interface ForwarderStatus {
  readonly upstreams: readonly UpstreamStatus[];
  readonly forwarding: {
    readonly inFlight: number;
    readonly coalesced: number;
    readonly failedFast: number;
    /** By reason: limit, network, suffix. */
    readonly overloaded: Readonly<Record<string, number>>;
    /** Names of endpoints that two upstreams answer differently. */
    readonly differences: readonly Difference[];
  };
}

interface UpstreamStatus {
  readonly upstream: string;
  readonly isHealthy: boolean;
  readonly downBecause?: string;
  readonly rttSeconds?: number;
  readonly inFlight: number;
  /** By transport. */
  readonly exchanges: Readonly<Record<string, number>>;
  /** Counts by reason. */
  readonly failures: Readonly<Record<string, number>>;
  readonly mismatched: number;
  readonly isLooping: boolean;
  readonly isLate: boolean;
  /** Names and suffixes that it fails for while it answers others, and some of them. */
  readonly cutNames: number;
  readonly cutExamples: readonly string[];
}

/** Upstreams that one step describes. */
const UPSTREAMS_PER_STEP = 32;

/** In steps, because there may be thousands of upstreams. */
export function* forwarderStatus(snapshot: ForwarderSnapshot): Steps<ForwarderStatus> {
  const { upstreams, inFlight, coalesced, failedFast, overloaded, differences } = snapshot;
  const described: UpstreamStatus[] = [];
  for (const one of upstreams) {
    described.push(upstreamStatus(one));
    if (described.length % UPSTREAMS_PER_STEP === 0) yield;
  }
  return {
    upstreams: described,
    forwarding: { inFlight, coalesced, failedFast, overloaded, differences },
  };
}

/** The latest ones: enough to see what they have in common. */
const CUT_EXAMPLES = 3;

function upstreamStatus(one: UpstreamSnapshot): UpstreamStatus {
  const { upstream, inFlight, exchanges, failures, mismatched, isLooping, isLate } = one;
  return {
    upstream,
    isHealthy: one.isUp,
    ...(one.downBecause === undefined ? {} : { downBecause: one.downBecause }),
    rttSeconds: optionalSeconds(one.rttMs),
    inFlight,
    exchanges,
    failures,
    mismatched,
    isLooping,
    isLate,
    cutNames: one.cut.length,
    cutExamples: one.cut.slice(-CUT_EXAMPLES),
  };
}

export function differenceText({ name, opinions: [first, second] }: Difference): string {
  return `upstreams differ about ${name}: "${first.upstream}" says ${first.says}, "${second.upstream}" says ${second.says}`;
}

const { gauge, counter } = metricsOf<ForwarderStatus>();

function ofUpstreams(value: (upstream: UpstreamStatus) => number | undefined) {
  return function* ({ upstreams }: ForwarderStatus): Iterable<Sample> {
    for (const one of upstreams) {
      const found = value(one);
      if (found !== undefined) yield [found, one.upstream];
    }
  };
}

function countsOfUpstreams(counts: (upstream: UpstreamStatus) => Readonly<Record<string, number>>) {
  return function* ({ upstreams }: ForwarderStatus): Iterable<Sample> {
    for (const one of upstreams)
      for (const [label, value] of Object.entries(counts(one))) yield [value, one.upstream, label];
  };
}

const UPSTREAM = ['upstream'];

export const FORWARDER_REPORT: RoomReport<ForwarderStatus> = {
  metrics: [
    gauge(
      'upstream_healthy',
      '1 while the upstream answers.',
      UPSTREAM,
      ofUpstreams((one) => Number(one.isHealthy)),
    ),
    gauge(
      'upstream_rtt_seconds',
      'Smoothed round-trip time; absent when never measured.',
      UPSTREAM,
      ofUpstreams((one) => one.rttSeconds),
    ),
    gauge(
      'upstream_in_flight',
      'Exchanges under way.',
      UPSTREAM,
      ofUpstreams((one) => one.inFlight),
    ),
    gauge(
      'upstream_looping',
      '1 when our own query came back from it: it forwards to us.',
      UPSTREAM,
      ofUpstreams((one) => Number(one.isLooping)),
    ),
    gauge(
      'upstream_cut_names',
      'Names and suffixes that the upstream fails for while it answers others; the rules for an outage hold for them.',
      UPSTREAM,
      ofUpstreams((one) => one.cutNames),
    ),
    counter(
      'upstream_mismatched_replies',
      'Replies that matched no exchange (RFC 5452): strays or forgeries.',
      UPSTREAM,
      ofUpstreams((one) => one.mismatched),
    ),
    counter(
      'upstream_exchanges',
      'Exchanges begun.',
      ['upstream', 'transport'],
      countsOfUpstreams((one) => one.exchanges),
    ),
    counter(
      'upstream_failures',
      'Exchanges that failed, by reason.',
      ['upstream', 'reason'],
      countsOfUpstreams((one) => one.failures),
    ),
    gauge('forward_in_flight', 'Questions on their way to upstreams.', [], ({ forwarding }) =>
      single(forwarding.inFlight),
    ),
    counter(
      'forward_coalesced',
      'Questions that joined an identical question on its way.',
      [],
      ({ forwarding }) => single(forwarding.coalesced),
    ),
    counter(
      'forward_failed_fast',
      'Questions that failed at once, because no upstream answers for the name.',
      [],
      ({ forwarding }) => single(forwarding.failedFast),
    ),
    counter(
      'forward_overloaded',
      'Questions that failed because too many were on their way: no place was left (limit), or the oldest of the largest network, or of a suffix with half of all, gave way.',
      ['reason'],
      ({ forwarding }) => byLabel(forwarding.overloaded),
    ),
    gauge(
      'forward_differences',
      'Names of endpoints that two upstreams answer differently; status says which and how.',
      [],
      ({ forwarding }) => single(forwarding.differences.length),
    ),
  ],
  panels: ({ upstreams }) => {
    const shown = mostUrgent(upstreams);
    const left = upstreams.length - shown.length;
    return [
      {
        title: 'Upstreams',
        head: ['upstream', 'state', 'round trip', 'in flight'],
        rows: shown.map((one) => [
          one.upstream,
          stateOf(one),
          one.rttSeconds === undefined ? '-' : `${Number((one.rttSeconds * 1000).toPrecision(2))} ms`,
          one.inFlight,
        ]),
        ...(left > 0 && { rest: `and ${left} more upstreams: /status lists all` }),
      },
    ];
  },
};

/** Rows of the panel: a person reads no more, and a panel is made in one turn of the loop. */
const MOST_SHOWN = 200;

/** Upstreams in their order; where there are too many to show, first those that do not answer everything. */
function mostUrgent(upstreams: readonly UpstreamStatus[]): readonly UpstreamStatus[] {
  if (upstreams.length <= MOST_SHOWN) return upstreams;
  const [troubled, well]: [UpstreamStatus[], UpstreamStatus[]] = [[], []];
  for (const one of upstreams) {
    const isWell = one.isHealthy && !one.isLooping && !one.isLate && one.cutNames === 0;
    (isWell ? well : troubled).push(one);
    if (troubled.length === MOST_SHOWN) break;
  }
  return [...troubled, ...well].slice(0, MOST_SHOWN);
}

function stateOf(one: UpstreamStatus): Cell {
  const { isHealthy, downBecause, isLooping, isLate, cutNames, cutExamples } = one;
  if (isLooping) return toned('bad', 'loops back to this server');
  if (!isHealthy) return toned('bad', downBecause === undefined ? 'down' : `down: ${downBecause}`);
  if (isLate) return toned('doubtful', 'up, but its answers come late: any other is asked first');
  if (cutNames === 0) return toned('good', 'up');
  const more = cutNames > cutExamples.length ? ` and ${cutNames - cutExamples.length} more` : '';
  return toned('doubtful', `up, but not for ${cutExamples.join(', ')}${more}`);
}
