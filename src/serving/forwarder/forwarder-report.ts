/** What an operator sees of the forwarder: its log lines, and the report of its upstreams and pending questions. */

import { type Log, messages } from '../../log/log.ts';
import type { UnhelpfulReply } from '../../protocol/wire/response-records.ts';
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
import { type Clock, Spacing, type Timers } from '../../runtime/clock.ts';
import type { Steps } from '../../runtime/slices.ts';
import type { FailureReason, Overload, UpstreamFailure } from './exchange.ts';
import type { CutName } from './suffix-health.ts';

export interface Opinion {
  readonly upstream: string;
  /** Addresses in order of their text, or the answer without any: `NXDOMAIN`, `no addresses`. */
  readonly says: string;
}

/** Two upstreams that answer differently about one name. */
export interface Difference {
  readonly name: string;
  readonly opinions: readonly [Opinion, Opinion];
}

/** The forwarder as plain data, for metrics and status. */
export interface ForwarderSnapshot {
  readonly upstreams: readonly UpstreamSnapshot[];
  /** Pending questions at this moment. */
  readonly inFlight: number;
  /** Questions that joined a pending question. */
  readonly coalesced: number;
  /** Questions that failed because too many were pending: new questions (`limit`), and pending questions that gave way. */
  readonly overloaded: Readonly<Record<Overload, number>>;
  /** Questions that failed at once because no upstream could be asked. */
  readonly failedFast: number;
  /** Names of endpoints that two upstreams answer differently. */
  readonly differences: readonly Difference[];
}

/** One upstream as plain data, for metrics and status. */
export interface UpstreamSnapshot {
  readonly upstream: string;
  readonly isUp: boolean;
  /** Why it is down; `undefined` while it is up. */
  readonly downBecause: string | undefined;
  readonly isLooping: boolean;
  /** Its answers come too late; others are asked first. */
  readonly isLate: boolean;
  /** It goes down and comes back again and again; others are asked first. */
  readonly isUnsteady: boolean;
  /** Smoothed; `undefined` before the first reply. */
  readonly rttMs: number | undefined;
  /** Running attempts, including attempts that wait for a late reply. */
  readonly inFlight: number;
  /** By transport. */
  readonly exchanges: Readonly<Record<string, number>>;
  readonly failures: Readonly<Record<FailureReason, number>>;
  /** Received messages that were no reply to any exchange. */
  readonly mismatched: number;
  readonly unhelpful: Readonly<Record<UnhelpfulReply, number>>;
  readonly truncated: number;
  readonly usesEdns: boolean;
  /** Questions with EDNS get no answer, and the same questions without EDNS do. */
  readonly dropsEdns: boolean;
  /** Names and suffixes for which the upstream fails while it answers for other names. */
  readonly cut: readonly CutName[];
}

export interface ForwarderStatus {
  readonly upstreams: readonly UpstreamStatus[];
  readonly forwarding: Omit<ForwarderSnapshot, 'upstreams'>;
}

type ReportedAsItIs =
  | 'upstream'
  | 'inFlight'
  | 'exchanges'
  | 'mismatched'
  | 'isLooping'
  | 'isLate'
  | 'isUnsteady'
  | 'dropsEdns';

interface UpstreamStatus extends Pick<UpstreamSnapshot, ReportedAsItIs> {
  readonly isHealthy: boolean;
  readonly downBecause?: string;
  readonly rttSeconds?: number;
  /** Counts by reason. */
  readonly failures: Readonly<Record<string, number>>;
  /** Counts by what the reply said. */
  readonly unhelpful: Readonly<Record<string, number>>;
  /** Names and suffixes that it fails for while it answers others, and some of them. */
  readonly cutNames: number;
  readonly cutFailures: readonly CutName[];
  /** The names of `cutFailures`, as version 0.2 had them: it goes with the next release. */
  readonly cutExamples: readonly string[];
}

/** Upstreams that one step describes. */
const UPSTREAMS_PER_STEP = 32;

