/** The batched listener over a system made by hand: what a real one does rarely, or only under load. */
import { constants } from 'node:os';
import t from 'tap';
import {
  BATCH,
  type BatchOptions,
  type DatagramBatch,
  type Libc,
  NAME_OCTETS,
  socketName,
} from '../../../src/runtime/datagrams.ts';
import type { TakenQueries } from '../../../src/serving/listener/taken-queries.ts';
import { BatchedUdpListener, SharedBatches } from '../../../src/serving/listener/udp-batched.ts';
import type { Turn } from '../../../src/serving/turn.ts';
import { MemoryFile } from './memory-file.ts';
import { idOf, makeRig, query, type RigOptions, StubHandler } from './rig.ts';

const { EAGAIN, ENOBUFS, EPERM, ENOMEM } = constants.errno;

interface Datagram {
  readonly octets: Uint8Array;
  readonly port: number;
}

/** What waits to be received, what was sent, and what the system is to say to each send. */
class ScriptedLibc implements Libc {
  readonly waiting: Datagram[] = [];
  readonly sent: Datagram[] = [];
  /** Above 0: takes so many at most; below: fails with it. Then everything is taken. */
  readonly sends: number[] = [];
  /** As `sends`, for the next calls of receive: 0 lets them be. */
  readonly receives: number[] = [];
  readonly order: string[] = [];
  sendCalls = 0;
  mayWatch = true;
  #onReadable: () => void = () => undefined;

  open(): { fd: number; port: number } {
    return { fd: 9, port: 53 };
  }

  listen(): never {
    throw new Error('a listener of datagrams takes no connections');
  }

  connect(): never {
    throw new Error('a listener connects to nobody');
  }

  connectStream(): never {
    throw new Error('a listener connects to nobody');
  }

  send(): never {
    throw new Error('a listener sends batches');
  }

  close(fd: number): void {
    this.order.push(`close ${fd}`);
  }

  readySet(): never {
    throw new Error('a listener has one descriptor');
  }

  watch(fd: number, onReadable: () => void) {
    if (!this.mayWatch) throw new Error('cannot watch');
    this.#onReadable = onReadable;
    const unwatch = () => this.order.push(`unwatch ${fd}`);
    return { ref: () => undefined, unref: () => undefined, [Symbol.dispose]: unwatch };
  }

  /** One turn of the loop; returns how many datagrams were taken. */
  turn(): number {
    const before = this.waiting.length;
    this.#onReadable();
    return before - this.waiting.length;
  }

  adopt(): void {
    this.order.push('adopt');
  }

  describe(): never {
    throw new Error('the listeners know what was handed over');
  }

  duplicate(): never {
    throw new Error('a listener has one descriptor');
  }

  watchHostAddresses(): never {
    throw new Error('a listener knows no host');
  }

  batch(_family: 4 | 6, slotOctets: number, { size = BATCH }: BatchOptions = {}): DatagramBatch {
    const slots = new Uint8Array(slotOctets * size);
    const names = new Uint8Array(NAME_OCTETS * size);
    const lengths = new Array<number>(size).fill(0);
    const receive = (received: readonly Datagram[]): number => {
      const failure = this.receives.shift() ?? 0;
      if (failure < 0) return failure;
      for (const [slot, { octets, port }] of received.entries()) {
        slots.set(octets, slot * slotOctets);
        names.set(socketName(4, Uint8Array.of(127, 0, 0, 1), port), slot * NAME_OCTETS);
        lengths[slot] = octets.length;
      }
      return received.length;
    };
    return {
      slots,
      names,
      nameWords: new Uint32Array(names.buffer),
      infoWords: new Uint32Array(0),
      infoAt: () => -1,
      setInfo: () => undefined,
      size,
      receive: (_fd, most = size) => {
        const count = receive(this.waiting.slice(0, most));
        this.waiting.splice(0, Math.max(0, count));
        return count;
      },
      peek: () => receive(this.waiting.slice(0, 1)),
      drop: () => {
        const [dropped] = this.waiting.splice(0, 1);
        this.order.push(`drop ${dropped && idOf(dropped.octets)}`);
      },
      lengthOf: (slot) => lengths[slot] ?? 0,
      setLength: (slot, octets) => {
        lengths[slot] = octets;
      },
      send: (_fd, from, to) => {
        this.sendCalls++;
        const said = this.sends.shift() ?? to - from;
        for (let slot = from; slot < Math.min(to, from + said); slot++) {
          const octets = slots.slice(slot * slotOctets, slot * slotOctets + (lengths[slot] ?? 0));
          const at = slot * NAME_OCTETS;
          this.order.push(`send ${idOf(octets)}`);
          this.sent.push({ octets, port: ((names[at + 2] ?? 0) << 8) | (names[at + 3] ?? 0) });
        }
        return Math.min(said, to - from);
      },
    };
  }

