/**
 * Work that grows with the number of clusters is done in steps, each of which works on one record. The loop then decides how
 * many steps make a turn. Counted in records, because a time says nothing on a busy machine.
 */
import t, { type Test } from 'tap';
import type { EndpointRecord } from '../../src/records/endpoint-record.ts';
import type { Steps } from '../../src/runtime/slices.ts';
import { EndpointTable } from '../../src/serving/endpoints/endpoint-table.ts';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { record } from './record-sets.ts';

const CLUSTERS = 300;

/** Says which records were read since it was last asked. */
class Watched {
  readonly #read = new Set<string>();

  /** The record; a read of its addresses is noticed. */
  record(n: number, seenMs?: number): EndpointRecord {
    const { addresses, ...rest } = record(`cluster-${n}`, [`10.0.${n >> 8}.${n & 255}`], seenMs);
    return Object.defineProperty({ ...rest, addresses }, 'addresses', {
      enumerable: true,
      get: () => {
        this.#read.add(rest.cluster);
        return addresses;
      },
    });
  }

  take(): number {
    const { size } = this.#read;
    this.#read.clear();
    return size;
  }
}

/** Runs the steps to the end; checks that none of them reads two records, and says how many reads there were in all. */
function oneByOne<T>(t: Test, watched: Watched, steps: Steps<T>, what: string): { value: T; total: number } {
  watched.take();
  let [most, total] = [0, 0];
  for (;;) {
    const { done, value } = steps.next();
    const read = watched.take();
    most = Math.max(most, read);
    total += read;
    if (!done) continue;
    t.ok(most <= 1, `${what}: ${most} records in one step`);
    return { value, total };
  }
}

t.test('endpoint records are compared and encoded one a step, and only those that are new', async (t) => {
  const watched = new Watched();
  const before = Array.from({ length: CLUSTERS }, (_, n) => watched.record(n));
  const encode = (content: readonly EndpointRecord[], what: string) =>
    oneByOne(t, watched, ENDPOINTS.encode({ generation: 1, writtenAtMs: 0, content }), what);

  const first = encode(before, 'a first save');
  t.ok(first.total >= CLUSTERS);
  const again = encode(before, 'the same again');
  t.equal(again.total, 0, 'no record is composed a second time');
  t.same(again.value, first.value);

  const confirmed = before.map((_, n) => watched.record(n, 1_800_000_000_000));
  const compare = (after: readonly EndpointRecord[], what: string) =>
    oneByOne(t, watched, ENDPOINTS.compare(before, after), what).value;
  t.equal(compare(before, 'the same set'), 'none');
  t.equal(compare(confirmed, 'a confirmation of all'), 'ageing');
  t.equal(compare(confirmed.toReversed(), 'in another order'), 'ageing');

  const changed = before.with(7, watched.record(8_000));
  t.equal(compare(changed, 'another cluster'), 'content');
  const after = encode(changed, 'one record is new');
  t.ok(after.total <= 3, `${after.total} reads: only the new record is composed`);
});

t.test('a table is composed one record a step', async (t) => {
  const watched = new Watched();
  const records = Array.from({ length: CLUSTERS }, (_, n) => watched.record(n));
  const { value: table } = oneByOne(
    t,
    watched,
    EndpointTable.composing(records, EndpointTable.empty),
    'a first table',
  );
  const changed = records.with(7, watched.record(8_000));
  oneByOne(t, watched, EndpointTable.composing(changed, table), 'a table after a change of one record');
});
