/** A command of the control socket: method, path, the form of its body, and its action. */
import * as z from 'zod';
import { ControlRefusal } from './control-refusal.ts';

export interface ControlRoute {
  /** GET reads, POST changes something. */
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Gets the parsed body, `{}` where there is none; resolves to the answer, which is sent as JSON, or to a ControlRefusal. */
  readonly run: (body: unknown) => Promise<unknown>;
}

/** The body of every answer that is not 200. `mend` is the name of `fix` in version 0.1: it goes with the next release. */
export const controlError = z.object({ error: z.string(), fix: z.string().optional(), mend: z.string() });
export type ControlErrorBody = z.output<typeof controlError>;

/** A route whose body is checked by `body` before `run` sees it. */
export function controlRoute<Body>(
  method: ControlRoute['method'],
  path: string,
  body: z.ZodType<Body>,
  run: (body: Body) => unknown,
): ControlRoute {
  return {
    method,
    path,
    async run(given) {
      const parsed = body.safeParse(given);
      if (parsed.success) return run(parsed.data);
      const faults = parsed.error.issues.map(
        (issue) => `${issue.path.length === 0 ? 'body' : `"${issue.path.join('.')}"`}: ${issue.message}`,
      );
      const fix =
        'client and server may be of different versions: compare "outpost-dns --version" with the status';
      return new ControlRefusal(400, `${method} ${path}: not understood: ${faults.join(', ')}`, fix);
    },
  };
}
