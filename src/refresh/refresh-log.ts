/** Logs the refresh journey of one cluster: each fact once when it begins and once when it ends. */
import type { Log, Message } from '../log/log.ts';
import { addressesOf, type EndpointRecord, otherEndpointOf } from '../records/endpoint-record.ts';
import type { FailureReason, Observation } from '../records/observation.ts';
import { isListing, type SourceName } from '../records/sources.ts';
import type { Change } from './reconcile/changes.ts';
import { CAUSE_TEXT, type Comparison, type Refusal } from './reconcile/decision.ts';
import type { Plan } from './reconcile/plan.ts';
import { REFRESH_MESSAGES } from './refresh-messages.ts';
import type { PollResult } from './source-poller.ts';
import { type CredentialState, isInTrouble } from './source-poller.ts';

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
    REFRESH_MESSAGES.refreshing(this.#log, { reason });
  }

  /** Warns when a source begins to fail or fails for a new reason; repetitions are debug lines. */
  settled({ observation, durationMs, isUnsettled }: PollResult): void {
    const { source } = observation;
    const before = this.#failing.get(source);
    if (observation.kind === 'failed') {
      const { reason, detail } = observation;
      this.#failing.set(source, reason);
      const fields = { source, reason, detail, durationMs: Math.round(durationMs), isUnsettled };
      const message = before === reason ? REFRESH_MESSAGES.sourceStillFails : REFRESH_MESSAGES.sourceFails;
      message(this.#log, fields);
      return;
    }
    this.#failing.delete(source);
    this.#described(observation);
    if (before !== undefined) REFRESH_MESSAGES.sourceWorks(this.#log, { source, failedWith: before });
  }

  #described(observation: Observation): void {
    if (observation.kind !== 'addresses' || !isListing(observation.source)) return;
    const isDoubtful = observation.isDoubtful === true;
    if (isDoubtful === this.#isDoubtful) return;
    this.#isDoubtful = isDoubtful;
    const { addresses } = observation;
    const message = isDoubtful ? REFRESH_MESSAGES.descriptionDoubtful : REFRESH_MESSAGES.descriptionExact;
    message(this.#log, { addresses });
  }

  credentials(before: CredentialState, { condition, detail }: CredentialState): void {
    if (condition === before.condition) return;
    const fields = { from: before.condition, to: condition, ...(detail === '' ? {} : { detail }) };
    const message = isInTrouble({ condition })
      ? REFRESH_MESSAGES.credentialsBad
      : REFRESH_MESSAGES.credentialsGood;
    message(this.#log, fields);
  }

  planned({ record, changes, refused }: Plan, before: EndpointRecord): void {
    for (const change of changes) {
      const { kind: _, ...fields } = change;
      const addresses = { addresses: addressesOf(record), before: addressesOf(before) };
      messageOf(change)?.(this.#log, { ...fields, ...addresses });
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
    REFRESH_MESSAGES.disagree(this.#log, { ...disagreement, basis, likelyCause, cause });
  }

  agree(basis: Comparison['basis']): void {
    if (this.#disagreement === '') return;
    this.#disagreement = '';
    REFRESH_MESSAGES.agree(this.#log, { basis });
  }

  /** Logs once for each limit that the age of the addresses passes. */
  aged(ageMs: number, limitsMs: readonly number[]): void {
    const passedMs = limitsMs.findLast((limitMs) => ageMs > limitMs) ?? 0;
    if (passedMs > this.#agePassedMs) {
      const days = Math.floor(ageMs / 86_400_000);
      REFRESH_MESSAGES.aged(this.#log, { days });
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
    const message = described === undefined ? REFRESH_MESSAGES.nameIsDescribed : REFRESH_MESSAGES.nameDiffers;
    message(this.#log, fields);
  }

  #refusing(refused: readonly Refusal[]): void {
    const texts = refused.map(({ address, reason }) => `${address} ${reason}`);
    const text = texts.sort().join();
    if (text === this.#refused) return;
    this.#refused = text;
    if (text !== '') REFRESH_MESSAGES.refused(this.#log, { refused });
  }
}

const PROOF_MESSAGES = {
  proven: REFRESH_MESSAGES.proven,
  unproven: REFRESH_MESSAGES.proofLost,
  refused: REFRESH_MESSAGES.addressRefused,
};

function messageOf(change: Change): Message<'addresses' | 'before'> | undefined {
  switch (change.kind) {
    case 'addresses':
      return change.removed.length === 0 ? REFRESH_MESSAGES.learned : REFRESH_MESSAGES.changed;
    case 'basis':
      return REFRESH_MESSAGES.basis;
    case 'endpoint':
      return change.from === undefined ? REFRESH_MESSAGES.nameLearned : REFRESH_MESSAGES.nameChanged;
    case 'details':
      return REFRESH_MESSAGES.details;
    case 'held':
      return change.held.awaits === undefined
        ? REFRESH_MESSAGES.heldUntilRepeated
        : REFRESH_MESSAGES.heldUntilInterfaces;
    case 'released':
      return REFRESH_MESSAGES.released;
    case 'pinned':
      return REFRESH_MESSAGES.pinned;
    case 'unpinned':
      return REFRESH_MESSAGES.unpinned;
    case 'proof':
      return PROOF_MESSAGES[change.to];
    case 'withheld':
      return undefined; // the line about the proof says it
    case 'refresh-failed':
      return REFRESH_MESSAGES.refreshFails;
    case 'refresh-recovered':
      return REFRESH_MESSAGES.refreshWorks;
  }
}

/**
 * The latest comparison, and whether a disagreement in it lasts. A disagreement is shown at once. It is logged only after
 * every source has polled again. At a start, after a cut or during a change, the sources do not answer at the same moment.
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
