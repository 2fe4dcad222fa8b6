/** Draws the panels that the rooms report on a terminal, and knows nothing of their content; pure. */
import type { Cell, Panel, Tone, Toned } from '../report/report.ts';
import { columns, type Paint, printable, type Style } from './terminal.ts';

const STYLES: Readonly<Record<Exclude<Tone, 'plain'>, Style>> = {
  good: 'green',
  doubtful: 'yellow',
  bad: 'red',
};

/** The first panel has no title: it says whether the server is ready. */
export function panelLines([head = {}, ...others]: readonly Panel[], paint: Paint): string[] {
  return [
    ...headLines(head, paint),
    ...others.flatMap((panel, at) => [...(at === 0 ? [] : ['']), ...lines(panel, paint)]),
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
  return 'text' in value ? wordText(value, paint) : value.map((one) => cellText(one, paint)).join(', ');
}

function wordText({ text, tone }: Toned, paint: Paint): string {
  return tone === 'plain' ? printable(text) : paint(STYLES[tone], printable(text));
}
