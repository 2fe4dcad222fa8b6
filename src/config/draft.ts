/** What can be read of settings that hold faults: the same structure, with every faulty value left out. */
import * as z from 'zod';
import { type AnySchema, inside, isMap } from './key.ts';

/** The output of a schema in which anything may be missing, except that lists keep their length. */
export type DraftOf<Schema> =
  Schema extends z.ZodObject<infer Shape>
    ? { readonly [Key in keyof Shape]?: DraftOf<Shape[Key]> | undefined }
    : Schema extends z.ZodArray<infer Item>
      ? readonly (DraftOf<Item> | undefined)[]
      : Schema extends z.ZodOptional<infer Inner> | z.ZodPrefault<infer Inner>
        ? DraftOf<Inner> | undefined
        : z.output<Schema>;

export function draftOf<Schema extends AnySchema>(
  schema: Schema,
  data: unknown,
): DraftOf<Schema> | undefined {
  // `read` walks the schema at run time as `DraftOf` does in the types; the compiler cannot follow the one to the other
  return read(schema, data) as DraftOf<Schema> | undefined;
}

function read(schema: AnySchema, data: unknown): unknown {
  const inner = inside(schema);
  if (data !== undefined && inner instanceof z.ZodArray) {
    return Array.isArray(data) ? data.map((item) => read(inner.element, item)) : undefined;
  }
  if (data !== undefined && inner instanceof z.ZodObject) {
    if (!isMap(data)) return undefined;
    const entries = Object.entries<AnySchema>(inner.shape);
    return Object.fromEntries(entries.map(([key, value]) => [key, read(value, data[key])]));
  }
  const result = z.safeParse(schema, data);
  return result.success ? result.data : undefined;
}
