/** `outpost-dns flush`: drops the kept answers about a name, from memory and from the disk, so that the next query asks an upstream. */

import type { Command } from 'commander';
import { FLUSH_PATH, type FlushReport, flushReport } from '../admin/name-control.ts';
import { plural } from '../report/report.ts';
import { questionOf } from './question.ts';
import { commander, command as give, type ServerOptions } from './running-server.ts';
import {
  EXIT,
  type ExitCode,
  OPTION,
  print,
  printable,
  printFailure,
  type Run,
  stateOption,
} from './subcommand.ts';

interface FlushOptions extends ServerOptions {
  readonly below?: true;
  readonly evenInCut?: true;
  readonly json?: true;
}

export function define(command: Command, { ended }: Run): void {
  command
    .argument('<name>', 'domain name')
    .option('--below', 'every name under it, too')
    .option('--even-in-cut', 'for all names: drop the answers although no upstream can replace them now')
    .option(...OPTION.config)
    .addOption(stateOption(command))
    .option(...OPTION.json)
    .action(async (name: string, options: FlushOptions) => ended(await flush(name, options)));
}

async function flush(text: string, options: FlushOptions): Promise<ExitCode> {
  const question = questionOf(text, undefined, false);
  if (typeof question === 'number') return question;
  const { below = false, evenInCut } = options;
  const body = { name: question.name, below, evenInCut, by: commander(process.env) };
  const report = await give(options, 'flush', { method: 'POST', path: FLUSH_PATH, body }, flushReport);
  if (typeof report === 'number') return report;
  print(options.json ? JSON.stringify(report, null, 2) : flushLines(report));
  if (report.isSaved) return EXIT.well;
  printFailure(
    `the snapshot on the disk may still hold the answers: ${report.saveFailure ?? 'it is not written now'}`,
    'make room on the disk of the state directory, and flush again',
  );
  return EXIT.finding;
}

function flushLines({ name, below, answers, retained, endpoints }: FlushReport): string[] {
  const names = below ? `${printable(name)} and all names under it` : printable(name);
  return [
    `${plural(answers, 'kept answer')} about ${names} dropped, in memory and on the disk`,
    ...retained.map(
      (question) =>
        `${printable(question)} is retained: its answer stays until an upstream gives another; it is asked again now`,
    ),
    ...endpoints.map(
      (endpoint) =>
        `${printable(endpoint)} is an endpoint, which no cache answers: "outpost-dns pin" changes it`,
    ),
  ];
}
