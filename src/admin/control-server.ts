/**
 * Commands to the server: HTTP and JSON on a Unix socket. Every change goes through here and not through TCP, because the
 * kernel decides which users may connect: the server's own user and group, and root.
 *
 * The commands are a literal list that the caller hands over; this file knows none of them.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Log } from '../log/log.ts';
import { inBackground } from '../runtime/background.ts';
import { sleep, type Timers } from '../runtime/timers.ts';
import { ADMIN_MESSAGES } from './admin-messages.ts';
import { type ControlErrorBody, ControlRefusal, type ControlRoute } from './control-route.ts';
import { listenAtPath, type SocketRefusal } from './control-socket.ts';

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
  server.on('error', (error) => ADMIN_MESSAGES.controlFailed(log, { err: error }));
  const close = async () => {
    const closed = once(server, 'close');
    await outcome.remove(); // first of all: a caller that comes now sees that no server is there
    server.close();
    server.closeAllConnections();
    await closed;
  };
  const isLost = async (): Promise<boolean> => !(await outcome.isInPlace());
  return { kind: 'listening', server: { path, isLost, close } };
}

const MAX_BODY_OCTETS = 64 * 1024;
/** A reload waits for sockets, a flush for the disk. After this time the caller gets an answer that says so. */
const RUN_MS = 20_000;

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
    const body = await readBody(request);
    if (body.kind === 'failed') return failed(body.status, `${label}: ${body.error}`, body.fix);
    const outcome = await within(RUN_MS, label, () => route.run(body.value), timers);
    if (route.method === 'POST') ADMIN_MESSAGES.command(log, { command: label, status: outcome.status });
    return outcome;
  } catch (error) {
    ADMIN_MESSAGES.commandFailed(log, { err: error, command: label });
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
  return failed(content.status, content.error, content.fix);
}

type Body =
  | { readonly kind: 'read'; readonly value: unknown }
  | {
      readonly kind: 'failed';
      readonly status: 400 | 413;
      readonly error: string;
      readonly fix: string;
    };

const TOO_LARGE: Body = {
  kind: 'failed',
  status: 413,
  error: `a body of more than ${MAX_BODY_OCTETS} octets`,
  fix: 'send a command, not a file',
};

async function readBody(request: IncomingMessage): Promise<Body> {
  const octets = await collect(request);
  if (octets === undefined) return TOO_LARGE;
  const text = octets.toString('utf8').trim();
  if (text === '') return { kind: 'read', value: {} };
  try {
    return { kind: 'read', value: JSON.parse(text) };
  } catch {
    return { kind: 'failed', status: 400, error: 'the body is not JSON', fix: 'send JSON, or no body' };
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
