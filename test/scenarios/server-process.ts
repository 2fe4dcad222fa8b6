/** The real server as a process, seen from outside: DNS, HTTP, its log, its end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { StatusReport } from '../../src/daemon/report.ts';
import { RCODE } from '../../src/protocol/words/codes.ts';
import { PATIENCE_MS, pause } from '../helpers/patience.ts';
import { type QueryText, queryOf, type ReadReply, readReply } from '../serving/resolver/messages.ts';
import type { Ports } from './free-ports.ts';

export const PROGRAM = fileURLToPath(new URL('../../bin/outpost-dns', import.meta.url));

const DISK_IS_LATE = 'the disk of the state directory does not answer';

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Without the test runner's environment, and with the AWS variables of the scenario alone. */
function environmentOf(scenario: Readonly<Record<string, string>>): Record<string, string> {
  const { PATH = '', HOME = '', TMPDIR, NODE_COMPILE_CACHE } = process.env;
  return {
    PATH,
    HOME,
    ...(TMPDIR === undefined ? {} : { TMPDIR }),
    ...(NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE }),
    ...scenario,
  };
}

/** No credentials, and no way to AWS: every request of the SDK ends on a closed port of loopback. */
export const NO_AWS: Readonly<Record<string, string>> = {
  AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_REGION: 'us-west-2',
};

/** A child process with its output; killed by its pid, and waited for, when the test ends. */
export class Process {
  readonly child: ChildProcess;
  readonly startedAtMs = performance.now();
  stdout = '';
  stderr = '';
  readonly ended: Promise<Ended & { readonly atMs: number }>;

