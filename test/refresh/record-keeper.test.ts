import t from 'tap';
import { emptyRecord } from '../../src/refresh/reconcile/plan.ts';
import { RecordKeeper } from '../../src/refresh/record-keeper.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

function setUp(disk: () => Promise<unknown>) {
  const time = new VirtualTime();
  const events: string[] = [];
  const state = { version: 0, disk };
  const compose = function* () {
    yield;
    const records = [emptyRecord(`version ${state.version}`, undefined)];
    return { toSave: records, toPublish: records };
  };
  const keeper = new RecordKeeper({
    compose,
    save: ([record]) => {
      events.push(`save ${record?.cluster}`);
      return state.disk();
    },
    publish: ([record]) => events.push(`publish ${record?.cluster}`),
    timers: time,
  });
  const change = () => {
    state.version++;
    keeper.saveAndPublish();
  };
  return { time, events, keeper, state, change };
}

const saves = async (): Promise<unknown> => ({ kind: 'saved' });
const fails = async (): Promise<unknown> => ({ kind: 'failed', detail: 'no space left' });
const hangs = () => new Promise<unknown>(() => {});

t.test('a change is saved first and then published', async (t) => {
  const { events, change, time } = setUp(saves);
  change();
  await time.advance(0);
  t.strictSame(events, ['save version 1', 'publish version 1']);
  t.equal(time.pendingTimers, 0);
});

t.test('a disk that is full keeps nothing back', async (t) => {
  const { events, change, time } = setUp(fails);
  change();
  await time.advance(0);
  change();
  await time.advance(0);
  t.strictSame(events, ['save version 1', 'publish version 1', 'save version 2', 'publish version 2']);
});

t.test('a save that rejects keeps nothing back', async (t) => {
  const { events, change, time } = setUp(() => Promise.reject(new Error('a bug')));
  change();
  await time.advance(0);
  t.equal(events.at(-1), 'publish version 1');
});

t.test('a disk that hangs holds a publication back for 2 s, and no more', async (t) => {
  const { events, change, time } = setUp(hangs);
  change();
  await time.advance(1_999);
  t.strictSame(events, ['save version 1']);
  await time.advance(1);
  t.strictSame(events, ['save version 1', 'publish version 1']);
  change();
  await time.advance(2_000);
  t.strictSame(events.slice(2), ['save version 2', 'publish version 2'], 'the store takes one at a time');
});

t.test('changes during a save are published together and saved after it', async (t) => {
  const first = Promise.withResolvers<unknown>();
  const { events, change, time, state } = setUp(() => first.promise);
  change();
  state.disk = saves;
  change();
  change();
  await time.advance(0);
  first.resolve({ kind: 'saved' });
  await time.advance(0);
  t.strictSame(events, ['save version 1', 'save version 3', 'publish version 3']);
});

t.test('a change in the very moment in which a save ends is saved as well', async (t) => {
  for (let turns = 0; turns < 20; turns++) {
    const first = Promise.withResolvers<unknown>();
    const { events, change, time, state } = setUp(() => first.promise);
    change();
    state.disk = saves;
    first.resolve({ kind: 'saved' });
    for (let turn = 0; turn < turns; turn++) await undefined;
    change();
    await time.advance(0);
    t.ok(events.includes('save version 2'), `${turns} turns later: ${events}`);
    t.equal(events.at(-1), 'publish version 2');
  }
});

t.test('a confirmation is published at once and saved beside it', async (t) => {
  const { events, keeper, time } = setUp(hangs);
  keeper.publishSoon();
  await time.advance(0);
  t.strictSame(events, ['publish version 0', 'save version 0']);
});

t.test('a confirmation does not overtake a change that is being saved', async (t) => {
  const disk = Promise.withResolvers<unknown>();
  const { events, keeper, change, time } = setUp(() => disk.promise);
  change();
  keeper.publishSoon();
  await time.advance(0);
  t.strictSame(events, ['save version 1']);
  disk.resolve({ kind: 'saved' });
  await time.advance(0);
  t.ok(events.includes('publish version 1'));
});

t.test(
  'after many changes and confirmations in any order the last state is saved and published',
  async (t) => {
    const { events, keeper, change, time } = setUp(saves);
    for (let turn = 0; turn < 20; turn++) {
      if (turn % 3 === 0) keeper.publishSoon();
      else change();
      if (turn % 4 === 0) await time.advance(1);
    }
    await time.advance(10);
    const last = (kind: string) => events.findLast((event) => event.startsWith(kind));
    t.equal(last('save'), 'save version 13');
    t.equal(last('publish'), 'publish version 13');
    change();
    await time.advance(0);
    t.strictSame(events.slice(-2), ['save version 14', 'publish version 14'], 'and so is the next');
  },
);

t.test('a stop saves once more, waits no longer than 2 s, and publishes nothing', async (t) => {
  const { events, keeper, time, state, change } = setUp(saves);
  await keeper.stop();
  t.strictSame(events, ['save version 0']);
  change();
  keeper.publishSoon();
  await time.advance(60_000);
  t.equal(events.length, 1);
  const hanging = setUp(hangs);
  let isOver = false;
  void hanging.keeper.stop().then(() => {
    isOver = true;
  });
  await hanging.time.advance(1_999);
  t.notOk(isOver);
  await hanging.time.advance(1);
  t.ok(isOver);
  t.equal(state.version, 1);
});
