/**
 * Queries are answered on the same loop. So all work that grows with the number of clusters or of retained names gives way
 * to them after a few steps. Counted in turns, because times say nothing on a busy machine.
 */
import t from 'tap';
import { RefreshPlane } from '../../src/refresh/refresh-plane.ts';
import { RetainedRefresher } from '../../src/refresh/retained/retained-refresher.ts';
import { inSlices, type Steps } from '../../src/runtime/slices.ts';
import { EndpointTable } from '../../src/serving/endpoints/endpoint-table.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { addresses, question, silentUpstream } from './retained/scripted-upstream.ts';
import { clusterSettings, evenRandom, ScriptedSource, sees, times } from './scripted-source.ts';

const CLUSTERS = 300;
const NAMES = 1000;
/** Each of these takes up to 200 microseconds. */
const MOST_IN_ONE_TURN = 10;

/** Counts the turns of the loop, and how often something happened within one of them. */
class Turns {
  most = 0;
  total = 0;
  #inThisTurn = 0;

  readonly pause = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    this.#inThisTurn = 0;
  };

  readonly happens = (): void => {
    this.total++;
    this.most = Math.max(this.most, ++this.#inThisTurn);
  };

  /** How it went since the last call. */
  read(): { readonly most: number; readonly total: number } {
    const { most, total } = this;
    this.most = this.total = this.#inThisTurn = 0;
    return { most, total };
  }
}

function clustersWith(polls: Turns, more: object = {}) {
  return Array.from({ length: CLUSTERS }, (_, n) => {
    const address = `10.0.${n >> 8}.${n & 255}`;
    const poll = (name: 'dns' | 'interfaces') =>
      new ScriptedSource(name, async () => {
        polls.happens();
        return sees(name, address);
      });
    const name = `cluster-${n}`;
    return clusterSettings({
      name,
      endpoint: `${name}.example`,
      sources: [poll('dns'), poll('interfaces')],
      ...more,
    });
  });
}

t.test('clusters: a start, a change of all and a reload let queries have their turn', async (t) => {
  const [polls, changes] = [new Turns(), new Turns()];
  const time = new VirtualTime();
  let table = EndpointTable.empty;
  let published = 0;
  const plane = new RefreshPlane({
    clusters: clustersWith(polls),
    times,
    clock: time,
    timers: time,
    random: evenRandom,
    log: new CollectingLog(),
    pause: async () => {
      await Promise.all([polls.pause(), changes.pause()]);
    },
    save: async () => ({ kind: 'saved' }),
    publish: (records) => {
      published++;
      table = new EndpointTable(records, table);
    },
    evidence: () => {},
    onChanges: changes.happens,
  });
  const isFine = (of: Turns, total: number, what: string) => {
    const { most, total: counted } = of.read();
    t.equal(counted, total, what);
    t.ok(most <= MOST_IN_ONE_TURN, `${what}: at most ${most} in one turn`);
  };
  const settle = async (isDone: () => boolean) => {
    for (let turn = 0; turn < 5000 && !isDone(); turn++) await time.advance(0);
  };
  const areServed = (count: number) => () =>
    table.records.filter((record) => record.addresses.length > 0).length === count;

  await plane.load([]);
  isFine(changes, CLUSTERS, 'names learned from the configuration');
  await plane.start();
  await settle(areServed(CLUSTERS));
  isFine(polls, 2 * CLUSTERS, 'polls at the start');
  isFine(changes, CLUSTERS, 'addresses learned');

  const before = published;
  await plane.reconfigure(clustersWith(polls, { pin: ['10.9.9.9'] }));
  await settle(() => table.records.every(({ basis }) => basis === 'pin'));
  isFine(changes, CLUSTERS, 'clusters altered by a reload');
  t.equal(published, before + 1, 'published once, whole');

  await plane.reconfigure([]);
  await settle(() => table.records.length === 0);
  polls.read();
  await plane.reconfigure(clustersWith(polls));
  await settle(() => polls.total >= 2 * CLUSTERS);
  isFine(polls, 2 * CLUSTERS, 'polls for clusters that came with a reload');
  t.equal(stepsOf(plane.snapshotting()), CLUSTERS, 'a snapshot takes a step for each');
  t.ok(stepsOf(EndpointTable.composing(plane.records(), EndpointTable.empty)) > CLUSTERS, 'a table as well');
  await plane.stop();
});

t.test('a record that nothing has happened to is published as the very object that it was', async (t) => {
  const time = new VirtualTime();
  const published: (readonly object[])[] = [];
  const [one, two] = clustersWith(new Turns());
  const plane = new RefreshPlane({
    clusters: [one!, two!],
    times: { ...times, intervalMs: { ...times.intervalMs, interfaces: 3_600_000 } },
    clock: time,
    timers: time,
    random: { ...evenRandom, fraction: () => 0.5 },
    log: new CollectingLog(),
    save: async () => ({ kind: 'saved' }),
    publish: (records) => published.push(records),
    evidence: () => {},
  });
  await plane.load([]);
  await plane.start();
  await time.advance(1_000);
  const count = published.length;
  await plane.reconfigure([{ ...one!, pin: ['10.9.9.9'] }, { ...two! }]);
  await time.advance(0);
  t.ok(published.length > count);
  t.not(published.at(-1)?.[0], published[count - 1]?.[0]);
  t.equal(published.at(-1)?.[1], published[count - 1]?.[1]);
  await plane.stop();
});

t.test('retained names: a load and a reload let queries have their turn', async (t) => {
  const turns = new Turns();
  const time = new VirtualTime();
  const names = Array.from({ length: NAMES }, (_, n) => `n${n}.example`);
  const refresher = new RetainedRefresher({
    ...silentUpstream,
    questions: names.map((name) => question(name)),
    clock: time,
    timers: time,
    random: evenRandom,
    log: new CollectingLog(),
    pause: turns.pause,
    publish: () => {
      turns.happens();
      return 60_000;
    },
    withdraw: turns.happens,
  });
  const isFine = (total: number, what: string) => {
    const { most, total: counted } = turns.read();
    t.equal(counted, total, what);
    t.ok(most <= MOST_IN_ONE_TURN, `${what}: at most ${most} in one turn`);
  };
  const record = (name: string) => ({
    ...question(name),
    message: addresses(name, 60, 1),
    confirmedAtMs: time.wallMs(),
    changedAtMs: time.wallMs(),
  });
  await refresher.load(names.map(record));
  isFine(NAMES, 'published at a load');
  await refresher.reconfigure([]);
  isFine(NAMES, 'withdrawn');
  await refresher.reconfigure(names.map((name) => question(name)));
  isFine(NAMES, 'published again');
  t.equal(stepsOf(refresher.snapshotting()), NAMES, 'a snapshot takes a step for each');
  await refresher.stop();
});

t.test('work that passes a pause after each step has as many turns as steps', async (t) => {
  let turns = 0;
  const steps = (function* (): Steps<string> {
    for (let step = 0; step < 7; step++) yield;
    return 'done';
  })();
  const result = await inSlices(steps, async () => void turns++, 2);
  t.strictSame([result, turns], ['done', 3]);
});

function stepsOf(work: Steps<unknown>): number {
  let steps = 0;
  while (work.next().done !== true) steps++;
  return steps;
}
