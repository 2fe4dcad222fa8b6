/** `docs/configuration.md`: what an operator reads about the configuration, with a table for each section. */
import { variableName } from '../environment.ts';
import { type DeclaredKey, declaredKeys } from './declared-keys.ts';
import { inline } from './reference-yaml.ts';

const HEAD = `<!-- Generated from src/config/schema.ts by "node scripts/generate.ts": do not edit. -->

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
  \`512KiB\`, \`64MiB\`, \`1GiB\`. A number alone is a fault, because nobody can tell what was meant.
- **All faults are reported at once**, each with line, path, value and what to do. An unknown key is a fault. So is a key that
  is written twice. \`outpost-dns check\` reports them without starting anything.
- **A reload** (SIGHUP) takes the file only when it is free of faults. Otherwise the running configuration stays.
- **YAML** is 1.2: \`yes\` and \`on\` are words, not truth values. Tags and merge keys are not taken. The file may have 256 KiB.

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
no key is a fault, except for those that Kubernetes sets for a service called \`outpost-dns\`.
`;

export function configurationPage(): string {
  return `${HEAD}\n${declaredKeys.map(sectionOf).join('\n')}`;
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
