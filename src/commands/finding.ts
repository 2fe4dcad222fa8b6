/** A finding of `check`, and how a person sees it. */
import { type Paint, printable } from './terminal.ts';

export interface Finding {
  /** A problem: in an outage a query would not be answered. A warning: it would be, but a person should check. */
  readonly severity: 'problem' | 'warning';
  readonly text: string;
  readonly fix: string;
}

export function problem(text: string, fix: string): Finding {
  return { severity: 'problem', text, fix };
}

export function warning(text: string, fix: string): Finding {
  return { severity: 'warning', text, fix };
}

const MARKS = { problem: '[!!]', warning: '[! ]' } as const;

/** Writes a line with a mark for each finding, problems first, and its fix on the next line. */
export function formatFindings(findings: readonly Finding[], paint: Paint): string[] {
  return bySeverity(findings).flatMap(({ severity, text, fix }) => [
    `${paint(severity === 'problem' ? 'red' : 'yellow', `${MARKS[severity]} ${severity}:`)} ${printable(text)}`,
    `     ${printable(fix)}`,
  ]);
}

export function bySeverity(findings: readonly Finding[]): readonly Finding[] {
  return findings.toSorted((a, b) => Number(b.severity === 'problem') - Number(a.severity === 'problem'));
}
