/**
 * Environment variables that override single keys, for containers: `OUTPOST_DNS_LOG__LEVEL`, `OUTPOST_DNS_CLUSTERS__0__REGION`,
 * `OUTPOST_DNS_UPSTREAMS` with commas. The values of the variables are laid over the data of the file.
 */
import * as z from 'zod';
import { type AnySchema, inside, keysIn, listIn } from './declaration.ts';
import { type Fault, nearestWord, type Path, pathText, quoted, shortened } from './fault.ts';
import { type Environment, VARIABLE_PREFIX } from './source-text.ts';

export interface Override {
  readonly variable: string;
  readonly path: Path;
  readonly value: unknown;
}

export interface Overrides {
  readonly overrides: readonly Override[];
  readonly faults: readonly Fault[];
}

/** Every variable of this program, recognised by its name alone. Validation checks their values with those of the file. */
export function readVariables(schema: AnySchema, environment: Environment): Overrides {
  const overrides: Override[] = [];
  const faults: Fault[] = [];
  const taken = new Map<string, string>();
  for (const [variable, text] of Object.entries(environment).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (text === undefined || !variable.startsWith(VARIABLE_PREFIX) || isServiceLink(variable)) continue;
    const found = readVariable(schema, variable, text);
    if (found === undefined) continue;
    if ('message' in found) {
      faults.push(found);
      continue;
    }
    const first = taken.get(pathText(found.path));
    if (first === undefined) overrides.push(found);
    else faults.push(variableFault(found, `sets the same key as ${first}`, 'keep one of the two'));
    taken.set(pathText(found.path), variable);
  }
  return { overrides, faults };
}

/**
 * Kubernetes sets variables in every pod for every service of the namespace: a service `outpost-dns` yields
 * `OUTPOST_DNS_PORT` and `OUTPOST_DNS_SERVICE_HOST`, and so does `outpost-dns-metrics`. They set no key.
 */
