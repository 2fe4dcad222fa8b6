/** What the refresh journey of one cluster tells the log: each thing once, when it begins and when it ends. */
import type { Log } from '../log/log.ts';
import { otherEndpointOf } from '../records/cluster-identity.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { FailureReason, Observation } from '../records/observation.ts';
import type { SourceName } from '../records/sources.ts';
import { type CredentialState, isInTrouble } from './credential-state.ts';
import type { Ending } from './poll.ts';
import { addressesOf, type Change } from './reconcile/changes.ts';
import { CAUSE_TEXT, type Comparison } from './reconcile/compare.ts';
import type { Refusal } from './reconcile/guard.ts';
import type { Plan } from './reconcile/plan.ts';

export class RefreshLog {
  readonly #log: Log;
  readonly #failing = new Map<SourceName, FailureReason>();
  #doubt = '';
  #refused = '';
  #agePassedMs = 0;
  #isDoubtful = false;
  /** The two names, where they differ. */
  #names = '';

  constructor(log: Log) {
    this.#log = log;
  }

  refreshing(reason: string): void {
    this.#log.debug({ reason }, 'refreshing');
  }

  /** Warns where a source begins to fail or fails in another way; the repetitions are for who debugs. */
  settled({ observation, durationMs, isUnsettled }: Ending): void {
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
    this.#doubting(observation);
    if (before !== undefined) this.#log.info({ source, failedWith: before }, 'source works again');
  }

  /** Once when interfaces begin to be found by a loose description, and once when they no longer are. */
  #doubting(observation: Observation): void {
    if (observation.kind !== 'addresses' || observation.source !== 'interfaces') return;
    const isDoubtful = observation.isDoubtful === true;
    if (isDoubtful === this.#isDoubtful) return;
    this.#isDoubtful = isDoubtful;
    const { addresses } = observation;
    if (isDoubtful) this.#log.warn({ addresses }, 'interfaces have no exact description: taken by its text');
    else this.#log.info({ addresses }, 'interfaces have the exact description');
  }

  /** One line for each transition. */
  credentials(before: CredentialState, { condition, detail }: CredentialState): void {
    if (condition === before.condition) return;
    const fields = { from: before.condition, to: condition, ...(detail === '' ? {} : { detail }) };
    this.#log[isInTrouble({ condition }) ? 'warn' : 'info'](fields, 'credentials changed');
  }

  planned({ record, changes, refused }: Plan, before: EndpointRecord): void {
    for (const change of changes) this.#changed(change, record, before);
    this.#naming(record);
    if (refused !== undefined) this.#refusing(refused);
  }

  /** Again where what differs is another. */
  disagree({ disagreement, likelyCause, basis }: Comparison): void {
    const sorted = [disagreement?.onlyByName.toSorted(), disagreement?.onlyByInterfaces.toSorted()];
    const doubt = JSON.stringify([sorted, likelyCause]);
    if (doubt === this.#doubt) return;
    this.#doubt = doubt;
    const cause = likelyCause === undefined ? undefined : CAUSE_TEXT[likelyCause];
    this.#log.warn({ ...disagreement, basis, likelyCause, cause }, 'sources disagree');
  }

  agree(basis: Comparison['basis']): void {
    if (this.#doubt === '') return;
    this.#doubt = '';
    this.#log.info({ basis }, 'sources agree again');
  }

  /** Once for each limit that the age of the truth passes. */
  aged(ageMs: number, limitsMs: readonly number[]): void {
    const passedMs = limitsMs.findLast((limitMs) => ageMs > limitMs) ?? 0;
    if (passedMs > this.#agePassedMs) {
      const days = Math.floor(ageMs / 86_400_000);
      this.#log.warn({ days }, 'addresses have not been confirmed for days');
    }
    this.#agePassedMs = passedMs;
  }

  #changed(change: Change, record: EndpointRecord, before: EndpointRecord): void {
    const { kind: _, ...fields } = change;
    const { level, text } = wordingOf(change);
    this.#log[level]({ ...fields, addresses: addressesOf(record), before: addressesOf(before) }, text);
  }

  /** Again only where one of the two names is another. */
  #naming(record: EndpointRecord): void {
    const described = otherEndpointOf(record);
    const key = described === undefined ? '' : `${record.endpoint} ${described}`;
    if (key === this.#names) return;
    this.#names = key;
    const fields = { endpoint: record.endpoint, described };
    if (described === undefined) this.#log.info(fields, 'endpoint is the one that aws says');
    else this.#log.warn(fields, 'endpoint is not the one that aws says: both names are answered');
  }

  #refusing(refused: readonly Refusal[]): void {
    const key = refused
      .map(({ address, reason }) => `${address} ${reason}`)
      .sort()
      .join();
    if (key === this.#refused) return;
    this.#refused = key;
    if (key !== '') this.#log.warn({ refused }, 'addresses refused');
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
    case 'refresh-failed':
      return { level: 'warn', text: 'refresh fails: serving what is known' };
    case 'refresh-recovered':
      return { level: 'info', text: 'refresh works again' };
  }
}

/**
 * What the sources' latest comparison found, and whether a disagreement lasts. It is shown at once; but sources are asked
 * one behind the other, and at a start, after a cut or around a change one may be a moment behind the other: that is told
 * in the log only when it is found again after each of them has looked anew.
 */
export class LastingDoubt {
  readonly #log: RefreshLog;
  #latest: Comparison | undefined;
  /** Since when each comparison of both kinds has found something. */
  #sinceMs: number | undefined;
  #isLasting = false;

  constructor(log: RefreshLog) {
    this.#log = log;
  }

  get latest(): Comparison | undefined {
    return this.#latest;
  }

  /** Something was found that another look of all sources has to confirm. */
  get isPending(): boolean {
    return this.#sinceMs !== undefined && !this.#isLasting;
  }

  /** `asked`: the sources, with when the latest look of each began. */
  compared(comparison: Comparison, asked: readonly { readonly beganAtMs: number }[], nowMs: number): void {
    const { basis, isTwoSided, disagreement, likelyCause } = comparison;
    const isDoubtful = disagreement !== undefined || likelyCause !== undefined;
    if (basis !== 'none') this.#keep(comparison, isTwoSided || isDoubtful);
    if (!isDoubtful) {
      this.#sinceMs = undefined;
      this.#isLasting = false;
      if (isTwoSided) this.#log.agree(basis);
      return;
    }
    const sinceMs = this.#sinceMs ?? nowMs;
    this.#sinceMs = sinceMs;
    this.#isLasting ||= asked.every(({ beganAtMs }) => beganAtMs >= sinceMs);
    if (this.#isLasting) this.#log.disagree(comparison);
  }

  forget(): void {
    this.#latest = undefined;
    this.#sinceMs = undefined;
    this.#isLasting = false;
  }

  /** Where only one kind of source spoke, what was found last about a disagreement is still the best that is known. */
  #keep(comparison: Comparison, isConclusive: boolean): void {
    this.#latest = isConclusive ? comparison : { ...this.#latest, ...comparison };
  }
}
