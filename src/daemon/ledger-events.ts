/**
 * Turns the changes that the rooms report into events of the ledger. A chronicle limits their lines: for links and for
 * addresses that go and come.
 */
import type { LinkTransition } from '../link/link-monitor.ts';
import {
  afterTransition,
  afterWait,
  dueAtMs,
  type LastingChange,
  type Outcome,
  type Series,
} from '../link/link-state.ts';
import type { ClusterSnapshot } from '../refresh/cluster-report.ts';
import { REASON_TEXT } from '../refresh/cluster-warnings.ts';
import type { Change } from '../refresh/reconcile/changes.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Timers } from '../runtime/timers.ts';
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

// Decides which departures and returns of refused addresses get a line in the ledger. An address that two hosts have at once can
// go and come with every check, for days. Its lines must not push every other line out.
//
//     the first changes of an address        a line each, at once
//     further changes, until a quiet hour    one line an hour, with the state at that moment and the number of changes before it

export type WithheldEvent = Extract<LedgerEvent, { kind: 'withheld' }>;

/** A departure, a return, and the same again. */
const LINES_AT_ONCE = 4;
const HOUR_MS = 3_600_000;

interface Changes {
  /** Lines since the last quiet hour. */
  readonly lines: number;
  readonly changedAtMs: number;
  /** The latest change, which has no line yet. */
  readonly waiting?: { readonly event: WithheldEvent; readonly atMs: number; readonly unwritten: number };
  readonly timer?: Disposable;
}

interface WithheldChronicleOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly record: (event: WithheldEvent, agoMs: number) => void;
}

export class WithheldChronicle implements Disposable {
  readonly #options: WithheldChronicleOptions;
  readonly #changes = new Map<string, Changes>();
  #isClosed = false;

  constructor(options: WithheldChronicleOptions) {
    this.#options = options;
  }

  note(event: WithheldEvent): void {
    if (this.#isClosed) return; // no event comes after the line that says that the server stopped
    const nowMs = this.#options.clock.monotonicMs();
    const key = JSON.stringify([event.cluster, event.region, event.address]);
    const before = this.#changes.get(key);
    const isQuiet = before === undefined || nowMs - before.changedAtMs >= HOUR_MS;
    const lines = isQuiet ? 0 : before.lines;
    if (before?.waiting === undefined && lines < LINES_AT_ONCE) {
      this.#changes.set(key, { lines: lines + 1, changedAtMs: nowMs });
      this.#options.record(event, 0);
      this.#forgetQuiet(nowMs);
      return;
    }
    const unwritten = (before?.waiting?.unwritten ?? -1) + 1;
    const timer = before?.timer ?? this.#options.timers.after(HOUR_MS, () => this.#write(key));
    this.#changes.set(key, { lines, changedAtMs: nowMs, waiting: { event, atMs: nowMs, unwritten }, timer });
  }

  /** A change without a line is not written: the next start records nothing of the checks before it. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const { timer } of this.#changes.values()) timer?.[Symbol.dispose]();
    this.#changes.clear();
  }

  #write(key: string): void {
    const { waiting, lines = 0, changedAtMs = 0 } = this.#changes.get(key) ?? {};
    if (waiting === undefined) return;
    this.#changes.set(key, { lines, changedAtMs });
    const { event, atMs, unwritten } = waiting;
    const nowMs = this.#options.clock.monotonicMs();
    this.#options.record({ ...event, ...(unwritten === 0 ? {} : { unwritten }) }, nowMs - atMs);
  }

  /** Addresses that come and go for months leave nothing behind. */
  #forgetQuiet(nowMs: number): void {
    for (const [key, { changedAtMs, waiting }] of this.#changes)
      if (waiting === undefined && nowMs - changedAtMs >= HOUR_MS) this.#changes.delete(key);
  }
}

// Decides which changes of the link get a line: those that have lasted, as link-state.ts says.

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
