/** `config/reference.yaml`: every key with its doc, what it allows and its default or an example, loadable as it stands. */
import { stringify } from 'yaml';
import { type DeclaredKey, declaredKeys } from './declared-keys.ts';

const WIDTH = 110;

const HEAD = `# yaml-language-server: $schema=./schema.json
#
# Every key of outpost-dns, with its default or, where it has none, an example. Generated from src/config/schema.ts by
# "node scripts/generate.ts": do not edit. A useful file is much smaller, see example.yaml: leave out what you do not change.
#
# A variable of the environment overrides a key: OUTPOST_DNS_LOG__LEVEL=debug, OUTPOST_DNS_CLUSTERS__0__REGION=us-west-2,
# OUTPOST_DNS_UPSTREAMS=10.0.0.2,10.0.0.3.
`;

export function referenceYaml(): string {
  const sections = declaredKeys.map((key) => linesOf(key, '').join('\n'));
  return `${HEAD}\n${sections.join('\n\n')}\n`;
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

export function defaultText(value: unknown): string {
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
export function inline(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', flowCollectionPadding: false, lineWidth: 0 }).trimEnd();
}
