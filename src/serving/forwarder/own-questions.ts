/** Questions of our own, for the refresh journey: each ends with a value, or with the caller's patience. */
import type { Query } from '../../protocol/wire/query.ts';
import { TYPE } from '../../protocol/words/types.ts';
import type { Timers } from '../../runtime/timers.ts';
import type { ForwardOutcome } from './forward-outcome.ts';
import { hasAnswer, isStale, queryAbout, type ResolvedName, resolvedName } from './resolved-name.ts';

type Ask = (query: Query) => Promise<ForwardOutcome>;

/**
 * An upstream that serves expired records asks for new ones while it answers (RFC 8767 section 5), and most have them
 * after this time.
 */
const STALE_AGAIN_MS = 2_000;

/** A stale answer is asked for once more. `compare` is given the outcome, to ask another upstream before the caller goes on. */
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
    signal.addEventListener('abort', () => {
      timer[Symbol.dispose]();
      resolve();
    });
  });
}

function aborted(signal: AbortSignal): Promise<ResolvedName> {
  const given: ResolvedName = { kind: 'failed', reason: 'timeout', detail: 'given up by the caller' };
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(given);
    signal.addEventListener('abort', () => resolve(given), { once: true });
  });
}
