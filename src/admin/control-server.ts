/**
 * Commands to the server: HTTP and JSON on a Unix socket. Every change goes through here and not through TCP, because the
 * kernel decides which users may connect: the server's own user and group, and root.
 *
 * The commands are a literal list that the caller hands over; this file knows none of them.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { type Log, messages } from '../log/log.ts';
import { inBackground } from '../runtime/background.ts';
import { endsWithin, type Timers } from '../runtime/clock.ts';
import { ControlRefusal } from './control-refusal.ts';
import type { ControlErrorBody, ControlRoute } from './control-route.ts';
import { listenAtPath, type SocketRefusal } from './control-socket.ts';

export const CONTROL_MESSAGES = messages({
  controlFailed: {
    level: 'error',
    text: 'control server failed',
    fields: { err: 'the error' },
    fix: 'restart the server if its commands no longer answer; DNS is not affected',
  },
  command: {
    level: 'info',
    text: 'control command',
    fields: { command: 'method and path', status: 'the HTTP status of its answer' },
  },
  commandFailed: {
    level: 'error',
    text: 'control command failed',
    fields: { err: 'the error', command: 'method and path' },
    fix: 'report the line',
  },
});

export interface ControlServerOptions {
  readonly path: string;
  /** Called by each command: the routes take time to load. */
  readonly routes: () => Promise<readonly ControlRoute[]>;
  readonly timers: Timers;
  readonly log: Log;
}

export interface ControlServer {
  readonly path: string;
  /** Whether no caller finds the socket any more: its directory was removed or replaced. Never rejects. */
  isLost(): Promise<boolean>;
  /** Ends connections, running commands or not, and removes the socket. */
  close(): Promise<void>;
}

export type ControlStart =
  | { readonly kind: 'listening'; readonly server: ControlServer }
  /** The server serves all the same; the log and the status say that commands cannot be given. */
  | SocketRefusal;

const REQUEST_TIMEOUT_MS = 5_000; // a caller on the same host sends its whole command at once
const TIMEOUT_CHECK_MS = 1_000;
const MAX_CONNECTIONS = 64;
/** A disk that hangs does not hold the end of the server: the next start replaces a socket that nobody answers. */
const DISK_WAIT_MS = 1_000;
const MAX_HEADER_OCTETS = 8_192;

/** The path of the socket of the server with this state directory. */
export function controlPath(stateDirectory: string): string {
  return join(stateDirectory, 'control.sock');
}

/** Listens for commands. Never rejects. */
export async function startControlServer(options: ControlServerOptions): Promise<ControlStart> {
  const { path, log } = options;
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      maxHeaderSize: MAX_HEADER_OCTETS,
    },
    (request, response) => {
      inBackground('admin', () => answerControl(request, response, options));
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  const outcome = await listenAtPath(server, path);
  if (outcome.kind === 'refused') return outcome;
  server.on('error', (error) => CONTROL_MESSAGES.controlFailed(log, { err: error }));
  const close = async () => {
    // first of all: a caller that comes now sees that no server is there
    const isRemoved = await endsWithin(options.timers, outcome.remove(), DISK_WAIT_MS);
    server.closeAllConnections();
    // libuv removes the path in this thread, which would wait for such a disk for ever: the socket ends with the process
    if (!isRemoved) return;
    const closed = once(server, 'close');
    server.close();
    await closed;
  };
  let looking: Promise<boolean> | undefined;
  const isLost = async (): Promise<boolean> => {
    // a disk that hangs is asked once: each question takes a thread, and the end of the server waits for this answer
    looking ??= outcome.isInPlace().finally(() => {
      looking = undefined;
    });
    const isInPlace = looking;
    return (await endsWithin(options.timers, isInPlace, DISK_WAIT_MS)) && !(await isInPlace);
  };
  return { kind: 'listening', server: { path, isLost, close } };
}

const MAX_BODY_OCTETS = 64 * 1024;
/** A reload waits for sockets, a flush for the disk. After this time the caller gets an answer that says so. */
const RUN_MS = 20_000;
const LATE = 'it goes on: look at the status and the log';

interface Answer {
  readonly status: number;
  /** JSON. */
  readonly body: string;
}

/** Never rejects. */
async function answerControl(
  request: IncomingMessage,
  response: ServerResponse,
  parts: ControlServerOptions,
): Promise<void> {
  const { status, body } = await answerTo(request, parts);
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close', // a caller has one command
  });
  response.end(body);
}

async function answerTo(request: IncomingMessage, parts: ControlServerOptions): Promise<Answer> {
  const { log, timers } = parts;
  const label = `${request.method} ${request.url}`;
  try {
    const routes = await parts.routes();
    const route = routes.find(({ method, path }) => `${method} ${path}` === label);
    if (route === undefined) return noSuchRoute(request, routes);
    const body = await readBody(request, label);
    if ('answer' in body) return body.answer;
    const running = route.run(body.value).then(outcomeOf);
    const isInTime = await endsWithin(timers, running, RUN_MS);
    const outcome = isInTime
      ? await running
      : failed(504, `${label}: not done within ${RUN_MS / 1000} s`, LATE);
    if (route.method === 'POST') CONTROL_MESSAGES.command(log, { command: label, status: outcome.status });
    return outcome;
  } catch (error) {
    CONTROL_MESSAGES.commandFailed(log, { err: error, command: label });
    return failed(500, `${label}: failed`, 'its log says why: journalctl -u outpost-dns');
  }
}

function noSuchRoute({ method, url }: IncomingMessage, routes: readonly ControlRoute[]): Answer {
  const known = routes.map((route) => `${route.method} ${route.path}`).join(', ');
  const isPath = routes.some(({ path }) => path === url);
  return failed(isPath ? 405 : 404, `no such command: "${method} ${url}"`, `what there is: ${known}`);
}

function failed(status: number, error: string, fix: string): Answer {
  const content: ControlErrorBody = { error, fix, mend: fix };
  return answer(status, content);
}

function answer(status: number, content: unknown): Answer {
  return { status, body: `${JSON.stringify(content ?? null)}\n` };
}

function outcomeOf(content: unknown): Answer {
  if (!(content instanceof ControlRefusal)) return answer(200, content);
  return failed(content.status, content.error, content.fix);
}

/** The body as a value, or the answer to a body that cannot be read. */
async function readBody(
  request: IncomingMessage,
  label: string,
): Promise<{ readonly value: unknown } | { readonly answer: Answer }> {
  const octets = await collect(request);
  if (octets === undefined) {
    const error = `${label}: a body of more than ${MAX_BODY_OCTETS} octets`;
    return { answer: failed(413, error, 'send a command, not a file') };
  }
  const text = octets.toString('utf8').trim();
  try {
    return { value: text === '' ? {} : JSON.parse(text) };
  } catch {
    return { answer: failed(400, `${label}: the body is not JSON`, 'send JSON, or no body') };
  }
}

/** Reads the body; `undefined` for a body that is too large. Reads such a body to its end, because a caller sees no answer while it sends. */
function collect(request: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_BODY_OCTETS) chunks.push(chunk);
    });
    request.on('end', () => resolve(length <= MAX_BODY_OCTETS ? Buffer.concat(chunks) : undefined));
    // a caller that hangs up half-way has commanded nothing
    request.on('close', () => resolve(undefined));
  });
}
