/** One look by one source under a deadline that holds even where the look never settles. */

import type { Evidence } from '../link/link-state.ts';
import { otherEndpointOf } from '../records/cluster-identity.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { Observation, Source, SourceContext } from '../records/observation.ts';
import { askedRegion, type SourceName, traitsOf } from '../records/sources.ts';
import { inBackground } from '../runtime/background.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Turnstile } from '../runtime/slices.ts';
import type { Timers } from '../runtime/timers.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import { addressesOf } from './reconcile/changes.ts';

export interface AttemptOptions {
  readonly source: Source;
  readonly context: SourceContext;
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly timers: Timers;
  /** What came passes here before it is taken in. */
  readonly turnstile?: Turnstile;
}

export interface Ending {
  readonly observation: Observation;
  /** Monotonic. */
  readonly startedMs: number;
  readonly durationMs: number;
  /** The look itself is still going on, and will until it pleases to stop: it heeded neither the time nor the signal. */
  readonly isUnsettled: boolean;
  /** The look saw something, but after its deadline; what it saw is ignored. */
  readonly isLate: boolean;
}

export interface AttemptEvents {
  /** At most once; not at all after `abandon`. */
  ended(ending: Ending): void;
  /** An unsettled or abandoned look has settled after all; what it saw is ignored. */
  settledLate(): void;
}

export interface Attempt {
  readonly startedMs: number;
  /** Ends it as if its deadline had come. */
  interrupt(): void;
  /** Ends it without an ending: its look counts as unsettled until `settledLate`. */
  abandon(): void;
}

/**
 * A look that heeds the abort has this long to say how far it had come. A request that hung in the network does so at
 * once; a hanging credential provider ignores the signal, and so gives no evidence about the link.
 */
const GRACE_MS = 100;

export function startAttempt(options: AttemptOptions, events: AttemptEvents): Attempt {
  const { source, context, clock, timers, deadlineMs, turnstile } = options;
  const startedMs = clock.monotonicMs();
  const controller = new AbortController();
  let phase: 'looking' | 'grace' | 'answered' | 'over' = 'looking';
  let timer = timers.after(deadlineMs, interrupt);
  inBackground('refresh', async () => {
    const observation = await look(source, context, controller.signal);
    if (phase === 'over') {
      events.settledLate();
      return;
    }
    // too late for what it saw, but not for why it saw nothing
    const isLate = phase === 'grace' && observation.kind !== 'failed';
    const durationMs = clock.monotonicMs() - startedMs;
    phase = 'answered';
    timer[Symbol.dispose]();
    await turnstile?.pass();
    if (isAbandoned()) events.settledLate();
    else end(isLate ? timedOut(source, deadlineMs) : observation, { durationMs, isUnsettled: false, isLate });
  });

  function isAbandoned(): boolean {
    return phase === 'over';
  }

  function interrupt(): void {
    if (phase !== 'looking') return;
    phase = 'grace';
    timer[Symbol.dispose]();
    timer = timers.after(GRACE_MS, () =>
      end(timedOut(source, deadlineMs), {
        durationMs: clock.monotonicMs() - startedMs,
        isUnsettled: true,
        isLate: false,
      }),
    );
    controller.abort();
  }

  function end(observation: Observation, how: Omit<Ending, 'observation' | 'startedMs'>): void {
    phase = 'over';
    timer[Symbol.dispose]();
    events.ended({ observation, startedMs, ...how });
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

/** Sources never reject; one that does has a bug, which must not take the others along. */
async function look(source: Source, context: SourceContext, signal: AbortSignal): Promise<Observation> {
  try {
    return normalize(await source.observe(context, signal));
  } catch (error) {
    const detail = `observe by "${source.name}": ${error instanceof Error ? error.message : String(error)}`;
    return { kind: 'failed', source: source.name, reason: 'internal', reachedFarSide: false, detail };
  }
}

/** An empty set is a failure, whoever reports it as a success: nothing further on has to think of it. */
function normalize(observation: Observation): Observation {
  if (observation.kind !== 'addresses') return observation;
  const addresses = [...new Set(observation.addresses)];
  if (addresses.length > 0) return { ...observation, addresses };
  const { source } = observation;
  return {
    kind: 'failed',
    source,
    reason: 'empty',
    reachedFarSide: true,
    detail: `observe by "${source}": no address`,
  };
}

function timedOut(source: Source, deadlineMs: number): Observation {
  const detail = `observe by "${source.name}": nothing within ${deadlineMs} ms`;
  return { kind: 'failed', source: source.name, reason: 'timeout', reachedFarSide: false, detail };
}

/** What a source is told of its cluster, and whether that is enough for it to look at all. */
export function contextFor(record: EndpointRecord, settings: ClusterSettings): SourceContext {
  const { endpoint, details } = record;
  const { name, region, vpcId = details?.vpcId } = settings;
  const described = otherEndpointOf(record);
  const certificateAuthority = details?.certificateAuthority;
  return {
    cluster: name,
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(endpoint !== undefined && endpoint === details?.endpoint ? { isEndpointOfEks: true } : {}),
    ...(described === undefined ? {} : { describedEndpoint: described }),
    ...(vpcId === undefined ? {} : { vpcId }),
    subnetIds: details?.subnetIds ?? [],
    ...(details?.generation === undefined ? {} : { generation: details.generation }),
    knownAddresses: addressesOf(record),
    ...(certificateAuthority === undefined ? {} : { certificateAuthority }),
  };
}

/** A source that has nobody to ask, or nothing to ask for, is left alone until it has: that is no failure. */
export function mayLook(name: SourceName, { endpoint, addresses }: EndpointRecord): boolean {
  const { asksFor } = traitsOf(name);
  if (asksFor === 'cluster') return true;
  return endpoint !== undefined && (asksFor === 'name' || addresses.length > 0);
}

/**
 * What a look by a source says about the link to AWS. Any answer of AWS proves it; only silence speaks against it. What a
 * proxy or a portal answers in place of AWS is named, and proves nothing.
 */
/** @returns undefined when the look says nothing about the link */
export function evidenceOf(
  { observation, isUnsettled, isLate }: Ending,
  region: string | undefined,
): Evidence | undefined {
  const key = askedRegion(observation.source, region);
  if (key === undefined) return undefined;
  if (observation.kind !== 'failed') return { side: 'aws', key, proves: 'reachable', reason: 'answered' };
  const { reason } = observation;
  if (observation.reachedFarSide) return { side: 'aws', key, proves: 'reachable', reason };
  if (isLate) return { side: 'aws', key, proves: 'reachable', reason: 'answered late' };
  // a hanging credential provider ends like this too, and bad credentials must never look like a cut
  if (isUnsettled) return undefined;
  if (reason === 'proxy' || reason === 'untrusted-certificate') {
    return { side: 'aws', key, proves: 'nothing', reason };
  }
  if (reason !== 'timeout' && reason !== 'network') return undefined;
  return { side: 'aws', key, proves: 'unreachable', reason };
}
