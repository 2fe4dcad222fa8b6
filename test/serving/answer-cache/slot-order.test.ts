/** The order of use over many pages of slots is that of one list, and no map of lru-cache is large. */
import t from 'tap';
import { SlotOrder } from '../../../src/serving/answer-cache/segments.ts';
import { INT, INTS, SLOTS_PER_PAGE, SlotPage } from '../../../src/serving/answer-cache/stored-answers.ts';
import { chance } from '../../helpers/chance.ts';

const SEGMENT = 1;
const SLOTS = 5 * SLOTS_PER_PAGE;

/** Some octets of their own for each slot. */
const octetsOf = (slot: number): number => 300 + (slot % 7);

function orders(count: number): { orders: SlotOrder[]; pages: SlotPage[] } {
  const pages = Array.from({ length: SLOTS / SLOTS_PER_PAGE }, () => new SlotPage());
  for (let slot = 0; slot < SLOTS; slot++) {
    pages[Math.floor(slot / SLOTS_PER_PAGE)]!.ints[(slot % SLOTS_PER_PAGE) * INTS + INT.size] =
      octetsOf(slot);
  }
  const uses = { count: 0 };
  const pageOf = (slot: number) => pages[Math.floor(slot / SLOTS_PER_PAGE)]!;
  return {
    orders: Array.from({ length: count }, (_, n) => new SlotOrder(SEGMENT + n, uses, pageOf)),
    pages,
  };
}

t.test('what is taken out is the oldest of all, whatever was used, removed and added between', async (t) => {
  const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
  t.comment(`seed ${seed}`);
  const random = chance(seed);
  const { orders: two } = orders(2);
  /** A Map keeps the order in which its keys were added. */
  const models = two.map(() => new Map<number, true>());
  const modelOf = (slot: number) => models.findIndex((model) => model.has(slot));
  let wrong = 0;
  const pop = (n: number): number | undefined => {
    const [expected] = models[n]!.keys();
    const slot = two[n]!.pop();
    if (slot !== expected) wrong++;
    if (slot !== undefined) models[n]!.delete(slot);
    return slot;
  };
  const add = (n: number, slot: number): void => {
    two[n]!.add(slot);
    models[n]!.set(slot, true);
  };
  for (let slot = 0; slot < SLOTS; slot++) add(0, slot);
  for (let step = 0; step < 60_000; step++) {
    const slot = Math.floor(random() * SLOTS);
    const at = modelOf(slot);
    const what = random();
    if (at < 0) {
      add(what < 0.5 ? 0 : 1, slot);
    } else if (what < 0.6) {
      // used: into the other order, or to the end of its own
      two[at]!.remove(slot);
      models[at]!.delete(slot);
      add(what < 0.3 ? at : 1 - at, slot);
    } else if (what < 0.7) {
      two[at]!.remove(slot);
      models[at]!.delete(slot);
    } else {
      pop(what < 0.85 ? 0 : 1);
    }
  }
  for (const [n, model] of models.entries()) {
    const octets = [...model.keys()].reduce((sum, slot) => sum + octetsOf(slot), 0);
    t.equal(two[n]!.octets, octets, 'octets of an order');
    while (pop(n) !== undefined);
    t.equal(model.size, 0);
    t.equal(two[n]!.octets, 0);
  }
  t.equal(wrong, 0, 'taken out in another order');
});

t.test('lru-cache has an order for each page, and none is larger than a page', async (t) => {
  const { orders: one, pages } = orders(1);
  for (let slot = 0; slot < SLOTS; slot++) one[0]!.add(slot);
  const each = pages.map((page) => page.orders[SEGMENT]);
  t.same(
    each.map((order) => [order?.size, order?.max]),
    pages.map(() => [SLOTS_PER_PAGE, SLOTS_PER_PAGE]),
  );
  t.ok(SLOTS_PER_PAGE <= 4096, 'a map of 4,096 entries doubles in a fifth of a millisecond');
});

t.test(
  'an order that is full, and whose oldest make room for new answers, deletes nothing in its map',
  async (t) => {
    const { orders: one } = orders(1);
    const [order] = one as [SlotOrder];
    for (let slot = 0; slot < SLOTS; slot++) order.add(slot);
    const original = Map.prototype.delete;
    let deleted = 0;
    Map.prototype.delete = function (key) {
      deleted++;
      return original.call(this, key);
    };
    for (let step = 0; step < 2 * SLOTS; step++) order.add(order.pop()!);
    Map.prototype.delete = original;
    t.equal(deleted, 0);
    t.equal(order.pop(), 0, 'the order is that of use');
  },
);
