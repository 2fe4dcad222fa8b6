/** Turns the words of a command line into an exit code: finds the subcommand, loads only its file, and lets commander read the rest. */
import { Command, CommanderError } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import type { Signals } from '../runtime/signals.ts';
import { type Define, EXIT, type ExitCode, type Run, watchOutput } from './subcommand.ts';

type Subcommand = readonly [name: string, about: string, load: () => Promise<{ readonly define: Define }>];

/** The subcommands, in the order of the help. A new subcommand is a file and a line here. */
const SUBCOMMANDS: readonly Subcommand[] = [
  ['init', 'write a configuration from AWS or a kubeconfig', () => import('./init.ts')],
  ['serve', 'run the server', () => import('./serve.ts')],
  ['check', 'is this host ready for an outage? each finding with its fix', () => import('./check.ts')],
  ['status', 'what is served, from which source, how fresh, link, upstreams', () => import('./status.ts')],
  [
    'explain',
    'why a name is answered as it is, and what would happen in a cut',
    () => import('./explain.ts'),
  ],
  ['lookup', 'ask a server, show where the answer came from', () => import('./lookup.ts')],
  ['export', 'the records, from the state file, whether or not a server runs', () => import('./export.ts')],
  [
    'history',
    'what happened: the link, addresses, drills, starts and stops; whether or not a server runs',
    () => import('./history.ts'),
  ],
  ['pin', 'serve other addresses for a cluster, for a time, with a reason', () => import('./pin.ts')],
  ['unpin', 'end such a pin now', async () => ({ define: (await import('./pin.ts')).defineUnpin })],
  ['flush', 'drop the kept answers about a name, in memory and on the disk', () => import('./flush.ts')],
  [
    'drill',
    'rehearse an outage with this server alone, without touching the link',
    () => import('./drill.ts'),
  ],
  [
    'sandbox',
    'a simulated AWS Region and the server against it, all on loopback',
    () => import('./sandbox.ts'),
  ],
];

/** Runs the command that `words` name. `signals` are those of a server. */
export async function run(words: readonly string[], signals?: Signals): Promise<ExitCode> {
  if (signals === undefined) watchOutput(); // a server's output is its log
  let exitCode: ExitCode = EXIT.well;
  const ended = (code: ExitCode) => {
    exitCode = code;
  };
  const [first, second] = words.filter((word) => !word.startsWith('-'));
  const named = first === 'help' ? second : first;
  const program = await createProgram({ ended, signals }, (name) => name === named);
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT.well : EXIT.usage;
  }
  return exitCode;
}

/** The whole command line, with every option of every command: the packages' man pages and completion are made from it. */
export function wholeProgram(): Promise<Command> {
  return createProgram({ ended: () => undefined, signals: undefined }, () => true);
}

/** Only the commands that `isWanted` names have their options, because each command's file takes time to load. */
async function createProgram(run: Run, isWanted: (name: string) => boolean): Promise<Command> {
  const program = bareProgram();
  for (const [name, about, load] of SUBCOMMANDS) {
    const command = program
      .command(name)
      .description(about)
      .showHelpAfterError(`(outpost-dns ${name} --help explains its words)`);
    if (isWanted(name)) (await load()).define(command, run);
  }
  return program;
}

function bareProgram(): Command {
  return (
    new Command('outpost-dns')
      .description(
        "The DNS server that keeps an EKS local cluster's endpoint resolvable while the Outpost is cut off from AWS.",
      )
      .version(packageJson.version)
      .showHelpAfterError('(outpost-dns --help lists the commands)')
      .configureOutput({
        outputError: (text, write) => write(text.replace(/^error: /, 'outpost-dns: ')),
      })
      // an option of `sandbox link` is its own, also where `sandbox` has one of that name
      .enablePositionalOptions()
      .exitOverride()
  );
}
