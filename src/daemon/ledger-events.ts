/**
 * Turns the changes that the rooms report into events of the ledger. A chronicle limits their lines: for links and for
 * addresses that go and come.
 */
import type { LinkCondition, LinkTransition } from '../link/link-monitor.ts';
import type { ClusterSnapshot } from '../refresh/cluster-snapshot.ts';
import { REASON_TEXT } from '../refresh/cluster-warnings.ts';
import type { Change } from '../refresh/reconcile/changes.ts';
import { type Clock, Spacing, type Timers } from '../runtime/clock.ts';
import type { LedgerEvent } from '../store/ledger-format.ts';
import type { LoadFault } from '../store/state-backend.ts';

type LinkPlace = Pick<LinkTransition, 'side' | 'key'>;

export function linkEvent({ side, key }: LinkPlace, { atMs: _, ...change }: LastingChange): LedgerEvent {
  return { kind: 'link', side, key, ...change };
}

/** Only changes that a person searches for after months: a failed poll and a change of the basis are not among them. */
export function changeEvents(cluster: ClusterSnapshot, changes: readonly Change[]): readonly LedgerEvent[] {
  const { region } = cluster;
  const place = { cluster: cluster.cluster, ...(region === undefined ? {} : { region }) };
  return changes.flatMap((change): readonly LedgerEvent[] => {
    switch (change.kind) {
      case 'addresses': {
        const { before, after, ...rest } = addressesEvent(cluster, change);
        // a new address that waits for its proof, a pin that ends: clients get the same as before
        if (new Set([...before, ...after]).size === after.length && before.length === after.length) return [];
        return [{ kind: 'addresses', ...place, before, after, ...rest }];
      }
      case 'endpoint': {
        const { from, to } = change;
        return [{ kind: 'endpoint', ...place, ...(from === undefined ? {} : { from }), to }];
      }
      case 'held': {
        const { addresses, reason } = change.held;
        return [{ kind: 'held', ...place, outcome: 'held', addresses, reason }];
      }
      case 'released': {
        const { addresses, reason } = change.held;
        return [{ kind: 'held', ...place, outcome: change.outcome, addresses, reason }];
      }
      case 'withheld': {
        const { address, isWithheld, reason } = change;
        const why = reason === undefined ? {} : { reason: REASON_TEXT[reason] };
        return [{ kind: 'withheld', ...place, address, phase: isWithheld ? 'left' : 'came', ...why }];
      }
      case 'pinned': {
        const { addresses, why, by: pinnedBy, sinceMs, untilMs } = change.pin;
        const forMs = Math.round(untilMs - sinceMs);
        return [{ kind: 'pin', phase: 'started', ...place, addresses, why, pinnedBy, forMs }];
      }
      case 'unpinned': {
        const { by, pin, ranMs } = change;
        return [{ kind: 'pin', phase: 'ended', ...place, addresses: pin.addresses, by, ranMs }];
      }
      default:
        return [];
    }
  });
}

function addressesEvent(
  { endpoint, addresses, sources }: ClusterSnapshot,
  { added, removed, basis }: Extract<Change, { kind: 'addresses' }>,
) {
  const after = addresses.map(({ address }) => address);
  const stayed = after.filter((address) => !added.includes(address) && !removed.includes(address));
  const before = [...stayed, ...removed];
  const seen = sources.flatMap((source) =>
    source.addresses === undefined ? [] : [[source.source, source.addresses] as const],
  );
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    before,
    after,
    basis,
    seen: Object.fromEntries(seen),
  };
}

export function setAsideEvent({ path, reason, detail, setAsideTo }: LoadFault): LedgerEvent {
  return {
    kind: 'set-aside',
    path,
    reason,
    detail,
    ...(setAsideTo === undefined ? {} : { to: setAsideTo }),
  };
}

// Departures and returns of refused addresses. An address that two hosts have at once can go and come with every check, for days.

export type WithheldEvent = Extract<LedgerEvent, { kind: 'withheld' }>;

/** A departure, a return, and the same again. */
const LINES_AT_ONCE = 4;
const HOUR_MS = 3_600_000;

interface WithheldChronicleOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly record: (event: WithheldEvent, agoMs: number) => void;
}

/** A change without a line is not written at the end: the next start records nothing of the checks before it. */
export class WithheldChronicle implements Disposable {
  readonly #lines: Spacing<WithheldEvent>;

  constructor({ record, ...time }: WithheldChronicleOptions) {
    this.#lines = new Spacing({
      ...time,
      atOnce: LINES_AT_ONCE,
      everyMs: HOUR_MS,
      pass: (event, { left }, agoMs) =>
        record({ ...event, ...(left === undefined ? {} : { unwritten: left }) }, agoMs),
    });
  }

  note(event: WithheldEvent): void {
    this.#lines.note(JSON.stringify([event.cluster, event.region, event.address]), event);
  }

  [Symbol.dispose](): void {
    this.#lines[Symbol.dispose]();
  }
}

// Which changes of a condition get a line that stays for months. The first change of a series gets it at once; later
// changes only when they last. A link that loses four packets in five must not push every other line out. Pure.
//
//     connected --cut--> disconnected  at once      disconnected --back--> connected  at once
//     then back and forth for a day: no line until a condition has lasted; that line counts the flickers

interface LinkChronicleOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly record: (place: LinkPlace, change: LastingChange, agoMs: number) => void;
}

