import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly elapsedMs: number;
}

/** Runs `outpost-dns` with these words as a process of its own, its output on pipes, in a bare environment. */
export async function run(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return end([process.execPath, MAIN, ...words], environment);
}

/** As `run`, on a terminal; undefined where script(1) of util-linux is not to be had. */
export async function runOnTerminal(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended | undefined> {
  const command = [process.execPath, MAIN, ...words].map((word) => `'${word}'`).join(' ');
  const version = await end(['script', '--version'], {}).catch(() => undefined);
  if (!version?.stdout.includes('util-linux')) return undefined;
  return end(['script', '-qec', command, '/dev/null'], { TERM: 'xterm-256color', ...environment });
}

async function end(
  [file = '', ...words]: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<Ended> {
  const startedMs = performance.now();
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const env = { PATH, NODE_COMPILE_CACHE, AWS_EC2_METADATA_DISABLED: 'true', ...environment };
  const child = spawn(file, words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const [code] = await once(child, 'close');
  return {
    code: Number(code),
    stdout: Buffer.concat(out).toString(),
    stderr: Buffer.concat(err).toString(),
    elapsedMs: performance.now() - startedMs,
  };
}
