/**
 * Asks the far side of the link for signs of life: rarely while it answers, often while it does not. So a cut and a return
 * are noticed within seconds on a site without traffic. It gives evidence to link/, and nothing else.
 */
import type { HeadOutcome, HeadRequest } from '../far-side/head.ts';
import { hostOf, type Outbound, proxyFor } from '../far-side/outbound.ts';
import { type Evidence, LINK_THRESHOLDS } from '../link/link-monitor.ts';
import { isAddress } from '../protocol/words/address-text.ts';
import type { Resolve } from '../records/observation.ts';
import type { SourceTraits } from '../records/sources.ts';
import { inBackground } from '../runtime/background.ts';
import { type Clock, InnerAbort, type Timers } from '../runtime/clock.ts';
import { jitter, type Random } from '../runtime/random.ts';

/** Asks an AWS Region for a sign of life; never rejects. */
export type Ping = (region: string, signal: AbortSignal) => Promise<HeadOutcome>;

export interface LinkProbeOptions {
  readonly ping: Ping;
  /** Before `ping`, without a time limit of its own: whether the Region can be asked now. Never rejects. */
  readonly ready?: SignOfLife['ready'];
  /** Called when a sign of life fails for the first time, or after a success: the sources may know more. */
  readonly onDoubt?: (region: string) => void;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly random: Random;
  readonly evidence: (evidence: Evidence) => void;
}

/** Time between two pings while the Region answers: a cut is noticed within this time and two quick pings. */
const CALM_MS = 10_000;
/** Time between two pings after a missing answer, until the link counts as cut or as whole. */
const DOUBT_MS = 1_000;
/** Time between two pings while the link is cut: a return is noticed within 3 s, the ping included. */
const CUT_MS = 2_000;
/** An answer that comes later than this counts as missing, until it comes. */
const QUICK_MS = 900;
/** Name, connection and answer, each with two seconds of delay, and some reserve. */
const PATIENT_MS = 8_000;
/** An answer to a source counts against a failed sign of life for two of the longest default intervals. */
const RECENT_MS = 600_000;
/** The random part of the pause, so that many servers on one link do not ask at the same moment. */
const JITTER = 0.2;

interface Watch {
  readonly abort: AbortController;
  timer: Disposable | undefined;
  failures: number;
  /** When the first ping started of those that failed in a row. */
  failingSinceMs: number | undefined;
  /** When a source last had an answer from AWS about this Region. */
  sourceAnsweredAtMs: number | undefined;
  successes: number;
  /** Answers have come late: until an answer is quick again, only long silence counts. */
  isSlow: boolean;
}

export class LinkProbe {
  readonly #options: LinkProbeOptions;
  readonly #watches = new Map<string, Watch>();

  constructor(options: LinkProbeOptions) {
    this.#options = options;
  }

  /** Watches these Regions from now on, and no others. */
  watch(regions: readonly string[]): void {
    for (const [region, watch] of this.#watches) {
      if (regions.includes(region)) continue;
      watch.timer?.[Symbol.dispose]();
      watch.abort.abort();
      this.#watches.delete(region);
    }
    for (const region of regions) {
      if (this.#watches.has(region)) continue;
      const watch: Watch = {
        abort: new AbortController(),
        timer: undefined,
        failures: 0,
        failingSinceMs: undefined,
        sourceAnsweredAtMs: undefined,
        successes: LINK_THRESHOLDS.successesToConnect,
        isSlow: false,
      };
      this.#watches.set(region, watch);
      this.#pingLater(region, watch, CALM_MS);
    }
  }

  stop(): void {
    this.watch([]);
  }

  /**
   * A source has had an answer from AWS. A sign of life that fails at the same time says nothing about the link: its host is
   * closed, or HEAD is filtered. It does not count until it is answered again.
   */
  sourceAnswered(region: string): void {
    const watch = this.#watches.get(region);
    if (watch !== undefined) watch.sourceAnsweredAtMs = this.#options.clock.monotonicMs();
  }

  /** Replaces the ping that was to come. */
  #pingLater(region: string, watch: Watch, delayMs: number): void {
    watch.timer?.[Symbol.dispose]();
    const { timers, random } = this.#options;
    const spreadMs = delayMs * jitter(random, JITTER);
    watch.timer = timers.after(spreadMs, () => this.#pingAndGoOn(region, watch));
  }

  /** Asks for a sign of life. After a defect the probe loses this sign of life, and still asks for the next. */
  async #pingAndGoOn(region: string, watch: Watch): Promise<void> {
    let hasEnded = false;
    await inBackground('link', async () => {
      await this.#ping(region, watch);
      hasEnded = true;
    });
    if (!hasEnded && !watch.abort.signal.aborted) this.#pingLater(region, watch, CALM_MS);
  }

