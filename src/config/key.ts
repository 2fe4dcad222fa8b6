/**
 * The functions that declare a key, once: its kind with unit and bounds, its default or an example, and one line of doc. A
 * declaration also names the option that the value becomes, and the room that uses it. The files of `keys/` call them. By these
 * declarations settings become options.
 */
import * as z from 'zod';
import {
  type AnySchema,
  type Destination,
  type DraftOf,
  factsOf,
  inside,
  joinedBy,
  type KeyFacts,
  type KindFacts,
  keyFacts,
  keysIn,
  kindFacts,
  noneTwice,
  type Rule,
  valueAt,
} from './declaration.ts';
import { type Path, pathText } from './fault.ts';
import { frozen, withoutUndefined } from './source-text.ts';

/** A text read as a kind of value. */
export type Reading<T> = { readonly value: T } | { readonly message: string; readonly fix?: string };

function kindOf<Schema extends z.ZodType, const Suffix extends string = ''>(
  schema: Schema,
  facts: KindFacts<Suffix>,
): Schema & { readonly suffix: Suffix | undefined } {
  const { allowed, example } = facts;
  kindFacts.add(
    schema,
    example === undefined ? facts : { ...facts, allowed: `${allowed}, such as ${example}` },
  );
  return Object.assign(schema, { suffix: facts.suffix });
}

/** A kind written as text and read by `read`; a number in its place is a fault that the facts help to fix. */
export function textKind<T, const Suffix extends string = ''>(
  read: (text: string) => Reading<T>,
  facts: KindFacts<Suffix>,
) {
  const kind = z.string().transform((text, context): T => {
    const reading = read(text);
    if ('value' in reading) return reading.value;
    const { message, fix } = reading;
    context.issues.push({ code: 'custom', input: text, message, params: { fix } });
    return z.NEVER;
  });
  return kindOf(kind, facts);
}

export function wholeNumber(min: number, max: number) {
  return kindOf(z.int().min(min).max(max), { allowed: `a whole number from ${min} to ${max}` });
}

export function flag() {
  return kindOf(z.boolean(), { allowed: 'true or false' });
}

export function choice<const Word extends string>(...words: readonly Word[]) {
  return kindOf(z.enum(words), { allowed: `one of ${words.join(', ')}` });
}

export function list<Item extends z.ZodType>(item: Item, min: number, max: number) {
  const allowed = item instanceof z.ZodObject ? mapWords(item) : factsOf(item).allowed;
  return kindOf(z.array(item).min(min).max(max), {
    allowed: `a list of ${min} to ${max}, each ${allowed}`,
    min,
    max,
  });
}

/** A list in which an item written twice is a fault. */
export function distinctList<Item extends z.ZodType>(item: Item, min: number, max: number) {
  return joinedBy(list(item, min, max), [noneTwice]);
}

/** A word, or a list in its place. */
export function wordOrList<Word extends z.ZodType, List extends z.ZodType>(word: Word, items: List) {
  return kindOf(z.union([word, items]), {
    allowed: `${factsOf(word).allowed}, or ${factsOf(items).allowed}`,
  });
}

/** A text, or a map in its place with more keys. */
export function textOrMap<Text extends z.ZodType, Keys extends z.ZodObject>(text: Text, keys: Keys) {
  return kindOf(z.union([text, keys]), { allowed: `${factsOf(text).allowed}; or ${mapWords(keys)}` });
}

function mapWords(schema: z.ZodObject): string {
  return `a map with keys ${keysIn(schema).join(', ')}`;
}

/** Keys, and the rules that join them. */
export function map<Shape extends z.ZodRawShape>(
  keys: Shape,
  ...rules: readonly Rule<DraftOf<z.ZodObject<Shape>>>[]
) {
  return joinedBy(z.strictObject(keys), rules);
}

