/** What a command prints may go to a pipe that is closed, or to a disk that is full: that ends no command with a stack trace. */
import { EXIT } from './exit-code.ts';

/**
 * A reader that has seen enough (`outpost-dns status | head -1`) changes nothing: the exit code is still the command's own.
 * Any other failure is said on standard error and is a failed action.
 */
export function watchOutput(): void {
  process.stdout.on('error', (error: Error & { code?: string }) => {
    if (error.code === 'EPIPE') return;
    process.stderr.write(`outpost-dns: cannot write to standard output: ${error.message}\n`);
    process.once('exit', () => {
      process.exitCode = EXIT.finding;
    });
  });
  process.stderr.on('error', () => undefined); // nothing is left to say it to
}
