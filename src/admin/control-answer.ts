/** One request on the control socket, answered: find the route, read a bounded body, run it within a time, say what came of it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log } from '../log/log.ts';
import { sleep, type Timers } from '../runtime/timers.ts';
import { type ControlErrorBody, ControlRefusal, type ControlRoute } from './control-route.ts';

export interface ControlAnswerParts {
  readonly routes: readonly ControlRoute[];
  readonly timers: Timers;
  readonly log: Log;
}

const MAX_BODY_OCTETS = 64 * 1024;
/** A reload waits for sockets, a flush for the disk; whoever waits longer than this would rather know. */
const RUN_MS = 20_000;

interface Answer {
  readonly status: number;
  /** JSON. */
  readonly body: string;
}

/** Never rejects. */
export async function answerControl(
  request: IncomingMessage,
  response: ServerResponse,
  parts: ControlAnswerParts,
): Promise<void> {
  const { status, body } = await answerTo(request, parts);
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close', // a caller has one command
  });
  response.end(body);
}

async function answerTo(request: IncomingMessage, parts: ControlAnswerParts): Promise<Answer> {
  const { routes, log } = parts;
  const route = routes.find(({ method, path }) => method === request.method && path === request.url);
  if (route === undefined) return noSuchRoute(request, routes);
  const label = `${route.method} ${route.path}`;
  const body = await readBody(request);
  if (body.kind === 'failed') return failed(body.status, `${label}: ${body.error}`, body.mend);
  try {
    const outcome = await within(RUN_MS, label, () => route.run(body.value), parts.timers);
    if (route.method === 'POST') log.info({ command: label, status: outcome.status }, 'control command');
    return outcome;
  } catch (error) {
    log.error({ err: error, command: label }, 'control command failed');
    return failed(500, `${label}: failed`, 'its log says why: journalctl -u outpost-dns');
  }
}

function noSuchRoute({ method, url }: IncomingMessage, routes: readonly ControlRoute[]): Answer {
  const known = routes.map((route) => `${route.method} ${route.path}`).join(', ');
  const isPath = routes.some(({ path }) => path === url);
  return failed(isPath ? 405 : 404, `no such command: "${method} ${url}"`, `what there is: ${known}`);
}

function failed(status: number, error: string, mend: string): Answer {
  const content: ControlErrorBody = { error, mend };
  return answer(status, content);
}

function answer(status: number, content: unknown): Answer {
  return { status, body: `${JSON.stringify(content ?? null)}\n` };
}

async function within(
  limitMs: number,
  label: string,
  run: () => Promise<unknown>,
  timers: Timers,
): Promise<Answer> {
  const enough = new AbortController();
  const late = sleep(timers, limitMs, enough.signal).then(() =>
    failed(
      504,
      `${label}: not done within ${limitMs / 1000} s`,
      'it goes on: look at the status and the log',
    ),
  );
  try {
    return await Promise.race([run().then(outcomeOf), late]);
  } finally {
    enough.abort();
  }
}

function outcomeOf(content: unknown): Answer {
  if (!(content instanceof ControlRefusal)) return answer(200, content);
  return failed(content.status, content.error, content.mend);
}

type Body =
  | { readonly kind: 'read'; readonly value: unknown }
  | {
      readonly kind: 'failed';
      readonly status: 400 | 413;
      readonly error: string;
      readonly mend: string;
    };

const TOO_LARGE: Body = {
  kind: 'failed',
  status: 413,
  error: `a body of more than ${MAX_BODY_OCTETS} octets`,
  mend: 'send a command, not a file',
};

async function readBody(request: IncomingMessage): Promise<Body> {
  const octets = await collect(request);
  if (octets === undefined) return TOO_LARGE;
  const text = octets.toString('utf8').trim();
  if (text === '') return { kind: 'read', value: {} };
  try {
    return { kind: 'read', value: JSON.parse(text) };
  } catch {
    return { kind: 'failed', status: 400, error: 'the body is not JSON', mend: 'send JSON, or no body' };
  }
}

/** `undefined` for too much, which is read to its end and dropped: who is still sending would not see the answer. */
function collect(request: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_BODY_OCTETS) chunks.push(chunk);
    });
    request.on('end', () => resolve(length <= MAX_BODY_OCTETS ? Buffer.concat(chunks) : undefined));
    // whoever hangs up half-way has commanded nothing
    request.on('close', () => resolve(undefined));
  });
}
