/**
 * Asks questions of our own about the names of endpoints, for the refresh journey. Each ends with a value, or when the caller's
 * time is over. If a second upstream exists, this file asks both upstreams and shows a difference. One of the two upstreams may be
 * out of date, filter private addresses, or lie; the comparison of the sources decides which upstream is right.
 */
import type { Log } from '../../log/log.ts';
import { readAddresses } from '../../protocol/wire/aliases.ts';
import { ownQuery, type Query } from '../../protocol/wire/query.ts';
import { isAboutName, replyName } from '../../protocol/wire/response-records.ts';
import { isStaleError, RCODE, TYPE } from '../../protocol/words/codes.ts';
import { NameError, nameToWire } from '../../protocol/words/name.ts';
import type { ResolvedName } from '../../records/observation.ts';
import type { Clock, Timers } from '../../runtime/clock.ts';
import type { ForwardFailureReason, ForwardOutcome } from './exchange.ts';
import { type Difference, FORWARDER_MESSAGES, type Opinion } from './forwarder-report.ts';

export type Ask = (query: Query) => Promise<ForwardOutcome>;

/**
 * An upstream that serves expired records asks for new ones while it answers (RFC 8767 section 5), and most have them
 * after this time.
 */
const STALE_AGAIN_MS = 2_000;

/** A stale answer is asked for once more. `compare` gets the outcome, to ask another upstream before the caller goes on. */
export async function askAddresses(
  name: string,
  signal: AbortSignal,
  ask: Ask,
  timers: Timers,
  compare: (query: Query, outcome: ForwardOutcome) => Promise<void>,
): Promise<ResolvedName> {
  const query = queryAbout(name, TYPE.A);
  if ('kind' in query) return query;
  const resolve = async (): Promise<ResolvedName> => {
    let outcome = await ask(query);
    if (isStale(outcome)) {
      await pause(STALE_AGAIN_MS, timers, signal);
      if (!signal.aborted) outcome = await ask(query);
    }
    await compare(query, outcome);
    return resolvedName(outcome);
  };
  return Promise.race([resolve(), aborted(signal)]);
}

export async function askText(name: string, signal: AbortSignal, ask: Ask): Promise<boolean> {
  const query = queryAbout(name, TYPE.TXT);
  if ('kind' in query) return false;
  return Promise.race([ask(query).then(hasAnswer), aborted(signal).then(() => false)]);
}

/** Ends when the time is over or the caller gives up. */
function pause(delayMs: number, timers: Timers, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = timers.after(delayMs, resolve);
    const onAbort = (): void => {
      timer[Symbol.dispose]();
      resolve();
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

function aborted(signal: AbortSignal): Promise<ResolvedName> {
  const given: ResolvedName = { kind: 'failed', reason: 'timeout', detail: 'given up by the caller' };
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(given);
    signal.addEventListener('abort', () => resolve(given), { once: true });
  });
}

/** The query for a name, or why there cannot be one. */
function queryAbout(name: string, qtype: number): Query | ResolvedName {
  try {
    return ownQuery(nameToWire(name), qtype, false);
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    return { kind: 'failed', reason: 'malformed', detail: error.message };
  }
}

const REASONS: Readonly<Record<ForwardFailureReason, 'timeout' | 'network' | 'malformed'>> = {
  timeout: 'timeout',
  'all-down': 'timeout',
  overloaded: 'timeout',
  closing: 'network',
  network: 'network',
  loop: 'network',
  malformed: 'malformed',
};

function resolvedName(outcome: ForwardOutcome): ResolvedName {
  if (outcome.kind === 'failed') {
    return { kind: 'failed', reason: REASONS[outcome.reason], detail: outcome.detail };
  }
  const { octets, index, upstream } = outcome;
  if (isStale(outcome))
    return { kind: 'failed', reason: 'network', detail: `"${upstream}": its answer is stale` };
  if (isAboutName(index) && index.rcode !== RCODE.YXDOMAIN) {
    const { addresses, ttlSeconds } = readAddresses(octets, index);
    if (addresses.length > 0) return { kind: 'addresses', addresses, ttlSeconds, upstream };
    return { kind: 'no-addresses', rcode: index.rcode };
  }
  // it says nothing about the name, and must not be taken for a denial
  return { kind: 'failed', reason: 'servfail', detail: `"${upstream}": ${replyName(index)}` };
}

/** Whether the upstream says that its answer has expired and cannot be confirmed (RFC 8914 sections 4.4 and 4.20). */
function isStale(outcome: ForwardOutcome): boolean {
  return outcome.kind !== 'failed' && isStaleError(outcome.index.extendedError);
}

function hasAnswer(outcome: ForwardOutcome): boolean {
  return outcome.kind === 'response' && outcome.index.rcode === RCODE.NOERROR && outcome.index.answersQtype;
}

/** Names are asked for every minute or so. A name that a reload has removed is forgotten after this time. */
const FORGET_MS = 2 * 3_600_000;

export class SecondOpinions {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #differences = new Map<string, Difference & { readonly atMs: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Compares the outcomes of two upstreams. An outcome that says nothing about the name never counts as a difference. */
  compare(name: string, first: ForwardOutcome, second: ForwardOutcome): void {
    const one = opinionOf(first);
    const other = opinionOf(second);
    if (one === undefined || other === undefined) return;
    const before = this.#differences.get(name);
    if (one.says === other.says) {
      this.#differences.delete(name);
      if (before !== undefined) FORWARDER_MESSAGES.agree(this.#log, { name });
      return;
    }
    const opinions = [one, other] as const;
    this.#differences.set(name, { name, opinions, atMs: this.#clock.monotonicMs() });
    if (before !== undefined && textOf(before.opinions) === textOf(opinions)) return;
    FORWARDER_MESSAGES.differ(this.#log, { name, opinions });
  }

  get differences(): readonly Difference[] {
    const nowMs = this.#clock.monotonicMs();
    const recent = [...this.#differences.values()].filter(({ atMs }) => nowMs < atMs + FORGET_MS);
    return recent.map(({ name, opinions }) => ({ name, opinions }));
  }
}

function opinionOf(outcome: ForwardOutcome): Opinion | undefined {
  if (outcome.kind === 'failed') return undefined;
  const resolved = resolvedName(outcome);
  const { upstream } = outcome;
  switch (resolved.kind) {
    case 'addresses':
      return { upstream, says: [...new Set(resolved.addresses)].sort().join(', ') };
    case 'no-addresses':
      return { upstream, says: resolved.rcode === RCODE.NOERROR ? 'no addresses' : 'NXDOMAIN' };
    case 'failed':
      return undefined;
  }
}

/** Writes the opinions as one text, which does not depend on the order of the replies. */
function textOf(opinions: readonly Opinion[]): string {
  return JSON.stringify(opinions.map(({ upstream, says }) => `${upstream}: ${says}`).sort());
}
