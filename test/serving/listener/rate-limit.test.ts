import t from 'tap';
import { parseClientAddress, RATE, RateLimit } from '../../../src/serving/listener/clients.ts';

const names = ['send', 'drop', 'slip'];

function take(limit: RateLimit, address: string, nowMs: number): string {
  const { octets, family } = parseClientAddress(address)!;
  return names[limit.take(octets, 0, family, nowMs)]!;
}

const count = (times: number, verdict: () => string): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (let i = 0; i < times; i++) {
    const name = verdict();
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
};

t.test('a burst of one second is sent, and of the rest every second reply is slipped', async (t) => {
  const limit = new RateLimit({ responsesPerSecond: 100, slip: 2, seed: 1 });
  t.same(
    count(300, () => take(limit, '192.0.2.1', 1000)),
    { send: 100, drop: 100, slip: 100 },
  );
});

t.test('tokens come back with time, up to one burst', async (t) => {
  const limit = new RateLimit({ responsesPerSecond: 100, slip: 0, seed: 1 });
  t.same(
    count(150, () => take(limit, '192.0.2.1', 0)),
    { send: 100, drop: 50 },
  );
  t.same(
    count(20, () => take(limit, '192.0.2.1', 100)),
    { send: 10, drop: 10 },
    '100 ms later: ten',
  );
  t.same(
    count(150, () => take(limit, '192.0.2.1', 1_000_000)),
    { send: 100, drop: 50 },
    'much later: one burst',
  );
});

t.test('the slip is every n-th reply above the rate; 0 none, 1 all', async (t) => {
  for (const [slip, slipped] of [
    [0, 0],
    [1, 60],
    [2, 30],
    [3, 20],
    [10, 6],
  ] as const) {
    const limit = new RateLimit({ responsesPerSecond: 10, slip, seed: 1 });
    const counts = count(70, () => take(limit, '192.0.2.1', 5));
    t.equal(counts['send'], 10, `slip ${slip}`);
    t.equal(counts['slip'] ?? 0, slipped, `slip ${slip}`);
    t.equal(counts['drop'] ?? 0, 60 - slipped, `slip ${slip}`);
  }
});

t.test('clients of one /24 or /56 share a bucket, others do not', async (t) => {
  const pairs: [string, string, boolean][] = [
    ['192.0.2.1', '192.0.2.254', true],
    ['192.0.2.1', '192.0.3.1', false],
    ['192.0.2.1', '193.0.2.1', false],
    ['2001:db8:1:ab00::1', '2001:db8:1:abff:ffff::2', true],
    ['2001:db8:1:ab00::1', '2001:db8:1:ac00::1', false],
    ['2001:db8:1:ab00::1', '2001:db9:1:ab00::1', false],
    ['192.0.2.1', '::ffff:192.0.2.77', true],
  ];
  for (const [first, second, shared] of pairs) {
    const limit = new RateLimit({ responsesPerSecond: 1, slip: 0, seed: 1 });
    t.equal(take(limit, first, 0), 'send');
    t.equal(take(limit, second, 0), shared ? 'drop' : 'send', `${first} and ${second}`);
  }
});

t.test('a mapped address inside other octets shares the bucket of its IPv4 form', async (t) => {
  const limit = new RateLimit({ responsesPerSecond: 1, slip: 0, seed: 1 });
  const octets = Uint8Array.of(9, 9, ...new Uint8Array(10), 0xff, 0xff, 192, 0, 2, 1);
  t.equal(limit.take(octets, 2, 6, 0), RATE.SEND);
  t.equal(limit.take(octets, 14, 4, 0), RATE.DROP);
});

t.test('loopback is exempt, and a rate of 0 turns the limit off', async (t) => {
  const limit = new RateLimit({ responsesPerSecond: 1, slip: 2, seed: 1 });
  for (const address of ['127.0.0.1', '127.3.2.1', '::1', '::ffff:127.0.0.1']) {
    t.same(
      count(1000, () => take(limit, address, 0)),
      { send: 1000 },
      address,
    );
  }
  const off = new RateLimit({ responsesPerSecond: 0, slip: 2, seed: 1 });
  t.same(
    count(1000, () => take(off, '192.0.2.1', 0)),
    { send: 1000 },
  );
});

t.test(
  'a flood from a million networks neither lifts the limit of a busy client nor takes memory',
  async (t) => {
    const limit = new RateLimit({ responsesPerSecond: 10, slip: 0, seed: 99 });
    const before = process.memoryUsage().arrayBuffers;
    const octets = new Uint8Array(4);
    let sent = 0;
    for (let i = 0; i < 1_000_000; i++) {
      octets.set([1 + (i >> 16), i >> 8, i, 1]);
      limit.take(octets, 0, 4, i / 1000);
      if (i % 1000 === 0 && take(limit, '192.0.2.1', i / 1000) === 'send') sent += 1;
    }
    t.ok(sent >= 19 && sent <= 40, `${sent} of 1000 in one second, where the bucket alone allows 20`);
    t.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024, 'no array grew');
  },
);
