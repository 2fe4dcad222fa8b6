import { lstat, readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import * as z from 'zod';
import { controlPathFor } from './control.ts';
import { SandboxError } from './sandbox-error.ts';

const DEADLINE_MS = 5000;
const NOT_RUNNING = new Set(['ENOENT', 'ECONNREFUSED']);
const refusalSchema = z.object({ error: z.string() });

const serverSchema = z.object({
  configFile: z.string().optional(),
  environment: z.record(z.string(), z.string()).optional(),
});
const SOCKET = /^outpost-dns-sandbox-(?<port>\d+)\.sock$/;

/** A server that a sandbox runs: its configuration, and the environment in which it reaches the simulated Region. */
export interface SandboxServer {
  readonly configFile: string;
  readonly environment: Readonly<Record<string, string>> | undefined;
}

/** The registration of the sandboxes of this user: the server that one runs, on the default port first. */
export async function sandboxServer(): Promise<SandboxServer | undefined> {
  const names = await readdir(tmpdir()).catch((): string[] => []);
  const ports = names.flatMap((name) => SOCKET.exec(name)?.groups?.['port'] ?? []);
  const paths = ports.map((port) => controlPathFor(Number(port))).toSorted();
  for (const path of [controlPathFor(), ...paths]) {
    const server = await serverAt(path);
    if (server !== undefined) return server;
  }
  return undefined;
}

/** A socket of another user is not asked: its answer would name the files that this command reads. */
async function serverAt(path: string): Promise<SandboxServer | undefined> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSocket() !== true || found.uid !== process.getuid?.()) return undefined;
  return callSandbox(path, 'GET', '/server').then(
    (answer) => {
      const { configFile, environment } = serverSchema.safeParse(answer).data ?? {};
      return configFile === undefined ? undefined : { configFile, environment };
    },
    () => undefined, // the sandbox has ended, or has an earlier version
  );
}

/**
 * Sends one command to a running sandbox and resolves to the JSON that it answers. Throws SandboxError
 * `not-running` when no sandbox listens there and `command-refused` with the sandbox's own words.
 */
export async function callSandbox(
  socketPath: string,
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
): Promise<unknown> {
  const { status, text } = await exchange(socketPath, method, path, body);
  const content: unknown = JSON.parse(text);
  if (status === 200) return content;
  const refused = refusalSchema.safeParse(content);
  throw new SandboxError(
    'command-refused',
    `command the sandbox to ${method} ${path}: ${refused.data?.error ?? `status ${status}`}`,
  );
}

function exchange(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const call = request({ socketPath, method, path, signal, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', reject);
    });
    call.on('error', (error: NodeJS.ErrnoException) => reject(connectError(error, socketPath)));
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function connectError(error: NodeJS.ErrnoException, socketPath: string): Error {
  if (!NOT_RUNNING.has(error.code ?? '')) return error;
  return new SandboxError(
    'not-running',
    `reach the sandbox at "${socketPath}": no sandbox is running there`,
    {
      cause: error,
    },
  );
}
