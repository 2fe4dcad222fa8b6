/** Questions of our own, for the refresh journey: each ends with a value, or with the caller's patience. */
import type { Query } from '../../protocol/wire/query.ts';
import { TYPE } from '../../protocol/words/types.ts';
import type { ForwardOutcome } from './forward-outcome.ts';
import { hasAnswer, queryAbout, type ResolvedName, resolvedName } from './resolved-name.ts';

type Ask = (query: Query) => Promise<ForwardOutcome>;

/** `compare` is given the outcome, to ask another upstream before the caller goes on. */
export async function askAddresses(
  name: string,
  signal: AbortSignal,
  ask: Ask,
  compare: (query: Query, outcome: ForwardOutcome) => Promise<void>,
): Promise<ResolvedName> {
  const query = queryAbout(name, TYPE.A);
  if ('kind' in query) return query;
  const asked = ask(query).then(async (outcome) => {
    await compare(query, outcome);
    return resolvedName(outcome);
  });
  return Promise.race([asked, aborted(signal)]);
}

export async function askText(name: string, signal: AbortSignal, ask: Ask): Promise<boolean> {
  const query = queryAbout(name, TYPE.TXT);
  if ('kind' in query) return false;
  return Promise.race([ask(query).then(hasAnswer), aborted(signal).then(() => false)]);
}

function aborted(signal: AbortSignal): Promise<ResolvedName> {
  const given: ResolvedName = { kind: 'failed', reason: 'timeout', detail: 'given up by the caller' };
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(given);
    signal.addEventListener('abort', () => resolve(given), { once: true });
  });
}
