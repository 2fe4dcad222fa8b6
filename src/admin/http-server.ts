/**
 * Serves read-only HTTP on TCP: metrics for Prometheus, health for a supervisor, status for a person and the CLI. Commands go
 * through the control socket. This file knows connections, requests and limits; it knows no page.
 */

import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { LimitLog, type Log, messages } from '../log/log.ts';
import { isAddress, socketText } from '../protocol/words/address-text.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import type { OpenSocket } from '../runtime/datagrams.ts';
import type { Pause } from '../runtime/slices.ts';
import { systemCode } from '../runtime/system-errors.ts';

export const HTTP_MESSAGES = messages({
  httpFailed: {
    level: 'error',
    text: 'admin server failed',
    fields: { err: 'the error' },
    fix: 'restart the server if its pages no longer answer; DNS is not affected',
  },
  pageFailed: {
    level: 'error',
    text: 'answer to an HTTP request failed',
    fields: { err: 'the error', path: 'the path asked for' },
    fix: 'report the line',
  },
});

/** The answer of a path; the server writes `body` unchanged. */
export interface Page {
  readonly status: number;
  readonly contentType: string;
  /** A long body comes in pieces of UTF-8. */
  readonly body: string | readonly Uint8Array[];
  /** Content-Security-Policy, for a page that a browser shows. */
  readonly policy?: string;
  /** Keeps the answer open after `body`, and sends more until the client has gone. Disposed of then. */
  readonly stream?: (send: (text: string) => void) => Disposable;
}

export type Pages = ReadonlyMap<string, () => Page | Promise<Page>>;

export interface HttpServerOptions {
  readonly address: string;
  readonly port: number;
  /**
   * Opens the socket, for Node to take over, or throws the system's error; undefined where Node has to. Node looks every address
   * up, and compiles its pattern of IPv6 addresses then: 7 ms of one turn.
   */
  readonly openSocket?: ((address: string, port: number) => OpenSocket | undefined) | undefined;
  /** A function is called by the first request: pages take time to load. */
  readonly pages: Pages | (() => Promise<Pages>);
  readonly log: Log;
  /** Whether the client at this address may read the pages; left out, every client may. */
  readonly isAllowed?: (address: string) => boolean;
  /** Whether a browser may ask by this name, in lower case, beside `localhost` and addresses. */
  readonly isHost?: (name: string) => boolean;
  readonly clock?: Pick<Clock, 'monotonicMs'>;
  /** Waits between two answers, so that queries have their turn however many scrapers there are. */
  readonly pause?: Pause;
}

export interface HttpServer {
  readonly address: string;
  readonly port: number;
  close(): Promise<void>;
}

/** The admin address cannot be listened on; `code` is the system's, such as EADDRINUSE. */
export class AdminError extends Error {
  override readonly name = 'AdminError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const REQUEST_TIMEOUT_MS = 5_000; // a scraper sends its whole request at once
const TIMEOUT_CHECK_MS = 1_000; // Node's own 30 s would let 64 silent connections keep a supervisor's health check out for that long
const MAX_CONNECTIONS = 64; // Prometheus, a few people and a load balancer; one more takes the place of the longest idle
/** Requests of one connection that wait for their answers: Node reads on, and 40 MB of small ones took 2 GB. */
const MAX_WAITING = 8;
const MAX_HEADER_OCTETS = 8_192;

/** Listens and serves `pages`. Throws AdminError where the address is not to be had. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      maxHeaderSize: MAX_HEADER_OCTETS,
    },
    (request, response) => {
      if (!slots.mayWait(request.socket)) return;
      response.on('close', () => slots.answered(request.socket));
      const next = (): Promise<void> => answer(options, request, response);
      turn = turn.then(pause).then(next, next); // a failed request does not keep other requests from their answers
    },
  );
  // a client may say with its request that it sends no more, as `printf ... | nc` does
  Object.assign(server, { httpAllowHalfOpen: true });
  const slots = new Slots(new LimitLog(options.log), options.clock ?? systemClock);
  const { isAllowed = () => true, pause = async () => undefined } = options;
  let turn = Promise.resolve();
  server.on('connection', (socket) => {
    const { remoteAddress } = socket;
    if (remoteAddress === undefined)
      socket.destroy(); // reset before it was accepted: no client is refused
    else if (isAllowed(remoteAddress)) slots.add(socket);
    else slots.refuse(socket);
  });
  await listen(server, options);
  server.on('error', (error) => HTTP_MESSAGES.httpFailed(options.log, { err: error }));
  const { address, port } = boundAddress(server);
  return {
    address,
    port,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The open connections; the connection that was used longest ago comes first. */
class Slots {
  readonly #limitLog: LimitLog;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  /** With the requests that wait for their answers. */
  readonly #sockets = new Map<Socket, number>();

