import t from 'tap';
import { frozen } from '../../src/config/source-text.ts';
import { buffersOf, JsonList } from '../../src/runtime/json-list.ts';
import { atOnce, jsonTexts } from '../../src/runtime/slices.ts';

interface Zone {
  readonly name: string;
  readonly answer?: string;
  readonly records?: Iterable<{ readonly owner: string }>;
  readonly others?: Iterable<string>;
}

const ZONES: readonly Zone[] = [
  { name: 'é.example', answer: 'nxdomain' },
  { name: 'empty.example', records: [] },
  { name: 'two.example', records: [{ owner: 'a' }, { owner: 'b' }], others: ['x', 'y', 'z'] },
  // longer than a block
  { name: 'long.example', records: [{ owner: 'l'.repeat(300_000) }, { owner: 'after' }] },
  ...Array.from({ length: 3000 }, (_, at) => ({ name: `z${at}.example`, records: [{ owner: `w${at}` }] })),
];

/** The values with arrays in place of what is only iterable. */
const plain = (list: Iterable<unknown>) => JSON.parse([...jsonTexts(list, { indent: '' })].join(''));

t.test(
  'values are read as they were added, a new one each time, and frozen with all their items',
  async (t) => {
    const list = atOnce(JsonList.of(ZONES, frozen));
    t.equal(list.length, ZONES.length);
    t.strictSame(plain(list), ZONES);
    t.equal([...jsonTexts(list)].join(''), JSON.stringify(ZONES, undefined, '  '), 'written as an array is');
    t.strictSame(plain([list.at(2)]), [ZONES[2]]);
    t.not(list.at(2), list.at(2));
    const { records = [] } = list.at(2);
    t.ok([list.at(2), records, ...records].every(Object.isFrozen));
    t.strictSame([...records], [...records], 'its items can be read again');
  },
);

t.test('a list is made of buffers that a thread hands over, and grows on', async (t) => {
  const { parts } = atOnce(JsonList.of(ZONES));
  const list = new JsonList<Zone>(structuredClone(parts, { transfer: buffersOf(parts) }));
  t.equal(list.add({ name: 'one more', records: [{ owner: 'c' }] }), ZONES.length);
  t.strictSame(plain(list), [...ZONES, { name: 'one more', records: [{ owner: 'c' }] }]);
  t.equal(atOnce(JsonList.of(list)), list, 'no copy');
  const none = new JsonList<Zone>(new JsonList<Zone>().parts);
  for (const zone of ZONES.slice(0, 50)) none.add(zone);
  t.strictSame(plain(none), ZONES.slice(0, 50), 'a list of nothing grows, too');
});

t.test('two values are the same where all their texts are', async (t) => {
  const values: readonly Zone[] = [
    { name: 'a', records: [{ owner: '1' }, { owner: '2' }] },
    { name: 'a', records: [{ owner: '1' }, { owner: '3' }] },
    { name: 'a', records: [{ owner: '1' }] },
    { name: 'a', others: ['1', '2'] },
    { name: 'a', records: [] },
    { name: 'a' },
    { name: 'b', records: [{ owner: '1' }, { owner: '2' }] },
  ];
  const [one, other] = [atOnce(JsonList.of(values)), atOnce(JsonList.of([...values].reverse()))];
  for (const [index, value] of values.entries())
    for (const [otherIndex, otherValue] of [...values].reverse().entries())
      t.equal(atOnce(one.same(index, other, otherIndex)), value === otherValue, `${index} ${otherIndex}`);
});

t.test('thousands of items of one value are compared in steps', async (t) => {
  const records = Array.from({ length: 10_000 }, (_, at) => ({ owner: `w${at}` }));
  const list = atOnce(JsonList.of([{ name: 'a', records }]));
  t.ok([...list.same(0, list, 0)].length > 500);
});
