/** Which question gives way when too many are on their way, and which questions are the same. */
import t from 'tap';
import { DeadlineSweep } from '../../../src/runtime/clock.ts';
import {
  DEFAULT_SETTINGS,
  type ForwardOutcome,
  forwardFailure,
  questionOf,
} from '../../../src/serving/forwarder/exchange.ts';
import { PendingQuestions } from '../../../src/serving/forwarder/forwarder.ts';
import { PendingQuestion } from '../../../src/serving/forwarder/pending-question.ts';
import { networkOf, parseClientAddress } from '../../../src/serving/listener/clients.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { Rig } from '../resolver/rig.ts';
import { clientQuery } from './hand-made-upstream.ts';
import { group, VirtualUpstreams } from './virtual-upstreams.ts';

const route = group('default', 'a');
const LOUD = 0x0a000100;
const QUIET = 0x0a000200;

/** Names with "silent" in them are never answered. */
function site(): VirtualUpstreams {
  return new VirtualUpstreams([route], ({ name, isProbe }) =>
    /silent/.test(name) && !isProbe ? 'silence' : { afterMs: 20, says: 'answer' },
  );
}

/** Lines of the limit log. */
function heldBack({ log }: VirtualUpstreams): unknown[] {
  return log.lines.filter(({ text }) => /held back/.test(text)).map(({ fields }) => fields);
}

function asks(world: VirtualUpstreams, name: string, network: number): Promise<ForwardOutcome> {
  const query = clientQuery(name);
  query.network = network;
  return world.forwarder.forward(query, route);
}

t.test('one client with 1,200 unanswerable names a second takes forwarding from nobody', async (t) => {
  const world = site();
  const quiet: Promise<ForwardOutcome>[] = [];
  let loud = 0;
  // a domain of its own for each: nothing is known of any of them
  for (let tick = 0; tick < 200; tick++) {
    for (let at = 0; at < 60; at++) void asks(world, `www.silent${loud++}.example`, LOUD);
    quiet.push(asks(world, `n${tick}.good.example`, QUIET));
    await world.time.advance(50);
  }
  await world.time.advance(6_000);
  const failed = (await Promise.all(quiet)).filter(({ kind }) => kind === 'failed');
  t.strictSame(failed, []);
});

t.test('when all places are taken the oldest question of the largest holder goes', async (t) => {
  const world = site();
  const loud = Array.from({ length: 999 }, (_, at) => asks(world, `www.silent${at}.example`, LOUD));
  const early = asks(world, 'www.silent-too.example', QUIET);
  const late = asks(world, 'www.good.example', QUIET);
  await world.time.advance(50);
  t.match(await late, { kind: 'response' });
  t.match(await loud[0], { kind: 'failed', reason: 'overloaded' }, 'the oldest of the largest');
  await world.time.advance(6_000);
  t.match(await early, { reason: 'timeout' });
  t.match(await loud[1], { reason: 'timeout' }, 'and no more than it takes');
  t.match(world.forwarder.snapshot(), { overloaded: { limit: 0, network: 1, suffix: 0 }, inFlight: 0 });
  t.strictSame(heldBack(world), [{ limit: 'forward.inFlight', name: 'www.silent0.example', times: 1 }]);
});

t.test('a question that others ask too counts for the one with the fewest', async (t) => {
  const world = site();
  const loud = Array.from({ length: 1_000 }, (_, at) => asks(world, `www.silent${at}.example`, LOUD));
  const joined = asks(world, 'www.silent0.example', QUIET);
  void asks(world, 'www.good.example', 0x0a000300);
  await world.time.advance(10);
  t.match(await loud[1], { reason: 'overloaded' }, 'the next one of the loud client');
  await world.time.advance(6_000);
  t.match(await joined, { reason: 'timeout' });
});

t.test('the log says so once a minute, with one of the names', async (t) => {
  const world = site();
  const flood = (at: number) => asks(world, `www.silent${at}.example`, 0);
  for (let at = 0; at < 1_000; at++) void flood(at);
  for (let at = 1_000; at < 1_005; at++) t.match(await flood(at), { reason: 'overloaded' });
  await world.time.advance(60_000);
  for (let at = 2_000; at < 3_001; at++) void flood(at);
  t.strictSame(heldBack(world), [
    { limit: 'forward.inFlight', name: 'www.silent1000.example', times: 1 },
    { limit: 'forward.inFlight', name: 'www.silent3000.example', times: 5 },
  ]);
});