  constructor(limitLog: LimitLog, clock: Pick<Clock, 'monotonicMs'>) {
    this.#limitLog = limitLog;
    this.#clock = clock;
  }

  add(socket: Socket): void {
    this.#sockets.set(socket, 0);
    socket.on('close', () => this.#sockets.delete(socket));
    if (this.#sockets.size <= MAX_CONNECTIONS) return;
    this.#note('HTTP connections', socket);
    const [longestIdle] = this.#sockets.keys();
    longestIdle?.destroy();
  }

  /** A request has come; false where its connection had too many already, and is gone. */
  mayWait(socket: Socket): boolean {
    const waiting = this.#sockets.get(socket);
    if (waiting === undefined || socket.destroyed) return false;
    if (waiting >= MAX_WAITING) {
      this.#note('HTTP requests of one connection', socket);
      socket.destroy();
      return false;
    }
    this.#sockets.delete(socket);
    this.#sockets.set(socket, waiting + 1);
    return true;
  }

  answered(socket: Socket): void {
    const waiting = this.#sockets.get(socket);
    if (waiting !== undefined) this.#sockets.set(socket, waiting - 1);
  }

  refuse(socket: Socket): void {
    this.#note('admin.allow', socket);
    socket.end(REFUSAL, () => socket.destroy());
  }

  #note(limit: string, { remoteAddress = 'unknown' }: Socket): void {
    this.#limitLog.note(limit, this.#clock.monotonicMs(), () => remoteAddress);
  }
}

const REFUSAL_TEXT = 'this address may not read the pages: see admin.allow in the configuration\n';
const REFUSAL = `HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${REFUSAL_TEXT.length}\r\nConnection: close\r\n\r\n${REFUSAL_TEXT}`;

async function listen(server: Server, { address, port, openSocket }: HttpServerOptions): Promise<void> {
  try {
    const opened = openSocket?.(address, port);
    const socket = opened === undefined ? { host: address, port } : { fd: opened.fd };
    const listening = once(server, 'listening');
    server.listen({ ...socket, exclusive: true });
    await listening;
  } catch (error) {
    const code = systemCode(error) ?? 'unknown';
    const fix =
      code === 'EADDRINUSE'
        ? 'another program has the port: end it, or set admin.listen'
        : 'set admin.listen';
    throw new AdminError(
      code,
      `cannot listen on "${socketText({ address, port })}" for HTTP (${code}): ${fix}`,
    );
  }
}

function boundAddress(server: Server): AddressInfo {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('an HTTP server on TCP has an address');
  return bound;
}

async function answer(
  options: HttpServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pause = async () => undefined } = options;
  try {
    await send(request, response, await pageFor(options, request, response), pause);
  } catch (error) {
    HTTP_MESSAGES.pageFailed(options.log, { err: error, path: request.url });
    if (response.headersSent) return;
    await send(request, response, textPage(500, 'internal error: see the log\n'), pause);
  }
}

async function pageFor(
  { pages, isHost = () => false }: HttpServerOptions,
  { method, headers, url = '/' }: IncomingMessage,
  response: ServerResponse,
): Promise<Page> {
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return textPage(405, `${method} is not allowed here: GET and HEAD are\n`);
  }
  if (isForeignHost(headers, isHost)) {
    const text = `a browser may not ask by this name: add it to admin.hosts, or ask by address\n`;
    return textPage(403, text);
  }
  const known = typeof pages === 'function' ? await pages() : pages;
  const page = known.get(url.split('?', 1)[0] ?? '/');
  return page?.() ?? textPage(404, `nothing at this path: try ${[...known.keys()].join(' ')}\n`);
}

