/** A command of the control socket: method, path, the form of its body, and its action. */
import * as v from 'valibot';
import { object, type Reader, text } from '../runtime/forms.ts';
import { ControlRefusal } from './control-refusal.ts';

export interface ControlRoute {
  /** GET reads, POST changes something. */
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Gets the parsed body, `{}` where there is none; resolves to the answer, which is sent as JSON, or to a ControlRefusal. */
  readonly run: (body: unknown) => Promise<unknown>;
}

/** The body of every answer that is not 200. `mend` is the name of `fix` in version 0.1: it goes with the next release. */
export const controlError = object({ error: text, fix: v.optional(text), mend: text });
export type ControlErrorBody = v.InferOutput<typeof controlError>;

/** A text that goes into the ledger and the log: a name, a reason. */
export const printable = v.pipe(
  text,
  v.regex(/^[^\p{Cc}]{1,255}$/u, 'not a text of 1 to 255 printable characters'),
);

/** A route whose body is checked by `body` before `run` sees it. */
export function controlRoute<Body>(
  method: ControlRoute['method'],
  path: string,
  body: Reader<Body>,
  run: (body: Body) => unknown,
): ControlRoute {
  return {
    method,
    path,
    async run(given) {
      const { success, output, issues } = v.safeParse(body, given, { abortPipeEarly: true });
      if (success) return run(output);
      const faults = issues.map((issue) => {
        const place = v.getDotPath(issue);
        return `${place === null ? 'body' : `"${place}"`}: ${issue.message}`;
      });
      const fix =
        'client and server may be of different versions: compare "outpost-dns --version" with the status';
      return new ControlRefusal(400, `${method} ${path}: not understood: ${faults.join(', ')}`, fix);
    },
  };
}
