/** A command of the control socket: method, path, what its body must be, and what it does. */
import * as z from 'zod';

export interface ControlRoute {
  /** GET tells, POST changes something. */
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Gets the parsed body, `{}` where there is none; resolves to what is answered as JSON, or to a ControlRefusal. */
  readonly run: (body: unknown) => Promise<unknown>;
}

/** What a command cannot do, as its caller is told: what is wrong, and what to do about it. */
export class ControlRefusal {
  /** 400: the command makes no sense; 409: it makes none now. */
  readonly status: 400 | 409;
  readonly error: string;
  readonly mend: string;

  constructor(status: 400 | 409, error: string, mend: string) {
    this.status = status;
    this.error = error;
    this.mend = mend;
  }
}

/** The body of every answer that is not 200. */
export const controlError = z.object({ error: z.string(), mend: z.string() });
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
      const mend =
        'client and server may be of different versions: compare "outpost-dns --version" with the status';
      return new ControlRefusal(400, `${method} ${path}: not understood: ${faults.join(', ')}`, mend);
    },
  };
}
