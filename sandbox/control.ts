import { chmod, lstat, unlink } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { Server, Socket } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import type { CommandTarget } from './commands.ts';
import { COMMANDS } from './commands.ts';
import { SandboxError } from './sandbox-error.ts';

const BODY_LIMIT = 1024 * 1024; // characters
const PATH_LIMIT = process.platform === 'linux' ? 107 : 103; // octets that fit the kernel's sun_path

/** The control socket of the sandbox whose server has this DNS port. */
export function controlPathFor(dnsPort = 5300): string {
  return join(tmpdir(), `outpost-dns-sandbox-${dnsPort}.sock`);
}

/** HTTP and JSON on a Unix socket that only its owner may use. */
export class Control implements AsyncDisposable {
  readonly path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string, target: CommandTarget) {
    this.path = path;
    const server = createServer((request, response) => void answer(request, response, target));
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server = server;
  }

  /**
   * Throws SandboxError `control-in-use` where another sandbox answers, `control-path-taken` where the file is not a
   * socket, `control-path-too-long` where no socket can exist.
   */
  static async listen(path: string, target: CommandTarget): Promise<Control> {
    await clearPath(path);
    const control = new Control(path, target);
    await new Promise<void>((resolve, reject) => {
      control.#server.once('error', reject);
      control.#server.listen(path, resolve);
    });
    await chmod(path, 0o600);
    return control;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve)); // removes the socket's file, too
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** Removes the socket of a crashed sandbox, and no other file. */
async function clearPath(path: string): Promise<void> {
  const action = `listen on control socket "${path}"`;
  if (Buffer.byteLength(path) > PATH_LIMIT) {
    throw new SandboxError('control-path-too-long', `${action}: longer than ${PATH_LIMIT} octets`);
  }
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new SandboxError('control-path-taken', `${action}: a file that is not a socket is there`);
  }
  if (await isAnswered(path)) {
    throw new SandboxError('control-in-use', `${action}: another sandbox is running there`);
  }
  await unlink(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => resolve(true)).on('connect', () => socket.destroy());
    // only a refusal proves that no sandbox listens: after any other error the file stays
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  target: CommandTarget,
): Promise<void> {
  const { status, content } = await perform(request, target);
  const body = `${JSON.stringify(content, null, 2)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(body);
}

async function perform(
  request: IncomingMessage,
  target: CommandTarget,
): Promise<{ readonly status: number; readonly content: unknown }> {
  const command = COMMANDS.find(({ method, path }) => method === request.method && path === request.url);
  if (command === undefined) {
    const known = COMMANDS.map(({ method, path }) => `${method} ${path}`).join(', ');
    return {
      status: 404,
      content: { error: `no such command "${request.method} ${request.url}": ${known}` },
    };
  }
  try {
    const body = request.method === 'GET' ? undefined : JSON.parse(await bodyText(request));
    return { status: 200, content: command.run(body, target) };
  } catch (error) {
    return { status: 400, content: { error: faultText(error) } };
  }
}

function faultText(error: unknown): string {
  if (error instanceof z.ZodError) {
    return error.issues.map(({ path, message }) => `"${path.join('.')}": ${message}`).join(', ');
  }
  return error instanceof Error ? error.message : String(error);
}

async function bodyText(request: IncomingMessage): Promise<string> {
  let text = '';
  request.setEncoding('utf8');
  for await (const chunk of request) {
    text += chunk;
    if (text.length > BODY_LIMIT) throw new Error(`read the command: longer than ${BODY_LIMIT} characters`);
  }
  return text === '' ? '{}' : text;
}
