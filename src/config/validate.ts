/**
 * Reads plain data by the declarations, value by value. Reports the faults of single values, with what is allowed and what
 * was probably meant. Then reports the rules that the rest breaks.
 */
import * as z from 'zod';
import {
  type AnySchema,
  brokenRules,
  factsOf,
  formsOf,
  inside,
  isMap,
  keysIn,
  valueAt,
} from './declaration.ts';
import { type Finding, nearestWord, type Path, pathText } from './fault.ts';

export interface Validation<Settings> {
  /** Undefined when there are findings. */
  readonly settings?: Settings | undefined;
  readonly findings: readonly Finding[];
}

/** `ownAddresses` in canonical text. */
export function validate<Schema extends z.ZodType>(
  schema: Schema,
  data: unknown,
  ownAddresses: ReadonlySet<string>,
): Validation<z.output<Schema>> {
  const reader = new Reader(schema);
  const draft = reader.read(schema, data, []);
  const isFaulty = faultyPaths([...reader.findings.map(({ path }) => path), ...reader.meant]);
  const broken = brokenRules(schema, draft, {
    path: [],
    isFaulty: (...path) => isFaulty(path),
    isWritten: (...path) => valueAt(data, path) !== undefined,
    ownAddresses,
  });
  const findings = [...reader.findings, ...broken];
  // a draft without a finding has every value of the schema
  return findings.length === 0 ? { settings: draft as z.output<Schema>, findings } : { findings };
}

/** Whether there is a fault at a path, above it or below it. */
function faultyPaths(paths: readonly Path[]): (path: Path) => boolean {
  const exact = new Set(paths.map(pathText));
  const above = new Set(paths.flatMap((path) => path.map((_, index) => pathText(path.slice(0, index)))));
  return (path) =>
    above.has(pathText(path)) || path.some((_, index) => exact.has(pathText(path.slice(0, index + 1))));
}

type Words = Pick<Finding, 'message'> & Partial<Pick<Finding, 'fix'>>;

class Reader {
  readonly #root: AnySchema;
  readonly findings: Finding[] = [];
  /** Keys that unknown keys were probably meant to be. They are not reported as missing too. */
  readonly meant: Path[] = [];

  constructor(root: AnySchema) {
    this.#root = root;
  }

  /** The draft of a value: without its faulty values, except that lists keep their length. */
  read(schema: AnySchema, data: unknown, path: Path): unknown {
    const { isRequired, defaultValue, allowed } = factsOf(schema);
    if (data === undefined && !isRequired)
      return defaultValue === undefined ? undefined : this.read(schema, defaultValue, path);
    if (data === undefined)
      return this.#report(path, { message: 'missing', fix: `add it: ${allowed ?? 'a map of keys'}` }, schema);
    const forms = formsOf(schema);
    const form = writtenForm(forms, data) ?? schema;
    const before = this.findings.length;
    const draft = this.#readForm(schema, form, data, path);
    // a part of a value with several forms says nothing
    return forms.length > 1 && this.findings.length > before ? undefined : draft;
  }

  #readForm(schema: AnySchema, form: AnySchema, data: unknown, path: Path): unknown {
    if (form instanceof z.ZodObject && isMap(data)) return this.#readMap(form, data, path);
    if (form instanceof z.ZodArray && Array.isArray(data)) return this.#readList(form, data, path);
    const result = z.safeParse(form, data);
    if (result.success) return result.data;
    return this.#report(path, wordsOf(result.error.issues[0], data, schema), schema);
  }

  #readList(list: z.ZodArray, data: readonly unknown[], path: Path): readonly unknown[] {
    const { min = 0, max = Number.POSITIVE_INFINITY } = factsOf(list);
    if (data.length < min)
      this.#report(
        path,
        { message: data.length === 0 ? 'an empty list' : `a list of fewer than ${min}` },
        list,
      );
    if (data.length > max) this.#report(path, { message: `a list of more than ${max}` }, list);
    return data.map((item, index) => this.read(list.element, item, [...path, index]));
  }

  #readMap(map: z.ZodObject, data: Readonly<Record<string, unknown>>, path: Path): unknown {
    const known = Object.keys(map.shape);
    const unknown = Object.keys(data).filter((key) => !Object.hasOwn(map.shape, key));
    const meant = new Map(
      unknown.map((key, index) => [this.#reportUnknown(key, index, data, known, path), key]),
    );
    const entries = Object.entries<AnySchema>(map.shape).map(([key, schema]) => {
      const value = Object.hasOwn(data, key) ? data[key] : undefined;
      const written = value === undefined ? meant.get(key) : undefined;
      if (written === undefined) return [key, this.read(schema, value, [...path, key])];
      this.meant.push([...path, key]);
      // its value is read for its faults alone: a rule would name a place that is not in the file
      this.read(schema, data[written], [...path, written]);
      return [key, factsOf(schema).isRequired ? undefined : this.read(schema, undefined, [...path, key])];
    });
    return Object.fromEntries(entries);
  }

  /** Returns the key that was probably meant. */
  #reportUnknown(
    key: string,
    index: number,
    data: Readonly<Record<string, unknown>>,
    known: readonly string[],
    path: Path,
  ): string | undefined {
    const free = known.filter((one) => !Object.hasOwn(data, one));
    const isSuggested = index < MAX_SUGGESTIONS;
    const near = isSuggested ? (nearestWord(key, free) ?? nearestWord(key, known)) : undefined;
    const other = isSuggested ? unknownKeyFix(key, known, this.#root) : 'remove it';
    const fix = near === undefined ? other : `did you mean "${near}"?`;
    this.findings.push({ path: [...path, key], message: 'unknown key', fix, isKey: true });
    return near;
  }

  #report(path: Path, { message, fix }: Words, schema: AnySchema): undefined {
    const { allowed } = factsOf(schema);
    this.findings.push({ path, message, fix: fix ?? `write ${allowed ?? 'what the reference shows'}` });
  }
}

