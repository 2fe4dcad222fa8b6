import t from 'tap';
import * as v from 'valibot';
import {
  attemptRead,
  count,
  flag,
  list,
  number,
  object,
  type Reader,
  strictObject,
  table,
  text,
  word,
} from '../../src/runtime/forms.ts';

const kind = <const Kind extends string, const Members extends v.ObjectEntries>(
  kind: Kind,
  members: Members,
) => v.object({ kind: v.literal(kind), ...members });
const EVENT = v.variant('kind', [
  kind('go', { to: text, by: v.exactOptional(word('foot', 'bike')) }),
  v.variant('phase', [
    kind('stay', { phase: v.literal('day'), hours: count }),
    kind('stay', { phase: v.literal('night') }),
  ]),
]);

t.test('what fits comes out, without the members that the reader does not know', (t) => {
  const fits: readonly (readonly [Reader<unknown>, found: unknown, content: unknown])[] = [
    [object({ a: text, b: v.exactOptional(number) }), { a: 'x', c: 1 }, { a: 'x' }],
    [object({ a: text, b: v.exactOptional(number) }), { a: '', b: -0.5 }, { a: '', b: -0.5 }],
    [list(flag, { least: 1, most: 2 }), [true, false], [true, false]],
    [table(count), JSON.parse('{"__proto__":1,"a":2}'), { a: 2 }],
    [EVENT, { kind: 'go', to: 'x', by: 'bike', on: 1 }, { kind: 'go', to: 'x', by: 'bike' }],
    [EVENT, { kind: 'stay', phase: 'day', hours: 8 }, { kind: 'stay', phase: 'day', hours: 8 }],
    [EVENT, { kind: 'stay', phase: 'night' }, { kind: 'stay', phase: 'night' }],
  ];
  for (const [reader, found, content] of fits)
    t.strictSame(attemptRead(reader, found), { kind: 'ok', content }, JSON.stringify(found));
  t.end();
});

t.test('what does not fit is named with its place', (t) => {
  const misfits: readonly (readonly [Reader<unknown>, found: unknown, place: string])[] = [
    [object({ a: text }), {}, 'a: '],
    [object({ toString: text }), {}, 'toString: '],
    [object({ a: text }), JSON.parse('{"__proto__":{"a":"x"}}'), 'a: '],
    [object({ a: object({ b: text }) }), { a: { b: null } }, 'a.b: '],
    [object({ a: v.exactOptional(text) }), { a: null }, 'a: '],
    [strictObject({ a: text }), {}, 'a: missing'],
    [strictObject({ a: text }), { a: 'x', b: 1 }, 'b: not a known member'],
    [strictObject({ a: text }), { a: 'x', toString: 1 }, 'toString: not a known member'],
    [strictObject({}), [], ': an object is expected, not a list'],
    [text, {}, ': a text is expected, not an object'],
    [flag, 'x', ': true or false is expected, not a text'],
    [object({ a: text }), [], ': '],
    [object({ a: text }), null, ': '],
    [object({ a: list(list(count)) }), { a: [[0], [1, -1]] }, 'a.1.1: '],
    [list(text, { least: 1 }), [], ': 1 or more items are expected, not 0'],
    [list(text, { most: 1 }), ['a', 'b'], ': 0 to 1 items are expected, not 2'],
    [list(text), { length: 1, 0: 'a' }, ': '],
    [number, JSON.parse('1e999'), ': '],
    [count, 2 ** 53, ': '],
    [count, '1', ': '],
    [table(text), { a: 1 }, 'a: '],
    [EVENT, { kind: 'toString' }, 'kind: '],
    [EVENT, { kind: 1 }, 'kind: '],
    [EVENT, { kind: 'stay' }, 'phase: '],
    [EVENT, { kind: 'stay', phase: 'day' }, 'hours: '],
  ];
  for (const [reader, found, place] of misfits) {
    const read = attemptRead(reader, found);
    t.ok(
      read.kind === 'mismatch' && read.text.startsWith(place) && place.startsWith(read.place),
      `${JSON.stringify(found)} ${JSON.stringify(read)}`,
    );
  }
  t.end();
});
