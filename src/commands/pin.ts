/**
 * `outpost-dns pin` serves other addresses for a cluster for a time, with a reason; every view shows the pin, and it ends by
 * itself. `outpost-dns unpin` ends it now: the addresses from the sources are served again.
 */
import { isIPv4 } from 'node:net';
import { type Command, InvalidArgumentError } from 'commander';
import { PIN_PATH, type PinReport, pinReport, UNPIN_PATH } from '../admin/pin-control.ts';
import { readDuration } from '../config/kinds/quantity.ts';
import { ageText } from '../report/report.ts';
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

interface PinOptions extends ClusterOptions {
  readonly for: number;
  readonly why: string;
}

export function define(command: Command, { ended }: Run): void {
  command
    .argument('<cluster>', 'name of the cluster, as in the configuration')
    .argument('<address...>', 'IPv4 addresses to serve in place of those from the sources', readAddress)
    .requiredOption('--for <duration>', 'how long, such as 4h; the pin then ends by itself', readLength)
    .requiredOption('--why <text>', 'the reason; the status, the page and the history show it', readWhy)
    .option(...REGION_OPTION)
    .option(...OPTION.config)
    .addOption(stateOption(command))
    .option(...OPTION.json)
    .action(async (cluster: string, addresses: readonly string[], options: PinOptions) =>
      ended(await pin(cluster, addresses, options)),
    );
}

function readAddress(text: string, before: readonly string[] | undefined): readonly string[] {
  if (isIPv4(text)) return [...(before ?? []), text];
  throw new InvalidArgumentError('Not an IPv4 address: write 10.0.5.20, and several with spaces.');
}

/** Reads the length of a pin; the server checks the limit. */
function readLength(text: string): number {
  const length = readDuration(text, '1ms', '3650d');
  if ('value' in length) return length.value;
  throw new InvalidArgumentError(`${length.message}\n    ${length.fix ?? 'write 30m or 4h'}`);
}

/** A reason must fit into a line of the log and of `_status`. */
const MAX_WHY = 200;

function readWhy(text: string): string {
  if (/^[^\p{Cc}]+$/u.test(text) && text.trim() !== '' && text.length <= MAX_WHY) return text.trim();
  throw new InvalidArgumentError(`Not a reason: write 1 to ${MAX_WHY} printable characters.`);
}

async function pin(cluster: string, addresses: readonly string[], options: PinOptions): Promise<ExitCode> {
  const { region, why } = options;
  const body = { cluster, region, addresses, forMs: options.for, why, by: commander(process.env) };
  const report = await give(options, 'pin', { method: 'POST', path: PIN_PATH, body }, pinReport);
  if (typeof report === 'number') return report;
  return show(report, options, pinLines(report));
}

function pinLines({ cluster, endpoint, served, pin: pinned }: PinReport): string[] {
  const { endsInSeconds = 0, unpinned = [] } = pinned ?? {};
  if (endpoint === undefined) {
    return [
      `${printable(cluster)} is pinned for ${ageText(endsInSeconds)}, but the name of its endpoint is not known yet: name it in clusters[].endpoint`,
    ];
  }
  const name = printable(endpoint);
  const before = unpinned.length === 0 ? '' : ` in place of ${list(unpinned)}`;
  return [
    `${name} is answered with ${list(served)} for ${ageText(endsInSeconds)}${before}`,
    `end it early with "outpost-dns unpin ${printable(cluster)}"`,
  ];
}

export function defineUnpin(command: Command, { ended }: Run): void {
  command
    .argument('<cluster>', 'name of the cluster, as in the configuration')
    .option(...REGION_OPTION)
    .option(...OPTION.config)
    .addOption(stateOption(command))
    .option(...OPTION.json)
    .action(async (cluster: string, options: ClusterOptions) => ended(await unpin(cluster, options)));
}

async function unpin(cluster: string, options: ClusterOptions): Promise<ExitCode> {
  const body = { cluster, region: options.region };
  const report = await give(options, 'unpin', { method: 'POST', path: UNPIN_PATH, body }, pinReport);
  return typeof report === 'number' ? report : show(report, options, unpinLines(report));
}

function unpinLines({ cluster, endpoint, served, pin }: PinReport): string[] {
  const name = printable(endpoint ?? `cluster ${cluster}`);
  const still = pin === undefined ? '' : '; the configuration pins them: clusters[].pin';
  return [`the pin has ended: ${name} is answered with ${list(served)}${still}`];
}

interface ClusterOptions extends ServerOptions {
  readonly region?: string;
  readonly json?: true;
}

const REGION_OPTION = [
  '--region <region>',
  'AWS Region of the cluster, where two clusters have the same name',
] as const;

/** Prints the outcome of `pin` or `unpin`. A pin that no disk has is a failure, although clients get its addresses. */
function show(report: PinReport, { json }: ClusterOptions, lines: readonly string[]): ExitCode {
  print(json ? JSON.stringify(report, null, 2) : lines);
  if (report.isSaved) return EXIT.well;
  printFailure(
    `the state file does not have it: a restart would undo the command: ${report.saveFailure ?? 'no reason given'}`,
    'make room on the disk of the state directory; the server tries again by itself',
  );
  return EXIT.finding;
}

function list(addresses: readonly string[]): string {
  return addresses.length === 0 ? 'no address' : addresses.map(printable).join(', ');
}
