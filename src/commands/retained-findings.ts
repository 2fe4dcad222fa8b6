/** Whether what the operator retains would be answered in an outage that began now; pure. */
import type { RetainedName } from '../config/config.ts';
import type { RetainedRecord } from '../records/retained-record.ts';
import type { GenerationReading } from '../store/generation-reader.ts';
import { type Finding, problem, warning } from './finding.ts';

/** A server that never had an upstream misses all of them: that needs one line, not a thousand. */
const SHOWN = 5;

export function retainedFindings(
  retain: readonly RetainedName[],
  { served, faults }: GenerationReading<readonly RetainedRecord[]>,
): readonly Finding[] {
  if (retain.length === 0) return [];
  const kept = new Set(served?.content.map(({ name }) => name));
  const missing = [...new Set(retain.map(({ name }) => name))].filter((name) => !kept.has(name));
  return [...faults.map(({ path, detail }) => unusable(path, detail)), ...missingFindings(missing)];
}

function unusable(path: string, detail: string): Finding {
  return warning(
    `retained answers cannot be read from "${path}": ${detail}`,
    'run the check as the server does: sudo -u outpost-dns outpost-dns check',
  );
}

function missingFindings(names: readonly string[]): readonly Finding[] {
  const shown = names
    .slice(0, SHOWN)
    .map((name) =>
      problem(
        `retained name "${name}": no answer to it was ever kept`,
        'while connected, see "outpost-dns status" for why nobody answers it; or take it out of retain',
      ),
    );
  const rest = names.length - shown.length;
  return rest > 0
    ? [...shown, problem(`and ${rest} more retained names`, 'see "outpost-dns status"')]
    : shown;
}
