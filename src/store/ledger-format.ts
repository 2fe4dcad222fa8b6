/**
 * One line of the ledger: all events as one union, and their JSON.
 *
 *     {"sequence":17,"at":"2026-01-01T03:00:00.000Z","kind":"link","side":"aws","key":"us-west-2",...}
 *
 * `sequence` gives the order, over restarts too, because `at` is the wall clock, which may be wrong and may jump. `lost` counts
 * the earlier events that the ledger could not write. A line of a later version is an entry without `event`.
 */
import * as v from 'valibot';
import { isDeeperThan } from '../records/endpoint-record.ts';
import {
  attemptRead,
  count,
  flag,
  list,
  number,
  object,
  type Reader,
  table,
  text,
  word,
} from '../runtime/forms.ts';

const texts = list(text);
const place = { cluster: text, region: v.optional(text) };

const event = <const Kind extends string, const Members extends v.ObjectEntries>(
  kind: Kind,
  members: Members,
) => v.object({ kind: v.literal(kind), ...members });

/** Made when the first line is read: a start only writes. */
const makeEventReader = () =>
  v.variant('kind', [
    event('start', {
      version: text,
      /** Such as `node 26.10.0`. */
      runtime: text,
      /** Endpoints that the state file knew. */
      endpoints: number,
    }),
    event('stop', { reason: text }),
    event('reload', {
      outcome: word('taken', 'refused'),
      /** The faults of a refused configuration, a sentence each. */
      faults: v.optional(texts),
    }),
    event('link', {
      /** `summary` stands for all paths together; its `key` is `all`. */
      side: word('aws', 'upstream', 'summary'),
      /** A Region, or an upstream. */
      key: text,
      from: text,
      to: text,
      reason: text,
      /** How long the condition before lasted, by the monotonic clock. */
      lastedMs: v.optional(number),
      /** Changes before this one that did not last, and have no line. */
      flickers: v.optional(number),
    }),
    event('addresses', {
      ...place,
      endpoint: v.optional(text),
      before: texts,
      after: texts,
      /** Which row of the design's table decided: `name`, `overlap`, `interfaces`, `kept`, `pin`, `none`. */
      basis: text,
      /** The addresses that each source saw last before the decision; a source that saw none is left out. */
      seen: table(texts),
    }),
    event('endpoint', { ...place, from: v.optional(text), to: text }),
    event('held', {
      ...place,
      outcome: word('held', 'adopted', 'dropped'),
      addresses: texts,
      reason: text,
    }),
    event('withheld', {
      ...place,
      /** Refused, because another server answers at it: it left the answers, or came into them. */
      address: text,
      phase: word('left', 'came'),
      reason: v.optional(text),
      /** Changes before this one that have no line: an address that two hosts have goes and comes. */
      unwritten: v.optional(number),
    }),
    v.variant('phase', [
      event('drill', { phase: v.literal('started'), forMs: number }),
      event('drill', {
        phase: v.literal('ended'),
        by: word('time', 'command', 'shutdown'),
        ranMs: number,
        /** Queries that failed, that got a stale answer, and that got the answer of an endpoint. */
        failed: number,
        stale: number,
        endpointAnswers: number,
      }),
    ]),
    v.variant('phase', [
      event('pin', {
        phase: v.literal('started'),
        ...place,
        addresses: texts,
        why: text,
        pinnedBy: text,
        forMs: number,
      }),
      event('pin', {
        phase: v.literal('ended'),
        ...place,
        addresses: texts,
        by: word('time', 'command'),
        ranMs: number,
      }),
    ]),
    event('flush', {
      name: text,
      /** Names under it too. */
      below: flag,
      answers: number,
      flushedBy: text,
    }),
    event('set-aside', {
      path: text,
      reason: text,
      detail: text,
      /** Absent while the file stays in its place. */
      to: v.optional(text),
    }),
  ]);

let eventReader: Reader<LedgerEvent> | undefined;

/** An event that a person may look for months later. */
export type LedgerEvent = v.InferOutput<ReturnType<typeof makeEventReader>>;
export type LedgerKind = LedgerEvent['kind'];

const KINDS: Readonly<Record<LedgerKind, true>> = {
  start: true,
  stop: true,
  reload: true,
  link: true,
  addresses: true,
  endpoint: true,
  held: true,
  withheld: true,
  drill: true,
  pin: true,
  flush: true,
  'set-aside': true,
};

export const LEDGER_KINDS: readonly string[] = Object.keys(KINDS);

export interface LineParts {
  readonly sequence: number;
  /** Wall ms at which it happened. */
  readonly atMs: number;
  /** The number of lost events before this event. */
  readonly lost: number;
  readonly event: LedgerEvent;
}

/** Far more than an event needs: the bound is for error texts of other programs. */
export const MAX_LINE_OCTETS = 16 * 1024;
const MAX_CLIPPED_TEXT = 200; // characters
const MAX_CLIPPED_LIST = 40;

/** The line with its line feed, at most MAX_LINE_OCTETS; an event that is too long is shortened and marked with `clipped`. */
export function composeLine({ sequence, atMs, lost, event }: LineParts): Uint8Array {
  const head = { sequence, at: new Date(atMs).toISOString(), ...(lost > 0 ? { lost } : {}) };
  for (const content of [event, clipped(event), { kind: event.kind, clipped: true }]) {
    const line = new TextEncoder().encode(`${JSON.stringify({ ...head, ...content })}\n`);
    if (line.length <= MAX_LINE_OCTETS) return line;
  }
  throw new RangeError('a line without its event is short');
}

function clipped(event: LedgerEvent): object {
  const short = JSON.stringify(event, (_key, value: unknown) => {
    if (typeof value === 'string') return value.slice(0, MAX_CLIPPED_TEXT);
    return Array.isArray(value) ? value.slice(0, MAX_CLIPPED_LIST) : value;
  });
  return { ...JSON.parse(short), clipped: true };
}

export interface LedgerEntry {
  readonly sequence: number;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly lost: number;
  readonly kind: string;
  /** Absent for an event that only a later version knows, and for an event that was shortened too much. */
  readonly event?: LedgerEvent;
  /** The whole line as it was written. */
  readonly line: Readonly<Record<string, unknown>>;
}

const HEADER = object({
  sequence: count,
  at: v.pipe(
    text,
    v.check((found) => Number.isFinite(Date.parse(found)), 'not a time'),
  ),
  kind: v.pipe(text, v.nonEmpty('empty')),
  lost: v.exactOptional(count),
});
const MAX_DEPTH = 8; // our lines have 3; bounds the recursion over a line that another program wrote

/** The entry of a line; `undefined` for a line that is torn, or was not written by this program. Never throws. */
export function parseLine(text: string): LedgerEntry | undefined {
  const opened = openLine(text);
  if (opened === undefined) return undefined;
  eventReader ??= makeEventReader();
  const event = attemptRead(eventReader, opened.line);
  return { ...opened, ...(event.kind === 'ok' ? { event: event.content } : {}) };
}

/** As `parseLine`, without the event. */
export function openLine(text: string): LedgerEntry | undefined {
  if (text.length > MAX_LINE_OCTETS || !text.startsWith('{')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (isDeeperThan(value, MAX_DEPTH)) return undefined;
  const header = attemptRead(HEADER, value);
  if (header.kind === 'mismatch') return undefined;
  const { lost = 0, ...rest } = header.content;
  // a reader has found members in it
  return { ...rest, lost, line: value as Readonly<Record<string, unknown>> };
}
