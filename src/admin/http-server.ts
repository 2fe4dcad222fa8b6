/**
 * To be seen: metrics for Prometheus, health for a supervisor, status for a person and the CLI.
 *
 * Read-only HTTP on TCP; whatever changes something is done elsewhere. The room is handed reports when it asks
 * and refuses to know the rooms that they come from.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, isIPv6 } from 'node:net';
import type { Log } from '../log/log.ts';

/** What a path answers; `body` is written as it is. */
export interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** Content-Security-Policy, for what a browser shows. */
  readonly policy?: string;
}

export interface HttpServerOptions {
  readonly address: string;
  readonly port: number;
  readonly pages: ReadonlyMap<string, () => Page | Promise<Page>>;
  readonly log: Log;
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
const MAX_CONNECTIONS = 64; // Prometheus, a few people and a load balancer
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
      answer(options.pages, request, response).catch((error: unknown) => {
        options.log.error({ err: error, path: request.url }, 'answer to an HTTP request failed');
        if (!response.headersSent) send(request, response, textPage(500, 'internal error: see the log\n'));
      });
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, options);
  server.on('error', (error) => options.log.error({ err: error }, 'admin server failed'));
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

async function listen(server: Server, { address, port }: HttpServerOptions): Promise<void> {
  server.listen({ host: address, port, exclusive: true });
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    const mend =
      code === 'EADDRINUSE'
        ? 'another program has the port: end it, or set admin.listen'
        : 'set admin.listen';
    const place = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
    throw new AdminError(code, `cannot listen on "${place}" for HTTP (${code}): ${mend}`);
  }
}

function boundAddress(server: Server): AddressInfo {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('an HTTP server on TCP has an address');
  return bound;
}

async function answer(
  pages: HttpServerOptions['pages'],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return send(
      request,
      response,
      textPage(405, `${request.method} is not allowed here: GET and HEAD are\n`),
    );
  }
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
  const page = pages.get(path);
  if (page !== undefined) return send(request, response, await page());
  send(request, response, textPage(404, `nothing at this path: try ${[...pages.keys()].join(' ')}\n`));
}

function send(request: IncomingMessage, response: ServerResponse, page: Page): void {
  response.writeHead(page.status, {
    'Content-Type': page.contentType,
    'Content-Length': Buffer.byteLength(page.body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...(page.policy === undefined ? {} : { 'Content-Security-Policy': page.policy }),
  });
  response.end(request.method === 'HEAD' ? undefined : page.body);
}

export function textPage(status: number, body: string): Page {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}

export function jsonPage(status: number, value: unknown): Page {
  return {
    status,
    contentType: 'application/json; charset=utf-8',
    body: `${JSON.stringify(value, null, 2)}\n`,
  };
}
