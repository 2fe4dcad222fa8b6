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

t.test('thousands of names are found, each with its own value, also by their text', async (t) => {
  const map = new NameMap<number>();
  const nameOf = (at: number) => `${'n'.repeat(at % 40)}${at}.z${at % 7}.example`;
  const COUNT = 20_000;
  for (let at = 0; at < COUNT; at++) map.set(nameOf(at), at);
  for (let at = 0; at < COUNT; at += 3) map.set(nameOf(at).toUpperCase(), -at);
  let wrong = 0;
  for (let at = 0; at < COUNT; at++) {
    const value = at % 3 === 0 ? -at : at;
    const query = asked(`below.${nameOf(at)}`);
    if (map.get(nameOf(at)) !== value || map.closest(query) !== value || map.exact(query) !== undefined)
      wrong++;
  }
  t.equal(wrong, 0);
  t.notOk(map.has('z1.example') || map.has('.') || map.has('n1.z1.exampl'));
  t.ok(map.has('N1.Z1.example'));
});
