/** `outpost-dns export`: the records of the state file in a form that something else can serve from; nothing has to run. */
import { type Reading, readEndpoints } from '../store/endpoints-reader.ts';
import { systemFiles } from '../store/file-system.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { hostsText } from './export-hosts.ts';
import { jsonText } from './export-json.ts';
import { zoneText } from './export-zone.ts';
import { findStateDirectory, type StateDirectoryOptions } from './running-server.ts';
import { printable } from './terminal-text.ts';

export interface ExportOptions extends StateDirectoryOptions {
  readonly format: 'hosts' | 'json' | 'zone';
}

const FORMATS = { hosts: hostsText, json: jsonText, zone: zoneText } as const;

export async function exportRecords(options: ExportOptions): Promise<ExitCode> {
  const directory = await findStateDirectory(options);
  if (directory === undefined) return EXIT.usage;
  const { served, faults } = await readEndpoints(systemFiles, directory);
  for (const fault of faults)
    note(`the state file "${fault.path}" cannot be used (${fault.reason}): ${fault.detail}`);
  if (served === undefined) {
    note(nothingText(directory, faults));
    return EXIT.finding;
  }
  if (served.from === 'previous')
    note(`these are the records of the previous generation (${served.generation})`);
  if (!served.records.some(({ endpoint, addresses }) => endpoint !== undefined && addresses.length > 0)) {
    note(`nothing to export: the state in "${directory}" holds no endpoint with an address`);
    return EXIT.finding;
  }
  process.stdout.write(FORMATS[options.format](served, Date.now()));
  return EXIT.well;
}

function nothingText(directory: string, faults: Reading['faults']): string {
  if (faults.length > 0) return `nothing to export: no state file in "${directory}" can be used`;
  return `nothing to export: there is no state file in "${directory}": name its directory with --state, or start the server while AWS can be reached`;
}

function note(text: string): void {
  process.stderr.write(`outpost-dns: ${printable(text)}\n`);
}
