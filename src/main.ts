/** argv in, a command run, an exit code out. */
import { catchSignals } from './runtime/signals.ts';

const words = process.argv.slice(2);
// before anything that takes time is loaded; a signal ends every other command, as a person expects
const signals = words.includes('serve') ? catchSignals() : undefined;
const { run } = await import('./commands/program.ts');
process.exitCode = await run(words, signals);
