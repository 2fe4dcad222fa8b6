/** Logs the refresh journey of one cluster: each fact once when it begins and once when it ends. */
import type { Log } from '../log/log.ts';
import { otherEndpointOf } from '../records/cluster-identity.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { FailureReason, Observation } from '../records/observation.ts';
import { isListing, type SourceName } from '../records/sources.ts';
import { type CredentialState, isInTrouble } from './credential-state.ts';
import type { PollResult } from './poll.ts';
import { addressesOf, type Change } from './reconcile/changes.ts';
import { CAUSE_TEXT, type Comparison } from './reconcile/compare.ts';
import type { Refusal } from './reconcile/guard.ts';
import type { Plan } from './reconcile/plan.ts';

export class RefreshLog {
  readonly #log: Log;
  readonly #failing = new Map<SourceName, FailureReason>();
  /** The disagreement that was logged last, as text; empty while the sources agree. */
  #disagreement = '';
  #refused = '';
  #agePassedMs = 0;
  #isDoubtful = false;
  /** The configured name and the described name, where they differ. */
  #names = '';

  constructor(log: Log) {
    this.#log = log;
  }

  refreshing(reason: string): void {
    this.#log.debug({ reason }, 'refreshing');
  }

  /** Warns when a source begins to fail or fails for a new reason; repetitions are debug lines. */
  settled({ observation, durationMs, isUnsettled }: PollResult): void {
    const { source } = observation;
    const before = this.#failing.get(source);
    if (observation.kind === 'failed') {
      const { reason, detail } = observation;
      this.#failing.set(source, reason);
      const fields = { source, reason, detail, durationMs: Math.round(durationMs), isUnsettled };
      if (before === reason) this.#log.debug(fields, 'source still fails');
      else this.#log.warn(fields, 'source fails');
      return;
    }
    this.#failing.delete(source);
    this.#described(observation);
    if (before !== undefined) this.#log.info({ source, failedWith: before }, 'source works again');
  }