  asks(count: number, from = 0, name = 'known.test'): void {
    for (let id = from; id < from + count; id++)
      this.waiting.push({ octets: query(id, name), port: 1000 + id });
  }
}

const standingClock = { monotonicMs: () => 0, wallMs: () => 0 };

async function listening(options: RigOptions & { readonly taken?: TakenQueries } = {}) {
  const libc = new ScriptedLibc();
  const { taken } = options;
  const rig = { ...makeRig(options), ...(taken === undefined ? {} : { taken }) };
  const listener = new BatchedUdpListener({ address: '127.0.0.1', port: 53 }, rig, new SharedBatches(libc));
  await listener.start();
  return { libc, listener, counters: rig.intake.counters, rig };
}

const idsSent = ({ sent }: ScriptedLibc): number[] => sent.map(({ octets }) => idOf(octets));

t.test(
  'a send that takes only some replies goes on after them: each reply once, in order, to its client',
  async (t) => {
    const { libc } = await listening();
    libc.asks(4); // a first batch
    libc.sends.push(1, 2);
    libc.turn();
    t.same(idsSent(libc), [0, 1, 2, 3]);
    t.ok(libc.sent.every(({ octets, port }) => port === 1000 + idOf(octets)));
    t.equal(libc.sendCalls, 3);
  },
);

t.test('a reply that the system refuses is counted and skipped, the others are sent', async (t) => {
  for (const [errno, count] of [
    [EAGAIN, 'sendNoBuffers'],
    [ENOBUFS, 'sendNoBuffers'],
    [EPERM, 'sendRefused'],
  ] as const) {
    const { libc, counters } = await listening();
    libc.asks(4); // a first batch
    libc.sends.push(1, -errno, -errno);
    libc.turn();
    t.same(idsSent(libc), [0, 3], `${count}: 1 and 2 are lost`);
    t.equal(counters.get(count), 2);
  }
});

t.test('a failed receive is counted, and the next turn receives', async (t) => {
  const { libc, counters, rig } = await listening();
  libc.asks(3);
  libc.receives.push(-ENOMEM);
  libc.turn();
  t.same([libc.sent.length, counters.get('receiveErrors')], [0, 1]);
  t.match(rig.log.lines.at(-1), { level: 'debug', fields: { reason: 'ENOMEM' } });
  libc.turn();
  t.same(idsSent(libc), [0, 1, 2]);
});

t.test('under light load a query stays in the socket until its reply is sent', async (t) => {
  const { libc } = await listening({ clock: standingClock });
  libc.asks(2);
  libc.turn();
  t.same(
    libc.order,
    ['send 0', 'send 1'],
    'what waited at the start is taken: it may have ended a process before',
  );
  libc.order.splice(0);
  libc.asks(2, 2);
  libc.turn();
  t.same(
    libc.order,
    ['send 2', 'drop 2', 'send 3', 'drop 3'],
    'killed in between, it waits for the next process',
  );
  libc.receives.push(-ENOMEM);
  libc.asks(1, 4);
  libc.turn();
  t.equal(libc.waiting.length, 1, 'a failed receive drops nothing');
  libc.turn();
  t.same([idsSent(libc).at(-1), libc.waiting.length], [4, 0]);
  libc.sends.push(-EPERM);
  libc.asks(1, 5);
  libc.turn();
  t.equal(libc.waiting.length, 0, 'a reply that cannot be sent is not tried for ever');
});