/**
 * Whether the request may come from a foreign web page whose name was made to point here (DNS rebinding). Such a request
 * comes from a browser, and names neither an address nor a known name of this server. Scrapers and curl are not asked.
 */
function isForeignHost(headers: IncomingHttpHeaders, isHost: (name: string) => boolean): boolean {
  if (!isBrowser(headers)) return false;
  const name = hostName(headers.host ?? '');
  return !isAddress(name) && name !== 'localhost' && !isHost(name);
}

/** Headers that every browser sends with every request, and programs for machines do not. */
const BROWSER_HEADERS = ['accept-language', 'origin', 'referer', 'sec-fetch-mode', 'sec-fetch-site'];

function isBrowser(headers: IncomingHttpHeaders): boolean {
  const agent = headers['user-agent'] ?? '';
  return agent.startsWith('Mozilla/') || BROWSER_HEADERS.some((name) => headers[name] !== undefined);
}

/** `[::1]:9153` is `::1`, `Localhost.:9153` is `localhost`. */
function hostName(host: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d*)?$/.exec(host)?.[1];
  return bracketed ?? host.replace(/:\d*$/, '').replace(/\.$/, '').toLowerCase();
}

/** Hands each piece to the socket in a turn of its own; does not wait for a client that reads slowly. */
async function send(
  { method }: IncomingMessage,
  response: ServerResponse,
  page: Page,
  pause: Pause,
): Promise<void> {
  if (page.stream !== undefined && method === 'GET') return sendStream(response, page, page.stream);
  const pieces = piecesOf(page);
  response.writeHead(page.status, {
    ...headersOf(page),
    'Content-Length': pieces.reduce((sum, { length }) => sum + length, 0),
    ...(page.policy === undefined ? {} : { 'Content-Security-Policy': page.policy }),
  });
  for (const [at, piece] of (method === 'HEAD' ? [] : pieces).entries()) {
    if (at > 0) await pause();
    if (response.destroyed) return;
    response.write(piece);
  }
  response.end();
}

/** Octets that may wait for a client that reads slowly: an event has ten. */
const MAX_UNREAD_OCTETS = 16_384;

function sendStream(response: ServerResponse, page: Page, stream: NonNullable<Page['stream']>): void {
  response.writeHead(page.status, headersOf(page));
  for (const piece of piecesOf(page)) response.write(piece);
  const opened = stream((text) => {
    if (response.writableLength > MAX_UNREAD_OCTETS) response.destroy();
    else response.write(text);
  });
  if (response.destroyed) opened[Symbol.dispose]();
  else response.on('close', () => opened[Symbol.dispose]());
}

function headersOf({ contentType }: Page) {
  return { 'Content-Type': contentType, 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' };
}

/** Encoded once for all who get the same page, and held once, however slowly they read. */
const encoded = new WeakMap<Page, readonly Uint8Array[]>();

function piecesOf(page: Page): readonly Uint8Array[] {
  if (typeof page.body !== 'string') return page.body;
  const known = encoded.get(page);
  if (known !== undefined) return known;
  const pieces = [Buffer.from(page.body)];
  encoded.set(page, pieces);
  return pieces;
}

export function textPage(status: number, body: string): Page {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}

export const JSON_TYPE = 'application/json; charset=utf-8';
