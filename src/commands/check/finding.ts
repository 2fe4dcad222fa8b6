/** A finding of `check`, and how a person sees it. */

import { ageText } from '../../report/report.ts';
import { type Paint, printable } from '../subcommand.ts';
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

type CodeOf<Wanted extends CodeRow['severity']> = {
  [Name in Code]: (typeof CODES)[Name]['severity'] extends Wanted ? Name : never;
}[Code];

type ProblemCode = CodeOf<'problem' | 'either'>;
type WarningCode = CodeOf<'warning' | 'either'>;

/** One finding. Each inspection of the site gives a list, empty where nothing is wrong. */
export function problem(code: ProblemCode, text: string, fix: string): readonly Finding[] {
  return [{ code, severity: 'problem', text, why: CODES[code].why, fix }];
}

export function warning(code: WarningCode, text: string, fix: string): readonly Finding[] {
  return [{ code, severity: 'warning', text, why: CODES[code].why, fix }];
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

/** A month: a person has to issue the next one, and may be away. */
const ENDS_SOON_MS = 30 * 86_400_000;

/** Says that a key or a certificate has ended, or ends soon. `undefined` while the end is far away; `what` is the subject of the sentence. */
export function endingOf(
  what: string,
  endsAtMs: number,
  nowMs: number,
): { readonly hasEnded: boolean; readonly text: string } | undefined {
  const leftMs = endsAtMs - nowMs;
  const day = new Date(endsAtMs).toISOString().slice(0, 10);
  if (leftMs <= 0) return { hasEnded: true, text: `${what} ended on ${day}` };
  if (leftMs > ENDS_SOON_MS) return undefined;
  return { hasEnded: false, text: `${what} ends in ${ageText(leftMs / 1000)}, on ${day}` };
}
