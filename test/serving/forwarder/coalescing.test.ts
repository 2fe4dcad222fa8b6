import t from 'tap';
import { DeadlineSweep } from '../../../src/serving/forwarder/deadline-sweep.ts';
import { type ForwardOutcome, forwardFailure } from '../../../src/serving/forwarder/forward-outcome.ts';
import { PendingQuestion, PendingQuestions } from '../../../src/serving/forwarder/pending-questions.ts';
import { questionOf } from '../../../src/serving/forwarder/question.ts';
import { DEFAULT_SETTINGS } from '../../../src/serving/forwarder/upstream.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { clientQuery } from './hand-made-upstream.ts';

const question = (name: string) => questionOf(clientQuery(name));
const time = new VirtualTime();
const context = {
  sweep: new DeadlineSweep(time, time),
  settings: () => DEFAULT_SETTINGS,
  nowMs: () => time.monotonicMs(),
};

/** A question about `name` that no upstream is asked. */
function pending(name: string): PendingQuestion {
  const made = new PendingQuestion(context, question(name), [], 'usual', () => undefined);
  made.hash = 7;
  made.group = '.';
  return made;
}

t.test('questions that share a hash are told apart, and each leaves alone, in any order', async (t) => {
  for (const order of [
    ['a', 'b', 'c'],
    ['c', 'b', 'a'],
    ['b', 'a', 'c'],
  ]) {
    const questions = new PendingQuestions();
    const all = new Map(['a', 'b', 'c'].map((name) => [name, pending(name)]));
    for (const one of all.values()) questions.add(one);
    const left = new Set(all.keys());
    for (const name of order) {
      for (const there of left) t.equal(questions.find(7, question(there), '.'), all.get(there));
      const one = all.get(name);
      if (one !== undefined) questions.delete(one);
      left.delete(name);
      t.equal(questions.find(7, question(name), '.'), undefined, `${name} has left`);
      t.same([questions.size, questions.all().length], [left.size, left.size]);
    }
  }
});

t.test('another group is another question', async (t) => {
  const questions = new PendingQuestions();
  questions.add(pending('a'));
  t.equal(questions.find(7, question('a'), 'corp'), undefined);
});

t.test('identical questions are one exchange, however many others share their hash', async (t) => {
  const questions = new PendingQuestions();
  const first = pending('first');
  questions.add(first);
  for (let at = 0; at < 200; at++) questions.add(pending(`n${at}`));
  t.equal(questions.find(7, question('first'), '.'), first);
  questions.delete(first);
  t.equal(questions.find(7, question('first'), '.'), undefined);
  t.equal(questions.size, 200);
});

t.test('all who joined are told, in the order in which they came', async (t) => {
  const told: string[] = [];
  const tell = (client: string) => ({
    send: (outcome: ForwardOutcome) => void told.push(`${client} ${outcome.kind}`),
    fail: t.error,
  });
  const one = pending('a');
  one.join(tell('first'));
  t.equal(one.isJoined, false);
  one.join(tell('second'));
  one.join(tell('third'));
  t.equal(one.isJoined, true);
  one.reply(forwardFailure('timeout', 'no reply'));
  t.same(told, ['first failed', 'second failed', 'third failed']);
});
