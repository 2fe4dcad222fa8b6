/** Runs the command that argv names, and ends with its exit code. */
import { catchSignals } from './runtime/signals.ts';

const words = process.argv.slice(2);
// before a file that takes time is loaded; a signal ends every other command at once
const signals = words.includes('serve') ? catchSignals() : undefined;
const { run } = await import('./commands/program.ts');
process.exitCode = await run(words, signals);
