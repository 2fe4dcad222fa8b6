/**
 * Asks a Region for a sign of life: any HTTP answer, with any content, from an AWS service that the sources use there. Requests
 * go to the URLs that the sources ask, as their polls report them (`endpoint_url`, FIPS, dual-stack, partition).
 *
 *     the service that answered last --- no answer yet ---> the Region's other services, too; the first answer counts
 *
 * The name that is dialled, AWS's or the proxy's, is resolved by the upstreams: a dead system resolver holds nothing up.
 */
import { isIP } from 'node:net';
import type { Resolve } from '../records/observation.ts';
import type { SourceTraits } from '../records/sources.ts';
import type { Timers } from '../runtime/timers.ts';
import type { HeadOutcome, HeadRequest } from './head.ts';
import { hostOf, type Outbound, proxyFor } from './outbound.ts';

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
  readonly isCutOff: () => boolean;
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
  readonly ping: (region: string, signal: AbortSignal) => Promise<HeadOutcome>;
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
      const over = new AbortController();
      const either = AbortSignal.any([signal, over.signal]);
      try {
        const asked = ask(first, either);
        const early = await settledWithin(asked, PATIENCE_MS, options.timers);
        if (early === 'answered' || rest.length === 0) return await asked;
        const others = rest.map(async (target) => {
          const outcome = await ask(target, either);
          if (outcome === 'answered') lastAnswered.set(region, target.url.href);
          return outcome;
        });
        return await firstAnswer([asked, ...others]);
      } finally {
        over.abort(); // a long-lived signal keeps each dependent signal in memory until that signal is aborted
      }
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

function asker({ outbound, resolve, isCutOff, isReady, head, timers }: SignOfLifeOptions) {
  /** During a cut the name may not resolve either. The request then goes to the last address of the name. */
  const known = new Map<string, string>();
  const addressOf = async (host: string, signal: AbortSignal): Promise<string | undefined> => {
    if (isIP(host) !== 0) return host;
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
    if (isCutOff()) return 'silent';
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
