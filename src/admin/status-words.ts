/** What the report says, in the words that the terminal and the page share. */

import type { RetainedReport, StatusReport, UpstreamReport } from './status-report.ts';

/** Ages as a person reads them: one number, one unit, no more precision than is of use: `3 s`, `4 min`, `2 h`, `5 d`; each unit until two of the next are full. */
export function ageText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  if (whole < 172_800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86_400)} d`;
}

/** The state of an upstream that is up, and fails for some names. */
export function cutText({ cutNames, cutExamples }: UpstreamReport): string {
  const more = cutNames > cutExamples.length ? ` and ${cutNames - cutExamples.length} more` : '';
  return `up, but not for ${cutExamples.join(', ')}${more}`;
}

/** What the addresses were decided from. */
export const BASIS_TEXT: Readonly<Record<string, string>> = {
  name: 'what the name resolves to',
  overlap: 'what name and interfaces have in common',
  interfaces: "the cluster's network interfaces",
  kept: 'kept from before: no source is usable now',
  pin: "the operator's pin",
  none: 'nothing: no address was ever known',
};

/** What goes on being served and would not survive a restart, or would be missed in the morning; the endpoints' own file apart. */
export function writeTroubles({ retained, snapshot, ledger }: StatusReport['state']): readonly string[] {
  const { leftOut = 0 } = retained;
  return [
    ...troubleOf('retained answers cannot be saved', retained.failure),
    ...(leftOut > 0
      ? [`${leftOut} retained answers have no room in their file: a restart would lose them`]
      : []),
    ...troubleOf('the answer cache cannot be written to disk', snapshot.failure),
    ...troubleOf('the ledger cannot be written', ledger.failure),
  ];
}

/** What goes wrong in the process without a query noticing, as sentences. */
export function processTroubles({ log, backgroundFailures }: StatusReport['process']): readonly string[] {
  const dropped = Object.values(log.dropped).reduce((sum, count) => sum + count, 0);
  const lost = dropped === 0 ? '' : `: ${dropped} lines were dropped`;
  const defects = Object.entries(backgroundFailures).map(([work, count]) => `${work} ${count}`);
  return [
    ...troubleOf('the log cannot be written', log.failure && `${log.failure}${lost}`),
    ...(log.failure === undefined && dropped > 0 ? [`the log has gaps${lost}`] : []),
    ...(defects.length === 0
      ? []
      : [`work in the background failed (${defects.join(', ')}): the log says why, please report it`]),
  ];
}

function troubleOf(what: string, failure: string | undefined): readonly string[] {
  return failure === undefined ? [] : [`${what}: ${failure}`];
}

/** More is no help to a person, and there may be thousands. */
const MAX_RETAINED = 50;

/** The retained names to show, those that need somebody first, and what is to be said of the others. */
export function shownRetained({
  retained,
  retainedInAll,
}: Pick<StatusReport, 'retained' | 'retainedInAll'>): {
  readonly shown: readonly RetainedReport[];
  readonly rest: string | undefined;
} {
  const shown = retained.slice(0, MAX_RETAINED);
  const { fresh, stale, denied, unknown } = retainedInAll;
  const doubtful = stale + denied + unknown;
  const more = fresh + doubtful - shown.length;
  if (more === 0) return { shown, rest: undefined };
  const unseen = Math.max(0, doubtful - shown.length);
  return { shown, rest: `and ${more} more, ${unseen === 0 ? 'all fresh' : `${unseen} of them not fresh`}` };
}