/** In steps, because there may be thousands of upstreams. */
export function* forwarderStatus(snapshot: ForwarderSnapshot): Steps<ForwarderStatus> {
  const { upstreams, ...forwarding } = snapshot;
  const described: UpstreamStatus[] = [];
  for (const one of upstreams) {
    described.push(upstreamStatus(one));
    if (described.length % UPSTREAMS_PER_STEP === 0) yield;
  }
  return { upstreams: described, forwarding };
}

/** The latest ones: enough to see what they have in common. */
const CUT_EXAMPLES = 3;

function upstreamStatus(one: UpstreamSnapshot): UpstreamStatus {
  const { upstream, inFlight, exchanges, failures, unhelpful, mismatched, isLooping, dropsEdns } = one;
  const cutFailures = one.cut.slice(-CUT_EXAMPLES);
  return {
    upstream,
    isHealthy: one.isUp,
    ...(one.downBecause === undefined ? {} : { downBecause: one.downBecause }),
    rttSeconds: optionalSeconds(one.rttMs),
    inFlight,
    exchanges,
    failures,
    unhelpful,
    mismatched,
    isLooping,
    isLate: one.isLate,
    isUnsteady: one.isUnsteady,
    dropsEdns,
    cutNames: one.cut.length,
    cutFailures,
    cutExamples: cutFailures.map(({ name }) => name),
  };
}

export function differenceText({ name, opinions: [first, second] }: Difference): string {
  return `upstreams differ about ${name}: "${first.upstream}" says ${first.says}, "${second.upstream}" says ${second.says}`;
}

const { gauge, counter } = metricsOf<ForwarderStatus>();

type Value = (upstream: UpstreamStatus) => number | undefined;

/** A metric with one sample for each upstream, for which there is a value. */
function ofUpstreams(metric: typeof gauge, name: string, help: string, value: Value) {
  return metric(name, help, ['upstream'], function* ({ upstreams }): Iterable<Sample> {
    for (const one of upstreams) {
      const found = value(one);
      if (found !== undefined) yield [found, one.upstream];
    }
  });
}

type Counts = 'exchanges' | 'failures' | 'unhelpful';

function countsOfUpstreams(name: string, help: string, label: string, counts: Counts) {
  return counter(name, help, ['upstream', label], function* ({ upstreams }): Iterable<Sample> {
    for (const one of upstreams)
      for (const [labelled, value] of Object.entries(one[counts])) yield [value, one.upstream, labelled];
  });
}

