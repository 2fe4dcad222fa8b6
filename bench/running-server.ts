/** One contender, started on its core, after its first right answer. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, ENVIRONMENT, type Task } from './contender.ts';
import { firstAnswer } from './first-answer.ts';
import { readThreadMillis } from './process-figures.ts';
import type { Ending, OwnProcess, Processes } from './processes.ts';

export interface RunningServer {
  readonly contender: Contender;
  readonly port: number;
  readonly process: OwnProcess;
  /** From the call that started the process to its first answer. */
  readonly firstAnswerMillis: number;
  /** Its processor time until then; undefined where it has ended. */
  readonly firstAnswerProcessorMillis: number | undefined;
}

/** The answer that a server has to give before it is measured. */
export interface Expected {
  readonly name: string;
  readonly addresses: readonly string[];
}

const START_PATIENCE_MS = 60_000;

/** Throws, with the end of its output, where the contender does not start or gives another answer. */
export async function startServer(
  contender: Contender,
  task: Task,
  expected: Expected,
  core: number,
  processes: Processes,
): Promise<RunningServer> {
  await mkdir(task.directory, { recursive: true });
  const command = await contender.prepare(task);
  const logFile = join(task.directory, 'output.txt');
  const log = openSync(logFile, 'a');
  const startedMs = performance.now();
  const own = processes.add(
    // taskset and every wrapper end in exec: the process ID becomes the server's
    spawn('taskset', ['-c', String(core), ...command], {
      cwd: task.directory,
      env: ENVIRONMENT,
      stdio: ['ignore', log, log],
    }),
  );
  closeSync(log);
  try {
    const running = { contender, port: task.port, process: own };
    if (contender.answers === false) {
      const firstAnswerMillis = await untilEnded(own, startedMs);
      return { ...running, firstAnswerMillis, firstAnswerProcessorMillis: undefined };
    }
    const atMs = await rightAnswer(own, task.port, expected);
    const firstAnswerProcessorMillis = await readThreadMillis(own.pid);
    return { ...running, firstAnswerMillis: atMs - startedMs, firstAnswerProcessorMillis };
  } catch (error) {
    await own.stop();
    throw new Error(`${message(error)}${lastLines(logFile)}`);
  }
}

async function untilEnded(own: OwnProcess, startedMs: number): Promise<number> {
  const ending = await own.ended;
  if (ending.code !== 0) throw new Error(`it ended with ${endingText(ending)}`);
  return performance.now() - startedMs;
}

async function rightAnswer(own: OwnProcess, port: number, expected: Expected): Promise<number> {
  const given = new AbortController();
  const patience = setTimeout(
    () => given.abort(new Error(`no answer within ${START_PATIENCE_MS / 1000} s`)),
    START_PATIENCE_MS,
  );
  const ended = own.ended.then(
    (ending) => given.abort(new Error(`it ended with ${endingText(ending)}`)),
    (error: unknown) => given.abort(error),
  );
  try {
    const answer = await Promise.race([
      firstAnswer(port, expected.name, given.signal),
      ended.then(() => Promise.reject(given.signal.reason)),
    ]);
    const isRight =
      answer.rcode === 'NOERROR' && String(answer.addresses) === String([...expected.addresses].sort());
    if (!isRight)
      throw new Error(`it answered ${answer.rcode} [${answer.addresses}], not [${expected.addresses}]`);
    return answer.atMs;
  } finally {
    clearTimeout(patience);
  }
}

function endingText({ code, signal }: Ending): string {
  return signal === null ? `code ${code}` : signal;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function lastLines(file: string): string {
  const lines = readFileSync(file, 'utf8').trim().split('\n').slice(-3).join(' | ');
  return lines === '' ? '' : `: ${lines}`;
}
