/** Writes a JSON value as one text that does not depend on key order and white space. Checksums and comparisons need such a text. */

/**
 * Members sorted by key (UTF-16 code units), no white space, strings and numbers as JSON.stringify writes them, members
 * without a value left out. The same text as `jq -jcS` prints while keys are ASCII and numbers are whole. The caller
 * bounds the depth.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(',')}]`;
  if (typeof value === 'object' && value !== null) return `{${canonicalMembers(value).join(',')}}`;
  return JSON.stringify(value) ?? 'null';
}

function canonicalMembers(value: object): string[] {
  return Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`);
}

/** Whether two values have one canonical text; composes none. */
export function hasSameJson(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, at) => hasSameJson(item, other[at]));
  }
  if (!isObject(one) || !isObject(other)) return false;
  for (const key in one) if (!hasSameJson(one[key], other[key])) return false;
  for (const key in other) if (other[key] !== undefined && one[key] === undefined) return false;
  return true;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether arrays and objects are nested in more than `limit` levels; itself bounded by `limit`. */
export function isDeeperThan(value: unknown, limit: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return limit === 0 || Object.values(value).some((item) => isDeeperThan(item, limit - 1));
}
