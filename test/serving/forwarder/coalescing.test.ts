import t from 'tap';
import { OnItsWay, OnTheirWay } from '../../../src/serving/forwarder/coalescing.ts';
import { type ForwardOutcome, forwardFailure } from '../../../src/serving/forwarder/forward-outcome.ts';
import { questionOf } from '../../../src/serving/forwarder/question.ts';
import { clientQuery } from './hand-made-upstream.ts';

const question = (name: string) => questionOf(clientQuery(name));
const on = (name: string, { hash = 7, group = '.' } = {}) =>
  new OnItsWay(hash, question(name), group, () => undefined);

t.test('questions that share a hash are told apart, and each leaves alone, in any order', async (t) => {
  for (const order of [
    ['a', 'b', 'c'],
    ['c', 'b', 'a'],
    ['b', 'a', 'c'],
  ]) {
    const onTheirWay = new OnTheirWay();
    const all = new Map(['a', 'b', 'c'].map((name) => [name, on(name)]));
    for (const one of all.values()) onTheirWay.add(one);
    const left = new Set(all.keys());
    for (const name of order) {
      for (const there of left) t.equal(onTheirWay.find(7, question(there), '.'), all.get(there));
      const one = all.get(name);
      if (one !== undefined) onTheirWay.delete(one);
      left.delete(name);
      t.equal(onTheirWay.find(7, question(name), '.'), undefined, `${name} has left`);
      t.same([onTheirWay.size, onTheirWay.all().length], [left.size, left.size]);
    }
  }
});

t.test('another group is another question', async (t) => {
  const onTheirWay = new OnTheirWay();
  onTheirWay.add(on('a'));
  t.equal(onTheirWay.find(7, question('a'), 'corp'), undefined);
});

t.test('identical questions are one exchange, however many others share their hash', async (t) => {
  const onTheirWay = new OnTheirWay();
  const first = on('first');
  onTheirWay.add(first);
  for (let at = 0; at < 200; at++) onTheirWay.add(on(`n${at}`));
  t.equal(onTheirWay.find(7, question('first'), '.'), first);
  onTheirWay.delete(first);
  t.equal(onTheirWay.find(7, question('first'), '.'), undefined);
  t.equal(onTheirWay.size, 200);
});

t.test('all who joined are told, in the order in which they came', async (t) => {
  const told: string[] = [];
  const tell = (who: string) => (outcome: ForwardOutcome) => void told.push(`${who} ${outcome.kind}`);
  const one = new OnItsWay(1, question('a'), '.', tell('first'));
  t.equal(one.isJoined, false);
  one.join(tell('second'));
  one.join(tell('third'));
  t.equal(one.isJoined, true);
  one.land(forwardFailure('timeout', 'no reply'));
  t.same(told, ['first failed', 'second failed', 'third failed']);
});
