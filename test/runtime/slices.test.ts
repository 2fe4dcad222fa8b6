/** A pause against the real loop: who waits on a socket is served in it, wherever in a turn of the loop it begins. */
import t from 'tap';
import { socketName } from '../../src/runtime/datagrams.ts';
import { loadDatagramCalls } from '../../src/runtime/libc.ts';
import { inTurns, systemPause } from '../../src/runtime/slices.ts';

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
      const { fd, port } = libc.open(4, LOOPBACK, 0, 65_536);
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
  'what is begun in turns has a pause before each but the first, and is waited for as a whole',
  async (t) => {
    const seen: string[] = [];
    const gate = Promise.withResolvers<void>();
    const all = inTurns(
      ['a', 'b', 'c'],
      (name) => {
        seen.push(name);
        return gate.promise;
      },
      async () => void seen.push('pause'),
    ).then(() => seen.push('done'));
    await systemPause();
    t.same(seen, ['a', 'pause', 'b', 'pause', 'c']);
    gate.resolve();
    await all;
    t.equal(seen.at(-1), 'done');
  },
);
