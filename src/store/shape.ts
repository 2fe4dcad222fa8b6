/**
 * What the JSON of a state file has to look like, and its content out of it: a reader for each kind of value, and readers made of
 * readers. A start reads such a file before its first answer. There the set-up and the first use of Zod took a tenth of the time; these
 * readers take a tenth of that. Members that a reader does not know are left out, because a later version may have written them.
 */

/** Returns the content, or throws Mismatch. */
export type Reader<Content> = ((found: unknown) => Content) & { readonly isOptional?: boolean };
/** Of a member that may be missing. */
export type OptionalReader<Content> = ((found: unknown) => Content) & { readonly isOptional: true };

export class Mismatch extends Error {
  /** From the outside in. */
  readonly path: (string | number)[] = [];

  get text(): string {
    return `${this.path.join('.')}: ${this.message}`;
  }
}

export type Attempt<Content> =
  | { readonly kind: 'ok'; readonly content: Content }
  | { readonly kind: 'mismatch'; readonly text: string };

/** Never throws, unless a reader has a defect. */
export function attemptRead<Content>(reader: Reader<Content>, found: unknown): Attempt<Content> {
  try {
    return { kind: 'ok', content: reader(found) };
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    return { kind: 'mismatch', text: error.text };
  }
}

export const text: Reader<string> = (found) =>
  typeof found === 'string' ? found : fail(`a text is expected, not ${kindOf(found)}`);
export const number: Reader<number> = (found) =>
  typeof found === 'number' && Number.isFinite(found)
    ? found
    : fail(`a number is expected, not ${kindOf(found)}`);
export const count: Reader<number> = (found) =>
  Number.isSafeInteger(found) && number(found) >= 0 ? number(found) : fail('not a whole number from 0');
export const flag: Reader<boolean> = (found) =>
  typeof found === 'boolean' ? found : fail(`true or false is expected, not ${kindOf(found)}`);

export const textOf = (isGood: (text: string) => boolean, fault: string): Reader<string> =>
  checked(text, isGood, fault);

export function word<const Word extends string | true>(...words: readonly Word[]): Reader<Word> {
  return (found) => words.find((one) => one === found) ?? fail(`not one of ${words.join(', ')}`);
}

export function checked<Content>(
  reader: Reader<Content>,
  isGood: (content: Content) => boolean,
  fault: string,
): Reader<Content> {
  return (found) => {
    const content = reader(found);
    return isGood(content) ? content : fail(fault);
  };
}

/** `turn` returns `undefined` for what is not allowed. */
export function turned<From, To>(
  reader: Reader<From>,
  turn: (from: From) => To | undefined,
  fault = 'not allowed',
): Reader<To> {
  return (found) => turn(reader(found)) ?? fail(fault);
}

export function optional<Content>(reader: Reader<Content>): OptionalReader<Content> {
  return Object.assign((found: unknown) => reader(found), { isOptional: true } as const);
}

export function list<Content>(
  reader: Reader<Content>,
  { least = 0, most = Number.POSITIVE_INFINITY } = {},
): Reader<readonly Content[]> {
  return (found) => {
    if (!Array.isArray(found)) return fail(`a list is expected, not ${kindOf(found)}`);
    if (found.length < least || found.length > most) return fail(`${found.length} items`);
    return found.map((item: unknown, at) => inside(at, reader, item));
  };
}

/** An object with any names of members. */
export function table<Content>(reader: Reader<Content>): Reader<Readonly<Record<string, Content>>> {
  return (found) =>
    Object.fromEntries(
      Object.entries(membersOf(found)).map(([name, value]) => [name, inside(name, reader, value)]),
    );
}

export type Members = Readonly<Record<string, Reader<unknown>>>;
type Flat<Content> = Content extends unknown ? { readonly [Name in keyof Content]: Content[Name] } : never;
type OptionalNames<Of> = {
  [Name in keyof Of]: Of[Name] extends { readonly isOptional: true } ? Name : never;
}[keyof Of];
type ContentOf<Of> = Of extends (found: unknown) => infer Content ? Content : never;
export type ObjectOf<Of> = Flat<
  { readonly [Name in Exclude<keyof Of, OptionalNames<Of>>]: ContentOf<Of[Name]> } & {
    readonly [Name in OptionalNames<Of>]?: ContentOf<Of[Name]>;
  }
>;

export function object<const Of extends Members>(members: Of): Reader<ObjectOf<Of>> {
  const readers = Object.entries(members);
  return (found) => {
    const all = membersOf(found);
    const content: Record<string, unknown> = {};
    for (const [name, reader] of readers) {
      if (Object.hasOwn(all, name)) content[name] = inside(name, reader, all[name]);
      else if (reader.isOptional !== true) inside(name, missing, undefined);
    }
    // the loop has read each member by its own reader
    return content as ObjectOf<Of>;
  };
}

type CaseOf<Key extends string, Cases> = {
  [Case in keyof Cases]: Flat<
    { readonly [Name in Key]: Case } & (Cases[Case] extends (found: unknown) => infer Content
      ? Content
      : ObjectOf<Cases[Case]>)
  >;
}[keyof Cases];

/** An object whose member `key` says which other members it has: those of a case, or again cases. */
export function cases<
  const Key extends string,
  const Cases extends Readonly<Record<string, Members | Reader<object>>>,
>(key: Key, all: Cases): Reader<CaseOf<Key, Cases>> {
  const readers = new Map(
    Object.entries(all).map(([name, one]) => [name, typeof one === 'function' ? one : object(one)]),
  );
  return (found) => {
    const name = inside(key, text, membersOf(found)[key]);
    const reader: Reader<object> = readers.get(name) ?? (() => fail(`"${key}" is not known`));
    // the reader is that of this case
    return { [key]: name, ...reader(found) } as CaseOf<Key, Cases>;
  };
}

const missing: Reader<never> = () => fail('missing');

function inside<Content>(at: string | number, reader: Reader<Content>, found: unknown): Content {
  try {
    return reader(found);
  } catch (error) {
    if (error instanceof Mismatch) error.path.unshift(at);
    throw error;
  }
}

function membersOf(found: unknown): Readonly<Record<string, unknown>> {
  return isMembers(found) ? found : fail(`an object is expected, not ${kindOf(found)}`);
}

function isMembers(found: unknown): found is Readonly<Record<string, unknown>> {
  return typeof found === 'object' && found !== null && !Array.isArray(found);
}

function kindOf(found: unknown): string {
  if (found === undefined) return 'nothing';
  return found === null ? 'null' : Array.isArray(found) ? 'a list' : `a ${typeof found}`;
}

function fail(fault: string): never {
  throw new Mismatch(fault);
}
