/** Builds the rooms that know of an outage, real or rehearsed: the link, its chronicle, the drill. */
import { Drill, type DrillChange } from '../drill/drill.ts';
import { LinkMonitor, type LinkTransition } from '../link/link-monitor.ts';
import {
  afterTransition,
  afterWait,
  dueAtMs,
  type LastingChange,
  type Outcome,
  type Series,
} from '../link/link-state.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Timers } from '../runtime/timers.ts';
import { failsWhileDisconnected } from '../serving/local-zones/disconnected-rules.ts';
import { linkEvent } from './ledger-events.ts';
import type { DaemonParts } from './parts.ts';
import { type ConfigInForce, disconnectedRules } from './routes.ts';
import type { StoreRooms } from './store-rooms.ts';

export type OutageRooms = ReturnType<typeof buildOutageRooms>;

/** `pollAgain` asks every source and upstream that may be reachable again; `onLinkBack` is called when AWS can be reached again. */
export function buildOutageRooms(
  { clock, timers, log }: DaemonParts,
  inForce: ConfigInForce,
  { ledger, answers }: Pick<StoreRooms, 'ledger' | 'answers'>,
  pollAgain: (reason: string) => void,
  onLinkBack: () => void,
) {
  const chronicle = new LinkChronicle({
    clock,
    timers,
    record: (place, change, agoMs) => ledger.record(linkEvent(place, change), agoMs),
  });
  const link = new LinkMonitor({
    clock,
    log,
    onRestored: ({ side }) => {
      if (side === 'aws') onLinkBack();
      pollAgain(`${side} reachable again`);
    },
    onTransition: (transition) => {
      chronicle.note(transition);
      if (transition.to === 'disconnected') answers.noteCut();
    },
    isRehearsed: (side, key) => side === 'aws' || inForce.routes.acrossLink.has(key),
  });
  const drill = new Drill({
    clock,
    timers,
    log,
    byPolicy: () => failsWhileDisconnected(disconnectedRules(inForce.config)),
    retained: () => inForce.config.retain,
    onChange: (change: DrillChange) => {
      ledger.record({ kind: 'drill', ...change });
      link.rehearse(change.phase === 'started');
      if (change.phase === 'started' || change.by === 'shutdown') return;
      onLinkBack();
      pollAgain('drill is over');
    },
  });
  return { chronicle, link, drill };
}

export type LinkPlace = Pick<LinkTransition, 'side' | 'key'>;

export interface LinkChronicleOptions {
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
