/** `config/schema.json`: the schema for editors, in JSON Schema 2020-12. The loader checks more than JSON Schema can express. */
import * as z from 'zod';
import { schema } from './config.ts';
import { type AnySchema, factsOf, isMap } from './facts.ts';
import { choiceRuleOf } from './rule.ts';

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

const WIDTH = 110; // the formatter's, which the file must satisfy too

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
