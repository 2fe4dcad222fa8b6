/** Describes a kind of state, and reads its newest whole generation without changing any file. */
import type { Message } from '../log/log.ts';
import { atOnce, type Slices, type Steps } from '../runtime/slices.ts';
import type { Decoded, Encoded, Written } from './checked-json.ts';
import type { ReadOutcome } from './file-system.ts';
import type { Fault } from './set-aside.ts';
import type { Generation, StateReader } from './state-backend.ts';

/** Why content is saved: its difference from the last save. */
export type SaveReason =
  /** The content has gained or lost an element. */
  | 'new'
  | 'changed'
  /** Only the age of the content has changed. */
  | 'confirmed';

/** Rules for the times at which the store writes content. */
export interface SavePolicy {
  /** The shortest time between two writes when only ages have changed. */
  readonly confirmEveryMs: number;
  /** For `saveLater`: how long after the last save each change may wait for the next. */
  readonly waitMs?: Readonly<Record<SaveReason, number>>;
  readonly messages: {
    readonly failing: Message<'code' | 'detail'>;
    readonly recovered: Message;
    /** Some content has no room. */
    readonly leftOut?: Message<'leftOut'>;
  };
}

/** A kind of state: how it goes into octets and comes out of them, and when it is worth a write. */
export interface StateFormat<Content> {
  /** A word for files: `endpoints`. */
  readonly name: string;
  readonly maxOctets: number;
  readonly policy: SavePolicy;
  /** Refuses what `decode` would not take back. */
  encode(file: Written<Content>): Steps<Encoded>;
  /** Never throws. */
  decode(octets: Uint8Array): Steps<Decoded<Content>>;
  /** Compares two contents. `ageing`: only ages differ. */
  compare(before: Content, after: Content): Steps<'none' | 'ageing' | 'content'>;
  /** Returns `ours`, with each part of `theirs` for which `ours` has no answer. */
  merge(ours: Content, theirs: Content): Content;
  /** Returns a key for each part of `content` that can answer queries. */
  answered(content: Content): Iterable<string>;
}

export interface Reading<Content> {
  /** The newest generation that is whole; absent when there is none. */
  readonly served?: Written<Content> & { readonly from: Generation };
  readonly faults: readonly Fault[];
}

/**
 * The current generation, or the previous generation where the current file is missing or unusable. Faults are values; never
 * rejects. Without `slices` in one piece.
 */
export async function readState<Content>(
  from: StateReader,
  format: StateFormat<Content>,
  slices?: Slices,
): Promise<Reading<Content>> {
  const faults: Fault[] = [];
  for (const generation of ['current', 'previous'] as const) {
    const path = from.placeOf(format.name, generation);
    const outcome = await from.read(format.name, generation, format.maxOctets);
    if (outcome.kind === 'absent') continue;
    if (outcome.kind !== 'read') {
      faults.push({ path, ...faultOf(outcome, format.maxOctets) });
      continue;
    }
    const steps = format.decode(outcome.octets);
    const decoded = slices === undefined ? atOnce(steps) : await slices.run(steps);
    if (decoded.kind === 'ok') return { served: { ...decoded.file, from: generation }, faults };
    faults.push({ path, ...(decoded.kind === 'newer' ? newerFault(decoded.version) : decoded) });
  }
  return { faults };
}

/** The fault of a file that gives no octets. */
export function faultOf(
  outcome: Exclude<ReadOutcome, { readonly kind: 'read' | 'absent' }>,
  maxOctets = Number.POSITIVE_INFINITY,
): Omit<Fault, 'path'> {
  switch (outcome.kind) {
    case 'failed': {
      const { code, message } = outcome.error;
      return { kind: 'unreadable', reason: code.toLowerCase(), detail: message };
    }
    case 'too-large':
      return { kind: 'corrupt', reason: 'too-large', detail: `more than ${maxOctets} octets` };
    case 'not-a-file':
      return { kind: 'foreign', reason: 'not-a-file', detail: 'a directory or device stands in its place' };
  }
}

/** A file that a later version of ours has written. */
export function newerFault(version: number): Omit<Fault, 'path'> {
  return {
    kind: 'newer',
    reason: `version-${version}`,
    detail: `written by a later version: format ${version}`,
  };
}