function declared<Schema extends z.ZodType, const Option extends string>(
  schema: Schema,
  facts: KeyFacts & Destination<Option>,
): Schema & { readonly option: Option | undefined } {
  const doc = facts.needsRestart ? `${facts.doc}; a change needs a restart` : facts.doc;
  keyFacts.add(schema, { ...facts, doc });
  return Object.assign(schema, { option: facts.option });
}

/** A key that must be written. */
export function required<Kind extends z.ZodType>(kind: Kind, doc: string, example?: unknown, room?: string) {
  return declared<Kind, ''>(kind, { doc, example, room });
}

/** A key that may be left out and has no default. */
export function optional<Kind extends z.ZodType>(kind: Kind, doc: string, example?: unknown) {
  return declared<z.ZodOptional<Kind>, ''>(z.optional(kind), { doc, example });
}

/** As `optional`, for a key that excludes the keys beside it. */
export function alternative<Kind extends z.ZodType>(kind: Kind, doc: string, example?: unknown) {
  return declared<z.ZodOptional<Kind>, ''>(z.optional(kind), { doc, example, alternative: true });
}

/** Declares a key with a default; the caller gives the default as a person writes it in the file. */
export function defaulted<Kind extends z.ZodType, const Option extends string = ''>(
  kind: Kind,
  value: z.input<Kind>,
  doc: string,
  more?: Destination<Option> & Pick<KeyFacts, 'needsRestart'>,
) {
  return declared<z.ZodPrefault<Kind>, Option>(z.prefault(kind, value), { doc, ...more });
}

/** Keys under one name, with the room that uses them. The section may be left out, because each key may. */
export function section<Shape extends z.ZodRawShape>(
  room: string,
  doc: string,
  keys: Shape,
  ...rules: readonly Rule<DraftOf<z.ZodObject<Shape>>>[]
) {
  const schema = map(keys, ...rules);
  return inRoom(room, doc, z.prefault(schema, {} as never)); // none of the keys is required
}

/** As `section`, for a list, or for a map that is declared by itself. */
export function inRoom<Schema extends z.ZodType>(room: string, doc: string, schema: Schema) {
  return declared<Schema, ''>(schema, { doc, room });
}

// Turns settings as an operator writes them into options as the rooms take them. Each value gets the name that its
// declaration gives, with the unit in the name. All options are frozen. The type of the configuration follows from the same
// declarations.

/** The value of a schema as the rooms take it. */
export type OptionsOf<Schema> = Schema extends { readonly make: (value: never) => infer Made }
  ? Made
  : Schema extends z.ZodOptional<infer Inner>
    ? OptionsOf<Inner> | undefined
    : Schema extends z.ZodPrefault<infer Inner>
      ? OptionsOf<Inner>
      : Schema extends z.ZodArray<infer Item>
        ? readonly OptionsOf<Item>[]
        : Schema extends z.ZodObject<infer Keys>
          ? Named<Keys>
          : z.output<Schema>;

type Named<Keys> = Simple<
  {
    /** Options that always have a value. */
    readonly [Key in keyof Keys as Plain<OptionName<Key, Keys[Key]>, Keys[Key], 'always'>]: OptionsOf<
      Keys[Key]
    >;
  } & {
    /** Options of keys without a default. */
    readonly [Key in keyof Keys as Plain<OptionName<Key, Keys[Key]>, Keys[Key], 'maybe'>]?: OptionsOf<
      Keys[Key]
    >;
  } & { readonly [Group in GroupOf<AllNames<Keys>>]: Simple<Grouped<Keys, Group>> }
>;
type Simple<T> = { readonly [Key in keyof T]: T[Key] };
type AllNames<Keys> = { [Key in keyof Keys]: OptionName<Key, Keys[Key]> }[keyof Keys];
type Grouped<Keys, Group extends string> = {
  /** By the part of the name after the dot. */
  readonly [Key in keyof Keys as InGroup<OptionName<Key, Keys[Key]>, Group>]: OptionsOf<Keys[Key]>;
};

