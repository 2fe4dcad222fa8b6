/**
 * The commands on the control socket that rehearse an outage: `drill`, and `check --as-if-cut`. Their reports have one form for
 * the server and for its client.
 */
import * as v from 'valibot';
import { list, number, object, strictObject, text, word } from '../runtime/forms.ts';
import { ControlRefusal } from './control-refusal.ts';
import { type ControlRoute, controlRoute } from './control-route.ts';

const askedNames = object({
  queries: number,
  /** Most queries first. */
  names: list(object({ name: text, type: text, queries: number })),
  /** Queries for names beyond those that are listed. */
  otherQueries: number,
});

export const drillReport = object({
  state: word('none', 'running', 'ended'),
  /** ISO 8601, UTC. */
  startedAt: v.optional(text),
  forMs: v.optional(number),
  ranMs: v.optional(number),
  endedBy: v.optional(word('time', 'command', 'shutdown')),
  failed: askedNames,
  stale: askedNames,
  endpoints: list(object({ endpoint: text, answers: number })),
  /** Names that the report advises to add to `retain`; the name with the most queries comes first. */
  retain: list(object({ name: text, types: list(text), asked: number })),
});

export type DrillReportBody = v.InferOutput<typeof drillReport>;

/** The part of the drill that the commands use. */
export interface DrillControl {
  start(
    forMs: number,
  ):
    | { readonly kind: 'started' | 'already-running' }
    | { readonly kind: 'bad-length'; readonly minMs: number; readonly maxMs: number };
  stop(): { readonly kind: 'stopped' | 'not-running' };
  summary(): DrillReportBody;
}

export const DRILL_START = '/drill/start';
export const DRILL_STOP = '/drill/stop';
export const DRILL_REPORT_PATH = '/drill';

const WAIT = 'start the drill when "outpost-dns status" says ready: in a drill no address is learned';

const startBody = strictObject({ forMs: number });
const noBody = strictObject({});

/**
 * Each answers with the report as it then is. `notReady`: why endpoints cannot be answered now. During a drill nothing could
 * learn their addresses, so that their clients would have no answer until its end.
 */
export function drillRoutes(
  drill: DrillControl,
  notReady: () => Promise<readonly string[]>,
): readonly ControlRoute[] {
  return [
    controlRoute('POST', DRILL_START, startBody, async ({ forMs }) => {
      const [reason] = await notReady();
      return reason === undefined ? start(drill, forMs) : new ControlRefusal(409, reason, WAIT);
    }),
    controlRoute('POST', DRILL_STOP, noBody, () => stop(drill)),
    controlRoute('GET', DRILL_REPORT_PATH, noBody, () => drill.summary()),
  ];
}

function start(drill: DrillControl, forMs: number): DrillReportBody | ControlRefusal {
  const outcome = drill.start(forMs);
  switch (outcome.kind) {
    case 'started':
      return drill.summary();
    case 'already-running': {
      const { forMs: ofMs = 0, ranMs = 0 } = drill.summary();
      const left = `it ends by itself in ${Math.ceil((ofMs - ranMs) / 1000)} s, or with "outpost-dns drill stop"`;
      return new ControlRefusal(409, 'a drill is running already', left);
    }
    case 'bad-length': {
      const { minMs, maxMs } = outcome;
      const fix = `write ${minMs / 1000}s to ${maxMs / 3_600_000}h`;
      return new ControlRefusal(400, `not a length for a drill: ${forMs / 1000} s`, fix);
    }
  }
}

function stop(drill: DrillControl): DrillReportBody | ControlRefusal {
  if (drill.stop().kind === 'stopped') return drill.summary();
  return new ControlRefusal(409, 'no drill is running', '"outpost-dns drill report" shows the last one');
}

// The command `check --as-if-cut` on the control socket: what would fail if the link were cut now. It changes nothing.

export const AS_IF_CUT_PATH = '/as-if-cut';

const failing = object({
  /** A domain name as text. */
  name: text,
  /** The mnemonic of the type. */
  type: text,
  /** The step of the resolver's list that would give the failure. */
  step: text,
});

const group = object({
  /** Questions that were rehearsed. */
  tried: number,
  /** Questions that would fail; no more than a few hundred are listed. */
  failing: list(failing),
  /** Failing questions that are not listed. */
  more: number,
});

export const asIfCutReport = object({
  endpoints: group,
  retained: group,
  /** Names that clients asked for in the last day, without those that a rule fails on purpose. */
  asked: group,
  /** Asked names that a rule fails on purpose in a cut, such as services of AWS. */
  failByRule: number,
  /** Asked names that were not rehearsed, because the time was over. */
  untried: number,
  tookMs: number,
});
export type AsIfCutReport = v.InferOutput<typeof asIfCutReport>;

export function asIfCutRoutes(rehearse: () => Promise<AsIfCutReport>): readonly ControlRoute[] {
  return [controlRoute('GET', AS_IF_CUT_PATH, noBody, rehearse)];
}
