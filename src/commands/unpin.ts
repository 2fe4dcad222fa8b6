/** `outpost-dns unpin`: ends the pin of a command; the addresses from the sources are served again. */
import type { Command } from 'commander';
import { type PinReport, pinReport, UNPIN_PATH } from '../admin/pin-control.ts';
import { command as give } from './control-command.ts';
import { type ClusterOptions, list, REGION_OPTION, show } from './pin-answer.ts';
import { type ExitCode, OPTION, type Run, stateOption } from './subcommand.ts';
import { printable } from './terminal.ts';

export function define(command: Command, { ended }: Run): void {
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
