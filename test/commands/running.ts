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

export interface Caller {
  readonly environment?: Readonly<Record<string, string>>;
  readonly uid?: number;
}

/** Runs `outpost-dns` with these words as a process of its own, its output on pipes, in a bare environment. */
export async function run(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return end([process.execPath, MAIN, ...words], { environment });
}

/** As `run`, its options as an object: `{ state: '/s', json: true, kind: ['a', 'b'] }`. */
export async function runWith(
  words: readonly string[],
  options: Readonly<Record<string, string | true | readonly string[]>>,
  caller: Caller = {},
): Promise<Ended> {
  const more = Object.entries(options).flatMap(([name, value]) =>
    [`--${name}`, value === true ? [] : value].flat(),
  );
  return end([process.execPath, MAIN, ...words, ...more], caller);
}

/** As `run`, on a terminal; undefined where script(1) of util-linux is not to be had. */
export async function runOnTerminal(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended | undefined> {
  const command = [process.execPath, MAIN, ...words].map((word) => `'${word}'`).join(' ');
  const version = await end(['script', '--version'], {}).catch(() => undefined);
  if (!version?.stdout.includes('util-linux')) return undefined;
  return end(['script', '-qec', command, '/dev/null'], {
    environment: { TERM: 'xterm-256color', ...environment },
  });
}

async function end(
  [file = '', ...words]: readonly string[],
  { environment = {}, uid }: Caller,
): Promise<Ended> {
  const startedMs = performance.now();
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const env = { PATH, NODE_COMPILE_CACHE, AWS_EC2_METADATA_DISABLED: 'true', ...environment };
  const child = spawn(file, words, { env, stdio: ['ignore', 'pipe', 'pipe'], uid, gid: uid });
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
