/**
 * How a key is declared: a zod schema with a line of doc, a default or an example, and what its kind allows.
 * Validation, the generated reference, the JSON Schema and the environment's names all read these same facts.
 */
import * as z from 'zod';
import type { Path } from './fault.ts';

// a schema that is used once is not worth compiling; it is decided when one is made, so before all of them
z.config({ jitless: true });

export type AnySchema = z.core.$ZodType;

/** What a kind of value allows, in words that follow "write ". */
export interface KindFacts {
  readonly allowed: string;
  /** A regular expression for editors; the loader's own check is the stricter one. */
  readonly pattern?: string;
  /** The unit to propose to somebody who wrote a bare number. */
  readonly unit?: string;
}

export interface KeyFacts {
  readonly doc: string;
  /** Shown in the reference where there is no default. */
  readonly example?: unknown;
  /** Excludes a key beside it: the reference shows it as a comment. */
  readonly alternative?: true;
}

/** What reading a text as a kind of value leads to. */
export type Reading<T> = { readonly value: T } | { readonly message: string; readonly mend?: string };

export interface ChoiceRule {
  readonly count: 'exactly one' | 'at least one';
  readonly keys: readonly string[];
  /** The one of `keys` that may also stand beside one other. */
  readonly alsoBeside?: { readonly key: string; readonly other: string };
}

const kindFacts = z.registry<KindFacts>();
const keyFacts = z.registry<KeyFacts>();
const choiceRules = z.registry<ChoiceRule>();

/** A kind written as text and read by `read`; a number in its place is a fault that the facts help to mend. */
export function textKind<T>(read: (text: string) => Reading<T>, facts: KindFacts) {
  const kind = z.string().transform((text, context): T => {
    const reading = read(text);
    if ('value' in reading) return reading.value;
    const params = reading.mend === undefined ? {} : { mend: reading.mend };
    context.issues.push({ code: 'custom', input: text, message: reading.message, params });
    return z.NEVER;
  });
  return kind.register(kindFacts, facts);
}

export function wholeNumber(min: number, max: number) {
  return z
    .int()
    .min(min)
    .max(max)
    .register(kindFacts, { allowed: `a whole number from ${min} to ${max}` });
}

export function flag() {
  return z.boolean().register(kindFacts, { allowed: 'true or false' });
}

export function choice<const Word extends string>(...words: readonly [Word, ...Word[]]) {
  return z.enum(words).register(kindFacts, { allowed: `one of ${words.join(', ')}` });
}

export function list<Item extends AnySchema>(item: Item, min: number, max: number) {
  const one =
    item instanceof z.ZodObject
      ? `a map with keys ${Object.keys(item.shape).join(', ')}`
      : factsOf(item).allowed;
  const allowed = `a list of ${min} to ${max}, each ${one ?? 'a value'}`;
  return z.array(item).min(min).max(max).register(kindFacts, { allowed });
}

/** A word, or a list in its place. */
export function wordOrList<Word extends z.ZodType, List extends z.ZodType>(word: Word, list: List) {
  const allowed = `${factsOf(word).allowed}, or ${factsOf(list).allowed}`;
  const kind = z.union([word, list]);
  kindFacts.add(kind, { allowed });
  return kind;
}

/** A text, or a map in its place for those who have more to say. */
export function textOrMap<Text extends z.ZodType, Keys extends z.ZodObject>(text: Text, map: Keys) {
  const allowed = `${factsOf(text).allowed}; or a map with keys ${Object.keys(map.shape).join(', ')}`;
  const kind = z.union([text, map]);
  kindFacts.add(kind, { allowed });
  return kind;
}

/** The map that a value may be written as, whether or not something else may stand in its place. */
export function mapIn(schema: AnySchema): z.ZodObject | undefined {
  if (schema instanceof z.ZodObject) return schema;
  if (!(schema instanceof z.ZodUnion)) return undefined;
  return schema.options.map(inside).find((option) => option instanceof z.ZodObject);
}

/** The list that a value may be written as, whether or not something else may stand in its place. */
export function listIn(schema: AnySchema): z.ZodArray | undefined {
  if (schema instanceof z.ZodArray) return schema;
  if (!(schema instanceof z.ZodUnion)) return undefined;
  return schema.options.map(inside).find((option) => option instanceof z.ZodArray);
}

/** A map of which at least one, or exactly one, of some keys must be written: the checks say so to a person, this to an editor. */
export function choosing<Schema extends AnySchema>(rule: ChoiceRule, schema: Schema): Schema {
  choiceRules.add(schema, rule);
  return schema;
}

export function choiceRuleOf(schema: AnySchema): ChoiceRule | undefined {
  return choiceRules.get(schema);
}

/** A key that must be written. */
export function required<Kind extends z.ZodType>(kind: Kind, doc: string, example: unknown): Kind {
  keyFacts.add(kind, { doc, example });
  return kind;
}

/** A key that may be left out and has no default. */
export function optional<Kind extends z.ZodType>(kind: Kind, doc: string, example: unknown) {
  const key = z.optional(kind);
  keyFacts.add(key, { doc, example });
  return key;
}

/** As `optional`, for a key that excludes the ones beside it. */
export function alternative<Kind extends z.ZodType>(kind: Kind, doc: string, example: unknown) {
  const key = z.optional(kind);
  keyFacts.add(key, { doc, example, alternative: true });
  return key;
}

/** A key with a default, given as it would be written in the file. */
export function defaulted<Kind extends z.ZodType>(kind: Kind, value: z.input<Kind>, doc: string) {
  const key = z.prefault(kind, value);
  keyFacts.add(key, { doc });
  return key;
}

/** A map of keys that may be left out as a whole, because each of its keys may. */
export function section<Schema extends AnySchema>(schema: Schema, doc: string): Schema {
  keyFacts.add(schema, { doc });
  return schema;
}

export interface SchemaFacts extends Partial<KindFacts>, Partial<KeyFacts> {
  readonly isRequired: boolean;
  /** As it would be written in the file; undefined without one. */
  readonly defaultValue: unknown;
}

/** Everything declared about a key, from its wrappers down to its kind. */
export function factsOf(schema: AnySchema): SchemaFacts {
  const wrapped = wrappedBy(schema);
  const outer = wrapped === undefined ? undefined : factsOf(wrapped);
  return {
    isRequired: wrapped === undefined,
    ...outer,
    ...(wrapped === undefined ? {} : { isRequired: false }),
    ...kindFacts.get(schema),
    ...keyFacts.get(schema),
    defaultValue: schema instanceof z.ZodPrefault ? schema.def.defaultValue : outer?.defaultValue,
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

/** The schema that governs a path; undefined where the path leads past what is declared. */
export function schemaAt(root: AnySchema, path: Path): AnySchema | undefined {
  let schema: AnySchema | undefined = root;
  for (const step of path) {
    if (schema === undefined) return undefined;
    schema = stepInto(inside(schema), step);
  }
  return schema;
}

function stepInto(schema: AnySchema, step: string | number): AnySchema | undefined {
  const list = listIn(schema);
  if (list !== undefined) return typeof step === 'number' ? list.element : undefined;
  const map = mapIn(schema);
  if (map === undefined || typeof step === 'number') return undefined;
  return Object.hasOwn(map.shape, step) ? map.shape[step] : undefined;
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