type GroupOf<Name> = Name extends `${infer Group}.${string}` ? Group : never;
type InGroup<Name, Group extends string> = Name extends `${Group}.${infer Rest}` ? Rest : never;
type Plain<Name, Schema, When> = Name extends `${string}.${string}`
  ? never
  : Schema extends z.ZodOptional
    ? When extends 'maybe'
      ? Name
      : never
    : When extends 'always'
      ? Name
      : never;

type OptionName<Key, Schema> = Schema extends { readonly option: infer Option extends string | undefined }
  ? NonNullable<Option> extends ''
    ? `${Key & string}${SuffixOf<Schema>}`
    : NonNullable<Option>
  : `${Key & string}${SuffixOf<Schema>}`;

type SuffixOf<Schema> = Schema extends { readonly suffix: infer Suffix extends string | undefined }
  ? NonNullable<Suffix>
  : Schema extends z.ZodOptional<infer Inner> | z.ZodPrefault<infer Inner>
    ? SuffixOf<Inner>
    : '';

const makers = new WeakMap<AnySchema, (value: never) => unknown>();

/** Declares how the options of a schema are made, where more than names and units changes. */
export function into<Schema extends z.ZodType, Result>(
  schema: Schema,
  make: (value: OptionsOf<Schema>) => Result,
): Schema & { readonly make: (value: OptionsOf<Schema>) => Result } {
  makers.set(schema, make);
  return Object.assign(schema, { make });
}

/** Takes settings without a fault. */
export function optionsOf<Schema extends z.ZodType>(
  schema: Schema,
  settings: z.output<Schema>,
): OptionsOf<Schema> {
  // `convert` walks the schema at run time as `OptionsOf` does in the types; the compiler does not see that both agree
  return frozen(convert(schema, settings)) as OptionsOf<Schema>;
}

function convert(schema: AnySchema, value: unknown): unknown {
  if (value === undefined) return undefined;
  const inner = inside(schema);
  const options = converted(inner, value);
  const make = makers.get(inner) ?? makers.get(schema);
  // a maker is kept with the schema that its value was read with
  return make === undefined ? options : withoutUndefined(make(options as never));
}

function converted(schema: AnySchema, value: unknown): unknown {
  if (schema instanceof z.ZodArray && Array.isArray(value))
    return value.map((item) => convert(schema.element, item));
  if (!(schema instanceof z.ZodObject) || typeof value !== 'object' || value === null) return value;
  const options: Record<string, unknown> = {};
  for (const [key, below] of Object.entries<AnySchema>(schema.shape)) {
    const option = convert(below, Reflect.get(value, key));
    if (option !== undefined) put(options, optionName(key, below).split('.'), option);
  }
  return options;
}

/** The values of the keys that a reload does not take over, as JSON, by the path of the key. */
export function restartValues(
  schema: AnySchema,
  settings: unknown,
  path: Path = [],
): Readonly<Record<string, string>> {
  if (factsOf(schema).needsRestart) return { [pathText(path)]: JSON.stringify(settings) };
  const inner = inside(schema);
  if (!(inner instanceof z.ZodObject)) return {};
  const below = Object.entries<AnySchema>(inner.shape).map(([key, one]) =>
    restartValues(one, valueAt(settings, [key]), [...path, key]),
  );
  return Object.assign({}, ...below);
}

/** The name under which the rooms find the value of a key. */
export function optionName(key: string, schema: AnySchema): string {
  const { option, suffix = '' } = factsOf(schema);
  return option ?? key + suffix;
}

function put(
  options: Record<string, unknown>,
  [name = '', ...below]: readonly string[],
  value: unknown,
): void {
  if (below.length === 0) {
    options[name] = value;
    return;
  }
  const group: Record<string, unknown> = { ...(options[name] as object | undefined) }; // a group is made here alone
  put(group, below, value);
  options[name] = group;
}
