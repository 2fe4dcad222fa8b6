/**
 * The functions that declare a key, once: its kind with unit and bounds, its default or an example, and one line of doc. A
 * declaration also names the option that the value becomes, and the room that uses it. The files of `keys/` call them.
 */
import * as z from 'zod';
import {
  type Destination,
  factsOf,
  type KeyFacts,
  type KindFacts,
  keyFacts,
  keysIn,
  kindFacts,
} from './facts.ts';
import { type DraftOf, joinedBy, noneTwice, type Rule } from './rule.ts';

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
  keyFacts.add(schema, facts);
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
  destination?: Destination<Option>,
) {
  return declared<z.ZodPrefault<Kind>, Option>(z.prefault(kind, value), { doc, ...destination });
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
