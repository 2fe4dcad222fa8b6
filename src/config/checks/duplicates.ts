/** Lists in which an item written twice is a slip: the second would change nothing, or count double. */
import { type Finding, type Path, pathText } from '../fault.ts';
import { valueAt } from '../key.ts';
import type { CheckContext } from './checks.ts';

export function* duplicateItems(context: CheckContext): Iterable<Finding> {
  const { draft } = context;
  const lists: Path[] = [['upstreams']];
  for (const index of (draft.clusters ?? []).keys())
    lists.push(['clusters', index, 'sources'], ['clusters', index, 'pin']);
  for (const index of (draft.zones ?? []).keys()) lists.push(['zones', index, 'forwardTo']);
  for (const path of lists) yield* duplicatesIn(valueAt(draft, path), path);
}

function* duplicatesIn(items: unknown, path: Path): Iterable<Finding> {
  if (!Array.isArray(items)) return;
  const first = new Map<string, number>();
  for (const [index, item] of items.entries()) {
    if (item === undefined) continue;
    const text = JSON.stringify(item);
    const taken = first.get(text);
    if (taken === undefined) first.set(text, index);
    else
      yield {
        path: [...path, index],
        message: `the same as ${pathText([...path, taken])}`,
        mend: 'remove one of the two',
      };
  }
}
