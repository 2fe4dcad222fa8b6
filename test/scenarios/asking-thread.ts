/**
 * Asks a server over UDP in a thread of its own and measures the time of each answer. The load of a test, and the upstream
 * that it plays, share the test's thread and would be measured, too.
 */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { QueryText } from '../serving/resolver/messages.ts';
import { askUdp } from './server-process.ts';

interface Asked {
  readonly aa: boolean;
  readonly answers: number;
  readonly afterMs: number;
}

/** A lost datagram is sent again; the time runs on. */
const RETRY_MS = 1_000;
const TRIES = 4;

export class AskingThread implements AsyncDisposable {
  readonly #thread: Worker;

  constructor(port: number, query: QueryText) {
    this.#thread = new Worker(new URL(import.meta.url), { workerData: { port, query } });
  }

  /** One query and its answer, measured in the thread. */
  async ask(): Promise<Asked> {
    this.#thread.postMessage('ask');
    const [asked] = await once(this.#thread, 'message');
    if (asked instanceof Error) throw asked;
    return asked;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread.terminate();
  }
}

async function askOnce(): Promise<Asked> {
  const { port, query } = workerData;
  const startedMs = performance.now();
  for (let tries = 1; ; tries++) {
    try {
      const { aa, answers } = await askUdp(port, query, RETRY_MS);
      return { aa, answers: answers.length, afterMs: performance.now() - startedMs };
    } catch (error) {
      if (tries === TRIES) throw error;
    }
  }
}

if (!isMainThread)
  parentPort?.on('message', () => {
    askOnce().then(
      (asked) => parentPort?.postMessage(asked),
      (error: unknown) => parentPort?.postMessage(error),
    );
  });
