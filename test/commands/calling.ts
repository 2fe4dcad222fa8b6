import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Ended } from './running.ts';

const CHILD = fileURLToPath(new URL('calling-child.ts', import.meta.url));

export interface Caller {
  readonly environment?: Readonly<Record<string, string>>;
  readonly uid?: number;
}

/** Calls the function of a file in src/commands/ with these options in a process of its own: its exit code, its output. */
export async function call(file: string, name: string, options: object, caller: Caller = {}): Promise<Ended> {
  const startedMs = performance.now();
  const { environment = {}, uid } = caller;
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const env = { PATH, NODE_COMPILE_CACHE, AWS_EC2_METADATA_DISABLED: 'true', ...environment };
  const child = spawn(process.execPath, [CHILD, file, name, JSON.stringify(options)], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = await once(child, 'close');
  return { code: Number(code), stdout, stderr, elapsedMs: performance.now() - startedMs };
}
