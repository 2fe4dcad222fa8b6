/** The options that `pin` and `unpin` share, and how both print their answer. */
import type { PinReport } from '../admin/pin-control.ts';
import type { ServerOptions } from './control-command.ts';
import { EXIT, type ExitCode } from './subcommand.ts';
import { explain, print, printable } from './terminal.ts';

export interface ClusterOptions extends ServerOptions {
  readonly region?: string;
  readonly json?: true;
}

export const REGION_OPTION = [
  '--region <region>',
  'AWS Region of the cluster, where two clusters have the same name',
] as const;

/** Prints the outcome of `pin` or `unpin`. A pin that no disk has is a failure, although clients get its addresses. */
export function show(report: PinReport, { json }: ClusterOptions, lines: readonly string[]): ExitCode {
  print(json ? JSON.stringify(report, null, 2) : lines);
  if (report.isSaved) return EXIT.well;
  explain(
    `the state file does not have it: a restart would undo the command: ${report.saveFailure ?? 'no reason given'}`,
    'make room on the disk of the state directory; the server tries again by itself',
  );
  return EXIT.finding;
}

export function list(addresses: readonly string[]): string {
  return addresses.length === 0 ? 'no address' : addresses.map(printable).join(', ');
}
