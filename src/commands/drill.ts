/** `outpost-dns drill start|stop|report`: rehearses an outage with the running server, without touching the link. */
import { controlPath } from '../admin/control-server.ts';
import {
  DRILL_REPORT,
  DRILL_START,
  DRILL_STOP,
  type DrillReportBody,
  drillReport,
} from '../admin/drill-control.ts';
import { readDuration } from '../config/kinds/duration.ts';
import { callControl } from './control-client.ts';
import { drillLines } from './drill-text.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { findStateDirectory, type StateDirectoryOptions } from './running-server.ts';
import { paintForTerminal, printable } from './terminal-text.ts';

export interface DrillStartOptions extends StateDirectoryOptions {
  /** A duration such as `30m`. */
  readonly for: string;
}

export interface DrillReportOptions extends StateDirectoryOptions {
  readonly json?: true;
}

export async function startDrill(options: DrillStartOptions): Promise<ExitCode> {
  const length = readDuration(options.for, '1ms', '3650d'); // the server knows how long a drill may be
  if (!('value' in length)) {
    explain(
      `not a length for a drill: "${options.for}": ${length.message}`,
      length.mend ?? 'write 30m or 2h',
    );
    return EXIT.usage;
  }
  const report = await command(options, 'start the drill', 'POST', DRILL_START, { forMs: length.value });
  if (typeof report === 'number') return report;
  process.stdout.write(
    `the drill runs for ${options.for}: this server treats AWS and what is across the link as unreachable\n` +
      'end it early with "outpost-dns drill stop"; "outpost-dns drill report" says who would have been hurt\n',
  );
  return EXIT.well;
}

export async function stopDrill(options: StateDirectoryOptions): Promise<ExitCode> {
  const report = await command(options, 'stop the drill', 'POST', DRILL_STOP, {});
  return typeof report === 'number' ? report : print(report, drillLines(report, paintForTerminal));
}

export async function reportDrill(options: DrillReportOptions): Promise<ExitCode> {
  const report = await command(options, 'get the report of the drill', 'GET', DRILL_REPORT, undefined);
  if (typeof report === 'number') return report;
  const lines = options.json ? [JSON.stringify(report, null, 2)] : drillLines(report, paintForTerminal);
  return print(report, lines);
}

function print({ state }: DrillReportBody, lines: readonly string[]): ExitCode {
  process.stdout.write(`${lines.join('\n')}\n`);
  return state === 'none' ? EXIT.finding : EXIT.well;
}

/** The report that the server answers with, or the exit code after a failure that has been explained. */
async function command(
  options: StateDirectoryOptions,
  action: string,
  method: 'GET' | 'POST',
  route: string,
  body: unknown,
): Promise<DrillReportBody | ExitCode> {
  const directory = await findStateDirectory(options);
  if (directory === undefined) return EXIT.usage;
  const answer = await callControl(controlPath(directory), method, route, body);
  if (answer.kind !== 'done') {
    explain(`cannot ${action}: ${answer.detail}`, answer.mend);
    return EXIT.finding;
  }
  const report = drillReport.safeParse(answer.content);
  if (report.success) return report.data;
  explain(
    `cannot ${action}: the answer is no report of a drill`,
    'is the server of this version? restart it',
  );
  return EXIT.finding;
}

function explain(what: string, mend: string): void {
  process.stderr.write(`outpost-dns: ${printable(what)}\n    ${printable(mend)}\n`);
}
