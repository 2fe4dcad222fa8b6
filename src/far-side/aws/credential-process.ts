import { spawn } from 'node:child_process';
import type { Timers } from '../../runtime/timers.ts';

/**
 * Runs an operator's `credential_process` under a deadline and ends it with all its children when that has passed.
 * The SDK's own way has no deadline at all, so one that waits for a dead network would stay, and every later refresh
 * would start another beside it.
 */
export interface ProcessLimits {
  readonly timers: Timers;
  readonly timeoutMs: number;
}

const MAX_OUTPUT_OCTETS = 64 * 1024; // credentials are some 2 KB of JSON

/** Called as the SDK calls `exec`: the command line, then what to tell. Errors name neither the command nor its output: both may hold secrets. */
export type RunCommand = (
  command: string,
  done: (error: Error | null, output?: { stdout: string }) => void,
) => void;

export function boundedCommand(limits: ProcessLimits): RunCommand {
  return (command, done) => {
    // A process group of its own, so that what the shell started ends with it.
    const child = spawn(command, { shell: true, detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
    let stdout = '';
    let isDone = false;
    function finish(fault?: string): void {
      if (isDone) return;
      isDone = true;
      deadline[Symbol.dispose]();
      if (fault === undefined) {
        done(null, { stdout });
        return;
      }
      endGroup(child.pid);
      child.stdout.destroy();
      done(new Error(`credential_process ${fault}`));
    }
    const deadline = limits.timers.after(limits.timeoutMs, () => {
      finish(`did not end within ${limits.timeoutMs} ms`);
    });
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (part: string) => {
      stdout += part;
      if (stdout.length > MAX_OUTPUT_OCTETS) finish(`wrote more than ${MAX_OUTPUT_OCTETS} octets`);
    });
    child.on('error', () => finish('could not be started'));
    child.on('close', (status, signal) => finish(status === 0 ? undefined : endOf(status, signal)));
  };
}

function endOf(status: number | null, signal: string | null): string {
  return signal === null ? `ended with exit code ${status}` : `was ended by ${signal}`;
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Already gone.
  }
}

/**
 * Makes the SDK run every `credential_process` through `run`. The SDK has no option for it, only this hook, which is
 * one for the whole process. Should a later version lose it, the SDK runs commands as it always did, without end.
 */
export async function overrideCredentialProcess(run: RunCommand): Promise<void> {
  try {
    const { externalDataInterceptor } = await import('@smithy/core/config');
    externalDataInterceptor.getTokenRecord()['exec'] = run;
  } catch {
    // The deadline of a look still holds; only the command is not ended.
  }
}
