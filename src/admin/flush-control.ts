/** The command that drops kept answers, on the control socket; and its bodies, for server and client. */
import * as z from 'zod';
import { type ControlRoute, controlRoute, notADomainName } from './control-route.ts';

export const FLUSH_PATH = '/flush';

const flushBody = z.strictObject({
  /** A domain name as text; `.` is the root. */
  name: z.string(),
  /** Every name under it, too. */
  below: z.boolean(),
  /** The user who gives the command. */
  by: z.string().regex(/^[^\p{Cc}]{1,255}$/u, 'not a text of 1 to 255 printable characters'),
});

export const flushReport = z.object({
  name: z.string(),
  below: z.boolean(),
  /** Answers that were dropped from memory, stale answers included. */
  answers: z.number(),
  /** Retained questions about these names: their answers stay until an upstream has given another answer. */
  retained: z.array(z.string()).readonly(),
  /** Endpoints among these names: they are not answered from the cache. */
  endpoints: z.array(z.string()).readonly(),
  /** Whether the snapshot on the disk is without the answers, too: false where a restart would bring them back. */
  isSaved: z.boolean(),
  saveFailure: z.string().optional(),
});
export type FlushReport = z.output<typeof flushReport>;
export type FlushCommand = z.output<typeof flushBody>;

/** The part of the server that the command uses. */
export interface FlushControl {
  /** The name in normal form; `undefined` where the text is no domain name. */
  normalName(text: string): string | undefined;
  flush(command: FlushCommand): Promise<FlushReport>;
}

export function flushRoutes(control: FlushControl): readonly ControlRoute[] {
  return [
    controlRoute('POST', FLUSH_PATH, flushBody, (body) => {
      const name = control.normalName(body.name);
      if (name === undefined) return notADomainName(body.name, ', or . with --below for everything');
      return control.flush({ ...body, name });
    }),
  ];
}