  constructor(
    t: Test,
    words: readonly string[],
    environment: Readonly<Record<string, string>>,
    group = false,
    command: readonly [program: string, ...words: string[]] = [PROGRAM],
    /** Descriptors of this process that the child has as 3, 4 and so on. */
    descriptors: readonly number[] = [],
  ) {
    const [program, ...before] = command;
    this.child = spawn(program, [...before, ...words], {
      env: environmentOf(environment),
      stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
      detached: group,
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = once(this.child, 'close').then(([code, signal]) => ({
      code,
      signal,
      atMs: performance.now(),
    }));
    t.teardown(() => this.kill('SIGKILL'));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Sends the signal and resolves to how the process ended, and after how long. */
  async kill(signal: NodeJS.Signals): Promise<Ended & { readonly afterMs: number }> {
    const sentAtMs = performance.now();
    this.child.kill(signal);
    const { code, signal: by, atMs } = await this.ended;
    return { code, signal: by, afterMs: Math.max(0, atMs - sentAtMs) };
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

const LOG_PATIENCE_MS = 1_000;

export class ServerProcess extends Process {
  readonly #ports: Ports;

  /** `command`: instead of that of this work tree. */
  constructor(
    t: Test,
    configFile: string,
    ports: Ports,
    environment: Readonly<Record<string, string>>,
    command?: readonly [program: string, ...words: string[]],
    descriptors?: readonly number[],
  ) {
    super(t, ['serve', '--config', configFile], environment, false, command, descriptors);
    this.#ports = ports;
  }

  get log(): readonly LogLine[] {
    return this.stdout
      .split('\n')
      .flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as LogLine] : []));
  }

  logged(msg: string): readonly LogLine[] {
    return this.log.filter((line) => line.msg === msg);
  }

  /** One query, one reply. */
  ask(query: QueryText, timeoutMs?: number): Promise<ReadReply & { readonly afterMs: number }> {
    return askUdp(this.#ports.dnsPort, query, timeoutMs);
  }

  /** The addresses in the answer, sorted. */
  async addresses(name: string): Promise<readonly string[]> {
    return (await this.ask({ name })).answers.map(({ data }) => data).toSorted();
  }

  /** Errors in the log; that the disk did not answer for a while is no fault of a slow machine's server. */
  get errors(): readonly LogLine[] {
    return this.log.filter(({ level, msg }) => level === 'error' && !msg.startsWith(DISK_IS_LATE));
  }

  /** A start waits two seconds for the state; on a slow machine it then serves without, says so, and takes the state later. */
  get #waitsForState(): boolean {
    return this.log.some(({ msg }) => msg.startsWith(DISK_IS_LATE)) && this.logged('state read').length === 0;
  }

  /** Asks until there is a reply from what was kept, and returns its time since the start of the process. */
  async firstAnswer(query: QueryText): Promise<ReadReply & { readonly sinceStartMs: number }> {
    for (;;) {
      if (!this.isRunning) throw new Error(`the server ended: ${this.stderr}${this.stdout}`);
      // a datagram that came too early may be lost; where the start is slow, so may be the answer to the next one
      const timeoutMs = Math.max(500, (performance.now() - this.startedAtMs) / 4);
      const reply = await this.ask(query, timeoutMs).catch(() => undefined);
      const sinceStartMs = performance.now() - this.startedAtMs;
      if (reply !== undefined) await this.#logIsThere();
      // a failure is judged by the log
      const isSaid = reply?.rcode !== RCODE.SERVFAIL || this.#isListening;
      if (reply !== undefined && isSaid && !this.#waitsForState) return { ...reply, sinceStartMs };
      if (sinceStartMs > PATIENCE_MS) throw new Error(`no answer: ${this.stderr}${this.stdout}`);
      await pause(5);
    }
  }

  /** The program answers before it loads its log. A log that says less, or nobody reads, never has the line. */
  async #logIsThere(): Promise<void> {
    const startedMs = performance.now();
    while (!this.#isListening && this.isRunning && performance.now() - startedMs < LOG_PATIENCE_MS)
      await pause(5);
  }

  get #isListening(): boolean {
    return this.logged('listening').length > 0;
  }

  /** The page; asked for again where the server does not listen yet, since DNS does not wait for HTTP. */
  async get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    const url = `http://127.0.0.1:${this.#ports.httpPort}${path}`;
    const startedMs = performance.now();
    for (;;) {
      try {
        const signal = AbortSignal.timeout(PATIENCE_MS);
        const response = await fetch(url, { signal, headers: { connection: 'close' } });
        return { status: response.status, body: await response.text() };
      } catch (error) {
        if (!this.isRunning || performance.now() - startedMs > PATIENCE_MS) throw error;
        await pause(25);
      }
    }
  }

  async status(): Promise<StatusReport> {
    return JSON.parse((await this.get('/status')).body) as StatusReport;
  }

  /** Values of a metric by its labels as on the page: `{cluster="demo",...}` to a number. */
  async metric(name: string): Promise<ReadonlyMap<string, number>> {
    const { body } = await this.get('/metrics');
    const lines = body
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    return new Map(
      lines.map((line) => {
        const value = line.slice(line.lastIndexOf(' ') + 1);
        return [line.slice(name.length, line.length - value.length - 1), Number(value)];
      }),
    );
  }

  /** Addresses in `outpost_dns_endpoint_address_info`, sorted. */
  async addressesInMetric(): Promise<readonly string[]> {
    const samples = [...(await this.metric('outpost_dns_endpoint_address_info')).keys()];
    return samples.map((labels) => /address="([^"]*)"/.exec(labels)?.[1] ?? '').toSorted();
  }
}

export function askUdp(
  port: number,
  query: QueryText,
  timeoutMs = PATIENCE_MS,
): Promise<ReadReply & { readonly afterMs: number }> {
  const socket = createSocket('udp4');
  const startMs = performance.now();
  return new Promise<ReadReply & { readonly afterMs: number }>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no reply about "${query.name}" in ${timeoutMs} ms`)),
      timeoutMs,
    );
    const done = (error?: Error) => {
      clearTimeout(timer);
      if (error !== undefined) reject(error);
    };
    socket.on('error', done);
    socket.on('message', (message) => {
      done();
      resolve({ ...readReply(message), afterMs: performance.now() - startMs });
    });
    // connected, so that a closed port is an error at once
    socket.connect(port, '127.0.0.1', () => socket.send(queryOf(query), (error) => error && done(error)));
  }).finally(() => socket.close());
}
