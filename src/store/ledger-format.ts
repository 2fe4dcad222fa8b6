/**
 * One line of the ledger: all events as one union, and their JSON.
 *
 *     {"sequence":17,"at":"2026-01-01T03:00:00.000Z","kind":"link","side":"aws","key":"us-west-2",...}
 *
 * `sequence` gives the order, over restarts too, because `at` is the wall clock, which may be wrong and may jump. `lost` counts
 * the earlier events that the ledger could not write. A line of a later version is an entry without `event`.
 */
import * as z from 'zod';
import { isDeeperThan } from '../records/endpoint-record.ts';

const texts = z.array(z.string()).readonly();
const place = { cluster: z.string(), region: z.string().optional() };

const schema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('start'),
    version: z.string(),
    /** Such as `node 26.10.0`. */
    runtime: z.string(),
    /** Endpoints that the state file knew. */
    endpoints: z.number(),
  }),
  z.object({ kind: z.literal('stop'), reason: z.string() }),
  z.object({
    kind: z.literal('reload'),
    outcome: z.enum(['taken', 'refused']),
    /** The faults of a refused configuration, a sentence each. */
    faults: texts.optional(),
  }),
  z.object({
    kind: z.literal('link'),
    /** `summary` stands for all paths together; its `key` is `all`. */
    side: z.enum(['aws', 'upstream', 'summary']),
    /** A Region, or an upstream. */
    key: z.string(),
    from: z.string(),
    to: z.string(),
    reason: z.string(),
    /** How long the condition before lasted, by the monotonic clock. */
    lastedMs: z.number().optional(),
    /** Changes before this one that did not last, and have no line. */
    flickers: z.number().optional(),
  }),
  z.object({
    kind: z.literal('addresses'),
    ...place,
    endpoint: z.string().optional(),
    before: texts,
    after: texts,
    /** Which row of the design's table decided: `name`, `overlap`, `interfaces`, `kept`, `pin`, `none`. */
    basis: z.string(),
    /** The addresses that each source saw last before the decision; a source that saw none is left out. */
    seen: z.record(z.string(), texts),
  }),
  z.object({
    kind: z.literal('endpoint'),
    ...place,
    from: z.string().optional(),
    to: z.string(),
  }),
  z.object({
    kind: z.literal('held'),
    ...place,
    outcome: z.enum(['held', 'adopted', 'dropped']),
    addresses: texts,
    reason: z.string(),
  }),
  z.object({
    kind: z.literal('withheld'),
    ...place,
    /** Refused, because another server answers at it: it left the answers, or came into them. */
    address: z.string(),
    phase: z.enum(['left', 'came']),
    reason: z.string().optional(),
    /** Changes before this one that have no line: an address that two hosts have goes and comes. */
    unwritten: z.number().optional(),
  }),
  z.discriminatedUnion('phase', [
    z.object({ kind: z.literal('drill'), phase: z.literal('started'), forMs: z.number() }),
    z.object({
      kind: z.literal('drill'),
      phase: z.literal('ended'),
      by: z.enum(['time', 'command', 'shutdown']),
      ranMs: z.number(),
      /** Queries that failed, that got a stale answer, and that got the answer of an endpoint. */
      failed: z.number(),
      stale: z.number(),
      endpointAnswers: z.number(),
    }),
  ]),
  z.discriminatedUnion('phase', [
    z.object({
      kind: z.literal('pin'),
      phase: z.literal('started'),
      ...place,
      addresses: texts,
      why: z.string(),
      pinnedBy: z.string(),
      forMs: z.number(),
    }),
    z.object({
      kind: z.literal('pin'),
      phase: z.literal('ended'),
      ...place,
      addresses: texts,
      by: z.enum(['time', 'command']),
      ranMs: z.number(),
    }),
  ]),
  z.object({
    kind: z.literal('flush'),
    name: z.string(),
    /** Names under it too. */
    below: z.boolean(),
    answers: z.number(),
    flushedBy: z.string(),
  }),
  z.object({
    kind: z.literal('set-aside'),
    path: z.string(),
    reason: z.string(),
    detail: z.string(),
    /** Absent while the file stays in its place. */
    to: z.string().optional(),
  }),
]);

/** An event that a person may look for months later. */
export type LedgerEvent = z.output<typeof schema>;
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

const header = z.looseObject({
  sequence: z.int().min(0),
  at: z.string().refine((text) => Number.isFinite(Date.parse(text))),
  kind: z.string().min(1),
  lost: z.int().min(0).optional(),
});
const MAX_DEPTH = 8; // our lines have 3; bounds the recursion over a line that another program wrote

/** The entry of a line; `undefined` for a line that is torn, or was not written by this program. Never throws. */
export function parseLine(text: string): LedgerEntry | undefined {
  if (text.length > MAX_LINE_OCTETS || !text.startsWith('{')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (isDeeperThan(value, MAX_DEPTH)) return undefined;
  const line = header.safeParse(value);
  if (!line.success) return undefined;
  const { sequence, at, kind, lost = 0 } = line.data;
  const { data: event } = schema.safeParse(value);
  return { sequence, at, kind, lost, ...(event === undefined ? {} : { event }), line: line.data };
}
