import t from 'tap';
import { PlainUdpListener } from '../../../src/serving/listener/udp-plain.ts';
import type { Turn } from '../../../src/serving/turn.ts';
import { idOf, makeRig, query, StubHandler, UdpClient } from './rig.ts';

t.test(
  'no reply is written where another may still wait to be sent: dgram sends later when the socket is full',
  async (t) => {
    const regions = new Map<ArrayBufferLike, [from: number, to: number][]>();
    class WatchedHandler extends StubHandler {
      override answer(turn: Turn): number {
        const { space, spaceStart } = turn;
        const length = super.answer(turn);
        const from = space.byteOffset + spaceStart;
        regions.set(space.buffer, [...(regions.get(space.buffer) ?? []), [from, from + length]]);
        t.ok(space.length - spaceStart >= 1232, 'the handler has the room that it was promised');
        return length;
      }
    }
    const listener = new PlainUdpListener(
      { address: '127.0.0.1', port: 0 },
      makeRig({ handler: new WatchedHandler() }),
    );
    await listener.start();
    t.teardown(() => listener.close(0));
    const client = new UdpClient(t);
    for (let id = 0; id < 3000; id++) {
      client.send(query(id), listener.address.port);
      if (id % 100 === 99) await client.atLeast(id + 1);
    }
    t.equal(new Set(client.received.map(({ reply }) => idOf(reply))).size, 3000);
    t.ok(regions.size > 1, 'more than one slab was used');
    for (const spans of regions.values()) {
      spans.sort(([a], [b]) => a - b);
      t.ok(spans.every(([from], i) => i === 0 || from >= spans[i - 1]![1]));
    }
  },
);

t.test('it says which kind it is', async (t) => {
  const listener = new PlainUdpListener({ address: '127.0.0.1', port: 0 }, makeRig());
  t.equal(listener.kind, 'plain');
  await listener.start();
  await listener.close(0);
});
