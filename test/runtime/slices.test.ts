/** A pause against the real loop: who waits on a socket is served in it, wherever in a turn of the loop it begins. */
import t from 'tap';
import { shareOfTurn } from '../../src/runtime/clock.ts';
import { socketName } from '../../src/runtime/datagrams.ts';
import { loadDatagramCalls } from '../../src/runtime/libc.ts';
import { inSlices, pauseUntilIdle, type Steps, systemPause, Turnstile } from '../../src/runtime/slices.ts';

const calls = await loadDatagramCalls();
const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const PLACES: readonly (readonly [string, (run: () => void) => void])[] = [
  ['a timer', (run) => void setTimeout(run, 1)],
  ['an immediate', (run) => void setImmediate(run)],
  ['a microtask', (run) => queueMicrotask(run)],
];

t.test(
  'a datagram that waits is received',
  { skip: calls.kind !== 'available' && calls.reason },
  async (t) => {
    if (calls.kind !== 'available') return;
    const { libc } = calls;
    for (const [place, begin] of PLACES) {
      const { fd, port } = libc.open(4, LOOPBACK, 0, { bufferOctets: 65_536 });
      const batch = libc.batch(4, 512);
      let received = 0;
      const watch = libc.watch(fd, () => {
        received += Math.max(0, batch.receive(fd));
      });
      const client = libc.connect(4, 0, socketName(4, LOOPBACK, port));
      if (client.kind === 'failed') throw new Error(client.code);
      const before = await new Promise<number>((resolve) => {
        begin(() => {
          libc.send(client.fd, Uint8Array.of(1));
          const atSending = received;
          void systemPause().then(() => resolve(atSending));
        });
      });
      t.equal(before, 0, `${place}: nothing yet`);
      t.equal(received, 1, `${place}: received in the pause`);
      watch[Symbol.dispose]();
      libc.close(fd);
      libc.close(client.fd);
    }
  },
);

t.test(
  'sockets that are readable together share the time of the turn',
  { skip: calls.kind !== 'available' && calls.reason },
  async (t) => {
    if (calls.kind !== 'available') return;
    const { libc } = calls;
    const batch = libc.batch(4, 512);
    const shares: number[] = [];
    const sockets = [0, 1, 2].map(() => {
      const { fd, port } = libc.open(4, LOOPBACK, 0, { bufferOctets: 65_536 });
      const watch = libc.watch(fd, () => {
        shares.push(shareOfTurn(2));
        batch.receive(fd);
        const untilMs = performance.now() + 3;
        while (performance.now() < untilMs); // as long as a collection of V8 takes
      });
      return { fd, watch, sender: libc.connect(4, 0, socketName(4, LOOPBACK, port)) };
    });
    const ask = async () => {
      shares.length = 0;
      for (const { sender } of sockets)
        if (sender.kind === 'connected') libc.send(sender.fd, Uint8Array.of(1));
      while (shares.length < sockets.length) await systemPause();
    };
    for (const turn of ['a turn', 'another']) {
      await ask();
      t.strictSame(shares, [2, 0.25, 0.25], turn);
    }
    for (const { fd, watch, sender } of sockets) {
      watch[Symbol.dispose]();
      libc.close(fd);
      if (sender.kind === 'connected') libc.close(sender.fd);
    }
  },
);

t.test('a turnstile lets few through in each turn, first come first served', async (t) => {
  const seen: string[] = [];
  let turns = 0;
  const turnstile = new Turnstile(2, async () => {
    await systemPause();
    turns++;
  });
  const all = ['a', 'b', 'c', 'd', 'e'].map(async (name) => {
    await turnstile.pass();
    seen.push(`${name} in turn ${turns}`);
  });
  await Promise.all(all);
  t.same(seen, ['a in turn 0', 'b in turn 1', 'c in turn 1', 'd in turn 2', 'e in turn 2']);
  await systemPause();
  await turnstile.pass();
  t.ok(turns >= 3, 'and it begins again');
});

t.test('without a pause everything passes a turnstile at once', async (t) => {
  const turnstile = new Turnstile(1);
  await Promise.all([turnstile.pass(), turnstile.pass(), turnstile.pass()]);
  t.pass();
});

t.test('steps that take long, as those do whose code is compiled, have a turn each', async (t) => {
  let turns = 0;
  const steps = (function* (): Steps<string> {
    for (let step = 0; step < 5; step++) {
      const untilMs = performance.now() + 2;
      while (performance.now() < untilMs);
      yield;
    }
    return 'done';
  })();
  const result = await inSlices(steps, async () => void turns++);
  t.strictSame([result, turns], ['done', 5]);
});

t.test('a pause ends with an idle turn, or after three times the work before it', async (t) => {
  let nowMs = 0;
  let turnMs = 0;
  let turns = 0;
  const pause = pauseUntilIdle(
    () => nowMs,
    async () => {
      turns++;
      nowMs += turnMs;
    },
  );
  const turnsAfter = async (workMs: number, eachMs: number) => {
    turns = 0;
    turnMs = eachMs;
    nowMs += workMs;
    await pause();
    return turns;
  };
  t.equal(await turnsAfter(1, 0.01), 3, 'an idle loop: the turns that a datagram needs');
  t.equal(await turnsAfter(4, 0.01), 3);
  t.equal(await turnsAfter(2, 0.5), 12, 'a loop that is busy: a quarter of the time for the work');
  t.equal(await turnsAfter(0.1, 0.5), 3);
  t.equal(await turnsAfter(1000, 0.5), 20, 'work that waited: at most ten milliseconds');
});
