/**
 * Generates the documents of every declared key. `config/reference.yaml` is loadable as it stands, with doc, allowed values
 * and the default or an example. `docs/configuration.md` has a table for each section. `config/schema.json` completes and
 * checks keys in an editor.
 */
import { stringify } from 'yaml';
import * as z from 'zod';
import { schema } from '../src/config/config.ts';
import {
  type AnySchema,
  type ChoiceRule,
  choiceRuleOf,
  factsOf,
  inside,
  isMap,
  type SchemaFacts,
} from '../src/config/declaration.ts';
import { variableName } from '../src/config/environment.ts';
import { optionName } from '../src/config/key.ts';

export interface DeclaredKey {
  readonly name: string;
  readonly facts: SchemaFacts;
  /** The keys below it, when its value is a map or a list of maps. */
  readonly keys: readonly DeclaredKey[];
  readonly isListOfMaps: boolean;
  /** The option that its value becomes, and the room under `src/` that uses it. */
  readonly option: string;
  readonly room: string | undefined;
  /** In words, such as `exactly one of a, b`. */
  readonly choice: string | undefined;
}

export const declaredKeys: readonly DeclaredKey[] = keysBelow(schema);

function choiceText({ count, keys, alsoBeside }: ChoiceRule): string {
  const text = `${count} of ${keys.join(', ')}`;
  return alsoBeside === undefined ? text : `${text}; ${alsoBeside.key} also beside ${alsoBeside.other}`;
}

function keysBelow(map: AnySchema, roomAbove?: string): DeclaredKey[] {
  if (!(map instanceof z.ZodObject)) return [];
  return Object.entries<AnySchema>(map.shape).map(([name, key]) => {
    const value = inside(key);
    const item = value instanceof z.ZodArray ? inside(value.element) : undefined;
    const below = item instanceof z.ZodObject ? item : value;
    const rule = choiceRuleOf(below);
    const facts = factsOf(key);
    const room = facts.room ?? roomAbove;
    return {
      name,
      facts,
      option: optionName(name, key),
      room,
      keys: keysBelow(below, room),
      isListOfMaps: item instanceof z.ZodObject,
      choice: rule && choiceText(rule),
    };
  });
}

const WIDTH = 110; // the formatter's, which the files must satisfy too

const YAML_HEAD = `# yaml-language-server: $schema=./schema.json
#
# Every key of outpost-dns, with its default or, where it has none, an example. Generated from src/config/keys/ by
# "node scripts/generate.ts": do not edit. A useful file is much smaller, see example.yaml: leave out what you do not change.
#
# A variable of the environment overrides a key: OUTPOST_DNS_LOG__LEVEL=debug, OUTPOST_DNS_CLUSTERS__0__REGION=us-west-2,
# OUTPOST_DNS_UPSTREAMS=10.0.0.2,10.0.0.3.
`;

export function referenceYaml(): string {
  const sections = declaredKeys.map((key) => linesOf(key, '').join('\n'));
  return `${YAML_HEAD}\n${sections.join('\n\n')}\n`;
}

function linesOf(key: DeclaredKey, indent: string): string[] {
  const inner = `${indent}${key.isListOfMaps ? '    ' : '  '}`;
  const head = commentOf(key, indent);
  if (key.keys.length === 0) return [...head, ...valueLines(key, indent)];
  const below = key.keys.flatMap((one) => ['', ...linesOf(one, inner)]).slice(1);
  return [...head, `${indent}${key.name}:`, ...(key.isListOfMaps ? asItem(below, indent) : below)];
}

/** Puts the dash of the list before the first key; the comments above it stand where the dash stands. */
function asItem(lines: readonly string[], indent: string): string[] {
  const first = lines.findIndex((line) => !line.trimStart().startsWith('#'));
  return lines.map((line, index) => {
    if (index > first) return line;
    return `${indent}  ${index === first ? '- ' : ''}${line.trimStart()}`;
  });
}

function commentOf(key: DeclaredKey, indent: string): string[] {
  const { facts } = key;
  const doc = wrapped(`${facts.doc}${key.choice === undefined ? '' : ` (${key.choice})`}`, indent);
  if (key.keys.length > 0) return doc;
  const state = facts.isRequired ? 'required' : defaultText(facts.defaultValue);
  return [...doc, ...wrapped(`${state}; ${facts.allowed}`, indent)];
}

function defaultText(value: unknown): string {
  return value === undefined ? 'no default' : `default ${inline(value)}`;
}

function wrapped(text: string, indent: string): string[] {
  const lines: string[] = [];
  let current = `${indent}#`;
  for (const word of text.split(' ')) {
    if (current.length + 1 + word.length > WIDTH) {
      lines.push(current);
      current = `${indent}#`;
    }
    current += ` ${word}`;
  }
  return [...lines, current];
}

function valueLines(key: DeclaredKey, indent: string): string[] {
  const { example, defaultValue, alternative } = key.facts;
  const value = defaultValue ?? example;
  const line = `${indent}${alternative ? '# ' : ''}${key.name}: ${inline(value)}`;
  if (line.length <= WIDTH || !Array.isArray(value)) return [line];
  return [`${indent}${key.name}:`, ...value.map((item) => `${indent}  - ${inline(item)}`)];
}

/** A value as it stands after a key, on one line. */
function inline(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', flowCollectionPadding: false, lineWidth: 0 }).trimEnd();
}