interface Chapter {
  readonly series: Series;
  readonly timer: Disposable | undefined;
}

export class LinkChronicle implements Disposable {
  readonly #options: LinkChronicleOptions;
  readonly #chapters = new Map<string, Chapter>();
  #isClosed = false;

  constructor(options: LinkChronicleOptions) {
    this.#options = options;
  }

  note(transition: LinkTransition): void {
    if (this.#isClosed) return; // no event comes after the line that says that the server stopped
    const { side, key } = transition;
    const before = this.#chapters.get(`${side} ${key}`);
    before?.timer?.[Symbol.dispose]();
    const nowMs = this.#options.clock.monotonicMs();
    this.#settle({ side, key }, afterTransition(before?.series, transition, nowMs));
  }

  /** A change that has not lasted yet is not recorded: the next start records the state of the link. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const { timer } of this.#chapters.values()) timer?.[Symbol.dispose]();
  }

  #settle(place: LinkPlace, { series, change }: Outcome): void {
    const { clock, timers, record } = this.#options;
    const nowMs = clock.monotonicMs();
    const dueMs = dueAtMs(series);
    const timer =
      dueMs === undefined
        ? undefined
        : timers.after(dueMs - nowMs, () => this.#settle(place, afterWait(series, clock.monotonicMs())));
    this.#chapters.set(`${place.side} ${place.key}`, { series, timer });
    if (change !== undefined) record(place, change, nowMs - change.atMs);
  }
}

/** A condition that lasts this long is no flicker; a lossy path changes within seconds. */
const LASTING_MS = 30_000;
/** After this time without a change, the next change starts a new series. A shorter pause never ends a series. */
const QUIET_MS = 300_000;
/** A cut and a return: further changes in the same series are flickers. */
const LINES_OF_A_CUT = 2;

type Transition = Pick<LinkTransition, 'from' | 'to' | 'reason'>;

/** A change to record. */
interface LastingChange extends Transition {
  /** When it happened, monotonic. */
  readonly atMs: number;
  /** How long the condition before lasted, flickers included; absent for the first known condition. */
  readonly lastedMs?: number;
  /** Changes before it that did not last; absent when there were none. */
  readonly flickers?: number;
}

export interface Series {
  /** The condition that was recorded last, and when it began. */
  readonly recorded: LinkCondition;
  readonly recordedSinceMs: number;
  /** A change that may last. */
  readonly waiting?: Pick<LastingChange, 'to' | 'reason' | 'atMs'> | undefined;
  readonly changedAtMs: number;
  /** Lines of this series: their reader already knows that the link is unsteady. */
  readonly lines: number;
  readonly flickers: number;
}

interface Outcome {
  readonly series: Series;
  readonly change?: LastingChange;
}

/** @param series absent before the first transition of a path */
export function afterTransition(
  series: Series | undefined,
  { from, to, reason }: Transition,
  nowMs: number,
): Outcome {
  if (series === undefined || from === 'unknown') {
    return {
      series: { recorded: to, recordedSinceMs: nowMs, changedAtMs: nowMs, lines: 0, flickers: 0 },
      change: { from, to, reason, atMs: nowMs },
    };
  }
  const isNew = nowMs - series.changedAtMs >= QUIET_MS;
  const current = { ...series, changedAtMs: nowMs, ...(isNew ? { lines: 0, flickers: 0 } : {}) };
  // a first answer is no return yet: the cut goes on
  if (to === 'recovering') return { series: current };
  const { waiting } = current;
  const isFlicker = isSettled(waiting?.to) && waiting?.to !== to;
  const isBackInTheCut = from === 'recovering' && to === 'disconnected';
  const counted = { ...current, flickers: current.flickers + Number(isFlicker || isBackInTheCut) };
  if (waiting?.to === to) return { series: counted };
  if (to === current.recorded) {
    const lines = to === 'disconnected' ? Math.max(1, counted.lines) : counted.lines; // the cut has its line
    return { series: { ...counted, waiting: undefined, lines } };
  }
  const next = { to, reason, atMs: nowMs };
  if (isSettled(to) && current.lines === 0) return lineOf(counted, next);
  return { series: { ...counted, waiting: next } };
}

/** When to call `afterWait`; `undefined` while nothing waits. */
export function dueAtMs({ waiting, lines }: Series): number | undefined {
  return waiting && waiting.atMs + (lines < LINES_OF_A_CUT ? LASTING_MS : QUIET_MS);
}

/** Records the waiting change if it has lasted. */
export function afterWait(series: Series, nowMs: number): Outcome {
  const { waiting } = series;
  const dueMs = dueAtMs(series);
  return waiting === undefined || dueMs === undefined || nowMs < dueMs ? { series } : lineOf(series, waiting);
}

function lineOf(series: Series, waiting: NonNullable<Series['waiting']>): Outcome {
  const { recorded: from, recordedSinceMs, changedAtMs, flickers } = series;
  const { to, atMs } = waiting;
  const lastedMs = Math.round(atMs - recordedSinceMs);
  const lines = series.lines + Number(isSettled(to));
  return {
    series: { recorded: to, recordedSinceMs: atMs, changedAtMs, lines, flickers: 0 },
    change: { from, ...waiting, lastedMs, ...(flickers > 0 ? { flickers } : {}) },
  };
}

function isSettled(condition: LinkCondition | undefined): boolean {
  return condition === 'connected' || condition === 'disconnected';
}
