/** When an upstream is down, and when it is up again, in virtual time. */
import t from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import { clientQuery } from './hand-made-upstream.ts';
import { ask, type Doing, group, shown, VirtualUpstreams } from './virtual-upstreams.ts';

const answers: Doing = { afterMs: 20, says: 'answer' };
const servfail: Doing = { afterMs: 20, says: 2 };
const unreachable: Doing = { afterMs: 1, fails: 'network' };

t.test('with all upstreams down questions fail at once, with the code of the reason', async (t) => {
  for (const [doing, code] of [
    ['silence', 22],
    [unreachable, 23],
  ] as const) {
    const world = new VirtualUpstreams([group('default', 'a', 'b')], () => doing);
    t.notOk(world.forwarder.isDown(group('default')), 'not before they were asked');
    while (world.changes.length < 2) await ask(world);
    const before = world.asked.length;
    t.ok(world.forwarder.isDown(group('default')));
    const why = doing === 'silence' ? 'no reply in time' : 'made to network';
    t.match(world.forwarder.snapshot().upstreams, [{ downBecause: why }, { downBecause: why }]);
    t.equal(shown(await ask(world, 'b.example')).replace(/ after .*/, ''), `all-down extended error ${code}`);
    const outcome = await world.forwarder.forward(clientQuery('c.example'), group('default'));
    t.match(outcome, { reason: 'all-down' }, 'without time passing');
    t.equal(world.asked.length, before, 'nobody was asked');
    t.equal(world.forwarder.snapshot().failedFast, 2);
  }
});

t.test('an upstream that is down is left out while another is up', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ upstream }) =>
    upstream === 'a' ? 'silence' : answers,
  );
  for (let at = 0; at < 3; at++) await ask(world, `n${at}`);
  t.equal(world.changes.length, 1);
  t.equal(shown(await ask(world, 'fast')), 'b rcode 0 after 20');
});

t.test('an upstream that is down is probed ever more seldom, and is up after two replies', async (t) => {
  let isBack = false;
  const world = new VirtualUpstreams([group('default', 'a')], () => (isBack ? answers : unreachable));
  await ask(world);
  const downAtMs = Number(world.changes[0]?.split(' ').at(-1));
  const before = world.probed.length;
  await world.time.advance(10_000);
  const pauses = world.probed.slice(before).map((line) => Number(line.split(' ')[1]) - downAtMs);
  t.strictSame(pauses, [500, 1_501, 3_502, 5_503, 7_504, 9_505]);
  isBack = true;
  await world.time.advance(5_000);
  t.strictSame(
    world.changes.slice(1),
    [`a up at ${downAtMs + 11_506 + 20 + 100 + 20}`],
    'the second reply 0.1 s after the first',
  );
  t.equal(shown(await ask(world)), 'a rcode 0 after 20');
  await world.time.advance(60_000);
  t.equal(world.time.pendingTimers, 0, 'and nothing is left to do');
});

t.test('a name that is slow everywhere does not take a healthy upstream down', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], ({ isProbe }) =>
    isProbe ? answers : 'silence',
  );
  for (let at = 0; at < 5; at++) t.match((await ask(world, 'slow.example'))[0], { reason: 'timeout' });
  t.strictSame(world.changes, []);
  t.ok(world.forwarder.snapshot().upstreams[0]?.isUp);
  t.ok(
    world.asked.every((line) => line.includes('udp')),
    'nor its UDP into doubt',
  );
  t.notOk(
    world.evidence.some(({ reachable }) => !reachable),
    'and the link is not blamed',
  );
});

t.test('a late reply still answers, and teaches the round trip', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => ({ afterMs: 900, says: 'answer' }));
  t.equal(shown(await ask(world)), 'a rcode 0 after 900');
  t.equal(world.asked.length, 2);
  await world.time.advance(1_000);
  await ask(world, 'b.example');
  t.equal(world.asked.length, 3, 'no second attempt now');
});

t.test('a late reply counts for health although another upstream has answered', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ upstream }) =>
    upstream === 'a' ? { afterMs: 700, says: 'answer' } : answers,
  );
  t.equal(shown(await ask(world)), 'b rcode 0 after 520');
  await world.time.advance(1_000);
  t.equal(world.forwarder.snapshot().upstreams[0]?.rttMs, 700);
  t.equal(shown(await ask(world, 'b.example')), 'a rcode 0 after 700');
});

t.test('a late SERVFAIL does not cut short the attempt that is under way elsewhere', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ upstream }) =>
    upstream === 'a' ? { afterMs: 700, says: 2 } : { afterMs: 400, says: 'answer' },
  );
  t.equal(shown(await ask(world)), 'b rcode 0 after 900');
  t.strictSame(world.asked, ['a udp 0', 'b udp 500']);
});

t.test('one lost exchange among many is one strike, and a burst lost at once is one too', async (t) => {
  let isBroken = true;
  const world = new VirtualUpstreams([group('default', 'a')], () => (isBroken ? 'silence' : answers));
  const all = Array.from({ length: 200 }, (_, at) =>
    world.forwarder.forward(clientQuery(`n${at}`), group('default')),
  );
  await world.time.advance(300);
  isBroken = false;
  await world.time.advance(1_000);
  t.strictSame(world.changes, []);
  for (const outcome of await Promise.all(all)) if (outcome.kind !== 'response') t.fail(outcome.detail);
});

