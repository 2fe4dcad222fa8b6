/**
 * No step of the cache grows with the number of its answers. Counted, not timed: the octets of new arrays, since an array that
 * is copied to a larger place is a new array, and the steps.
 */
import t from 'tap';
import { AnswerCache } from '../../../src/serving/answer-cache/answer-cache.ts';
import { asked, indexed, positive, settings } from './asked.ts';

const MIB = 1024 * 1024;
/** A page of slots of the cache has 352 KiB; a slab 256. */
const MOST_OCTETS = 512 * 1024;

const ARRAYS = ['Uint8Array', 'Uint16Array', 'Int32Array', 'Uint32Array', 'Float64Array'] as const;

/** Notes the most octets of one new array until `end`. */
function watchArrays(): { end(): number } {
  let most = 0;
  const before = ARRAYS.map((name) => globalThis[name]);
  for (const name of ARRAYS) {
    const watched = new Proxy(globalThis[name], {
      construct(target, parts, newTarget) {
        const array = Reflect.construct(target, parts, newTarget) as Uint8Array;
        most = Math.max(most, array.byteLength);
        return array;
      },
    });
    Object.assign(globalThis, { [name]: watched });
  }
  return {
    end() {
      for (const [at, name] of ARRAYS.entries()) Object.assign(globalThis, { [name]: before[at] });
      return most;
    },
  };
}

/** Distinct questions without composing a message for each: the octets of the name are written over. */
function questions() {
  const octets = positive('n000000.example', 80_000);
  const query = asked('n000000.example');
  const index = indexed(octets);
  const own = asked('n000000.example').octets;
  return (n: number) => {
    const digits = String(n).padStart(6, '0');
    for (let at = 0; at < 6; at++) octets[14 + at] = digits.charCodeAt(at);
    for (let at = 0; at < 6; at++) own[query.nameStart + 2 + at] = digits.charCodeAt(at);
    return { query: asked(`n${digits}.example`), octets, index };
  };
}

t.test('more answers and a larger bound copy nothing to a larger place, and all are found', async (t) => {
  const ANSWERS = 60_000;
  const cache = new AnswerCache({ ...settings, sizeOctets: 8 * MIB });
  const question = questions();
  const store = (n: number): void => {
    const { query, octets, index } = question(n);
    cache.store(query, octets, index, n);
  };
  for (let n = 0; n < ANSWERS / 3; n++) store(n);
  const watch = watchArrays();
  try {
    const larger = cache.reconfiguring({ ...cache.settings, sizeOctets: 1024 * MIB });
    while (larger.next().done !== true);
    for (let n = 0; n < ANSWERS; n++) store(n);
  } finally {
    const most = watch.end();
    t.comment(`the largest new array has ${most} octets`);
    t.ok(most <= MOST_OCTETS, 'octets of a new array');
  }
  let found = 0;
  for (let n = 0; n < ANSWERS; n++) {
    if (cache.find(asked(`n${String(n).padStart(6, '0')}.example`), ANSWERS) !== undefined) found++;
  }
  t.equal(found, ANSWERS);
  t.equal(cache.stats().entries, ANSWERS);
});

t.test('steps over slots that have become free are bounded too', async (t) => {
  const cache = new AnswerCache({ ...settings, sizeOctets: 64 * MIB });
  const question = questions();
  const ANSWERS = 60_000;
  for (let n = 0; n < ANSWERS; n++) {
    const { query, octets, index } = question(n);
    cache.store(query, octets, index, n);
  }
  cache.reconfigure({ ...cache.settings, sizeOctets: 64 * 1024 });
  t.ok(cache.stats().entries < 200);
  const stepsOf = (work: Iterator<unknown>): number => {
    let steps = 1;
    while (work.next().done !== true) steps++;
    return steps;
  };
  const expected = Math.floor(ANSWERS / 256);
  t.ok(stepsOf(cache.flushing(() => false)) >= expected, 'steps of a flush');
  t.ok(stepsOf(cache.entries(ANSWERS)) >= expected, 'steps of the entries for the snapshot');
  t.ok(stepsOf(cache.restoreOrder(ANSWERS)) >= expected, 'steps of the order');
});

t.test('answers that arrive during a flush leave nothing to its last step', async (t) => {
  const cache = new AnswerCache({ ...settings, sizeOctets: 64 * MIB });
  const put = (name: string) => {
    const octets = positive(name, 80_000);
    return cache.store(asked(name), octets, indexed(octets), 0);
  };
  for (let n = 0; n < 100; n++) put(`a${n}.example`);
  const flush = cache.flushing((name) => name.startsWith('a'));
  flush.next();
  let kept = 0;
  for (let n = 0; n < 500; n++) if (put(`a${n + 50}.example`) !== undefined) kept++;
  t.equal(kept, 0);
  t.ok(put('b.example') !== undefined, 'an answer to another question is kept');
  t.ok(cache.find(asked('a70.example'), 1) === undefined, 'nor is the older answer given meanwhile');
  while (flush.next().done !== true);
  t.equal(cache.stats().entries, 1);
  t.ok(put('a1.example') !== undefined, 'kept again after the last step');
});