export const FORWARDER_REPORT: RoomReport<ForwarderStatus> = {
  metrics: [
    ofUpstreams(gauge, 'upstream_healthy', '1 while the upstream answers.', (one) => Number(one.isHealthy)),
    ofUpstreams(
      gauge,
      'upstream_rtt_seconds',
      'Smoothed round-trip time; absent when never measured.',
      (one) => one.rttSeconds,
    ),
    ofUpstreams(gauge, 'upstream_in_flight', 'Exchanges under way.', (one) => one.inFlight),
    ofUpstreams(
      gauge,
      'upstream_looping',
      '1 when our own query came back from it: it forwards to us.',
      (one) => Number(one.isLooping),
    ),
    ofUpstreams(
      gauge,
      'upstream_cut_names',
      'Names and suffixes that the upstream fails for while it answers others; the rules for an outage hold for them.',
      (one) => one.cutNames,
    ),
    ofUpstreams(
      counter,
      'upstream_mismatched_replies',
      'Replies that matched no exchange (RFC 5452): strays or forgeries.',
      (one) => one.mismatched,
    ),
    countsOfUpstreams('upstream_exchanges', 'Exchanges begun.', 'transport', 'exchanges'),
    countsOfUpstreams('upstream_failures', 'Exchanges that failed, by reason.', 'reason', 'failures'),
    countsOfUpstreams(
      'upstream_unhelpful_replies',
      'Replies that say nothing about the name: SERVFAIL, REFUSED, and referrals of servers that do not recurse.',
      'reason',
      'unhelpful',
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
    const isWell = one.isHealthy && !one.isLooping && !one.isLate && !one.isUnsteady && one.cutNames === 0;
    (isWell ? well : troubled).push(one);
    if (troubled.length === MOST_SHOWN) break;
  }
  return [...troubled, ...well].slice(0, MOST_SHOWN);
}

function stateOf(one: UpstreamStatus): Cell {
  const { isHealthy, downBecause, isLooping, isLate, isUnsteady, dropsEdns, cutNames, cutFailures } = one;
  if (isLooping) return toned('bad', 'loops back to this server');
  if (!isHealthy) return toned('bad', downBecause === undefined ? 'down' : `down: ${downBecause}`);
  if (isLate) return toned('doubtful', 'up, but its answers come late: any other is asked first');
  if (isUnsteady) return toned('doubtful', 'up, but it was down again and again: any other is asked first');
  if (cutNames === 0 && dropsEdns)
    return toned('doubtful', 'up, but drops questions with EDNS: asked without');
  if (cutNames === 0) return toned('good', 'up');
  const more = cutNames > cutFailures.length ? ` and ${cutNames - cutFailures.length} more` : '';
  const shown = cutFailures.map(({ name, failure }) => `${name} (${failure})`);
  return toned('doubtful', `up, but not for ${shown.join(', ')}${more}`);
}

const UPSTREAM = { upstream: 'the upstream' };
const CHANGED = {
  ...UPSTREAM,
  left: 'where it goes down and comes back again and again: changes before this one that have no line',
};

export const FORWARDER_MESSAGES = messages({
  down: {
    level: 'warn',
    text: 'upstream is down',
    fields: { ...CHANGED, reason: 'the failure', detail: 'the failure in words' },
    fix: 'in a cut: nothing. Otherwise check the upstream: names that were asked before are answered stale',
  },
  up: { level: 'info', text: 'upstream is up', fields: CHANGED },
  loop: {
    level: 'warn',
    text: 'upstream sends our own queries back to us: check where it forwards to',
    fields: { ...UPSTREAM, zone: 'the zone that it is asked for' },
    fix: 'name an upstream that does not forward to this server',
  },
  caseLost: {
    level: 'info',
    text: 'upstream loses the case of names: a port for each question instead',
    fields: UPSTREAM,
  },
  withoutEdns: {
    level: 'info',
    text: 'upstream refuses EDNS: asking without it for a while',
    fields: UPSTREAM,
  },
  ednsDropped: {
    level: 'warn',
    text: 'upstream answers without EDNS, and drops questions with EDNS: asking without it for a while',
    fields: UPSTREAM,
    fix: 'let DNS messages with an OPT record pass in the firewalls on the way to it: without EDNS there is no DNSSEC, and answers of more than 512 octets need TCP',
  },
  differ: {
    level: 'warn',
    text: 'upstreams differ about an endpoint',
    fields: { name: 'the endpoint', opinions: 'each upstream and its answer' },
    fix: 'correct the upstream whose answer is wrong: a private zone or an old record, most likely',
  },
  agree: {
    level: 'info',
    text: 'upstreams agree again about an endpoint',
    fields: { name: 'the endpoint' },
  },
});

/** Lines about a fall and a return, three times; then one in five minutes. */
const LINES_AT_ONCE = 6;
const LINES_EVERY_MS = 300_000;

/** Notes why the upstream went down, or nothing where it came up. */
export function upstreamLines(
  named: { readonly upstream: string },
  { clock, timers, log }: { readonly clock: Clock; readonly timers: Timers; readonly log: Log },
): Spacing<UpstreamFailure | undefined> {
  return new Spacing({
    ...{ clock, timers, atOnce: LINES_AT_ONCE, everyMs: LINES_EVERY_MS },
    pass: (failure, counted) => {
      const fields = { ...named, ...counted };
      if (failure === undefined) FORWARDER_MESSAGES.up(log, fields);
      else FORWARDER_MESSAGES.down(log, { ...fields, ...failure });
    },
  });
}
