/**
 * What the JSON of a state file has to look like, and its content out of it: Valibot, with the words of this program. A start reads such
 * a file before its first answer, and the set-up and the first use of Zod would take a tenth of the time there. Members that a reader
 * does not know are left out, because a later version may have written them.
 */
import * as v from 'valibot';

export type Reader<Content> = v.GenericSchema<unknown, Content>;

export type Attempt<Content> =
  | { readonly kind: 'ok'; readonly content: Content }
  | { readonly kind: 'mismatch'; readonly text: string };

/** Never throws, unless a reader has a defect. */
export function attemptRead<Content>(reader: Reader<Content>, found: unknown): Attempt<Content> {
  const { success, output, issues } = v.safeParse(reader, found, { abortEarly: true });
  if (success) return { kind: 'ok', content: output };
  return { kind: 'mismatch', text: `${v.getDotPath(issues[0]) ?? ''}: ${issues[0].message}` };
}

const not = (expected: string) => (issue: { readonly input: unknown }) =>
  `${expected} is expected, not ${kindOf(issue.input)}`;

export const text = v.string(not('a text'));
export const number = v.pipe(v.number(not('a number')), v.finite('too large'));
const NO_COUNT = 'not a whole number from 0';
export const count = v.pipe(number, v.safeInteger(NO_COUNT), v.minValue(0, NO_COUNT));
export const flag = v.boolean(not('true or false'));

export const word = <const Words extends readonly string[]>(...words: Words) =>
  v.picklist(words, `not one of ${words.join(', ')}`);

export const list = <Content>(reader: Reader<Content>, { least = 0, most = Number.POSITIVE_INFINITY } = {}) =>
  v.pipe(
    v.array(reader, not('a list')),
    v.check(
      ({ length }) => length >= least && length <= most,
      ({ input }) => `${input.length} items`,
    ),
    v.readonly(),
  );

/** Valibot takes a list for an object, too. */
const members = v.custom(
  (found) => typeof found === 'object' && found !== null && !Array.isArray(found),
  not('an object'),
);

export const object = <const Members extends v.ObjectEntries>(entries: Members) =>
  v.pipe(members, v.object(entries, 'missing'));

/** An object with any names of members; Valibot leaves out those of a prototype. */
export const table = <Content>(reader: Reader<Content>) => v.pipe(members, v.record(v.string(), reader));

function kindOf(found: unknown): string {
  if (found === undefined) return 'nothing';
  return found === null ? 'null' : Array.isArray(found) ? 'a list' : `a ${typeof found}`;
}
