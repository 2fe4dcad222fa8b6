import type { Refusal } from './api.ts';
import { refusal } from './api.ts';

export interface Filter {
  readonly name: string;
  readonly values: readonly string[];
}

/** The values by which an item can be found under a filter's name; `undefined`: EC2 has no such filter. */
export type FilterFields<T> = (item: T, filterName: string) => readonly string[] | undefined;

const MAX_VALUES = 200; // of all filters of one call together

/** Reads `Filter.N.Name` and `Filter.N.Value.M`, in whatever order they come. */
export function readFilters(parameters: URLSearchParams): readonly Filter[] | Refusal {
  const filters = new Map<string, { name: string; values: string[] }>();
  for (const [key, value] of parameters) {
    const [, index, part] = /^Filter\.(\d+)\.(Name|Value\.\d+)$/.exec(key) ?? [];
    if (index === undefined || part === undefined) continue;
    const filter = filters.get(index) ?? { name: '', values: [] };
    if (part === 'Name') filter.name = value;
    else filter.values.push(value);
    filters.set(index, filter);
  }
  const found = [...filters.values()];
  const empty = found.find(({ values }) => values.length === 0);
  if (empty !== undefined) {
    return refusal(400, 'InvalidParameterValue', `The filter '${empty.name}' has no values`);
  }
  if (found.reduce((count, { values }) => count + values.length, 0) > MAX_VALUES) {
    return refusal(
      400,
      'FilterLimitExceeded',
      `The maximum number of filter values specified on a single call is ${MAX_VALUES}`,
    );
  }
  return found;
}

/** The items that every filter lets through. */
export function applyFilters<T>(
  items: readonly T[],
  filters: readonly Filter[],
  known: (filterName: string) => boolean,
  fields: FilterFields<T>,
): readonly T[] | Refusal {
  const unknown = filters.find(({ name }) => !known(name));
  if (unknown !== undefined) {
    return refusal(400, 'InvalidParameterValue', `The filter '${unknown.name}' is invalid`);
  }
  return items.filter((item) =>
    filters.every(({ name, values }) =>
      (fields(item, name) ?? []).some((field) => values.some((value) => matchesPattern(field, value))),
    ),
  );
}

/**
 * EC2's filter patterns: `*` stands for any characters or none, `?` for one or none, a backslash takes the
 * meaning from what follows. Case counts.
 */
export function matchesPattern(text: string, pattern: string): boolean {
  let expression = '';
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at] ?? '';
    if (character === '\\' && at + 1 < pattern.length) expression += literal(pattern[++at] ?? '');
    else if (character === '*') expression += '.*';
    else if (character === '?') expression += '.?';
    else expression += literal(character);
  }
  return new RegExp(`^${expression}$`, 's').test(text);
}

function literal(character: string): string {
  return character.replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&');
}
