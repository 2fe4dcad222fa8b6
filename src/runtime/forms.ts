/**
 * The form of a value that comes from outside: a state file, the body of a command, an answer. A room says with these words what
 * it takes, and gets the content out of it, or the place and the reason of the first misfit. They refuse to know where the value
 * comes from. Members that a reader does not know are left out, because a later version may have written them; only
 * `strictObject` refuses them.
 *
 * It is Valibot, with the words of this program. The set-up and the first use of Zod, which reads the configuration, would take a
 * tenth of a start, and 10 ms of the event loop later.
 */
import * as v from 'valibot';

export type Reader<Content> = v.GenericSchema<unknown, Content>;

export type Attempt<Content> =
  | { readonly kind: 'ok'; readonly content: Content }
  /** `place`: such as `users.1.user`, or empty for the value itself. `text` says the place, too. */
  | { readonly kind: 'mismatch'; readonly place: string; readonly text: string };

/** Never throws, unless a reader has a defect. */
export function attemptRead<Content>(reader: Reader<Content>, found: unknown): Attempt<Content> {
  const { success, output, issues } = v.safeParse(reader, found, { abortEarly: true });
  if (success) return { kind: 'ok', content: output };
  const place = v.getDotPath(issues[0]) ?? '';
  return { kind: 'mismatch', place, text: `${place}: ${issues[0].message}` };
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
      ({ input }) =>
        `${least} ${most < Number.POSITIVE_INFINITY ? `to ${most}` : 'or more'} items are expected, not ${input.length}`,
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

/** An object without any other members. */
export const strictObject = <const Members extends v.ObjectEntries>(entries: Members) =>
  v.pipe(
    members,
    v.strictObject(entries, ({ expected }) => (expected === 'never' ? 'not a known member' : 'missing')),
  );

/** An object with any names of members; Valibot leaves out those of a prototype. */
export const table = <Content>(reader: Reader<Content>) => v.pipe(members, v.record(v.string(), reader));

function kindOf(found: unknown): string {
  if (found === undefined) return 'nothing';
  if (found === null) return 'null';
  if (Array.isArray(found)) return 'a list';
  const kind = typeof found;
  return kind === 'object' ? 'an object' : kind === 'string' ? 'a text' : `a ${kind}`;
}
