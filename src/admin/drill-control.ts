/** The drill's commands on the control socket, and the report as it travels: one form for the server and for its client. */
import * as z from 'zod';
import { ControlRefusal, type ControlRoute, controlRoute } from './control-route.ts';

const askedNames = z.object({
  queries: z.number(),
  /** Most queries first. */
  names: z.array(z.object({ name: z.string(), type: z.string(), queries: z.number() })).readonly(),
  /** Queries for names beyond those that are listed. */
  otherQueries: z.number(),
});

export const drillReport = z.object({
  state: z.enum(['none', 'running', 'ended']),
  /** ISO 8601, UTC. */
  startedAt: z.string().optional(),
  forMs: z.number().optional(),
  ranMs: z.number().optional(),
  endedBy: z.enum(['time', 'command', 'shutdown']).optional(),
  failed: askedNames,
  stale: askedNames,
  endpoints: z.array(z.object({ endpoint: z.string(), answers: z.number() })).readonly(),
  /** Names that the report advises to add to `retain`; the name with the most queries comes first. */
  retain: z
    .array(z.object({ name: z.string(), types: z.array(z.string()).readonly(), asked: z.number() }))
    .readonly(),
});

export type DrillReportBody = z.output<typeof drillReport>;

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

const startBody = z.strictObject({ forMs: z.number() });
const noBody = z.strictObject({});

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
      const fix = `say ${minMs / 1000} s to ${maxMs / 3_600_000} h`;
      return new ControlRefusal(400, `not a length for a drill: ${forMs / 1000} s`, fix);
    }
  }
}

function stop(drill: DrillControl): DrillReportBody | ControlRefusal {
  if (drill.stop().kind === 'stopped') return drill.summary();
  return new ControlRefusal(409, 'no drill is running', '"outpost-dns drill report" shows the last one');
}
