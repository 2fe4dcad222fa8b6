/**
 * Holds and finds the facts that are declared for each key. Zod checks a schema; these facts explain the key to a person or an
 * editor. Validation, the reference, the JSON Schema and the names of variables read these facts.
 * This file knows no single key.
 */
import * as z from 'zod';
import type { Path } from './fault.ts';

// Each schema is used once: compiling it costs more than it saves. Zod reads this when a schema is made.
z.config({ jitless: true });

export type AnySchema = z.core.$ZodType;

/** Facts of a kind of value. */
export interface KindFacts<Suffix extends string = string> {
  /** The allowed values, in words that follow "write ". */
  readonly allowed: string;
  /** An example that follows `allowed`; the reference shows the example for a key without a default. */
  readonly example?: string;
  /** A regular expression for editors; the loader's own check is stricter. */
  readonly pattern?: string;
  /** The unit to propose for a bare number. */
  readonly unit?: string;
  /** The unit of the value in the configuration: the end of the option's name. */
  readonly suffix?: Suffix;
  /** How many items a list may have. */
  readonly min?: number;
  readonly max?: number;
}

/** The option that receives a value. */
export interface Destination<Option extends string = string> {
  /** The option that the value becomes; by default the key's name with the suffix of its kind. A dot leads into a group: `tcp.idleMs`. */
  readonly option?: Option;
  /** The room under `src/` that uses the value; by default that of the section. */
  readonly room?: string;
}

export interface KeyFacts extends Destination {
  readonly doc: string;
  /** An example in place of the kind's own example. */
  readonly example?: unknown;
  /** Excludes a key beside it: the reference shows it as a comment. */
  readonly alternative?: true;
}

export const kindFacts = z.registry<KindFacts>();
export const keyFacts = z.registry<KeyFacts>();

export interface SchemaFacts extends Partial<Omit<KindFacts, 'example'>>, Partial<KeyFacts> {
  readonly isRequired: boolean;
  /** The default as an operator writes it; undefined without a default. */
  readonly defaultValue: unknown;
}

/** Everything declared about a key, from its wrappers down to its kind. */
export function factsOf(schema: AnySchema): SchemaFacts {
  const wrapped = wrappedBy(schema);
  const below = wrapped === undefined ? undefined : factsOf(wrapped);
  return {
    ...below,
    isRequired: wrapped === undefined,
    ...kindFacts.get(schema),
    ...keyFacts.get(schema),
    example: keyFacts.get(schema)?.example ?? kindFacts.get(schema)?.example ?? below?.example,
    defaultValue: schema instanceof z.ZodPrefault ? schema.def.defaultValue : below?.defaultValue,
  };
}

/** The schema inside its `optional` and `prefault` wrappers. */
export function inside(schema: AnySchema): AnySchema {
  const wrapped = wrappedBy(schema);
  return wrapped === undefined ? schema : inside(wrapped);
}

function wrappedBy(schema: AnySchema): AnySchema | undefined {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault ? schema.unwrap() : undefined;
}

/** The forms that a value may have: those of a union, or its only form. */
export function formsOf(schema: AnySchema): readonly AnySchema[] {
  const inner = inside(schema);
  return inner instanceof z.ZodUnion ? inner.options.map(inside) : [inner];
}

/** The map that a value may be written as, whether or not it has other forms. */
export function mapIn(schema: AnySchema): z.ZodObject | undefined {
  return formsOf(schema).find((form) => form instanceof z.ZodObject);
}

/** The list that a value may be written as, whether or not it has other forms. */
export function listIn(schema: AnySchema): z.ZodArray | undefined {
  return formsOf(schema).find((form) => form instanceof z.ZodArray);
}

export function keysIn(schema: AnySchema): readonly string[] {
  return Object.keys(mapIn(schema)?.shape ?? {});
}

/** The value at a path of plain data; undefined where there is none. */
export function valueAt(data: unknown, path: Path): unknown {
  let value = data;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = Reflect.get(value, step);
  }
  return value;
}

export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