function isServiceLink(variable: string): boolean {
  const name = variable.slice(VARIABLE_PREFIX.length);
  return (
    !name.includes('__') &&
    /^(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/.test(
      name,
    )
  );
}

/** `undefined`: an empty variable, as compose files and manifests write it, sets no single value. It empties a list. */
function readVariable(schema: AnySchema, variable: string, text: string): Override | Fault | undefined {
  const path: (string | number)[] = [];
  let at: AnySchema = schema;
  for (const word of variable.slice(VARIABLE_PREFIX.length).split('__')) {
    const step = stepOf(inside(at), word);
    if (step === undefined) return unknownVariable(variable, path, inside(at), word);
    path.push(step.step);
    at = step.schema;
  }
  const kind = inside(at);
  const list = kind instanceof z.ZodArray ? inside(kind.element) : undefined;
  if (text === '' && list === undefined) return undefined;
  if (kind instanceof z.ZodObject || list instanceof z.ZodObject) {
    const below = list === undefined ? '' : '__0';
    const one = `${variable}${below}__${variableName(keysIn(list ?? kind).slice(0, 1))}`;
    return variableFault(
      { variable, path, value: text },
      'not a single value',
      `set its keys one by one, such as ${one}`,
    );
  }
  return { variable, path, value: list === undefined ? scalarOf(kind, text) : listOf(list, text) };
}

function stepOf(at: AnySchema, word: string): { step: string | number; schema: AnySchema } | undefined {
  const items = listIn(at);
  if (items !== undefined)
    return /^(?:0|[1-9][0-9]{0,4})$/.test(word) ? { step: Number(word), schema: items.element } : undefined;
  if (!(at instanceof z.ZodObject)) return undefined;
  const entry = Object.entries<AnySchema>(at.shape).find(([key]) => key.toLowerCase() === word.toLowerCase());
  return entry === undefined ? undefined : { step: entry[0], schema: entry[1] };
}

function unknownVariable(variable: string, path: Path, at: AnySchema, word: string): Fault {
  const keys = keysIn(at);
  const near = nearestWord(word.replaceAll('_', ''), keys);
  const split = splitAt(at, word.split(/_+/));
  let fix = 'remove it: no key has such a name';
  if (split !== undefined) fix = `did you mean ${VARIABLE_PREFIX}${variableName([...path, ...split])}?`;
  else if (near !== undefined) fix = `did you mean ${VARIABLE_PREFIX}${variableName([...path, near])}?`;
  else if (listIn(at) !== undefined) fix = 'write the number of an item, counted from 0';
  else if (path.length > 0 && keys.length === 0)
    fix = `write ${VARIABLE_PREFIX}${variableName(path)}: nothing lies below it`;
  return { file: 'environment', variable: shortened(variable), path: '', message: 'unknown variable', fix };
}

/** The path that words with a single "_" between them probably mean: `LOG_LEVEL`. */
function splitAt(at: AnySchema, words: readonly string[]): Path | undefined {
  if (words.length === 0) return [];
  for (let count = 1; count <= Math.min(words.length, LONGEST_KEY_WORDS); count++) {
    const step = stepOf(inside(at), words.slice(0, count).join(''));
    const rest = step && splitAt(step.schema, words.slice(count));
    if (step !== undefined && rest !== undefined) return [step.step, ...rest];
  }
  return undefined;
}

/** `TCP_CONNECTIONS_PER_CLIENT`, as a person writes the longest key; it bounds the work for a long name. */
const LONGEST_KEY_WORDS = 4;

/** A path as it stands in the name of a variable, without the prefix. */
export function variableName(path: Path): string {
  return path.map((step) => String(step).toUpperCase()).join('__');
}

function listOf(item: AnySchema, text: string): unknown[] {
  if (text.trim() === '') return [];
  return text.split(',').map((part) => scalarOf(item, part.trim()));
}

/** A text that is no number or truth value stays a text, and validation refuses it. */
function scalarOf(kind: AnySchema, text: string): unknown {
  if (kind instanceof z.ZodNumber && /^-?[0-9]{1,15}(?:\.[0-9]+)?$/.test(text)) return Number(text);
  if (kind instanceof z.ZodBoolean && /^(?:true|false)$/i.test(text)) return text.toLowerCase() === 'true';
  return text;
}

function variableFault(override: Override, message: string, fix: string): Fault {
  const { variable, path, value } = override;
  return { file: 'environment', variable, path: pathText(path), value: quoted(value), message, fix };
}

/** The file's data with the overrides laid over it. The data is changed in place. */
export function applyOverrides(
  data: unknown,
  overrides: readonly Override[],
): { data: unknown; faults: readonly Fault[] } {
  const faults: Fault[] = [];
  const root = data ?? {};
  for (const override of [...overrides].sort(byPath)) {
    const message = setAt(root, override.path, override.value);
    if (message !== undefined)
      faults.push(variableFault(override, message, 'number the items from 0 without a gap'));
  }
  return { data: root, faults };
}

/** Whole lists before their items, and items in their order: an item is appended after the items before it. */
function byPath(one: Override, other: Override): number {
  for (const [index, step] of one.path.entries()) {
    const against = other.path[index];
    if (against === undefined || step === against) continue;
    if (typeof step === 'number' && typeof against === 'number') return step - against;
    return String(step) < String(against) ? -1 : 1;
  }
  return one.path.length - other.path.length;
}

/** Sets a value and makes the maps and lists above it. Returns why an item cannot be set. */
function setAt(root: unknown, path: Path, value: unknown): string | undefined {
  let at = root;
  for (const [index, step] of path.entries()) {
    // The file has a scalar in place of a map or a list: validation reports that fault.
    if (typeof at !== 'object' || at === null || Array.isArray(at) !== (typeof step === 'number'))
      return undefined;
    if (Array.isArray(at) && Number(step) > at.length) return `item ${step} of a list of ${at.length}`;
    const next = path[index + 1];
    if (next === undefined) Reflect.set(at, step, value);
    else at = childOf(at, step, next);
  }
  return undefined;
}

function childOf(parent: object, step: string | number, next: string | number): unknown {
  const existing: unknown = Reflect.get(parent, step);
  if (existing !== undefined && existing !== null) return existing;
  const made: unknown = typeof next === 'number' ? [] : {};
  Reflect.set(parent, step, made);
  return made;
}
