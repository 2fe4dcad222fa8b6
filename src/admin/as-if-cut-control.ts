/** The command `check --as-if-cut` on the control socket: what would fail if the link were cut now. It changes nothing. */
import * as z from 'zod';
import { type ControlRoute, controlRoute } from './control-route.ts';

export const AS_IF_CUT_PATH = '/as-if-cut';

const failing = z.object({
  /** A domain name as text. */
  name: z.string(),
  /** The mnemonic of the type. */
  type: z.string(),
  /** The step of the resolver's list that would give the failure. */
  step: z.string(),
});

const group = z.object({
  /** Questions that were rehearsed. */
  tried: z.number(),
  /** Questions that would fail; no more than a few hundred are listed. */
  failing: z.array(failing).readonly(),
  /** Failing questions that are not listed. */
  more: z.number(),
});

export const asIfCutReport = z.object({
  endpoints: group,
  retained: group,
  /** Names that clients asked for in the last day, without those that a rule fails on purpose. */
  asked: group,
  /** Asked names that a rule fails on purpose in a cut, such as services of AWS. */
  failByRule: z.number(),
  /** Asked names that were not rehearsed, because the time was over. */
  untried: z.number(),
  tookMs: z.number(),
});
export type AsIfCutReport = z.output<typeof asIfCutReport>;

const noBody = z.strictObject({});

export function asIfCutRoutes(rehearse: () => Promise<AsIfCutReport>): readonly ControlRoute[] {
  return [controlRoute('GET', AS_IF_CUT_PATH, noBody, rehearse)];
}
