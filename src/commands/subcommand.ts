/**
 * The contract of a subcommand: a file in this folder that exports `define`, and a line in the list of program.ts.
 * Every start loads this file, so it imports nothing that takes time.
 */
import type { Command } from 'commander';
import type { Signals } from '../runtime/signals.ts';

/** The exit codes of every command: 0 well, 1 a finding or a failed action, 2 wrong usage or configuration. */
export const EXIT = { well: 0, finding: 1, usage: 2 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Adds arguments, options and the action to the command, whose name and description are in the list of program.ts. */
export type Define = (command: Command, run: Run) => void;

export interface Run {
  /** Each action ends with its exit code. */
  readonly ended: (code: ExitCode) => void;
  /** For `serve`: caught from the first moment on. */
  readonly signals: Signals | undefined;
}

export const DEFAULT_CONFIG_FILE = '/etc/outpost-dns/outpost-dns.yaml';

/** Options that several commands have; as arguments of commander's `option`. */
export const OPTION = {
  config: ['-c, --config <file>', `configuration file (default: ${DEFAULT_CONFIG_FILE})`],
  json: ['--json', 'print JSON instead of a table'],
} as const;

/** `--state`, which makes a configuration needless. */
export function stateOption(command: Command) {
  return command
    .createOption('--state <directory>', 'state directory of the server, without any configuration')
    .conflicts('config');
}
