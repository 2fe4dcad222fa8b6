/** The page docs/checks.md: every code of `check`, from the one declaration of the codes. */
import { CODE_GROUPS, type CodeRow } from '../src/commands/check/codes.ts';

const SEVERITIES: Readonly<Record<CodeRow['severity'], string>> = {
  problem: 'Problem',
  warning: 'Warning',
  either: 'Problem or warning',
};

export function checksPage(): string {
  return `# Findings of \`outpost-dns check\`

Generated from \`src/commands/check/codes.ts\`; change that, then \`npm run generate\`.

\`outpost-dns check\` looks at this host and at the site, and changes nothing. Each finding says what is wrong, why it matters in an outage,
and the command that fixes it. Its code stands in parentheses at the end; \`--json\` gives it as \`code\`. A code keeps its meaning for
ever, so a script may rely on it. The exit code is 1 when there is a problem, 0 when there are only warnings or nothing.

A problem: in an outage a query gets no answer or a wrong answer, or the site cannot use the answer. A warning: the site survives,
but a person should read it.
${CODE_GROUPS.map(groupText).join('')}`;
}

function groupText({ title, codes }: (typeof CODE_GROUPS)[number]): string {
  return `\n## ${title}\n${Object.entries(codes).map(codeText).join('')}`;
}

function codeText([code, { severity, finds, why }]: [string, CodeRow]): string {
  return `\n### ${code}\n\n${SEVERITIES[severity]}. ${finds}\n\n${why}\n`;
}
