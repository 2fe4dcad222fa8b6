/** What a reader of a log needs of the output of a tap program that failed: what was compared, not what held. */

/** Parts of a diagnosis that repeat the program's text, or what the stack says. */
const REPEATED = /^( *)(?:source|at|compare|tapCaught|type):/;

/** The failed assertions with their differences and stacks, and the program's comments. */
export function tapFailures(tap: string): readonly string[] {
  const kept: string[] = [];
  let leftOutDeeperThan = Number.POSITIVE_INFINITY;
  for (const line of tap.split('\n')) {
    if (line.search(/\S/) > leftOutDeeperThan || line.trim() === '') continue;
    const repeated = REPEATED.exec(line);
    leftOutDeeperThan = repeated?.[1]?.length ?? Number.POSITIVE_INFINITY;
    if (repeated === null && !/^ *(?:ok \d.*|\d+\.\.\d+.*|---|\.\.\.|TAP version .*)$/.test(line))
      kept.push(line);
  }
  return kept;
}
