/** The processes that the bench has started: each is ended by its own ID, in every case. */
import type { ChildProcess } from 'node:child_process';

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface OwnProcess<Child extends ChildProcess = ChildProcess> {
  readonly process: Child;
  readonly pid: number;
  /** Rejects where it could not be started. */
  readonly ended: Promise<Ending>;
  /** Asks it to end, and makes it end when it does not. */
  stop(): Promise<void>;
}

const PATIENCE_MS = 10_000; // writing a profile takes seconds

export class Processes implements AsyncDisposable {
  readonly #running = new Set<OwnProcess>();
  #isOver = false;

  /** Throws, and ends the child, once the bench is being ended. */
  add<Child extends ChildProcess>(child: Child): OwnProcess<Child> {
    const ended = new Promise<Ending>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve({ code, signal }));
    });
    const own: OwnProcess<Child> = {
      process: child,
      pid: child.pid ?? -1,
      ended,
      stop: () => stop(child, ended),
    };
    this.#running.add(own);
    const forget = () => this.#running.delete(own);
    ended.then(forget, forget);
    if (this.#isOver) {
      void own.stop();
      throw new Error('the bench is being ended');
    }
    return own;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.all([...this.#running].map((own) => own.stop()));
  }
}

async function stop(child: ChildProcess, ended: Promise<Ending>): Promise<void> {
  child.kill('SIGTERM');
  const force = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  await ended.catch(() => undefined);
  clearTimeout(force);
}
