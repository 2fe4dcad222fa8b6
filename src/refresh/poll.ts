/**
 * One poll of one source: the input of the source, the deadline around it, and what its result says about the link. It
 * refuses to know what was seen before and what will be served.
 */
import type { Evidence } from '../link/link-state.ts';
import { type EndpointRecord, otherEndpointOf } from '../records/endpoint-record.ts';
import type { Observation, Source, SourceContext } from '../records/observation.ts';
import { askedRegion, type SourceName, traitsOf } from '../records/sources.ts';
import { inBackground } from '../runtime/background.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Turnstile } from '../runtime/slices.ts';
import type { Timers } from '../runtime/timers.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import { addressesOf } from './reconcile/changes.ts';

export interface PollOptions {
  readonly source: Source;
  readonly context: SourceContext;
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly timers: Timers;
  /** A result passes here before it is handed on. */
  readonly turnstile?: Turnstile;
}

export interface PollResult {
  readonly observation: Observation;
  /** Monotonic. */
  readonly startedMs: number;
  readonly durationMs: number;
  /** The source still works on the poll: it ignored the deadline and the abort signal. */
  readonly isUnsettled: boolean;
  /** The source answered after the deadline. The poll ignores the content; the answer still proves that the source is reachable. */
  readonly isLate: boolean;
}

export interface PollEvents {
  /** At most once; never after `abandon`. */
  ended(result: PollResult): void;
  /** The source has settled an unsettled or abandoned poll after all; the poll ignores the content of this answer. */
  settledLate(): void;
}

export interface Poll {
  readonly startedMs: number;
  /** Ends the poll as if its deadline had passed. */
  interrupt(): void;
  /** Ends the poll without a result: it counts as unsettled until `settledLate`. */
  abandon(): void;
}

/**
 * Time after the abort in which a source can say how far it came. A request that hung in the network does so at once; a
 * hanging credential provider ignores the signal, and gives no evidence about the link.
 */
const GRACE_MS = 100;

export function startPoll(options: PollOptions, events: PollEvents): Poll {
  const { source, context, clock, timers, deadlineMs, turnstile } = options;
  const startedMs = clock.monotonicMs();
  const controller = new AbortController();
  let phase: 'polling' | 'grace' | 'answered' | 'over' = 'polling';
  let timer = timers.after(deadlineMs, interrupt);
  inBackground('refresh', async () => {
    const observation = await observe(source, context, controller.signal);
    if (isOver()) return events.settledLate();
    // an answer in the grace time is too late, but a failure still says why there was no answer
    const isLate = phase === 'grace' && observation.kind !== 'failed';
    const durationMs = clock.monotonicMs() - startedMs;
    phase = 'answered';
    timer[Symbol.dispose]();
    await turnstile?.pass();
    if (isOver()) return events.settledLate();
    phase = 'over';
    const given = isLate ? timedOut(source.name, deadlineMs) : observation;
    events.ended({ observation: given, startedMs, durationMs, isUnsettled: false, isLate });
  });

  /** A poll can be abandoned during each `await`. */
  function isOver(): boolean {
    return phase === 'over';
  }

  function interrupt(): void {
    if (phase !== 'polling') return;
    phase = 'grace';
    timer[Symbol.dispose]();
    timer = timers.after(GRACE_MS, () => {
      phase = 'over';
      const durationMs = clock.monotonicMs() - startedMs;
      const observation = timedOut(source.name, deadlineMs);
      events.ended({ observation, startedMs, durationMs, isUnsettled: true, isLate: false });
    });
    controller.abort();
  }

  return {
    startedMs,
    interrupt,
    abandon() {
      if (phase === 'over') return;
      phase = 'over';
      timer[Symbol.dispose]();
      controller.abort();
    },
  };
}

/** A source never rejects. A rejection is a defect, and costs this poll alone. */
async function observe(source: Source, context: SourceContext, signal: AbortSignal): Promise<Observation> {
  const { name } = source;
  try {
    const observation = await source.observe(context, signal);
    if (observation.kind !== 'addresses') return observation;
    const addresses = [...new Set(observation.addresses)];
    if (addresses.length > 0) return { ...observation, addresses };
    return failure(name, 'empty', 'no address', true);
  } catch (error) {
    return failure(name, 'internal', error instanceof Error ? error.message : String(error));
  }
}

function timedOut(name: SourceName, deadlineMs: number): Observation {
  return failure(name, 'timeout', `nothing within ${deadlineMs} ms`);
}

function failure(
  source: SourceName,
  reason: 'empty' | 'internal' | 'timeout',
  what: string,
  reachedFarSide = false,
): Observation {
  return { kind: 'failed', source, reason, reachedFarSide, detail: `observe by "${source}": ${what}` };
}

/** The input of a source about its cluster. The configuration wins over what DescribeCluster said. */
export function contextFor(record: EndpointRecord, { name, region, vpcId }: ClusterSettings): SourceContext {
  const { endpoint, details } = record;
  return {
    cluster: name,
    region,
    endpoint,
    isEndpointOfEks: endpoint !== undefined && endpoint === details?.endpoint,
    describedEndpoint: otherEndpointOf(record),
    vpcId: vpcId ?? details?.vpcId,
    subnetIds: details?.subnetIds ?? [],
    generation: details?.generation,
    knownAddresses: addressesOf(record),
    certificateAuthority: details?.certificateAuthority,
  };
}

/** Whether the record has what the source asks for. A source that lacks it waits; that is no failure. */
export function mayPoll(name: SourceName, { endpoint, addresses }: EndpointRecord): boolean {
  const { asksFor } = traitsOf(name);
  if (asksFor === 'cluster') return true;
  return endpoint !== undefined && (asksFor === 'name' || addresses.length > 0);
}

/**
 * The evidence of a result about the link to AWS. Every answer of AWS proves the link; only silence speaks against it. An
 * answer of a proxy or portal in place of AWS is named, and proves nothing.
 *
 * @returns undefined when the result says nothing about the link
 */
export function evidenceOf(result: PollResult, region: string | undefined): Evidence | undefined {
  const { observation, isUnsettled, isLate, startedMs } = result;
  const key = askedRegion(observation.source, region);
  if (key === undefined) return undefined;
  const evidence = (proves: Evidence['proves'], reason: string): Evidence => {
    return { side: 'aws', key, proves, reason, startedAtMs: startedMs };
  };
  if (observation.kind !== 'failed') return evidence('reachable', 'answered');
  const { reason, reachedFarSide } = observation;
  if (reachedFarSide) return evidence('reachable', reason);
  if (isLate) return evidence('reachable', 'answered late');
  // a hanging credential provider ends like this as well, and bad credentials must never look like a cut
  if (isUnsettled) return undefined;
  if (reason === 'proxy' || reason === 'untrusted-certificate') return evidence('nothing', reason);
  return reason === 'timeout' || reason === 'network' ? evidence('unreachable', reason) : undefined;
}
