import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ControlRoute } from '../../src/admin/control-route.ts';
import { type ControlServer, startControlServer } from '../../src/admin/control-server.ts';
import type { Timers } from '../../src/runtime/clock.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

interface Tearing {
  teardown(run: () => unknown): unknown;
}

/** A directory for Unix sockets: `t.testdir()` is too deep for their 107 octets. */
export function shortDirectory(t: Tearing): string {
  const directory = mkdtempSync(join(tmpdir(), 'control-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A control server in a directory of its own that listens, or the test has failed. */
export async function control(
  t: Tearing,
  routes: readonly ControlRoute[],
  { path = join(shortDirectory(t), 'control.sock'), timers = new VirtualTime() as Timers } = {},
): Promise<{ path: string; server: ControlServer; log: CollectingLog }> {
  const log = new CollectingLog();
  const started = await startControlServer({ path, routes: async () => routes, timers, log });
  if (started.kind === 'refused') throw new Error(started.detail);
  t.teardown(() => started.server.close());
  return { path, server: started.server, log };
}

export interface Reply {
  readonly status: number;
  readonly body: string;
  readonly json: unknown;
}

/** One HTTP request with a body as it stands. */
export function ask(path: string, method: string, url: string, body = '', headers = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: path, method, path: url, agent: false, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          body: text,
          json: text === '' ? undefined : JSON.parse(text),
        });
      });
      response.on('error', reject);
    });
    call.on('error', reject);
    call.end(body);
  });
}

/** A socket file without a process behind it, as a kill leaves it. */
export async function leaveSocket(path: string): Promise<void> {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await new Promise<void>((resolve) => execFile(process.execPath, ['-e', script], () => resolve()));
}
