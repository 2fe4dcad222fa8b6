/** The report of a drill as a person reads it: what would have gone wrong first, then what to do about it; pure. */
import { stringify } from 'yaml';
import type { DrillReportBody } from '../admin/drill-control.ts';
import { ageText } from '../admin/status-words.ts';
import { columns, type Paint, printable } from './terminal-text.ts';

/** Names are listed so far; the JSON has all of them. */
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
      ? [`  and ${plural(otherQueries, 'query', 'queries')} for names that were too many to keep`]
      : []),
  ];
}

function endpointLines({ endpoints }: DrillReportBody, paint: Paint): string[] {
  if (endpoints.length === 0) return ['', 'nobody asked for an endpoint'];
  const rows = endpoints.map(({ endpoint, answers }) => [String(answers), printable(endpoint)]);
  return ['', paint('green', 'endpoints were answered as ever'), ...columns(rows, 2)];
}

function retainLines({ retain }: DrillReportBody, paint: Paint): string[] {
  if (retain.length === 0) return ['', paint('green', 'nothing to add to retain')];
  const names = retain.flatMap(({ name, types }) => retainWords(name, types).map(printable));
  return [
    '',
    'asked for at least twice: add to the configuration what is needed during an outage',
    ...stringify({ retain: names }).trimEnd().split('\n'),
  ];
}

/** As `retain` takes them: a name alone means both kinds of address. */
function retainWords(name: string, types: readonly string[]): readonly string[] {
  const others = types.filter((type) => type !== 'A' && type !== 'AAAA');
  return [...(others.length < types.length ? [name] : []), ...others.map((type) => `${name} ${type}`)];
}

function plural(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
