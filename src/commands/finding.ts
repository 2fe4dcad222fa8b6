/** What `check` finds, and how it is shown to a person. */
import { type Paint, printable } from './terminal-text.ts';

export interface Finding {
  /** A problem: in an outage something would not be answered. A warning: it would, but somebody should look. */
  readonly severity: 'problem' | 'warning';
  readonly what: string;
  readonly mend: string;
}

export function problem(what: string, mend: string): Finding {
  return { severity: 'problem', what, mend };
}

export function warning(what: string, mend: string): Finding {
  return { severity: 'warning', what, mend };
}

const MARKS = { problem: '[!!]', warning: '[! ]' } as const;

/** A line with its mark for each finding, problems first, and the mend on a line of its own below it. */
export function formatFindings(findings: readonly Finding[], paint: Paint): string[] {
  return bySeverity(findings).flatMap(({ severity, what, mend }) => [
    `${paint(severity === 'problem' ? 'red' : 'yellow', `${MARKS[severity]} ${severity}:`)} ${printable(what)}`,
    `     ${printable(mend)}`,
  ]);
}

export function bySeverity(findings: readonly Finding[]): readonly Finding[] {
  return findings.toSorted((a, b) => Number(b.severity === 'problem') - Number(a.severity === 'problem'));
}
