/** Results as one table in Markdown, ours first and each peer with the ratio ours / peer of the medians. */
import { OURS } from './contenders/outpost-dns.ts';
import { MEASURES, type MeasureName, measuresOf, type Row } from './rows.ts';
import { median, ratioOfMedians } from './statistics.ts';
import { failureText, type Measured, type Sample } from './workshop.ts';

export interface RowResult {
  readonly row: Row;
  readonly measured: readonly Measured[];
}

export interface Column {
  readonly name: string;
  readonly version: string | undefined;
  /** Set where it takes no part, with the fix. */
  readonly skipped?: string;
}

const NOTED_PERCENT = 0.1;

export function composeTable(columns: readonly Column[], results: readonly RowResult[]): string {
  const lines = [
    ['', '', ...columns.map(({ name }) => name)],
    ['---', '---', ...columns.map(() => '---:')],
    ...results.flatMap((result) =>
      measuresOf(result.row).map((measure, at) => [
        at === 0 ? result.row.title : '',
        MEASURES[measure].title,
        ...columns.map((column) => cell(column, result, measure)),
      ]),
    ),
  ];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function cell({ name, skipped }: Column, { measured }: RowResult, measure: MeasureName): string {
  if (skipped !== undefined) return 'not installed';
  const entry = measured.find(({ contender }) => contender === name);
  if (entry === undefined) return '';
  const samples = samplesOf(entry, measure);
  const middle = median(samples);
  if (middle === undefined) return entry.problem === undefined ? '' : 'failed';
  const text = numberText(middle, MEASURES[measure].digits);
  const ours = measured.find(({ contender }) => contender === OURS);
  const ratio =
    name === OURS || ours === undefined || MEASURES[measure].better === 'zero'
      ? undefined
      : ratioOfMedians(samplesOf(ours, measure), samples);
  return ratio === undefined ? text : `${text} (${ratio.toFixed(2)})`;
}

/** The samples of one measure, round by round. */
export function samplesOf({ samples }: Measured, measure: MeasureName): number[] {
  // a peak only grows: the last one is the peak of all rounds
  const counted = measure === 'peakMebibytes' ? samples.slice(-1) : samples;
  return counted.flatMap((sample) => sample[measure] ?? []);
}

function numberText(value: number, digits: number): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Notes below the table: contenders that are missing, that failed, or that left queries unanswered. */
export function composeNotes(columns: readonly Column[], results: readonly RowResult[]): string[] {
  const missing = columns.flatMap(({ name, skipped }) =>
    skipped === undefined ? [] : [`${name}: ${skipped}`],
  );
  const troubles = results.flatMap(({ row, measured }) =>
    measured.flatMap((entry) => {
      const problem =
        entry.problem === undefined ? [] : [`${row.title}, ${entry.contender}: ${entry.problem}`];
      const worst = worstOf(entry.samples);
      if ((worst.failedPercent ?? 0) <= NOTED_PERCENT) return problem;
      return [...problem, `${row.title}, ${entry.contender}: in one round ${failureText(worst)}`];
    }),
  );
  return [...missing, ...troubles];
}

function worstOf(samples: readonly Sample[]): Sample {
  return samples.reduce<Sample>(
    (worst, sample) => ((sample.failedPercent ?? 0) > (worst.failedPercent ?? 0) ? sample : worst),
    {},
  );
}
