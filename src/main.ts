/** Runs the command that argv names, and ends with its exit code. */
import { enableCompileCache, getCompileCacheDir } from 'node:module';
import { loadWithNodesCode } from './runtime/memory.ts';
import { catchSignals } from './runtime/signals.ts';

const words = process.argv.slice(2);
// before a file that takes time is loaded; a signal ends every other command at once
const signals = words.includes('serve') ? catchSignals() : undefined;
loadWithNodesCode();

// Node's compile cache is for one kind of processor. Where the delivered cache is for another kind and cannot be written, the
// cache folder of the service takes its place, for the threads too.
const { CACHE_DIRECTORY } = process.env;
if (signals && CACHE_DIRECTORY !== undefined && getCompileCacheDir() === undefined) {
  enableCompileCache({ directory: CACHE_DIRECTORY });
  process.env['NODE_COMPILE_CACHE'] = CACHE_DIRECTORY;
}

const plain = signals && plainServe(words);
if (signals && plain) {
  const { serve } = await import('./commands/serve.ts');
  process.exitCode = await serve(plain.config, signals);
} else {
  const { run } = await import('./commands/program.ts');
  process.exitCode = await run(words, signals);
}

/**
 * `serve`, as service units and images write it, starts without the reader of the command line. Commander and the list of
 * commands would take a tenth of the time to the first answer. All other words go to commander, and so does every fault.
 */
function plainServe([command, ...options]: readonly string[]): { readonly config?: string } | undefined {
  if (command !== 'serve') return undefined;
  const [first, second, ...others] = options;
  if (first === undefined) return {};
  const isPlain = (first === '--config' || first === '-c') && others.length === 0;
  return isPlain && second !== undefined && /^[^-]/.test(second) ? { config: second } : undefined;
}
