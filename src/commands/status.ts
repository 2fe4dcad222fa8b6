/** `outpost-dns status`: shows the answers of a running server, their sources and their age; `--healthy` is for a supervisor. */
import { type Command, InvalidArgumentError } from 'commander';
import type { SocketAddress } from '../config/kinds/address.ts';
import { socketText } from '../protocol/words/address-text.ts';
import type { Cell, Panel } from '../report/report.ts';
import { askForLife } from './own-health.ts';
import { findPlace } from './running-server.ts';
import { getPage, getPanels, getStatus, readHttpAddress } from './server-client.ts';
import {
  columns,
  EXIT,
  type ExitCode,
  OPTION,
  type Paint,
  paintForTerminal,
  print,
  printable,
  printFailure,
  type Run,
  tonedText,
} from './subcommand.ts';

interface StatusOptions {
  readonly admin?: SocketAddress;
  readonly config?: string;
  readonly healthy?: true;
  readonly json?: true;
}

export function define(command: Command, { ended }: Run): void {
  command
    .option(...OPTION.config)
    .addOption(
      command
        .createOption(
          '--admin <address>',
          "HTTP address of the server, instead of the configuration's admin.listen",
        )
        .argParser(readAdmin)
        .conflicts('config'),
    )
    .addOption(
      command
        .createOption('--healthy', 'print nothing; exit 0 when the server is alive and answers, ready or not')
        .conflicts('json'),
    )
    .option(...OPTION.json)
    .action(async (options: StatusOptions) => ended(await status(options)));
}

function readAdmin(text: string): SocketAddress {
  const address = readHttpAddress(text);
  if ('message' in address) throw new InvalidArgumentError(`${address.message}\n    ${address.fix}`);
  return address;
}

const STATUS_TIMEOUT_MS = 3_000;
const HEALTH_TIMEOUT_MS = 2_000;

async function status({ admin: flag, config, healthy: isHealth, json }: StatusOptions): Promise<ExitCode> {
  const admin = await findPlace('admin', flag, config);
  if (typeof admin === 'number') return admin;
  return isHealth ? healthy(admin) : show(admin, json === true);
}

async function show(admin: SocketAddress, json: boolean): Promise<ExitCode> {
  const reading = json
    ? await getStatus(admin, STATUS_TIMEOUT_MS)
    : await getPanels(admin, STATUS_TIMEOUT_MS);
  if (reading.kind === 'failed') {
    printFailure(`cannot get the status from "${socketText(admin)}": ${reading.detail}`, reading.fix);
    return EXIT.finding;
  }
  const { facts, whole } = reading;
  print('panels' in facts ? panelLines(facts.panels, paintForTerminal) : JSON.stringify(whole, null, 2));
  const isReady = 'panels' in facts ? facts.ready : facts.server.ready;
  return isReady ? EXIT.well : EXIT.finding;
}

async function healthy(admin: SocketAddress): Promise<ExitCode> {
  const startedMs = performance.now();
  const leftMs = () => Math.max(1, Math.ceil(HEALTH_TIMEOUT_MS - (performance.now() - startedMs)));
  const answer = await getPage(admin, '/healthz', HEALTH_TIMEOUT_MS);
  if (answer.kind === 'failed') return unhealthy(admin, answer.detail);
  if (answer.status !== 200) return unhealthy(admin, `it answers with HTTP status ${answer.status}`);
  const reading = await getStatus(admin, leftMs());
  // a server whose report fails may answer every query
  if (reading.kind === 'failed') return EXIT.well;
  const { server, endpoints } = reading.facts;
  const answered = endpoints.find(
    ({ endpoint, addresses }) => endpoint !== undefined && addresses.length > 0,
  );
  const addresses = server.listening.map(({ address }) => address);
  const { udp, tcp } = await askForLife(addresses, answered?.endpoint, leftMs());
  if (udp && tcp) return EXIT.well;
  const silent = udp ? 'over TCP' : tcp ? 'over UDP' : '';
  return unhealthy(admin, `its HTTP answers, but its DNS does not ${silent}`.trimEnd());
}

function unhealthy(admin: SocketAddress, detail: string): ExitCode {
  printFailure(`the server at "${socketText(admin)}" is not healthy: ${detail}`);
  return EXIT.finding;
}

/**
 * Draws the panels that the rooms report on a terminal, without knowledge of their content. The first panel has no title: it
 * says whether the server is ready.
 */
export function panelLines([head = {}, ...others]: readonly Panel[], paint: Paint): string[] {
  return [
    ...headLines(head, paint),
    // plots are for the page: a terminal draws no lines
    ...others
      .filter(({ plots }) => plots === undefined)
      .flatMap((panel, at) => [...(at === 0 ? [] : ['']), ...lines(panel, paint)]),
  ];
}

function headLines({ badge, about, ...panel }: Panel, paint: Paint): string[] {
  const word =
    badge === undefined
      ? ''
      : cellText({ ...badge, text: about === undefined ? badge.text : `${badge.text}: ${about}` }, paint);
  return [word, ...bodyLines(panel, paint)];
}

function lines({ title = '', badge, about, ...panel }: Panel, paint: Paint): string[] {
  const state = badge === undefined ? '' : `: ${cellText(badge, paint)}`;
  const place = about === undefined ? '' : ` (${printable(about)})`;
  return [`${paint('bold', printable(title))}${state}${place}`, ...bodyLines(panel, paint)];
}

const INDENT = 2;

function bodyLines({ notes = [], facts = [], head, rows = [], rest }: Panel, paint: Paint): string[] {
  const table = head === undefined || rows.length === 0 ? [] : [head.map((title) => paint('dim', title))];
  const indent = ' '.repeat(INDENT);
  return [
    ...notes.map((note) => `${indent}${cellText(note, paint)}`),
    ...columns(
      facts.map(([label, value]) => [printable(label), cellText(value, paint)]),
      INDENT,
    ),
    ...columns([...table, ...rows.map((row) => row.map((value) => cellText(value, paint)))], INDENT),
    ...(rest === undefined ? [] : [`${indent}${paint('dim', printable(rest))}`]),
  ];
}

function cellText(value: Cell, paint: Paint): string {
  if (typeof value === 'string' || typeof value === 'number') return printable(String(value));
  if ('text' in value) return tonedText(value.text, value.tone, paint);
  return value.map((one) => cellText(one, paint)).join(', ');
}
