/** The form of a configuration that has been read: plain data without undefined values, frozen. A start loads this file before it knows whether it needs zod. */

/** The value and all that it holds, frozen. */
export function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const inner of Object.values(value)) frozen(inner);
  return Object.freeze(value);
}

/** An option without a value is left out: records are found by the options that a cluster has. */
export function withoutUndefined<T>(made: T): T {
  if (typeof made !== 'object' || made === null || Array.isArray(made)) return made;
  for (const [name, value] of Object.entries(made))
    if (value === undefined) Reflect.deleteProperty(made, name);
  return made;
}
