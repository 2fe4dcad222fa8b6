/** What the sources' latest looks are worth at one moment: which of them still speak, and what each kind of them says. Pure. */

import type { FailureReason } from '../../records/observation.ts';
import { type AddressSource, isInterfaceSource, isNameSource, traitsOf } from '../../records/sources.ts';
import type { Admission } from './admissible.ts';
import { type Comparison, compare, type SourceView } from './compare.ts';
import type { Said } from './corroboration.ts';
import type { NameEvidence } from './guard.ts';

/** What is known of one address source at the moment of planning. */
export interface SourceState {
  readonly source: AddressSource;
  readonly latest: 'untried' | 'succeeded' | 'failed';
  /** Why the latest look failed. */
  readonly failure?: FailureReason | undefined;
  /** The last success, whatever came after it. */
  readonly view?: AddressView | undefined;
}

export interface AddressView {
  readonly addresses: readonly string[];
  readonly ttlSeconds?: number | undefined;
  readonly observedAtMs: number;
  /** The upstream that answered; name sources only. */
  readonly upstream?: string | undefined;
  /** EC2's status of those interfaces that are not `in-use`, by address. */
  readonly statuses?: Readonly<Record<string, string>> | undefined;
  /** Of interfaces that were found by a description which is not the exact one. */
  readonly isDoubtful?: true | undefined;
}

export interface ViewSettings {
  readonly admit: Admission;
  /** A view older than this counts as unavailable: its source has stopped looking. */
  readonly maximumAgeMs: Readonly<Record<AddressSource, number>>;
}

/** The comparison that a decision at this moment would rest on. */
export function compareStates(
  sources: readonly SourceState[],
  settings: ViewSettings,
  nowMs: number,
): Comparison {
  const views = (wanted: readonly SourceState[]) => wanted.map((state) => viewOf(state, settings, nowMs));
  return compare(
    views(sources.filter((state) => isNameSource(state.source))),
    views(sources.filter((state) => isInterfaceSource(state.source))),
    (address) => settings.admit(address) === 'public',
  );
}

function viewOf(state: SourceState, settings: ViewSettings, nowMs: number): SourceView {
  const { source, latest, view, failure } = state;
  if (latest === 'failed') {
    // causes are guessed from what DNS and EC2 say: the API server's own view fails for reasons of its own
    const isTold = failure !== undefined && traitsOf(source).crossesLink;
    return { kind: 'unavailable', ...(isTold ? { reason: failure } : {}) };
  }
  const isRecent = view !== undefined && nowMs - view.observedAtMs <= settings.maximumAgeMs[source];
  if (latest === 'untried' || !isRecent) return { kind: 'unavailable' };
  return { kind: 'addresses', addresses: view.addresses };
}

/** Whether the source says something at this moment that may be served. */
export function isUsable(state: SourceState, settings: ViewSettings, nowMs: number): boolean {
  const view = viewOf(state, settings, nowMs);
  return view.kind === 'addresses' && view.addresses.some((address) => settings.admit(address) === undefined);
}

/** What the two kinds of source say of addresses that may be served. */
export function saidBy(sources: readonly SourceState[], settings: ViewSettings, nowMs: number): Said {
  const speaking = sources.filter((state) => isUsable(state, settings, nowMs));
  const admitted = (wanted: readonly SourceState[]) =>
    new Set(
      wanted.flatMap(
        ({ view }) => view?.addresses.filter((address) => settings.admit(address) === undefined) ?? [],
      ),
    );
  return {
    byName: admitted(speaking.filter(({ source }) => isNameSource(source))),
    byInterfaces: admitted(speaking.filter(({ source }) => isInterfaceSource(source))),
    listedAtMs: speaking.find(({ source }) => source === 'interfaces')?.view?.observedAtMs,
  };
}

/** What the names' answer is worth as a repetition. */
export function evidenceOfNames(sources: readonly SourceState[]): NameEvidence {
  const names = sources.filter(({ source, latest }) => isNameSource(source) && latest === 'succeeded');
  const views = names.flatMap(({ view }) => view ?? []);
  return {
    ttlSeconds: Math.max(0, ...views.map(({ ttlSeconds }) => ttlSeconds ?? 0).filter(Number.isFinite)),
    upstreams: views.flatMap(({ upstream }) => upstream ?? []),
    observedAtMs: Math.max(0, ...views.map(({ observedAtMs }) => observedAtMs)),
  };
}
