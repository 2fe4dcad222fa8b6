/**
 * Checks plain data against the declarations: reports the faults of single values with what is allowed and what was probably
 * meant, then the rules that the rest breaks.
 */
import * as z from 'zod';
import { schema } from './config.ts';
import { type AnySchema, factsOf, formsOf, inside, isMap, keysIn, schemaAt, valueAt } from './facts.ts';
import { type Finding, nearestWord, type Path, pathText } from './fault.ts';
import { brokenRules, draftOf } from './rule.ts';

export interface Validation {
  /** Undefined when there are findings. */
  readonly settings?: z.output<typeof schema> | undefined;
  readonly findings: readonly Finding[];
}

/** `ownAddresses` in canonical text. */
export function validate(data: unknown, ownAddresses: ReadonlySet<string>): Validation {
  const result = z.safeParse(schema, data);
  const { findings, meant } = result.success ? NONE : valueFindings(result.error.issues, data);
  const isFaulty = faultyPaths([...findings.map(({ path }) => path), ...meant]);
  const broken = brokenRules(schema, result.success ? result.data : (draftOf(schema, data) ?? {}), {
    path: [],
    isFaulty: (...path) => isFaulty(path),
    isWritten: (...path) => valueAt(data, path) !== undefined,
    ownAddresses,
  });
  const all = [...findings, ...broken];
  return result.success && all.length === 0 ? { settings: result.data, findings: all } : { findings: all };
}

interface ValueFindings {
  readonly findings: readonly Finding[];
  /** Keys that unknown keys were probably meant to be. They are not reported as missing too. */
  readonly meant: readonly Path[];
}

const NONE: ValueFindings = { findings: [], meant: [] };

function valueFindings(all: readonly Issue[], data: unknown): ValueFindings {
  const issues = all.flatMap((issue) => meantIssues(issue, data));
  const unknown = issues.flatMap((issue) => unknownKeysOf(issue, data));
  const meant = unknown.flatMap((key) => (key.meant === undefined ? [] : [key.meant]));
  const meantTexts = new Set(meant.map(pathText));
  const others = issues
    .filter((issue) => issue.code !== 'unrecognized_keys')
    .map((issue) => findingOf(issue, data))
    .filter(({ message, path }) => message !== MISSING || !meantTexts.has(pathText(path)));
  return { findings: [...unknown.map(({ finding }) => finding), ...others], meant };
}

/** Whether there is a fault at a path, above it or below it. */
function faultyPaths(paths: readonly Path[]): (path: Path) => boolean {
  const exact = new Set(paths.map(pathText));
  const above = new Set(paths.flatMap((path) => path.map((_, index) => pathText(path.slice(0, index)))));
  return (path) =>
    above.has(pathText(path)) || path.some((_, index) => exact.has(pathText(path.slice(0, index + 1))));
}

const MISSING = 'missing';

type Issue = z.core.$ZodIssue;

/** Where a value has several forms, only the faults of the form that was written count. */
function meantIssues(issue: Issue, data: unknown): readonly Issue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const path = pathOf(issue);
  const forms = formsOf(schemaAt(schema, path));
  const written = valueAt(data, path);
  const isMapMeant = isMap(written) && forms.some((form) => form instanceof z.ZodObject);
  const meant = forms.findIndex((form) => {
    if (Array.isArray(written)) return form instanceof z.ZodArray;
    return form instanceof z.ZodObject ? isMapMeant : !isMapMeant && !(form instanceof z.ZodArray);
  });
  const errors = issue.errors[Math.max(0, meant)] ?? [];
  return errors.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
}

interface UnknownKey {
  readonly finding: Finding;
  readonly meant: Path | undefined;
}

function unknownKeysOf(issue: Issue, data: unknown): UnknownKey[] {
  if (issue.code !== 'unrecognized_keys') return [];
  const parent = pathOf(issue);
  const known = keysIn(schemaAt(schema, parent));
  const written = valueAt(data, parent);
  const free = known.filter((key) => !isMap(written) || !Object.hasOwn(written, key));
  return issue.keys.map((key, index) => {
    const finding = { path: [...parent, key], message: 'unknown key', isKey: true } as const;
    if (index >= MAX_SUGGESTIONS) return { finding: { ...finding, fix: 'remove it' }, meant: undefined };
    const near = nearestWord(key, free) ?? nearestWord(key, known);
    const fix = near === undefined ? unknownKeyFix(key, known) : `did you mean "${near}"?`;
    return { finding: { ...finding, fix }, meant: near === undefined ? undefined : [...parent, near] };
  });
}

// A file of another program has thousands of unknown keys: suggestions for each would cost time and help no reader.
const MAX_SUGGESTIONS = 50;

function unknownKeyFix(key: string, known: readonly string[]): string {
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

function findingOf(issue: Issue, data: unknown): Finding {
  const path = pathOf(issue);
  const at = schemaAt(schema, path);
  const { message, fix } = wordsOf(issue, valueAt(data, path), at);
  return { path, message, fix: fix ?? `write ${factsOf(at).allowed ?? 'what the reference shows'}` };
}

type Words = Pick<Finding, 'message'> & Partial<Pick<Finding, 'fix'>>;

function wordsOf(issue: Issue, value: unknown, at: AnySchema): Words {
  switch (issue.code) {
    case 'custom': {
      const fix: unknown = issue.params?.['fix'];
      return { message: issue.message, fix: typeof fix === 'string' ? fix : undefined };
    }
    case 'invalid_value':
      return choiceWords(value, issue.values);
    case 'too_small':
      if (!Array.isArray(value)) return { message: `below ${issue.minimum}` };
      return { message: value.length === 0 ? 'an empty list' : `a list of fewer than ${issue.minimum}` };
    case 'too_big':
      return { message: `${Array.isArray(value) ? 'a list of more than' : 'above'} ${issue.maximum}` };
    case 'invalid_type':
      return typeWords(value, at);
    default:
      return { message: `not allowed: ${issue.code}` };
  }
}

function choiceWords(value: unknown, words: readonly unknown[]): Words {
  if (value === undefined) return { message: MISSING };
  if (value === null) return { message: 'no value' };
  const near = typeof value === 'string' ? nearestWord(value, words.map(String)) : undefined;
  return {
    message: 'not one of the words allowed',
    fix: near && `did you mean "${near}"? allowed: ${words.join(', ')}`,
  };
}

function typeWords(value: unknown, at: AnySchema): Words {
  const kind = inside(at);
  const { allowed, unit } = factsOf(at);
  if (value === undefined) return { message: MISSING, fix: `add it: ${allowed ?? 'a map of keys'}` };
  if (value === null) return { message: 'no value', fix: 'give it a value, or remove the line' };
  if (kind instanceof z.ZodObject)
    return { message: 'not a map of keys', fix: `write its keys below it: ${keysIn(at).join(', ')}` };
  if (kind instanceof z.ZodArray)
    return { message: 'not a list', fix: isMap(value) ? undefined : `write it as a list: [${value}]` };
  if (isMap(value)) return { message: 'a map, not a single value' };
  if (Array.isArray(value)) return { message: 'a list, not a single value' };
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

function pathOf(issue: Issue): Path {
  return issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
}
