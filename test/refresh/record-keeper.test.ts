import t from 'tap';
import { emptyRecord } from '../../src/refresh/reconcile/plan.ts';
import { RecordKeeper, type SaveOutcome } from '../../src/refresh/record-keeper.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

function setUp(disk: () => Promise<SaveOutcome>) {
  const time = new VirtualTime();
  const log = new CollectingLog();
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
    log,
  });
  const change = () => {
    state.version++;
    keeper.changed();
  };
  return { time, log, events, keeper, state, change };
}

const saves = async (): Promise<SaveOutcome> => ({ kind: 'saved' });
const fails = async (): Promise<SaveOutcome> => ({ kind: 'failed', detail: 'no space left' });
const hangs = () => new Promise<SaveOutcome>(() => {});

t.test('a change is saved first and then published', async (t) => {
  const { events, change, time } = setUp(saves);
  change();
  await time.advance(0);
  t.strictSame(events, ['save version 1', 'publish version 1']);
  t.equal(time.pendingTimers, 0);
});

t.test('a disk that is full is told of once, and keeps nothing back', async (t) => {
  const { events, change, time, log, keeper, state } = setUp(fails);
  change();
  await time.advance(0);
  change();
  await time.advance(0);
  t.strictSame(events, ['save version 1', 'publish version 1', 'save version 2', 'publish version 2']);
  t.strictSame(keeper.stats(), { saveFailures: 2, isSaveFailing: true });
  t.match(log.lines, [{ level: 'error', fields: { detail: 'no space left' } }]);
  t.equal(log.lines.length, 1);
  state.disk = saves;
  await time.advance(30_000);
  t.equal(events.at(-1), 'save version 2', 'and tried again');
  t.strictSame(keeper.stats(), { saveFailures: 2, isSaveFailing: false });
  await time.advance(600_000);
  t.equal(events.length, 5, 'until it has worked');
});

t.test('a save that rejects is a failed one', async (t) => {
  const { events, change, time, keeper } = setUp(() => Promise.reject(new Error('a bug')));
  change();
  await time.advance(0);
  t.equal(events.at(-1), 'publish version 1');
  t.equal(keeper.stats().isSaveFailing, true);
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
  t.strictSame(events.slice(2), ['publish version 2'], 'and no second save is begun beside it');
});

t.test('changes during a save are published together and saved after it', async (t) => {
  const first = Promise.withResolvers<SaveOutcome>();
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
    const first = Promise.withResolvers<SaveOutcome>();
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
  keeper.confirmed();
  await time.advance(0);
  t.strictSame(events, ['publish version 0', 'save version 0']);
});

t.test('a confirmation does not overtake a change that is being saved', async (t) => {
  const disk = Promise.withResolvers<SaveOutcome>();
  const { events, keeper, change, time } = setUp(() => disk.promise);
  change();
  keeper.confirmed();
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
      if (turn % 3 === 0) keeper.confirmed();
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
  keeper.confirmed();
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
