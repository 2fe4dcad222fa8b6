/** A run's results as text to read and as JSON to compare. */
import { versionOf } from './contender.ts';
import { OURS } from './contenders/outpost-dns.ts';
import { type Machine, machineText } from './machine.ts';
import type { BenchOptions } from './options.ts';
import { MEASURES, measuresOf } from './rows.ts';
import { median, medianOfRatios, ratioOfMedians } from './statistics.ts';
import { type Column, composeNotes, composeTable, type RowResult, samplesOf } from './table.ts';

export interface Run {
  readonly options: BenchOptions;
  readonly machine: Machine;
  readonly columns: readonly Column[];
  readonly results: readonly RowResult[];
}

export function reportText({ options, machine, columns, results }: Run): string {
  const { rounds, seconds, serverCore, loadCore } = options;
  const versions = columns.flatMap(({ name, version }) =>
    version === undefined ? [] : [`${name} ${version}`],
  );
  const lines = [
    composeTable(columns, results),
    '',
    `Medians of ${rounds} alternating rounds of ${seconds} s; in parentheses outpost-dns / peer.`,
    `Server on core ${serverCore}; dnsperf ${versionOf('dnsperf', '-h')} and the upstream on core ${loadCore}. ${machineText(machine)}.`,
    `${versions.join('; ')}.`,
    ...composeNotes(columns, results).map((line) => `- ${line}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** All measurements, to compare runs. */
export function reportJson({ options, machine, columns, results }: Run): string {
  const run = { machine, options, contenders: columns, rows: results.map(rowJson) };
  return `${JSON.stringify(run, null, 2)}\n`;
}

function rowJson({ row, measured }: RowResult): object {
  const ours = measured.find(({ contender }) => contender === OURS);
  const contenders = measured.map((entry) => ({
    ...entry,
    measures: Object.fromEntries(
      measuresOf(row).map((measure) => {
        const samples = samplesOf(entry, measure);
        const own = ours === undefined || entry === ours ? [] : samplesOf(ours, measure);
        const ratios = {
          ratioOfMedians: ratioOfMedians(own, samples),
          medianOfRatios: medianOfRatios(own, samples),
        };
        return [measure, { better: MEASURES[measure].better, median: median(samples), ...ratios }];
      }),
    ),
  }));
  return { name: row.name, title: row.title, contenders };
}
