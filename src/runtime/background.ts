/**
 * The one way to start work whose end no caller waits for. An error costs that work, a log line and a count, never the
 * process. An architecture test finds work that is started in another way; timers.ts runs its callbacks through here.
 */
import { type Log, messages } from '../log/log.ts';

export const RUNTIME_MESSAGES = messages({
  notNotified: {
    level: 'error',
    text: 'cannot notify systemd: is systemd-notify installed',
    fields: { err: 'the error', assignments: 'what was to be sent' },
    fix: 'install systemd-notify, or run the packaged runtime',
  },
  workFailed: {
    level: 'error',
    text: 'work in the background failed: please report it',
    fields: { err: 'the error', work: 'the kind of work', failures: 'such failures so far' },
    fix: 'report the line: answers go on',
  },
});

/** Values of a metric's label. `other`: errors from event handlers, and from work without a name. */
export type BackgroundWork =
  | 'admin'
  | 'answers'
  | 'drill'
  | 'ledger'
  | 'link'
  | 'listeners'
  | 'liveness'
  | 'prefetch'
  | 'refresh'
  | 'reload'
  | 'retained'
  | 'state'
  | 'timer'
  | 'upstream'
  | 'watchdog'
  | 'other';

const LOG_EVERY_MS = 10_000;

const failures = new Map<BackgroundWork, number>();
const loggedMs = new Map<BackgroundWork, number>();
let log: Log | undefined;

/** Sets the log for failures. */
export function logBackgroundFailures(next: Log): void {
  log = next;
}

/** Failures of this process by work; work that never failed is absent. */
export function backgroundFailures(): Readonly<Record<string, number>> {
  return Object.fromEntries(failures);
}

/** Runs `work` and resolves once it has ended, well or not. Never throws, never rejects. */
export async function inBackground(name: BackgroundWork, work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    noteFailure(name, error);
  }
}

/** Counts an error that was caught elsewhere, and logs it: each work at most once in ten seconds. */
export function noteFailure(work: BackgroundWork, error: unknown): void {
  const count = (failures.get(work) ?? 0) + 1;
  failures.set(work, count);
  const nowMs = performance.now();
  if (nowMs - (loggedMs.get(work) ?? Number.NEGATIVE_INFINITY) < LOG_EVERY_MS) return;
  loggedMs.set(work, nowMs);
  if (log !== undefined) RUNTIME_MESSAGES.workFailed(log, { err: error, work, failures: count });
}
