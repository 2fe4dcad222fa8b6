/**
 * Turns settings as an operator writes them into options as the rooms take them. Each value gets the name that its
 * declaration gives, with the unit in the name. All options are frozen. The type of the configuration follows from the same
 * declarations.
 */
import * as z from 'zod';
import { type AnySchema, factsOf, inside } from './facts.ts';
import { frozen, withoutUndefined } from './plain-data.ts';

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