t.test('one suffix has half of the places at most, however many clients ask', async (t) => {
  const world = site();
  const flood = Array.from({ length: 700 }, (_, at) => asks(world, `r${at}.silent.example`, 1 + at));
  t.equal(world.forwarder.snapshot().inFlight, 500);
  const other = asks(world, 'www.good.example', QUIET);
  await world.time.advance(50);
  t.match(await other, { kind: 'response' });
  t.match(await flood[0], { reason: 'overloaded' });
  t.match(world.forwarder.snapshot(), { overloaded: { suffix: 200 } });
  t.strictSame(heldBack(world), [{ limit: 'forward.inFlight', name: 'r0.silent.example', times: 1 }]);
  await world.time.advance(6_000);
  t.equal(world.forwarder.snapshot().inFlight, 0);
});

t.test(
  'a network is 24 bits of IPv4 and 56 of IPv6, and reaches the forwarder with the question',
  async (t) => {
    const numberOf = (text: string): number => {
      const client = parseClientAddress(text);
      return client === undefined ? 0 : networkOf(client);
    };
    t.equal(numberOf('10.0.0.1'), numberOf('10.0.0.254'));
    t.equal(numberOf('10.0.0.1'), numberOf('::ffff:10.0.0.9'));
    t.equal(numberOf('2001:db8:1:200::1'), numberOf('2001:db8:1:2ff::9'));
    const all = ['10.0.0.1', '10.0.1.1', '127.0.0.1', '2001:db8:1:200::1', '2001:db8:1:300::1', '::1'].map(
      numberOf,
    );
    t.equal(new Set(all).size, all.length);
    t.notOk(all.includes(0));
    const rig = new Rig();
    rig.network = 4711;
    void rig.ask({ name: 'www.example.com' });
    t.match(rig.asked, [{ network: 4711 }]);
  },
);

t.test('a question that has given way holds no socket, however fast the flood', async (t) => {
  const world = site();
  const later = asks(world, 'www.good.example', QUIET);
  for (let tick = 0; tick < 10; tick++) {
    for (let at = 0; at < 500; at++) void asks(world, `www.silent${tick}-${at}.example`, LOUD);
    await world.time.advance(10);
  }
  t.match(await later, { kind: 'response' });
  t.equal(world.forwarder.snapshot().inFlight, 1_000);
  const attempts = world.forwarder.snapshot().upstreams[0]?.inFlight ?? 0;
  t.ok(attempts <= 1_100, `${attempts} attempts are under way`);
  await world.time.advance(10_000);
  t.match(world.forwarder.snapshot(), { inFlight: 0 });
});

t.test('a question that gives way is answered after the call that needed its place', async (t) => {
  const world = site();
  let isOver = false;
  const first = clientQuery('www.silent-first.example');
  first.network = LOUD;
  world.forwarder.forwardTo(first, route, {
    send: () => {
      isOver = true;
    },
    fail: t.error,
  });
  for (let at = 0; at < 999; at++) void asks(world, `www.silent${at}.example`, LOUD);
  const late = clientQuery('www.good.example');
  late.network = QUIET;
  world.forwarder.forwardTo(late, route, { send: () => undefined, fail: t.error });
  t.notOk(isOver, 'a reply is being written where the other would go');
  await Promise.resolve();
  t.ok(isOver);
});

const question = (name: string) => questionOf(clientQuery(name));
const time = new VirtualTime();
const context = {
  sweep: new DeadlineSweep(time, time),
  settings: () => DEFAULT_SETTINGS,
  clock: time,
};

/** A question about `name` that no upstream is asked. */
function pending(name: string): PendingQuestion {
  const made = new PendingQuestion(context, question(name), [], 'usual', () => undefined);
  made.key = 7;
  made.group = '.';
  return made;
}

t.test('questions that share a hash stay apart, and each leaves alone, in any order', async (t) => {
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

t.test('every client that joined gets the reply, in the order in which they came', async (t) => {
  const got: string[] = [];
  const client = (name: string) => ({
    send: (outcome: ForwardOutcome) => void got.push(`${name} ${outcome.kind}`),
    fail: t.error,
  });
  const one = pending('a');
  one.join(client('first'));
  t.equal(one.isJoined, false);
  one.join(client('second'));
  one.join(client('third'));
  t.equal(one.isJoined, true);
  one.reply(forwardFailure('timeout', 'no reply'));
  t.same(got, ['first failed', 'second failed', 'third failed']);
});
