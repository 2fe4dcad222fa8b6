/** A backend that is no disk: whatever keeps octets under a name and a generation can keep the state. */
import t from 'tap';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { RETAINED } from '../../src/store/retained-format.ts';
import type { Fault } from '../../src/store/set-aside.ts';
import type { Claim, Generation, StateBackend } from '../../src/store/state-backend.ts';
import { StateStore } from '../../src/store/state-store.ts';
import { StoreError } from '../../src/store/store-messages.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { record, setNumber, wholeSet } from './record-sets.ts';
import { retained, textOf } from './retained-records.ts';

/** Such as a ConfigMap of Kubernetes, with a lease for a lock. */
class Shelf implements StateBackend {
  readonly kept = new Map<string, Uint8Array>();
  readonly away: string[] = [];
  holder = 'this process';
  epoch = 1;
  isAway = false;

  placeOf(name: string, generation: Generation): string {
    return `shelf ${name} ${generation}`;
  }

  async read(name: string, generation: Generation) {
    const octets = this.kept.get(this.placeOf(name, generation));
    return octets === undefined ? ({ kind: 'absent' } as const) : ({ kind: 'read', octets } as const);
  }

  async claim(): Promise<Claim> {
    if (this.holder !== 'this process') return { kind: 'taken', detail: `held by ${this.holder}` };
    return { kind: 'ours', epoch: this.epoch };
  }

  async replace(name: string, octets: Uint8Array): Promise<void> {
    const current = this.placeOf(name, 'current');
    if (this.isAway) throw new StoreError('replace', current, 'ENETUNREACH');
    const before = this.kept.get(current);
    if (before !== undefined) this.kept.set(this.placeOf(name, 'previous'), before);
    this.kept.set(current, octets);
  }

  async setAside({ path }: Fault): Promise<string> {
    this.kept.delete(path);
    this.away.push(path);
    return `${path} away`;
  }

  async tidy(): Promise<void> {}
}

function setUp(shelf: Shelf) {
  const [time, log] = [new VirtualTime(), new CollectingLog()];
  const parts = { clock: time, timers: time, log };
  return { time, log, store: new StateStore(ENDPOINTS, shelf, parts), parts };
}

t.test('both formats are kept, loaded, and served from the generation before a rotten one', async (t) => {
  const shelf = new Shelf();
  const { store, parts } = setUp(shelf);
  for (const number of [1, 2]) t.match(await store.save(wholeSet(number)), { kind: 'saved' });
  const answers = [retained('a.example', 1)];
  t.match(await new StateStore(RETAINED, shelf, parts).save(answers), { kind: 'saved', generation: 1 });
  const again = await setUp(shelf).store.load();
  t.equal(again.kind === 'loaded' && setNumber(again.content), 2);
  const loaded = await new StateStore(RETAINED, shelf, parts).load();
  t.equal(loaded.kind === 'loaded' && textOf(loaded.content), textOf(answers));
  shelf.kept.set('shelf endpoints current', new Uint8Array(100));
  const older = await setUp(shelf).store.load();
  t.equal(older.kind === 'loaded' && setNumber(older.content), 1);
  t.match(older.faults, [{ kind: 'corrupt', setAsideTo: 'shelf endpoints current away' }]);
  t.strictSame(shelf.away, ['shelf endpoints current']);
});

t.test('while it is away or another process holds it nothing is written; then all of it is', async (t) => {
  const shelf = new Shelf();
  const { store, time, log } = setUp(shelf);
  await store.save([record('one', ['10.0.0.1'])]);
  shelf.isAway = true;
  t.match(await store.save([record('one', ['10.0.0.2'])]), { kind: 'failed', code: 'ENETUNREACH' });
  t.match(store.state(), { failures: 1, pending: true });
  shelf.isAway = false;
  await time.advance(30_000);
  t.match(store.state(), { pending: false, lastFailure: undefined }, 'tried again by the one writer');
  t.strictSame(
    log.lines.map(({ text }) => text),
    [ENDPOINTS.policy.messages.failing.text, ENDPOINTS.policy.messages.recovered.text],
  );
  shelf.holder = 'the host next door';
  t.match(await store.save([record('one', ['10.0.0.3'])]), { kind: 'failed', code: 'EBUSY' });
  await setUpAsOther(shelf).save([record('two', ['10.0.0.9'])]);
  shelf.holder = 'this process';
  shelf.epoch++;
  await time.advance(30_000);
  const { store: reader } = setUp(shelf);
  const loaded = await reader.load();
  t.strictSame(
    loaded.kind === 'loaded' &&
      loaded.content.map(({ cluster, addresses }) => `${cluster} ${addresses[0]?.address}`),
    ['one 10.0.0.3', 'two 10.0.0.9'],
    'what the other wrote is kept beside it',
  );
});

/** A store of the process next door, over the same shelf. */
function setUpAsOther(shelf: Shelf) {
  const theirs = new Shelf();
  theirs.kept.clear();
  const { store } = setUp(theirs);
  return {
    async save(records: Parameters<typeof store.save>[0]) {
      await store.save(records);
      for (const [place, octets] of theirs.kept) shelf.kept.set(place, octets);
    },
  };
}
