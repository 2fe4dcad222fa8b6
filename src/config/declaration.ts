/**
 * What is declared of keys beside what Zod checks: facts that explain a key to a person or an editor, and rules that join keys.
 * Validation, the reference, the JSON Schema and the names of variables read the facts. This file knows no single key.
 */
import * as z from 'zod';
import { type Finding, type Path, pathText } from './fault.ts';

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
  /**
   * The folder under `src/` that uses the value; by default that of the section. A fact for the reader and for a test, which finds
   * the option used there: nothing is handed over by it.
   */
  readonly room?: string;
}

export interface KeyFacts extends Destination {
  readonly doc: string;
  /** An example in place of the kind's own example. */
  readonly example?: unknown;
  /** Excludes a key beside it: the reference shows it as a comment. */
  readonly alternative?: true;
  /** A reload does not take over a changed value, and names the key in the log. Not for keys in a list. */
  readonly needsRestart?: true;
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
function mapIn(schema: AnySchema): z.ZodObject | undefined {
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

// Rules that join keys. A rule is declared beside the keys that it joins, in the map that holds them. A rule reads a draft,
// the settings without their faulty values, because all faults are reported at once. The common rules are here: exactly one
// of, at least one of, not more than, unique, none twice.

/** The output of a schema in which any value may be missing, except that lists keep their length. */
export type DraftOf<Schema> =
  Schema extends z.ZodObject<infer Shape>
    ? { readonly [Key in keyof Shape]?: DraftOf<Shape[Key]> | undefined }
    : Schema extends z.ZodArray<infer Item>
      ? readonly (DraftOf<Item> | undefined)[]
      : Schema extends z.ZodOptional<infer Inner> | z.ZodPrefault<infer Inner>
        ? DraftOf<Inner> | undefined
        : z.output<Schema>;

/** The path at which a rule finds its value. */
export interface Place {
  readonly path: Path;
  /** Whether the value at, above or below this path has a fault of its own, and so nothing follows from its absence. */
  isFaulty(...below: Path): boolean;
  /** Whether it was written, by file or variable; otherwise its value is the default. */
  isWritten(...below: Path): boolean;
  /** Addresses of this machine's interfaces, in canonical text. */
  readonly ownAddresses: ReadonlySet<string>;
}

export type Findings = Iterable<Finding>;

export interface Rule<Draft> {
  (draft: Draft, place: Place): Findings;
  /** The part of the rule that the reference and editors show. */
  readonly choice?: ChoiceRule;
}

export interface ChoiceRule {
  readonly count: 'exactly one' | 'at least one';
  readonly keys: readonly string[];
  /** A key of `keys` that may also stand beside a certain other key. */
  readonly alsoBeside?: { readonly key: string; readonly other: string };
}

type KeysOf<Name extends string> = { readonly [Key in Name]?: unknown };
/** Items of a list, of which any may have been left out as faulty. */
export type Items<Item> = readonly (Item | undefined)[] | undefined;

/** `none` and `fix` report that no key is given; `false` counts as not given. */
export function exactlyOne<Name extends string>(
  keys: readonly [Name, Name],
  { none, fix }: { readonly none: string; readonly fix: string },
): Rule<KeysOf<Name>> {
  function* check(draft: KeysOf<Name>, { path, isFaulty }: Place): Findings {
    if (isFaulty()) return;
    const given = keys.filter((key) => draft[key] !== undefined);
    if (given.length > 1) yield { path, message: `both ${given.join(' and ')}`, fix: 'keep one of the two' };
    else if (given.every((key) => draft[key] === false)) yield { path, message: none, fix };
  }
  return Object.assign(check, { choice: { count: 'exactly one', keys } } as const);
}

export function atLeastOne<Name extends string>(
  keys: readonly [Name, Name],
  fix: string,
): Rule<KeysOf<Name>> {
  function* check(draft: KeysOf<Name>, { path, isFaulty }: Place): Findings {
    if (keys.some((key) => draft[key] !== undefined || isFaulty(key))) return;
    yield { path, message: `neither ${keys.join(' nor ')}`, fix };
  }
  return Object.assign(check, { choice: { count: 'at least one', keys } } as const);
}

/** `show` writes a value as an operator does. */
export function notMoreThan<Name extends string>(
  lesser: Name,
  greater: Name,
  show: (value: number) => string = String,
): Rule<KeysOf<Name>> {
  return function* (draft, { path, isWritten }) {
    const low = draft[lesser];
    const high = draft[greater];
    if (typeof low !== 'number' || typeof high !== 'number' || low <= high) return;
    // The fault is reported at a key that was written: a default has no line.
    const [lesserText, greaterText] = [pathText([...path, lesser]), pathText([...path, greater])];
    yield isWritten(lesser)
      ? {
          path: [...path, lesser],
          message: `more than ${greaterText}, which is ${show(high)}`,
          fix: `write at most ${show(high)}, or raise ${greaterText}`,
        }
      : {
          path: [...path, greater],
          message: `less than ${lesserText}, which is ${show(low)}`,
          fix: `write at least ${show(low)}, or lower ${lesserText}`,
        };
  };
}

/** No two maps of a list have the same value of this key. */
export function unique<Name extends string>(
  key: Name,
  fix: string,
): Rule<readonly (KeysOf<Name> | undefined)[]> {
  return function* (items, { path }) {
    const first = new Map<unknown, Path>();
    for (const [index, item] of items.entries()) {
      const value = item?.[key];
      if (value === undefined) continue;
      const taken = first.get(value);
      if (taken === undefined) first.set(value, [...path, index]);
      else yield { path: [...path, index, key], message: `already the ${key} of ${pathText(taken)}`, fix };
    }
  };
}

/** An item written twice is a slip: it changes nothing, or counts double. */
export function* noneTwice(items: readonly unknown[], { path }: Place): Findings {
  const first = new Map<string, Path>();
  for (const [index, item] of items.entries()) {
    if (item === undefined) continue;
    const here = [...path, index];
    const text = JSON.stringify(item);
    const taken = first.get(text);
    if (taken === undefined) first.set(text, here);
    else yield { path: here, message: `the same as ${pathText(taken)}`, fix: 'remove one of the two' };
  }
}

const rules = new WeakMap<AnySchema, readonly Rule<never>[]>();

export function joinedBy<Schema extends z.ZodType>(
  schema: Schema,
  joins: readonly Rule<NonNullable<DraftOf<Schema>>>[],
): Schema {
  rules.set(schema, joins);
  return schema;
}

export function choiceRuleOf(schema: AnySchema): ChoiceRule | undefined {
  return rules.get(schema)?.find(({ choice }) => choice !== undefined)?.choice;
}

/** The faults of a draft against the rules declared in `schema` and below it. */
export function* brokenRules(schema: AnySchema, draft: unknown, place: Place): Findings {
  if (draft === undefined) return;
  const inner = inside(schema);
  for (const rule of rules.get(inner) ?? []) {
    // a rule is kept with the schema that its draft was read with
    yield* rule(draft as never, place);
  }
  if (inner instanceof z.ZodArray && Array.isArray(draft)) {
    for (const [index, item] of draft.entries())
      yield* brokenRules(inner.element, item, placeBelow(place, index));
  } else if (inner instanceof z.ZodObject && isMap(draft)) {
    for (const [key, below] of Object.entries<AnySchema>(inner.shape))
      yield* brokenRules(below, draft[key], placeBelow(place, key));
  }
}

function placeBelow(place: Place, step: string | number): Place {
  return {
    path: [...place.path, step],
    isFaulty: (...below) => place.isFaulty(step, ...below),
    isWritten: (...below) => place.isWritten(step, ...below),
    ownAddresses: place.ownAddresses,
  };
}
