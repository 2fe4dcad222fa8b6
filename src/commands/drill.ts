/** `outpost-dns drill start|stop|report`: rehearses an outage with the running server, without touching the link. */
import { type Command, InvalidArgumentError } from 'commander';
import { stringify } from 'yaml';
import {
  DRILL_REPORT_PATH,
  DRILL_START,
  DRILL_STOP,
  type DrillReportBody,
  drillReport,
} from '../admin/drill-control.ts';
import { readDuration } from '../config/kinds/quantity.ts';
import { ageText, plural } from '../report/report.ts';
import { command as give, type ServerOptions } from './running-server.ts';
import {
  columns,
  EXIT,
  type ExitCode,
  OPTION,
  type Paint,
  paintForTerminal,
  print,
  printable,
  type Run,
  stateOption,
} from './subcommand.ts';

export function define(command: Command, { ended }: Run): void {
  const subcommand = (name: string, about: string) =>
    command
      .command(name)
      .description(about)
      .option(...OPTION.config)
      .addOption(stateOption(command));
  subcommand('start', 'treat AWS, and upstreams that are not on the site, as unreachable for a while')
    .requiredOption('--for <duration>', 'how long, such as 30m; the drill then ends by itself', readLength)
    .action(async (options: ServerOptions & { readonly for: number }) => ended(await startDrill(options)));
  subcommand('stop', 'end it now, and say which queries would have failed').action(
    async (options: ServerOptions) => ended(await stopDrill(options)),
  );
  subcommand(
    'report',
    'which queries would have failed, and what to retain: of the drill that runs, or of the last one',
  )
    .option(...OPTION.json)
    .action(async (options: ServerOptions & { readonly json?: true }) => ended(await reportDrill(options)));
}

/** Reads the length of a drill; the server checks the limit. */
function readLength(text: string): number {
  const length = readDuration(text, '1ms', '3650d');
  if ('value' in length) return length.value;
  throw new InvalidArgumentError(`${length.message}\n    ${length.fix ?? 'write 30m or 2h'}`);
}

async function startDrill(options: ServerOptions & { readonly for: number }): Promise<ExitCode> {
  const route = { method: 'POST', path: DRILL_START, body: { forMs: options.for } } as const;
  const report = await give(options, 'start the drill', route, drillReport);
  if (typeof report === 'number') return report;
  print([
    `the drill runs for ${ageText(options.for / 1000)}: this server treats AWS, and upstreams across the link, as unreachable`,
    'end it early with "outpost-dns drill stop"; "outpost-dns drill report" lists the queries that would have failed',
  ]);
  return EXIT.well;
}

async function stopDrill(options: ServerOptions): Promise<ExitCode> {
  const route = { method: 'POST', path: DRILL_STOP, body: {} } as const;
  const report = await give(options, 'stop the drill', route, drillReport);
  return typeof report === 'number' ? report : show(report, drillLines(report, paintForTerminal));
}

async function reportDrill(options: ServerOptions & { readonly json?: true }): Promise<ExitCode> {
  const route = { method: 'GET', path: DRILL_REPORT_PATH } as const;
  const report = await give(options, 'get the report of the drill', route, drillReport);
  if (typeof report === 'number') return report;
  return show(report, options.json ? JSON.stringify(report, null, 2) : drillLines(report, paintForTerminal));
}

function show({ state }: DrillReportBody, text: string | readonly string[]): ExitCode {
  print(text);
  return state === 'none' ? EXIT.finding : EXIT.well;
}

/** The most names that are listed; the JSON has all of them. */
const LISTED = 20;

export function drillLines(report: DrillReportBody, paint: Paint): string[] {
  if (report.state === 'none') return ['no drill has run since the server started'];
  return [
    headline(report, paint),
    ...section(report.failed, paint('red', 'failed'), paint),
    ...section(report.stale, paint('yellow', 'answered stale'), paint),
    ...endpointLines(report, paint),
    ...retainLines(report, paint),
  ];
}

function headline({ state, startedAt = '', forMs = 0, ranMs = 0, endedBy }: DrillReportBody, paint: Paint) {
  const since = `started ${printable(startedAt)}`;
  if (state === 'running') {
    const left = ageText((forMs - ranMs) / 1000);
    return paint('yellow', `a drill is running, ${since}, ends by itself in ${left}`);
  }
  return `the drill has ended (${ENDINGS[endedBy ?? 'time']}), ${since}, ran for ${ageText(ranMs / 1000)}`;
}

const ENDINGS: Readonly<Record<NonNullable<DrillReportBody['endedBy']>, string>> = {
  time: 'its time was up',
  command: 'stopped by a command',
  shutdown: 'the server stopped',
};

function section(asked: DrillReportBody['failed'], verdict: string, paint: Paint): string[] {
  const { queries, names, otherQueries } = asked;
  if (queries === 0) return ['', `no query ${verdict}`];
  const rows = names
    .slice(0, LISTED)
    .map(({ name, type, queries: count }) => [String(count), printable(type), printable(name)]);
  const hidden = names.length - rows.length;
  const head = ['queries', 'type', 'name'].map((word) => paint('dim', word));
  return [
    '',
    `${plural(queries, 'query', 'queries')} ${verdict}`,
    ...columns([head, ...rows], 2),
    ...(hidden > 0 ? [`  and ${hidden} more: outpost-dns drill report --json`] : []),
    ...(otherQueries > 0
      ? [`  and ${plural(otherQueries, 'query', 'queries')} for names beyond those that are kept`]
      : []),
  ];
}

function endpointLines({ endpoints }: DrillReportBody, paint: Paint): string[] {
  if (endpoints.length === 0) return ['', 'no query for an endpoint'];
  const rows = endpoints.map(({ endpoint, answers }) => [String(answers), printable(endpoint)]);
  return ['', paint('green', 'endpoints were answered as always'), ...columns(rows, 2)];
}

function retainLines({ retain }: DrillReportBody, paint: Paint): string[] {
  if (retain.length === 0) return ['', paint('green', 'nothing to add to retain')];
  const names = retain.flatMap(({ name, types }) => retainWords(name, types).map(printable));
  return [
    '',
    'asked for at least twice: add the names that are needed during an outage to the configuration',
    ...stringify({ retain: names }).trimEnd().split('\n'),
  ];
}

/** As `retain` takes them: a name alone means both kinds of address. */
function retainWords(name: string, types: readonly string[]): readonly string[] {
  const others = types.filter((type) => type !== 'A' && type !== 'AAAA');
  return [...(others.length < types.length ? [name] : []), ...others.map((type) => `${name} ${type}`)];
}
