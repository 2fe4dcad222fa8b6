/** Other programs, run to their end or in the background; the rest of them ends with the lab. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

export type Command = readonly [program: string, ...args: string[]];

export interface RunOptions {
  readonly cwd?: string;
  /** Replaces the environment; default: `machineEnvironment()`. */
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly timeoutMs?: number;
}

export interface Result {
  /** Undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: number;
}

const DEFAULT_TIMEOUT_MS = 120_000;

/** The machine's environment without the variables of npm, tap or a developer. */
export function machineEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).flatMap(([name, value]): [string, string][] =>
    value === undefined || /^(?:npm_|NODE_OPTIONS$|NODE$|INIT_CWD$|TAP|AWS_|OUTPOST_DNS_)/.test(name)
      ? []
      : [[name, value]],
  );
  const path = (process.env['PATH'] ?? '').split(':').filter((folder) => !folder.includes('node_modules'));
  return { ...Object.fromEntries(kept), PATH: path.join(':'), AWS_EC2_METADATA_DISABLED: 'true' };
}

/** Resolves whatever the exit code; rejects when the program is not there or takes longer than it may. */
export async function run([program, ...args]: Command, options: RunOptions = {}): Promise<Result> {
  const startedMs = performance.now();
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: options.env ?? machineEnvironment(),
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const release = untilReleased(child);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  child.stdin.on('error', () => undefined).end(options.input ?? ''); // it may end without reading
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    killGroup(child, 'SIGKILL');
  }, timeoutMs);
  try {
    await once(child, 'close');
  } finally {
    clearTimeout(timer);
    release();
  }
  if (isLate)
    throw new Error(
      `${[program, ...args].join(' ')}: not done within ${timeoutMs / 1000} s${excerpt(output)}`,
    );
  return {
    ...output,
    code: child.exitCode ?? undefined,
    signal: child.signalCode ?? undefined,
    tookMs: performance.now() - startedMs,
  };
}

/** Standard output; throws with the whole output unless the program ended with 0. */
export async function must(command: Command, options: RunOptions = {}): Promise<string> {
  const result = await run(command, options);
  if (result.code === 0) return result.stdout;
  throw new Error(`${command.join(' ')}: ${result.signal ?? `exit code ${result.code}`}${excerpt(result)}`);
}

const EXCERPT_CHARACTERS = 4000;

function excerpt({ stdout, stderr }: { readonly stdout: string; readonly stderr: string }): string {
  const text = `${stdout}${stderr}`.trimEnd();
  return text === '' ? '' : `\n${text.slice(-EXCERPT_CHARACTERS)}`;
}

export interface Ending {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly tookMs: number;
}

/** A program that runs until it is stopped, together with the programs that it has started. */
export class Background implements AsyncDisposable {
  /** Standard output and error, as they came. */
  output = '';
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #closed: Promise<unknown>;

  constructor([program, ...args]: Command, options: Omit<RunOptions, 'input' | 'timeoutMs'> = {}) {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? machineEnvironment(),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#name = [program, ...args].join(' ');
    this.pid = child.pid ?? 0;
    this.#closed = once(child, 'exit').finally(untilReleased(child));
    this.#closed.catch(() => undefined); // the caller that waits reports it
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Resolves with the match; throws, with the output, when the program ends before or takes too long. */
  async printed(pattern: RegExp, withinMs = 60_000): Promise<RegExpExecArray> {
    for (const deadline = performance.now() + withinMs; ; ) {
      const found = pattern.exec(this.output);
      if (found !== null) return found;
      if (this.hasEnded || performance.now() > deadline)
        throw new Error(`${this.#name}: did not print ${pattern}: it printed\n${this.output.slice(-4000)}`);
      await sleep(20);
    }
  }

  /** Sends the signal to it alone and waits for its end; throws when it takes too long. */
  async end(signal: NodeJS.Signals = 'SIGTERM', withinMs = 10_000): Promise<Ending> {
    const startedMs = performance.now();
    this.#child.kill(signal);
    return this.ended(withinMs, startedMs);
  }

  async ended(withinMs: number, startedMs = performance.now()): Promise<Ending> {
    const late = new AbortController();
    const winner = await Promise.race([
      this.#closed.then(() => 'ended' as const),
      sleep(withinMs, 'late' as const, { signal: late.signal }).catch(() => 'late' as const),
    ]);
    const tookMs = performance.now() - startedMs;
    late.abort();
    if (winner === 'late')
      throw new Error(`${this.#name}: still running after ${withinMs} ms\n${this.output.slice(-4000)}`);
    return { code: this.#child.exitCode ?? undefined, signal: this.#child.signalCode ?? undefined, tookMs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    killGroup(this.#child, 'SIGTERM');
    await this.ended(3000).catch(() => undefined);
    killGroup(this.#child, 'SIGKILL');
  }
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // the group is gone
  }
}

const leftovers = new Set<() => void>();

/** Runs `undo` when the lab ends in any way; it must be synchronous. Returns a function that cancels this. */
export function atTheEnd(undo: () => void): () => void {
  leftovers.add(undo);
  return () => leftovers.delete(undo);
}

function untilReleased(child: ChildProcess): () => void {
  return atTheEnd(() => killGroup(child, 'SIGKILL'));
}

process.on('exit', () => {
  for (const undo of [...leftovers].reverse()) undo();
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));

/** Resolves with the first result of `read` that is not undefined; throws with the last error when there is none in time. */
export async function eventually<T>(
  what: string,
  withinMs: number,
  read: () => Promise<T | undefined>,
): Promise<T> {
  let last: unknown;
  for (const deadline = performance.now() + withinMs; performance.now() < deadline; await sleep(50)) {
    try {
      const found = await read();
      if (found !== undefined) return found;
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`${what}: not within ${withinMs / 1000} s`, { cause: last });
}