t.test(
  'a query that waits for an upstream is kept until its reply is sent; the next process answers the rest',
  async (t) => {
    const file = new MemoryFile();
    const handler = new StubHandler();
    const gates: (() => void)[] = [];
    handler.gate = () => new Promise((resolve) => gates.push(resolve));
    const before = await listening({ clock: standingClock, handler, taken: file.reopened() });
    before.libc.asks(1);
    before.libc.turn(); // the first batch is taken
    before.libc.asks(3, 10, 'later.test');
    before.libc.turn();
    t.equal(before.libc.waiting.length, 0, 'they do not hold up the queries after them');
    t.equal(gates.length, 3);
    gates[1]?.();
    await new Promise((resolve) => setImmediate(resolve));
    t.same(idsSent(before.libc), [0, 11]);

    // killed here
    const quick = new StubHandler();
    const after = await listening({ clock: standingClock, handler: quick, taken: file.reopened() });
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    t.same(idsSent(after.libc).toSorted(), [10, 12], 'by the next process');
    t.ok(
      after.libc.sent.every(({ octets, port }) => port === 1000 + idOf(octets)),
      'each to its client',
    );
    const third = await listening({ clock: standingClock, handler: quick, taken: file.reopened() });
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    t.same(idsSent(third.libc), [], 'and by no other');
    await before.listener.close(0);
  },
);

t.test('a query that the grace of a stop does not suffice for is left to the next process', async (t) => {
  const file = new MemoryFile();
  const handler = new StubHandler();
  handler.gate = () => new Promise(() => undefined);
  const before = await listening({ clock: standingClock, handler, taken: file.reopened() });
  before.libc.asks(1);
  before.libc.turn();
  before.libc.asks(1, 10, 'later.test');
  before.libc.turn();
  await before.listener.close(0);
  const after = await listening({ clock: standingClock, taken: file.reopened() });
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  t.same(idsSent(after.libc), [10]);
});

t.test('an address that a reload gives up keeps no slot from the other addresses', async (t) => {
  const handler = new StubHandler();
  const { promise, resolve } = Promise.withResolvers<void>();
  handler.gate = () => promise;
  const taken = new MemoryFile().reopened();
  const { libc, listener } = await listening({ clock: standingClock, handler, taken });
  libc.asks(100, 0, 'later.test');
  while (libc.waiting.length > 0) libc.turn();
  await listener.close(0);
  resolve();
  await new Promise((resolve) => setImmediate(resolve));
  t.same(idsSent(libc), [], 'the answers came too late');
  const slots = Array.from({ length: 512 }, () =>
    taken.keep(Uint8Array.of(1), query(1), 0, 12, new Uint32Array(7), undefined, 1_000),
  );
  t.ok(slots.every((slot) => slot >= 0));
});

t.test('hundreds of queries that a crash has left do not hold up the queries that come now', async (t) => {
  const file = new MemoryFile();
  const handler = new StubHandler();
  handler.gate = () => new Promise(() => undefined);
  const before = await listening({ clock: standingClock, handler, taken: file.reopened() });
  before.libc.asks(500, 0, 'later.test');
  while (before.libc.waiting.length > 0) before.libc.turn();

  // killed here; each query takes a quarter of a millisecond of a cold process
  let nowMs = 0;
  class ColdHandler extends StubHandler {
    override answer(turn: Turn): number {
      nowMs += 0.25;
      return super.answer(turn);
    }
  }
  const clock = { monotonicMs: () => nowMs, wallMs: () => 0 };
  const after = await listening({ clock, handler: new ColdHandler(), taken: file.reopened() });
  const perTurn: number[] = [];
  for (let turns = 0; turns < 200; turns++) {
    const sentBefore = after.libc.sent.length;
    await new Promise((resolve) => setImmediate(resolve));
    perTurn.push(after.libc.sent.length - sentBefore);
  }
  t.ok(Math.max(...perTurn) <= 4, perTurn.join(' '));
  t.equal(new Set(idsSent(after.libc)).size, 500, 'each is answered');
  await before.listener.close(0);
});

t.test('above light load queries are taken by the batch, until the load is light again', async (t) => {
  let nowMs = 0;
  const { libc } = await listening({ clock: { monotonicMs: () => nowMs, wallMs: () => nowMs } });
  const dropped = () => libc.order.filter((step) => step.startsWith('drop')).length;
  libc.asks(1);
  libc.turn();
  libc.asks(1000, 1);
  while (libc.waiting.length > 0) libc.turn();
  t.ok(dropped() < 100, `${dropped()} one at a time, in 1,000`);
  const before = dropped();
  for (let ms = 0; ms < 100; ms++) {
    nowMs += 1;
    libc.asks(20, 2000 + 20 * ms);
    libc.turn();
  }
  t.equal(dropped(), before, 'none in 20,000 per second');
  nowMs += 20;
  libc.asks(1, 5000);
  libc.turn();
  libc.asks(1, 5001);
  nowMs += 20;
  libc.turn();
  libc.asks(1, 5002);
  libc.turn();
  t.equal(libc.order.at(-1), 'drop 5002');
  t.equal(new Set(idsSent(libc)).size, 1 + 1000 + 2000 + 3, 'each is answered');
});