  /** A late answer is waited for although it already counts as missing: it proves that there is a path. */
  async #ping(region: string, watch: Watch): Promise<void> {
    const { ping, ready, clock, timers } = this.#options;
    using enough = new InnerAbort(watch.abort.signal);
    using _limit = timers.after(PATIENT_MS, () => enough.abort());
    const { signal } = enough;
    if (ready !== undefined && !(await ready(region, signal))) {
      if (!watch.abort.signal.aborted) this.#pingLater(region, watch, CALM_MS);
      return;
    }
    const startedAtMs = clock.monotonicMs();
    let isLate = false;
    let isCounted = false;
    using _quick = timers.after(QUICK_MS, () => {
      isLate = true;
      if (watch.isSlow || watch.abort.signal.aborted) return;
      isCounted = true;
      this.#failed(region, watch, 'timeout', startedAtMs);
    });
    const outcome = await ping(region, signal);
    if (watch.abort.signal.aborted) return;
    if (outcome === 'answered') this.#answered(region, watch, isLate);
    // a proxy that answers late will answer late again: until it is quick, only long silence counts
    else if (isFromBetween(outcome)) this.#failed(region, watch, outcome, startedAtMs, isLate);
    else if (isCounted) return;
    else if (outcome === 'silent') this.#pingLater(region, watch, CALM_MS);
    else this.#failed(region, watch, outcome, startedAtMs);
  }

  #answered(region: string, watch: Watch, isLate: boolean): void {
    watch.isSlow = isLate;
    watch.failures = 0;
    watch.failingSinceMs = undefined;
    watch.successes++;
    const reason = isLate ? 'answered late' : 'answered';
    this.#options.evidence({ side: 'aws', key: region, proves: 'reachable', reason });
    const isCalm = watch.successes >= LINK_THRESHOLDS.successesToConnect;
    this.#pingLater(region, watch, isCalm ? CALM_MS : DOUBT_MS);
  }

  #failed(
    region: string,
    watch: Watch,
    reason: Exclude<HeadOutcome, 'answered' | 'silent'>,
    startedAtMs: number,
    isSlow = false,
  ): void {
    const { evidence, onDoubt } = this.#options;
    watch.isSlow = isSlow;
    watch.successes = 0;
    watch.failures++;
    watch.failingSinceMs ??= startedAtMs;
    const proves = isFromBetween(reason) ? 'nothing' : 'unreachable';
    if (!this.#isContradicted(watch)) {
      evidence({ side: 'aws', key: region, proves, reason, startedAtMs });
      if (watch.failures === 1) onDoubt?.(region);
    }
    const isCut = watch.failures >= LINK_THRESHOLDS.failuresToDisconnect;
    this.#pingLater(region, watch, isCut ? CUT_MS : DOUBT_MS);
  }

  #isContradicted({ failingSinceMs, sourceAnsweredAtMs }: Watch): boolean {
    if (failingSinceMs === undefined || sourceAnsweredAtMs === undefined) return false;
    const isRecent = this.#options.clock.monotonicMs() - sourceAnsweredAtMs <= RECENT_MS;
    return isRecent && sourceAnsweredAtMs >= failingSinceMs;
  }
}

/** Something in between answered in place of AWS. */
function isFromBetween(outcome: HeadOutcome): outcome is 'proxy' | 'untrusted-certificate' {
  return outcome === 'proxy' || outcome === 'untrusted-certificate';
}

// How a Region is asked for a sign of life: any HTTP answer, with any content, from an AWS service that the sources use there.
// Requests go to the URLs that the sources ask, as their polls report them (`endpoint_url`, FIPS, dual-stack, partition).
//
//     the service that answered last --- no answer yet ---> the Region's other services, too; the first answer counts
//
// The name that is dialled, AWS's or the proxy's, is resolved by the upstreams: a dead system resolver holds nothing up.

/** A service as it is asked about a Region. */
export interface ServicePlace {
  readonly service: NonNullable<SourceTraits['service']>;
  readonly region: string;
  readonly profile?: string | undefined;
}

export interface SignOfLifeOptions {
  /** The services that the sources ask in a Region; none: no sign of life is wanted there. */
  readonly services: (region: string) => readonly ServicePlace[];
  readonly outbound: Outbound;
  /** Asks upstreams, so that a dead system resolver holds nothing up. */
  readonly resolve: Resolve;
  /** Whether a drill treats the upstreams as unreachable, although they may answer. */
  readonly isDrilled: () => boolean;
  /** Whether the thread that asks is ready. The absence of the thread says nothing about the link. Never rejects. */
  readonly isReady: (signal: AbortSignal) => Promise<boolean>;
  /** Sends the request; `silent`: it could not be sent. Never rejects. */
  readonly head: (request: HeadRequest, signal: AbortSignal) => Promise<HeadOutcome>;
  readonly timers: Timers;
}

