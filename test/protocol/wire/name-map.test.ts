import t from 'tap';
import { NameMap } from '../../../src/protocol/wire/message.ts';
import { parseQuery, Query } from '../../../src/protocol/wire/query.ts';
import { message } from '../../helpers/zone-text.ts';

function asked(name: string): Query {
  const octets = message({ flags: 0, question: [name, 'A'] });
  const query = new Query();
  parseQuery(query, octets, 0, octets.length);
  return query;
}

t.test('names are found exactly and by their longest suffix, whatever the case', async (t) => {
  const map = new NameMap<string>().set('b.example', 'b').set('a.b.EXAMPLE', 'ab').set('invalid', 'invalid');
  for (const [name, exact, closest] of [
    ['b.example', 'b', 'b'],
    ['B.Example', 'b', 'b'],
    ['x.b.example', undefined, 'b'],
    ['y.x.a.b.example', undefined, 'ab'],
    ['xb.example', undefined, undefined],
    ['example', undefined, undefined],
    ['foo.invalid', undefined, 'invalid'],
    ['.', undefined, undefined],
  ] as const) {
    t.equal(map.exact(asked(name)), exact, `${name}: exact`);
    t.equal(map.closest(asked(name)), closest, `${name}: closest`);
  }
});

t.test('the root matches everything, and a later value replaces an earlier one', async (t) => {
  const map = new NameMap<number>().set('.', 1).set('a', 2).set('A.', 3);
  t.equal(map.closest(asked('z.z')), 1);
  t.equal(map.closest(asked('a')), 3);
  t.equal(map.exact(asked('.')), 1);
});