const PAGE_HEAD = `<!-- Generated from src/config/keys/ by "node scripts/generate.ts": do not edit. -->

# Configuration

One YAML file, by default \`/etc/outpost-dns/outpost-dns.yaml\`. The smallest useful one:

\`\`\`yaml
clusters:
  - name: my-cluster
    region: us-west-2
upstreams:
  - 10.0.0.2
\`\`\`

Everything else has a default. \`config/example.yaml\` is a fuller one, \`config/reference.yaml\` shows every key, and
\`config/schema.json\` completes and checks keys in an editor that knows yaml-language-server.

- **Durations** are a whole number and one unit: \`200ms\`, \`30s\`, \`5m\`, \`1h\`, \`1d\`. **Sizes** likewise, in powers of 1024:
  \`512KiB\`, \`64MiB\`, \`1GiB\`. A number alone is a fault, because its unit is unknown.
- **All faults are reported at once**, each with line, path, value and fix. An unknown key is a fault, and so is a key that
  is written twice. \`outpost-dns check\` reports them without starting anything.
- **A reload** (SIGHUP) takes the file only when it is free of faults. Otherwise the running configuration stays.
- **YAML** is 1.2: \`yes\` and \`on\` are words, not truth values. Tags and merge keys are not taken. The file may have 1 MiB.

## Environment variables

A variable overrides a single key, for containers: \`OUTPOST_DNS_\`, then the path in upper case with \`__\` between its parts.
Items of a list are counted from 0, and a list of single values may be written with commas:

\`\`\`sh
OUTPOST_DNS_LOG__LEVEL=debug
OUTPOST_DNS_CLUSTERS__0__NAME=my-cluster
OUTPOST_DNS_CLUSTERS__0__REGION=us-west-2
OUTPOST_DNS_UPSTREAMS=10.0.0.2,10.0.0.3
\`\`\`

When no file was named and there is none in the default place, variables alone will do. A variable with the prefix that names
no key is a fault, except for those that Kubernetes sets for a service called \`outpost-dns\`. An empty variable sets no single
value, and empties a list.
`;

export function configurationPage(): string {
  return `${PAGE_HEAD}\n${declaredKeys.map(sectionOf).join('\n')}`;
}

interface Row {
  readonly key: DeclaredKey;
  /** The path below the section. */
  readonly path: readonly string[];
}

function sectionOf(key: DeclaredKey): string {
  const rows = key.keys.length === 0 ? [{ key, path: [key.name] }] : rowsBelow(key, []);
  const example = rows.find((row) => row.key.keys.length === 0)?.path ?? [];
  const path = key.keys.length === 0 ? [key.name] : [key.name, ...(key.isListOfMaps ? [0] : []), ...example];
  return `## ${key.name}

${sentence(key)}

| key | default | allowed | meaning |
|---|---|---|---|
${rows.map(rowText).join('\n')}

As a variable: \`OUTPOST_DNS_${variableName(path)}\`
`;
}

function sentence({ facts, choice }: DeclaredKey): string {
  const doc = `${facts.doc ?? ''}${choice === undefined ? '' : `; ${choice}`}`;
  return `${doc.charAt(0).toUpperCase()}${doc.slice(1)}.`;
}

function rowsBelow(parent: DeclaredKey, path: readonly string[]): Row[] {
  return parent.keys.flatMap((key) => {
    const here = [...path, key.name];
    return key.keys.length === 0 ? [{ key, path: here }] : rowsBelow(key, here);
  });
}

function rowText({ key, path }: Row): string {
  const { facts } = key;
  const state = facts.isRequired ? 'required' : valueText(facts.defaultValue);
  const cells = [`\`${path.join('.')}\``, state, facts.allowed ?? '', facts.doc ?? ''];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function valueText(value: unknown): string {
  return value === undefined ? '' : `\`${inline(value)}\``;
}

/** `config/schema.json`: the schema for editors, in JSON Schema 2020-12. The loader checks more than JSON Schema can express. */
export function jsonSchema(): string {
  const json = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io: 'input',
    override: ({ zodSchema, jsonSchema: one }) => describe(zodSchema, one),
  });
  const { $schema, ...rest } = json;
  const title = 'configuration of outpost-dns';
  return `${printed({ $schema, title, ...rest }, '', 0)}\n`;
}

type JsonObject = z.core.JSONSchema.BaseSchema;

function describe(from: AnySchema, json: JsonObject): void {
  const { doc, allowed, pattern, example } = factsOf(from);
  const description = [doc, allowed].filter((part) => part !== undefined).join('\n\n');
  if (description !== '') json.description = description;
  if (pattern !== undefined) json.pattern = pattern;
  if (example !== undefined) json.examples = [example];
  const rule = choiceRuleOf(from);
  const choices = rule?.keys.map((key) => {
    // beside its partner only the partner counts
    const { alsoBeside } = rule;
    const isCounted = alsoBeside?.key !== key;
    return isCounted ? { required: [key] } : { required: [key], not: { required: [alsoBeside.other] } };
  });
  if (choices !== undefined) json[rule?.count === 'exactly one' ? 'oneOf' : 'anyOf'] = choices;
}

/** As the formatter prints it: a list without maps in it on one line where it fits. */
function printed(value: unknown, indent: string, used: number): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const flat = flatList(value);
    const isFlat = !value.some(isMap) && used + flat.length + 1 <= WIDTH;
    if (isFlat) return flat;
    return `[\n${value.map((item) => inner + printed(item, inner, inner.length)).join(',\n')}\n${indent}]`;
  }
  const members = Object.entries(value).map(([key, item]) => {
    const head = `${inner}${JSON.stringify(key)}: `;
    return head + printed(item, inner, head.length);
  });
  return members.length === 0 ? '{}' : `{\n${members.join(',\n')}\n${indent}}`;
}

function flatList(value: unknown): string {
  return Array.isArray(value) ? `[${value.map(flatList).join(', ')}]` : JSON.stringify(value);
}
