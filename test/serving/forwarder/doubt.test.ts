/** A failure puts an upstream in doubt, as the link sees it: on a site without queries, probes find out whether it is up. */
import t from 'tap';
import {
  initialLinkState,
  LINK_THRESHOLDS,
  type LinkCondition,
  type LinkState,
  nextLinkState,
} from '../../../src/link/link-monitor.ts';
import { clientQuery } from './hand-made-upstream.ts';
import { ask, type Doing, group, type Seen, VirtualUpstreams } from './virtual-upstreams.ts';

const answers = { afterMs: 20, says: 'answer' } as const;
const QUIET_MS = 600_000;

/** The link to `a`, made from the forwarder's evidence: each condition, and when it began. */
function watched(behave: (seen: Seen) => Doing, fraction = 0) {
  const turns: [LinkCondition, number][] = [];
  let link: LinkState = initialLinkState;
  const world = new VirtualUpstreams([group('default', 'a', 'b')], behave, {
    random: { uint16: () => 7, uint32: () => 7, fraction: () => fraction },
    evidenceWanted: {
      failures: LINK_THRESHOLDS.failuresToDisconnect,
      answers: LINK_THRESHOLDS.successesToConnect,
    },
    onEvidence: ({ upstream: key, reachable, reason }) => {
      if (key !== 'a') return;
      const atMs = world.time.monotonicMs();
      const proves = reachable ? ('reachable' as const) : ('unreachable' as const);
      const before = link.condition;
      link = nextLinkState(link, { side: 'upstream', key, proves, reason }, atMs);
      if (link.condition !== before) turns.push([link.condition, atMs]);
    },
  });
  const probes = () => world.probed.filter((line) => line.startsWith('a ')).length;
  return { world, turns, condition: () => link.condition, probes };
}

const isOfA = ({ upstream }: Seen) => upstream === 'a';

t.test(
  'once it answers again the link is connected within seconds, although clients ask others',
  async (t) => {
    for (const [lostMs, questions, withinMs] of [
      [600, 1, 6_000], // the first attempt, and the probe that follows it
      [2_100, 1, 6_000], // and another probe
      [10_000, 1, 16_000], // so many probes that it seems to answer none at all
      [10_000, 3, 6_000], // it is taken down
      [70_000, 3, 6_000],
    ] as const) {
      let isLost = false;
      const { world, turns, condition, probes } = watched((seen) =>
        isOfA(seen) && isLost ? 'silence' : answers,
      );
      await ask(world);
      isLost = true;
      const endsAtMs = world.time.monotonicMs() + lostMs;
      for (let at = 0; at < questions; at++) await ask(world, `n${at}.example`);
      await world.time.advance(endsAtMs - world.time.monotonicMs());
      isLost = false;
      t.not(condition(), 'connected', `lost for ${lostMs} ms: ${turns.join(' ')}`);
      await world.time.advance(withinMs);
      t.equal(condition(), 'connected', `lost for ${lostMs} ms: ${turns.join(' ')}`);
      const before = probes();
      await world.time.advance(QUIET_MS);
      t.equal(probes(), before, 'and then it is left alone');
      t.equal(world.time.pendingTimers, 0);
    }
  },
);

t.test('while it is lost, one probe in a second or two is sent', async (t) => {
  for (const fraction of [0, 0.999]) {
    let isLost = false;
    const { world, condition, probes } = watched(
      (seen) => (isOfA(seen) && (isLost || !seen.isProbe) ? 'silence' : answers),
      fraction,
    );
    await ask(world); // slow, but a probe is answered
    isLost = true;
    await ask(world, 'b.example');
    await world.time.advance(5_000);
    t.equal(condition(), 'disconnected');
    const before = probes();
    await world.time.advance(QUIET_MS);
    const pauseMs = QUIET_MS / (probes() - before);
    t.ok(pauseMs >= 2_000 && pauseMs <= 5_000, `one in ${pauseMs.toFixed(0)} ms`);
  }
});