export interface SignOfLife {
  /** A poll of this service asks this URL. */
  readonly asked: (place: ServicePlace, url: string) => void;
  /** `false`: nothing can be asked, which says nothing about the link. Never rejects. */
  readonly ready: (region: string, signal: AbortSignal) => Promise<boolean>;
  /** Asks where the latest `ready` found that there is something to ask. */
  readonly ping: Ping;
}

/** How long the first service is waited for before the others are asked, too: longer than an answer takes on most links. */
const PATIENCE_MS = 300;

/** A thread that is there says so within a millisecond, and within 70 beside four busy processes on one core. */
const READY_WITHIN_MS = 500;

export function createSignOfLife(options: SignOfLifeOptions): SignOfLife {
  const known = new Map<string, Target>();
  /** By Region. */
  const lastAnswered = new Map<string, string>();
  const ask = asker(options);

  /** Each URL once, the one that answered last first. */
  function targetsIn(region: string): readonly Target[] {
    const found = options.services(region).flatMap((place) => known.get(keyOf(place)) ?? []);
    const rank = ({ url }: Target) => Number(url.href !== lastAnswered.get(region));
    return [...new Map(found.map((target) => [target.url.href, target])).values()].sort(
      (one, other) => rank(one) - rank(other),
    );
  }

  return {
    asked(place, url) {
      const base = URL.parse(url);
      if (base === null || !/^https?:$/.test(base.protocol)) return;
      // below the endpoint, which may have a path of its own
      const target = new URL('ping', base.href.replace(/\/*$/, '/'));
      known.set(keyOf(place), { url: target, profile: place.profile });
    },
    async ready(region, signal) {
      return targetsIn(region).length > 0 && options.isReady(signal);
    },
    async ping(region, signal) {
      const [first, ...rest] = targetsIn(region);
      if (first === undefined) return 'silent';
      using over = new InnerAbort(signal);
      const asked = ask(first, over.signal);
      const early = await settledWithin(asked, PATIENCE_MS, options.timers);
      if (early === 'answered' || rest.length === 0) return await asked;
      const others = rest.map(async (target) => {
        const outcome = await ask(target, over.signal);
        if (outcome === 'answered') lastAnswered.set(region, target.url.href);
        return outcome;
      });
      return await firstAnswer([asked, ...others]);
    },
  };
}

interface Target {
  readonly url: URL;
  /** The AWS profile that the sources use at this URL. */
  readonly profile: string | undefined;
}

function keyOf({ service, region, profile }: ServicePlace): string {
  return JSON.stringify([service, region, profile]);
}

function asker({ outbound, resolve, isDrilled, isReady, head, timers }: SignOfLifeOptions) {
  /** During a cut the name may not resolve either. The request then goes to the last address of the name. */
  const known = new Map<string, string>();
  const addressOf = async (host: string, signal: AbortSignal): Promise<string | undefined> => {
    if (isAddress(host)) return host;
    const resolved = await resolve(host, signal);
    const address = resolved.kind === 'addresses' ? resolved.addresses[0] : undefined;
    if (address !== undefined) known.set(host, address);
    return known.get(host);
  };
  return async ({ url, profile }: Target, signal: AbortSignal): Promise<HeadOutcome> => {
    const proxy = proxyFor(url, outbound);
    const address = await addressOf(hostOf(proxy === undefined ? url : new URL(proxy)), signal);
    // the name of a proxy may be in the hosts file, or have an IPv6 address only
    if (address !== undefined || proxy !== undefined) {
      // a poll may have put another thread in place of the one that was ready: its loading must not count as silence
      const isThere = await settledWithin(isReady(signal), READY_WITHIN_MS, timers);
      if (isThere !== true && !signal.aborted) return 'silent';
      return head({ url: url.href, address, profile }, signal);
    }
    // no upstream could be asked because of the rehearsal, which says nothing about the link
    if (isDrilled()) return 'silent';
    return signal.aborted ? 'timeout' : 'network';
  };
}

/** Waits for `work` for at most `ms`; resolves to `undefined` if the work takes longer. */
async function settledWithin<T>(work: Promise<T>, ms: number, timers: Timers): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  using _timer = timers.after(ms, () => resolve(undefined));
  return await Promise.race([work, promise]); // not without await: the timer must outlive the race
}

/** The outcome that says more about the link comes first. */
const BY_VALUE = ['answered', 'proxy', 'untrusted-certificate', 'network', 'timeout', 'silent'] as const;

/** The first answer at once; without any, the outcome that says the most. */
async function firstAnswer(asked: readonly Promise<HeadOutcome>[]): Promise<HeadOutcome> {
  const outcomes = new Set<HeadOutcome>();
  const answers = asked.map(async (one) => {
    const outcome = await one;
    outcomes.add(outcome);
    if (outcome !== 'answered') throw new Error(outcome);
    return outcome;
  });
  return Promise.any(answers).catch(() => BY_VALUE.find((each) => outcomes.has(each)) ?? 'silent');
}