t.test('where UDP is lost TCP is used, and UDP tried again after 30 s', async (t) => {
  let udpWorks = false;
  const world = new VirtualUpstreams([group('default', 'a')], ({ transport }) =>
    transport === 'tcp' || udpWorks ? answers : 'silence',
  );
  await ask(world);
  t.match(world.asked, ['a udp 0', 'a udp 500', 'a tcp 1500']);
  for (let second = 0; second < 20; second++) {
    await ask(world, `n${second}`);
    await world.time.advance(1_000);
  }
  t.notOk(
    world.asked.slice(3).some((line) => line.includes('udp')),
    'TCP meanwhile',
  );
  t.strictSame(world.changes, [], 'and it stays up');
  udpWorks = true;
  await world.time.advance(15_000);
  await ask(world, 'later');
  await ask(world, 'still later');
  t.ok(world.asked.slice(-2).every((line) => line.includes('udp')));
});

t.test('an upstream that is removed while it is down is probed no more', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => 'silence');
  await ask(world);
  const before = world.probed.length;
  while (world.probed.length === before) await world.time.advance(10);
  world.forwarder.reconfigure([group('default', 'b')]); // with a probe under way
  await world.time.advance(60_000);
  t.equal(world.probed.length, before + 1);
  t.strictSame(world.closed.toSorted(), ['a tcp', 'a udp']);
});

t.test('closing stops the probes', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => unreachable);
  await ask(world);
  t.equal(world.changes.length, 1, 'it is down');
  await world.time.advance(100);
  world.forwarder.close();
  t.equal(world.time.pendingTimers, 0);
});

t.test('evidence: any RCODE proves reach, and more of the same is reported once a second', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => servfail);
  for (let at = 0; at < 200; at++) await ask(world, `n${at}`);
  t.match(world.evidence[0], { upstream: 'a', reachable: true, reason: 'SERVFAIL' });
  t.equal(world.evidence.length, 4, 'in four seconds');
  world.behave = () => unreachable;
  await ask(world, 'x');
  t.match(world.evidence.at(-1), { reachable: false, reason: 'network' });
  await world.time.advance(60_000);
  t.ok(world.evidence.length < 4 + 40 && world.evidence.length > 8, 'probes go on telling');
});

t.test(
  'an upstream whose answers always come too late is asked after the others, and first again when it is well',
  async (t) => {
    const both = group('default', 'a', 'b');
    let lateMs = 3_000;
    const world = new VirtualUpstreams([both], ({ upstream }) => ({
      afterMs: upstream === 'a' ? lateMs : 20,
      says: 'answer',
    }));
    for (let at = 0; at < 5; at++) {
      await ask(world, `n${at}.example`);
      await world.time.advance(4_000);
    }
    for (let at = 0; at < 20; at++)
      t.match(shown(await ask(world, `m${at}.example`)), 'b rcode 0 after 20', 'no client waits for it');
    t.match(world.forwarder.snapshot().upstreams, [
      { upstream: 'a', isUp: true, isLate: true },
      { isLate: false },
    ]);
    lateMs = 10;
    await world.time.advance(4_000);
    t.match(shown(await ask(world, 'x.example')), 'a rcode 0 after 10', 'asked beside the other');
    t.match(shown(await ask(world, 'y.example')), 'a rcode 0 after 10');
    t.equal(world.asked.at(-1)?.[0], 'a', 'the other is not asked any more');
  },
);

t.test('no client waits for the question by which a late upstream is tried', async (t) => {
  for (const [it, second, most] of [
    ['says SERVFAIL', servfail, 50],
    ['fails at once', unreachable, 50],
    ['is silent', 'silence', 600],
  ] as const) {
    const world = new VirtualUpstreams([group('default', 'a', 'b', 'c')], ({ upstream, name }) => {
      if (upstream === 'a') return { afterMs: 3_000, says: 'answer' };
      return upstream === 'b' && name.startsWith('x') ? second : answers;
    });
    for (let at = 0; at < 5; at++) {
      await ask(world, `n${at}.example`);
      await world.time.advance(4_000);
    }
    const before = world.asked.length;
    const [outcome, afterMs] = await ask(world, 'x.example');
    t.match(outcome, { kind: 'response', upstream: 'c' }, it);
    t.ok(afterMs <= most, `the second ${it}: after ${afterMs} ms`);
    t.ok(
      world.asked.slice(before).some((seen) => seen.startsWith('a ')),
      'the late one is tried',
    );
  }
});

t.test('one upstream alone that is late is asked as ever', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => ({ afterMs: 3_000, says: 'answer' }));
  for (let at = 0; at < 6; at++) t.match(shown(await ask(world, `n${at}.example`)), /^a rcode 0 after 3/);
});

t.test('truncated over UDP and refused over TCP: the client is told at once', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], ({ transport }) =>
    transport === 'udp' ? { afterMs: 20, says: 'truncated' } : unreachable,
  );
  const [outcome, afterMs] = await ask(world, 'large.example');
  t.match(outcome, { kind: 'failed', reason: 'network' });
  t.ok(afterMs < 1_000, `after ${afterMs} ms`);
  t.notOk(world.forwarder.isDown(group('default')), 'it answers what fits');
});

t.test(
  'REFUSED of one upstream is not passed on where the other has failed until it was left alone',
  async (t) => {
    let askedOfB = 0;
    const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ upstream, transport, isProbe }) => {
      if (upstream === 'b')
        return isProbe || ++askedOfB < 3 ? 'silence' : { afterMs: 20, says: RCODE.REFUSED };
      return transport === 'udp' ? { afterMs: 20, says: 'truncated' } : unreachable;
    });
    const [outcome] = await ask(world, 'large.example');
    t.match(outcome, { kind: 'failed', reason: 'network' });
  },
);

t.test('a firewall that refuses UDP and passes TCP: the first question is answered', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], ({ transport }) =>
    transport === 'udp' ? unreachable : answers,
  );
  t.match(shown(await ask(world, 'www.example')), /^a rcode 0/);
  t.match(shown(await ask(world, 'ftp.example')), 'a rcode 0 after 20');
  t.notOk(world.forwarder.isDown(group('default')));
});