t.test('servers that lose an upstream together do not ask in step', async (t) => {
  const [first, second] = await Promise.all(
    [0.1, 0.9].map(async (fraction) => {
      const { world } = watched((seen) => (isOfA(seen) && seen.atMs < 600 ? 'silence' : answers), fraction);
      await ask(world);
      await world.time.advance(5_000);
      return world.probed;
    }),
  );
  t.equal(first?.[0], second?.[0], 'the one that verifies goes out at once');
  t.ok((second?.length ?? 0) >= 3, `${second?.length} probes`);
  for (const line of second?.slice(1) ?? []) t.notOk(first?.includes(line), line);
});

t.test(
  'an upstream that answers no probe, and all else, is not made out to be cut off by them',
  async (t) => {
    let isSlow = false;
    const { world, turns, condition, probes } = watched((seen) =>
      isOfA(seen) && (isSlow || seen.isProbe) ? 'silence' : answers,
    );
    await ask(world);
    isSlow = true;
    await ask(world, 'slow.example');
    isSlow = false;
    await world.time.advance(60_000);
    t.ok(probes() <= 10, `${probes()} probes in a minute`);
    for (let at = 0; at < 5; at++) {
      await ask(world, `n${at}.example`);
      await world.time.advance(1_000);
    }
    t.equal(condition(), 'connected', turns.join(' '));
    t.notOk(
      turns.some(([what]) => what === 'disconnected'),
      turns.join(' '),
    );
    const before = probes();
    await world.time.advance(QUIET_MS);
    t.equal(probes(), before, 'and then it is left alone');
  },
);

t.test('answers to clients are as good as probes, which are then not sent', async (t) => {
  let isLost = false;
  const { world, condition, probes } = watched((seen) => (isOfA(seen) && isLost ? 'silence' : answers));
  await ask(world);
  isLost = true;
  await ask(world, 'lost.example');
  await world.time.advance(500);
  t.equal(condition(), 'degraded');
  isLost = false;
  const before = probes();
  for (let at = 0; at < 40; at++) {
    await ask(world, `n${at}.example`);
    await world.time.advance(80);
  }
  t.equal(condition(), 'connected');
  t.ok(probes() - before <= 2, `${probes() - before} probes in 4 s`);
});

t.test('with other thresholds of the link, probes collect as much evidence as it wants', async (t) => {
  const before = { ...LINK_THRESHOLDS };
  t.teardown(() => Object.assign(LINK_THRESHOLDS, before));
  Object.assign(LINK_THRESHOLDS, { failuresToDisconnect: 6, successesToConnect: 5 });
  let isLost = false;
  const { world, turns, condition } = watched((seen) => (isLost && isOfA(seen) ? 'silence' : answers));
  await ask(world);
  // a short break first: an upstream that has answered a probe proves something when it answers none
  for (const breakMs of [600, 10_000]) {
    isLost = true;
    await ask(world); // one question of a client, and none after it
    await world.time.advance(breakMs);
    isLost = breakMs !== 600;
    await world.time.advance(30_000);
  }
  t.equal(condition(), 'disconnected', JSON.stringify(turns));
  isLost = false;
  await world.time.advance(60_000);
  t.equal(condition(), 'connected', JSON.stringify(turns));
});

t.test('an upstream that loses every third question has one probe under way at most', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], ({ atMs }) =>
    (atMs * 7919) % 11 < 4 ? 'silence' : { afterMs: 300, says: 'answer' },
  );
  for (let at = 0; at < 400; at++) {
    void world.forwarder.forward(clientQuery(`w${at}.zone${at}.example`), group('default'));
    await world.time.advance(137);
  }
  const sent = world.probed.map((probe) => Number(probe.split(' ')[1]));
  const gaps = sent.map((atMs, at) => atMs - (sent[at - 1] ?? Number.NEGATIVE_INFINITY));
  t.ok(sent.length > 20, `${sent.length} probes`);
  t.ok(Math.min(...gaps) >= 200, `${Math.min(...gaps)} ms between two, which is no time for an attempt`);
});
