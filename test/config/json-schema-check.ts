/** The part of JSON Schema 2020-12 that our own schema uses. An unknown keyword is an error, because it would go unchecked. */

type Schema = Readonly<Record<string, unknown>>;
type Keyword = (argument: never, value: unknown, schema: Schema, path: string) => string[] | boolean;

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  integer: Number.isInteger,
  boolean: (value) => typeof value === 'boolean',
};

const KEYWORDS: Readonly<Record<string, Keyword>> = {
  $schema: () => true,
  title: () => true,
  description: () => true,
  examples: () => true,
  default: () => true,
  type: (type: string, value) => TYPES[type]!(value),
  enum: (words: unknown[], value) => words.includes(value),
  pattern: (pattern: string, value) => typeof value !== 'string' || new RegExp(pattern, 'u').test(value),
  minimum: (least: number, value) => typeof value !== 'number' || value >= least,
  maximum: (most: number, value) => typeof value !== 'number' || value <= most,
  minItems: (least: number, value) => !Array.isArray(value) || value.length >= least,
  maxItems: (most: number, value) => !Array.isArray(value) || value.length <= most,
  items: (items: Schema, value, _, path) =>
    !Array.isArray(value) || value.flatMap((item, index) => faultsBySchema(items, item, `${path}/${index}`)),
  properties: (properties: Readonly<Record<string, Schema>>, value, _, path) =>
    Object.entries(mapOf(value)).flatMap(([key, inner]) =>
      properties[key] ? faultsBySchema(properties[key], inner, `${path}/${key}`) : [],
    ),
  additionalProperties: (_: false, value, schema, path) =>
    Object.keys(mapOf(value)).flatMap((key) =>
      key in Object(schema['properties']) ? [] : [`${path}/${key}: additionalProperties`],
    ),
  required: (keys: string[], value) => keys.every((key) => key in mapOf(value)),
  anyOf: (schemas: Schema[], value) => schemas.some((one) => faultsBySchema(one, value).length === 0),
  not: (schema: Schema, value) => faultsBySchema(schema, value).length > 0,
  oneOf: (schemas: Schema[], value) =>
    schemas.filter((one) => faultsBySchema(one, value).length === 0).length === 1,
};

function mapOf(value: unknown): object {
  return TYPES['object']!(value) ? Object(value) : {};
}

export function faultsBySchema(schema: Schema, value: unknown, path = ''): string[] {
  return Object.entries(schema).flatMap(([keyword, argument]) => {
    const check = KEYWORDS[keyword];
    if (check === undefined) throw new Error(`the schema uses "${keyword}", which this check does not know`);
    const verdict = check(argument as never, value, schema, path); // each keyword knows the type of its argument
    return typeof verdict === 'boolean' ? (verdict ? [] : [`${path}: ${keyword}`]) : verdict;
  });
}