t.test('a flood is taken in portions, so that everything else has its turn between them', async (t) => {
  const { libc } = await listening({ clock: standingClock });
  libc.asks(5000);
  const turns: number[] = [];
  while (libc.waiting.length > 0) turns.push(libc.turn());
  t.ok(Math.max(...turns) <= 256, turns.join(' '));
  t.equal(new Set(idsSent(libc)).size, 5000);
  const full = Math.ceil(5000 / BATCH);
  t.ok(libc.sendCalls <= full + 1, `${libc.sendCalls} calls of ${full}: the first batch is a small one`);
});

t.test('a turn takes the queries that there is time for, whatever each takes', async (t) => {
  for (const [perMs, most] of [
    [30, 60],
    [14, 28],
    [10, 20],
    [5, 10],
    [1, 4],
  ] as const) {
    let sent = (): number => 0;
    const nowMs = () => sent() / perMs;
    const { libc } = await listening({ clock: { monotonicMs: nowMs, wallMs: nowMs } });
    sent = () => libc.sent.length;
    libc.asks(1000);
    const turns: number[] = [];
    while (libc.waiting.length > 0) turns.push(libc.turn());
    // under light load the clock is read before each answer, not after it
    t.ok(Math.max(...turns) <= most + 1, `${perMs} a millisecond: ${Math.max(...turns)}`);
    t.ok(turns.length <= (2 * 1000) / most, `${perMs} a millisecond: ${turns.length} turns`);
    t.equal(new Set(idsSent(libc)).size, 1000);
  }
});

t.test(
  'the first queries of a process, whose code is new, have turns of few; then batches grow',
  async (t) => {
    let [nowMs, answered] = [0, 0];
    class ColdHandler extends StubHandler {
      override answer(turn: Turn): number {
        nowMs += answered++ < 20 ? 0.5 : 0.005;
        return super.answer(turn);
      }
    }
    const clock = { monotonicMs: () => nowMs, wallMs: () => nowMs };
    const { libc } = await listening({ clock, handler: new ColdHandler() });
    libc.asks(64);
    const turns: number[] = [];
    while (answered < 20) turns.push(libc.turn());
    t.ok(Math.max(...turns.slice(0, -1)) <= 5, `while queries take 0.5 ms: ${turns.join(' ')}`);
    libc.asks(2_000, 64);
    const calls = libc.sendCalls;
    const before = libc.sent.length;
    while (libc.waiting.length > 0) libc.turn();
    const full = Math.ceil((libc.sent.length - before) / BATCH);
    // under light load, which ends with the hundredth query, each has a call of its own
    t.ok(
      libc.sendCalls - calls <= 100 + full + 3,
      `${libc.sendCalls - calls} calls, ${full} of full batches`,
    );
  },
);

t.test('answers that come in together are sent together, in the same turn', async (t) => {
  const handler = new StubHandler();
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  handler.gate = () => gate;
  const { libc } = await listening({ handler, clock: standingClock });
  libc.asks(BATCH + 10, 0, 'later.test');
  libc.turn();
  t.equal(libc.sent.length, 0);
  open();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(libc.sent.length, BATCH + 10);
  t.ok(libc.sendCalls <= 3, `${libc.sendCalls} calls`);
  t.ok(libc.sent.every(({ octets, port }) => port === 1000 + idOf(octets)));
});

t.test('closing: the watch ends before the descriptor is closed, and it is closed once', async (t) => {
  const { libc, listener } = await listening();
  await Promise.all([listener.close(0), listener.close(0)]);
  await listener.close(0);
  t.same(libc.order, ['unwatch 9', 'close 9']);
  libc.asks(1);
  libc.turn();
  t.equal(libc.sent.length, 0, 'what still comes in then is left alone');
});

t.test('a descriptor that cannot be watched is closed, and the start fails', async (t) => {
  const libc = new ScriptedLibc();
  libc.mayWatch = false;
  const listener = new BatchedUdpListener(
    { address: '127.0.0.1', port: 53 },
    makeRig(),
    new SharedBatches(libc),
  );
  await t.rejects(listener.start(), { message: 'cannot watch' });
  await listener.close(0);
  t.same(libc.order, ['close 9']);
});
