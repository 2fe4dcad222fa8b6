/**
 * To be commanded: HTTP and JSON on a Unix socket. Everything that changes something goes through here and not through
 * TCP, because the kernel says who may connect: the server's own user and group, and root.
 *
 * The commands are a literal list that the caller hands over; nothing here knows what they do.
 */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { Log } from '../log/log.ts';
import { inBackground } from '../runtime/background.ts';
import type { Timers } from '../runtime/timers.ts';
import { answerControl } from './control-answer.ts';
import type { ControlRoute } from './control-route.ts';
import { listenAtPath, type SocketRefusal } from './control-socket.ts';

export interface ControlServerOptions {
  readonly path: string;
  readonly routes: readonly ControlRoute[];
  readonly timers: Timers;
  readonly log: Log;
}

export interface ControlServer {
  readonly path: string;
  /** Ends connections, running commands or not, and removes the socket. */
  close(): Promise<void>;
}

export type ControlStart =
  | { readonly kind: 'listening'; readonly server: ControlServer }
  /** No reason not to serve: commands cannot be given, and that has to be said. */
  | SocketRefusal;

const REQUEST_TIMEOUT_MS = 5_000; // a caller on the same host sends its whole command at once
const TIMEOUT_CHECK_MS = 1_000;
const MAX_CONNECTIONS = 64;
const MAX_HEADER_OCTETS = 8_192;

/** Where the server with this state directory is commanded. */
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
  server.on('error', (error) => log.error({ err: error }, 'control server failed'));
  const close = async () => {
    const closed = once(server, 'close');
    await outcome.remove(); // first of all: whoever comes now sees that nobody is there
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return { kind: 'listening', server: { path, close } };
}