  #described(observation: Observation): void {
    if (observation.kind !== 'addresses' || !isListing(observation.source)) return;
    const isDoubtful = observation.isDoubtful === true;
    if (isDoubtful === this.#isDoubtful) return;
    this.#isDoubtful = isDoubtful;
    const { addresses } = observation;
    if (isDoubtful)
      this.#log.warn(
        { addresses },
        'interfaces have no exact description: those that contain its text are used',
      );
    else this.#log.info({ addresses }, 'interfaces have the exact description');
  }

  credentials(before: CredentialState, { condition, detail }: CredentialState): void {
    if (condition === before.condition) return;
    const fields = { from: before.condition, to: condition, ...(detail === '' ? {} : { detail }) };
    this.#log[isInTrouble({ condition }) ? 'warn' : 'info'](fields, 'credentials changed');
  }

  planned({ record, changes, refused }: Plan, before: EndpointRecord): void {
    for (const change of changes) {
      const { kind: _, ...fields } = change;
      const { level, text } = wordingOf(change);
      this.#log[level]({ ...fields, addresses: addressesOf(record), before: addressesOf(before) }, text);
    }
    this.#named(record);
    if (refused !== undefined) this.#refusing(refused);
  }

  /** Logs again only when the disagreement itself has changed. */
  disagree({ disagreement, likelyCause, basis }: Comparison): void {
    const sorted = [disagreement?.onlyByName.toSorted(), disagreement?.onlyByInterfaces.toSorted()];
    const text = JSON.stringify([sorted, likelyCause]);
    if (text === this.#disagreement) return;
    this.#disagreement = text;
    const cause = likelyCause === undefined ? undefined : CAUSE_TEXT[likelyCause];
    this.#log.warn({ ...disagreement, basis, likelyCause, cause }, 'sources disagree');
  }

  agree(basis: Comparison['basis']): void {
    if (this.#disagreement === '') return;
    this.#disagreement = '';
    this.#log.info({ basis }, 'sources agree again');
  }

  /** Logs once for each limit that the age of the addresses passes. */
  aged(ageMs: number, limitsMs: readonly number[]): void {
    const passedMs = limitsMs.findLast((limitMs) => ageMs > limitMs) ?? 0;
    if (passedMs > this.#agePassedMs) {
      const days = Math.floor(ageMs / 86_400_000);
      this.#log.warn({ days }, 'addresses have not been confirmed for days');
    }
    this.#agePassedMs = passedMs;
  }

  /** Logs again only when one of the two names has changed. */
  #named(record: EndpointRecord): void {
    const described = otherEndpointOf(record);
    const names = described === undefined ? '' : `${record.endpoint} ${described}`;
    if (names === this.#names) return;
    this.#names = names;
    const fields = { endpoint: record.endpoint, described };
    if (described === undefined) this.#log.info(fields, 'endpoint is the one that aws says');
    else this.#log.warn(fields, 'endpoint is not the one that aws says: both names are answered');
  }

  #refusing(refused: readonly Refusal[]): void {
    const texts = refused.map(({ address, reason }) => `${address} ${reason}`);
    const text = texts.sort().join();
    if (text === this.#refused) return;
    this.#refused = text;
    if (text !== '') this.#log.warn({ refused }, 'addresses refused');
  }
}

interface Wording {
  readonly level: 'info' | 'warn';
  readonly text: string;
}

function wordingOf(change: Change): Wording {
  switch (change.kind) {
    case 'addresses':
      if (change.removed.length === 0) return { level: 'info', text: 'addresses learned' };
      return { level: 'warn', text: 'addresses changed' };
    case 'basis':
      return { level: 'info', text: 'basis of the addresses changed' };
    case 'endpoint':
      if (change.from === undefined) return { level: 'info', text: 'endpoint name learned' };
      return { level: 'warn', text: 'endpoint name changed: the old name is answered as well' };
    case 'details':
      return { level: 'info', text: 'cluster details changed' };
    case 'held':
      if (change.held.awaits === undefined) {
        return { level: 'warn', text: 'change held back until the next refresh repeats it' };
      }
      return { level: 'warn', text: 'change by names alone held back until an interface source answers' };
    case 'released':
      return { level: 'info', text: 'held change released' };
    case 'pinned':
      return { level: 'warn', text: 'addresses pinned by a command' };
    case 'unpinned':
      return { level: 'info', text: 'pin ended' };
    case 'refresh-failed':
      return { level: 'warn', text: 'refresh fails: serving what is known' };
    case 'refresh-recovered':
      return { level: 'info', text: 'refresh works again' };
  }
}

/**
 * The latest comparison, and whether a disagreement in it lasts. A disagreement is shown at once. It is logged only after
 * every source has polled again: at a start, after a cut or during a change, one source is a moment later than the other.
 */
export class DisagreementWatch {
  readonly #log: RefreshLog;
  #latest: Comparison | undefined;
  /** The time of the first comparison after which every comparison has found a disagreement. */
  #sinceMs: number | undefined;
  #isLasting = false;

  constructor(log: RefreshLog) {
    this.#log = log;
  }

  get latest(): Comparison | undefined {
    return this.#latest;
  }

  /** A disagreement waits for another poll of all sources to confirm it. */
  get isPending(): boolean {
    return this.#sinceMs !== undefined && !this.#isLasting;
  }

  /** @param asked the sources, with the start of the latest poll of each */
  compared(comparison: Comparison, asked: readonly { readonly startedAtMs: number }[], nowMs: number): void {
    const { basis, isTwoSided, disagreement, likelyCause } = comparison;
    const isDoubtful = disagreement !== undefined || likelyCause !== undefined;
    // where only one kind of source answered, the last disagreement is still the best that is known
    if (basis !== 'none')
      this.#latest = isTwoSided || isDoubtful ? comparison : { ...this.#latest, ...comparison };
    if (!isDoubtful) {
      this.#sinceMs = undefined;
      this.#isLasting = false;
      if (isTwoSided) this.#log.agree(basis);
      return;
    }
    const sinceMs = this.#sinceMs ?? nowMs;
    this.#sinceMs = sinceMs;
    this.#isLasting ||= asked.every(({ startedAtMs }) => startedAtMs >= sinceMs);
    if (this.#isLasting) this.#log.disagree(comparison);
  }

  forget(): void {
    this.#latest = undefined;
    this.#sinceMs = undefined;
    this.#isLasting = false;
  }
}