/** Chooses the schema form that matches the written value. */
function writtenForm(forms: readonly AnySchema[], data: unknown): AnySchema | undefined {
  if (forms.length === 1) return forms[0];
  if (Array.isArray(data)) {
    const list = forms.find((form) => form instanceof z.ZodArray);
    if (list !== undefined) return list;
  }
  const map = isMap(data) ? forms.find((form) => form instanceof z.ZodObject) : undefined;
  return map ?? forms.find((form) => !(form instanceof z.ZodArray) && !(form instanceof z.ZodObject));
}

// A file of another program has thousands of unknown keys: suggestions for each would cost time and help no reader.
const MAX_SUGGESTIONS = 50;

function unknownKeyFix(key: string, known: readonly string[], root: AnySchema): string {
  const elsewhere = placesOf(key, root, '');
  if (elsewhere.length > 0) return `this key belongs at ${elsewhere.join(' or ')}`;
  return `remove it; known here: ${known.join(', ')}`;
}

/** The paths, with `[]` for any item, at which a key of this name is declared. */
function placesOf(key: string, from: AnySchema, path: string): string[] {
  const at = inside(from);
  if (at instanceof z.ZodArray) return placesOf(key, at.element, `${path}[]`);
  if (!(at instanceof z.ZodObject)) return [];
  return Object.entries<AnySchema>(at.shape).flatMap(([name, inner]) => {
    const here = path === '' ? name : `${path}.${name}`;
    return name === key ? [here] : placesOf(key, inner, here);
  });
}

function wordsOf(issue: z.core.$ZodIssue | undefined, value: unknown, at: AnySchema): Words {
  switch (issue?.code) {
    case 'custom': {
      const fix: unknown = issue.params?.['fix'];
      return { message: issue.message, fix: typeof fix === 'string' ? fix : undefined };
    }
    case 'invalid_value':
      return choiceWords(value, issue.values);
    case 'too_small':
      return { message: `below ${issue.minimum}` };
    case 'too_big':
      return { message: `above ${issue.maximum}` };
    default:
      return typeWords(value, at);
  }
}

function choiceWords(value: unknown, words: readonly unknown[]): Words {
  if (value === null) return { message: 'no value' };
  const near = typeof value === 'string' ? nearestWord(value, words.map(String)) : undefined;
  return {
    message: 'not one of the words allowed',
    fix: near && `did you mean "${near}"? allowed: ${words.join(', ')}`,
  };
}

function typeWords(value: unknown, at: AnySchema): Words {
  const kind = inside(at);
  const { unit } = factsOf(at);
  if (value === null) return { message: 'no value', fix: 'give it a value, or remove the line' };
  if (kind instanceof z.ZodObject)
    return { message: 'not a map of keys', fix: `write its keys below it: ${keysIn(at).join(', ')}` };
  if (kind instanceof z.ZodArray) return { message: 'not a list', fix: listFix(value, kind) };
  if (isMap(value)) return { message: 'a map, not a single value' };
  if (Array.isArray(value)) return { message: 'a list, not a single value' };
  if (kind instanceof z.ZodNumber && typeof value === 'string' && /^[0-9]{1,15}$/.test(value))
    return { message: 'a text, not a number', fix: `write ${Number(value)}, without quotes` };
  if (kind instanceof z.ZodNumber)
    return { message: typeof value === 'number' ? 'not a whole number' : 'not a number' };
  if (kind instanceof z.ZodBoolean) return { message: 'neither true nor false' };
  if (unit !== undefined && typeof value === 'number')
    return { message: 'a number without a unit', fix: `add a unit, such as ${value}${unit}` };
  const isWellAsText = z.safeParse(at, String(value)).success;
  return {
    message: `a ${typeof value}, not a text`,
    fix: isWellAsText ? `put it in quotes: "${value}"` : undefined,
  };
}

function listFix(value: unknown, list: z.ZodArray): string | undefined {
  if (!isMap(value)) return `write it as a list: [${value}]`;
  const [first] = Object.keys(value);
  const isItem = first !== undefined && keysIn(list.element).includes(first);
  return isItem
    ? `write "- " before "${first}" and indent the other keys as far, or on one line [{${first}: ...}]`
    : undefined;
}
