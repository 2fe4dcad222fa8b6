/** The schema as a tree of declared keys, for everything that is generated from it: reference, JSON Schema, documentation. */
import * as z from 'zod';
import { type AnySchema, type ChoiceRule, choiceRuleOf, factsOf, inside, type SchemaFacts } from '../key.ts';
import { schema } from '../schema.ts';

export interface DeclaredKey {
  readonly name: string;
  readonly facts: SchemaFacts;
  /** The keys below it, when its value is a map or a list of maps. */
  readonly keys: readonly DeclaredKey[];
  readonly isListOfMaps: boolean;
  /** In words, such as `exactly one of a, b`. */
  readonly choice: string | undefined;
}

export const declaredKeys: readonly DeclaredKey[] = keysBelow(schema);

function choiceText({ count, keys, alsoBeside }: ChoiceRule): string {
  const text = `${count} of ${keys.join(', ')}`;
  return alsoBeside === undefined ? text : `${text}; ${alsoBeside.key} also beside ${alsoBeside.other}`;
}

function keysBelow(map: AnySchema): DeclaredKey[] {
  if (!(map instanceof z.ZodObject)) return [];
  return Object.entries<AnySchema>(map.shape).map(([name, key]) => {
    const value = inside(key);
    const item = value instanceof z.ZodArray ? inside(value.element) : undefined;
    const below = item instanceof z.ZodObject ? item : value;
    const rule = choiceRuleOf(below);
    return {
      name,
      facts: factsOf(key),
      keys: keysBelow(below),
      isListOfMaps: item instanceof z.ZodObject,
      choice: rule && choiceText(rule),
    };
  });
}
