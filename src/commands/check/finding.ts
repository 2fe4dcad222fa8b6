/** A finding of `check`, and how a person sees it. */
import { type Paint, printable } from '../terminal.ts';
import { CODES, type Code, type CodeRow } from './codes.ts';

export interface Finding {
  /** Stable: docs/checks.md explains it. */
  readonly code: Code;
  readonly severity: 'problem' | 'warning';
  /** What is wrong. */
  readonly text: string;
  /** Why it matters in an outage. */
  readonly why: string;
  /** The command, or the change, that fixes it. */
  readonly fix: string;
}

type Severity = Finding['severity'];
type CodeOf<Wanted extends CodeRow['severity']> = {
  [Name in Code]: (typeof CODES)[Name]['severity'] extends Wanted ? Name : never;
}[Code];

export type ProblemCode = CodeOf<'problem' | 'either'>;
export type WarningCode = CodeOf<'warning' | 'either'>;

export function problem(code: ProblemCode, text: string, fix: string): Finding {
  return finding('problem', code, text, fix);
}

export function warning(code: WarningCode, text: string, fix: string): Finding {
  return finding('warning', code, text, fix);
}

function finding(severity: Severity, code: Code, text: string, fix: string): Finding {
  return { code, severity, text, why: CODES[code].why, fix };
}

const MARKS = { problem: '[!!]', warning: '[! ]' } as const;
const INDENT = ' '.repeat(5);

/** Writes a line with a mark for each finding, problems first; then why it matters, its fix, and its code. */
export function formatFindings(findings: readonly Finding[], paint: Paint): string[] {
  return bySeverity(findings).flatMap(({ severity, text, why, fix, code }) => [
    `${paint(severity === 'problem' ? 'red' : 'yellow', `${MARKS[severity]} ${severity}:`)} ${printable(text)}`,
    `${INDENT}${printable(why)}`,
    `${INDENT}fix: ${printable(fix)} ${paint('dim', `(${code})`)}`,
  ]);
}

export function bySeverity(findings: readonly Finding[]): readonly Finding[] {
  return findings.toSorted((a, b) => Number(b.severity === 'problem') - Number(a.severity === 'problem'));
}
