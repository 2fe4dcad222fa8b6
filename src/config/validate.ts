/** Plain data against the schema: zod's issues told in terms of the file, with what is allowed and what was probably meant. */
import * as z from 'zod';
import { type Finding, type Path, pathText } from './fault.ts';
import {
  type AnySchema,
  factsOf,
  inside,
  isMap,
  listIn,
  mapIn,
  type SchemaFacts,
  schemaAt,
  valueAt,
} from './key.ts';
import { type Settings, schema } from './schema.ts';
import { nearestWord } from './suggest.ts';

export interface Validation {
  /** Undefined when there are findings. */
  readonly settings: Settings | undefined;
  readonly findings: readonly Finding[];
  /** Keys that an unknown key was probably meant to be: not to be reported as missing too. */
  readonly meant: readonly Path[];
}

export function validate(data: unknown): Validation {
  const result = z.safeParse(schema, data);
  if (result.success) return { settings: result.data, findings: [], meant: [] };
  const issues = result.error.issues.flatMap((issue) => meantIssues(issue, data));
  const strangers = issues.flatMap((issue) => unknownKeysOf(issue, data));
  const meant = strangers.flatMap((key) => (key.meant === undefined ? [] : [key.meant]));
  const meantTexts = new Set(meant.map(pathText));
  const others = issues
    .filter((issue) => issue.code !== 'unrecognized_keys')
    .map((issue) => findingOf(issue, data))
    .filter((finding) => finding.message !== MISSING || !meantTexts.has(pathText(finding.path)));
  return { settings: undefined, findings: [...strangers.map((key) => key.finding), ...others], meant };
}

const MISSING = 'missing';

type Issue = z.core.$ZodIssue;

/** Where a word, a list or a map may stand, the faults of the one that was written count, and not those of all. */
function meantIssues(issue: Issue, data: unknown): readonly Issue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const path = pathOf(issue);
  const at = schemaAt(schema, path);
  const union = at === undefined ? undefined : inside(at);
  const options: readonly AnySchema[] = union instanceof z.ZodUnion ? union.options : [];
  const written = valueAt(data, path);
  const kinds = options.map(inside);
  const isMeant = (kind: AnySchema): boolean => {
    if (Array.isArray(written)) return listIn(kind) !== undefined;
    if (isMap(written) && kinds.some((one) => one instanceof z.ZodObject)) return kind instanceof z.ZodObject;
    return listIn(kind) === undefined && !(kind instanceof z.ZodObject);
  };
  const meant = Math.max(0, kinds.findIndex(isMeant));
  return (issue.errors[meant] ?? []).map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
}

interface UnknownKey {
  readonly finding: Finding;
  readonly meant: Path | undefined;
}

function unknownKeysOf(issue: Issue, data: unknown): UnknownKey[] {
  if (issue.code !== 'unrecognized_keys') return [];
  const parent = pathOf(issue);
  const known = keysOf(schemaAt(schema, parent));
  const written = valueAt(data, parent);
  const free = known.filter((key) => !isMap(written) || !Object.hasOwn(written, key));
  return issue.keys.map((key, index) => {
    const finding = { path: [...parent, key], message: 'unknown key', isKey: true } as const;
    if (index >= MAX_SUGGESTIONS) return { finding: { ...finding, mend: 'remove it' }, meant: undefined };
    const near = nearestWord(key, free) ?? nearestWord(key, known);
    const mend = near === undefined ? strangerMend(key, known) : `did you mean "${near}"?`;
    return { finding: { ...finding, mend }, meant: near === undefined ? undefined : [...parent, near] };
  });
}

// A file of another program has thousands of strangers, and thousands of comparisons would be made for nothing.
const MAX_SUGGESTIONS = 50;

function strangerMend(key: string, known: readonly string[]): string {
  const elsewhere = placesOf(key, schema, '');
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

function keysOf(from: AnySchema | undefined): readonly string[] {
  const map = from === undefined ? undefined : mapIn(inside(from));
  return map === undefined ? [] : Object.keys(map.shape);
}

function findingOf(issue: Issue, data: unknown): Finding {
  const path = pathOf(issue);
  const at = schemaAt(schema, path);
  const facts = at === undefined ? undefined : factsOf(at);
  const value = valueAt(data, path);
  const { message, mend } = told(issue, value, facts, at);
  return { path, message, mend: mend ?? `write ${facts?.allowed ?? 'what the reference shows'}` };
}

interface Told {
  readonly message: string;
  readonly mend?: string;
}

function told(issue: Issue, value: unknown, facts: SchemaFacts | undefined, at: AnySchema | undefined): Told {
  switch (issue.code) {
    case 'custom':
      return { message: issue.message, ...mendOf(issue.params) };
    case 'invalid_value':
      return toldChoice(value, issue.values);
    case 'too_small':
      return Array.isArray(value)
        ? { message: value.length === 0 ? 'an empty list' : `a list of fewer than ${issue.minimum}` }
        : { message: `below ${issue.minimum}` };
    case 'too_big':
      return Array.isArray(value)
        ? { message: `a list of more than ${issue.maximum}` }
        : { message: `above ${issue.maximum}` };
    case 'invalid_type':
      return toldType(value, facts, at);
    default:
      return { message: `not allowed: ${issue.code}` };
  }
}

function toldChoice(value: unknown, words: readonly unknown[]): Told {
  if (value === undefined) return { message: MISSING };
  if (value === null) return { message: 'no value' };
  const near = typeof value === 'string' ? nearestWord(value, words.map(String)) : undefined;
  const message = 'not one of the words allowed';
  return near === undefined
    ? { message }
    : { message, mend: `did you mean "${near}"? allowed: ${words.join(', ')}` };
}

function toldType(value: unknown, facts: SchemaFacts | undefined, at: AnySchema | undefined): Told {
  const kind = at === undefined ? undefined : inside(at);
  if (value === undefined) return { message: MISSING, mend: `add it: ${facts?.allowed ?? 'a map of keys'}` };
  if (value === null) return { message: 'no value', mend: 'give it a value, or remove the line' };
  if (kind instanceof z.ZodObject)
    return { message: 'not a map of keys', mend: `write its keys below it: ${keysOf(at).join(', ')}` };
  if (kind instanceof z.ZodArray) return toldList(value, facts);
  if (isMap(value) || Array.isArray(value))
    return { message: isMap(value) ? 'a map, not a single value' : 'a list, not a single value' };
  if (kind instanceof z.ZodNumber)
    return { message: typeof value === 'number' ? 'not a whole number' : 'not a number' };
  if (kind instanceof z.ZodBoolean) return { message: 'neither true nor false' };
  if (facts?.unit !== undefined && typeof value === 'number') {
    return { message: 'a number without a unit', mend: `add a unit, such as ${value}${facts.unit}` };
  }
  const isWellAsText = at !== undefined && z.safeParse(at, String(value)).success;
  return {
    message: `a ${typeof value}, not a text`,
    ...(isWellAsText ? { mend: `put it in quotes: "${value}"` } : {}),
  };
}

function toldList(value: unknown, facts: SchemaFacts | undefined): Told {
  const isScalar = !isMap(value);
  return {
    message: 'not a list',
    mend: isScalar ? `write it as a list: [${value}]` : `write ${facts?.allowed ?? 'a list'}`,
  };
}

function mendOf(params: Readonly<Record<string, unknown>> | undefined): { readonly mend?: string } {
  const mend = params?.['mend'];
  return typeof mend === 'string' ? { mend } : {};
}

function pathOf(issue: Issue): Path {
  return issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
}
