import fc from 'fast-check';
import t from 'tap';
import { TcpFramer } from '../../../src/protocol/wire/tcp-framing.ts';
import { frame } from '../../serving/listener/rig.ts';

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
const numRuns = Number(process.env['FUZZ_RUNS'] ?? 1000);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

function messagesOf(chunks: readonly Uint8Array[], framer = new TcpFramer()): string[] {
  const messages: string[] = [];
  for (const chunk of chunks) {
    framer.push(chunk);
    while (framer.next()) messages.push(textOf(framer));
  }
  return messages;
}

const textOf = (framer: TcpFramer): string =>
  Buffer.from(framer.octets.subarray(framer.start, framer.end)).toString('hex');

/** Cuts the stream at the given places. */
function split(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [
    0,
    ...[...cuts].map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b),
    stream.length,
  ];
  return places.slice(1).map((to, i) => stream.subarray(places[i], to));
}

const message = fc.uint8Array({ minLength: 1, maxLength: 40 });

t.test('fuzz: however a stream is split, the same messages come out', async () => {
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 20 }),
      fc.array(fc.nat(), { maxLength: 30 }),
      (messages, cuts) => {
        const stream = Buffer.concat(messages.map(frame));
        const framer = new TcpFramer();
        const found = messagesOf(split(stream, cuts), framer);
        const expected = messages.map((octets) => Buffer.from(octets).toString('hex'));
        return (
          found.join() === expected.join() && !framer.isMidFrame && !framer.hasUnread && !framer.isBroken
        );
      },
    ),
    { seed, numRuns },
  );
});

t.test('fuzz: a reader that stops anywhere and continues later misses no message', async () => {
  const steps = fc.array(fc.nat(3), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 20 }),
      fc.array(fc.nat(), { maxLength: 30 }),
      steps,
      (messages, cuts, pulls) => {
        const framer = new TcpFramer();
        const found: string[] = [];
        split(Buffer.concat(messages.map(frame)), cuts).forEach((chunk, i) => {
          framer.push(chunk);
          for (let pull = pulls[i % pulls.length]!; pull > 0 && framer.next(); pull--)
            found.push(textOf(framer));
        });
        while (framer.next()) found.push(textOf(framer));
        return found.join() === messages.map((octets) => Buffer.from(octets).toString('hex')).join();
      },
    ),
    { seed, numRuns },
  );
});

t.test('fuzz: any octets give messages within bounds, and never more octets than came', async () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (chunks) => {
      const framer = new TcpFramer();
      let handedOut = 0;
      for (const chunk of chunks) {
        framer.push(chunk);
        while (framer.next()) {
          const length = framer.end - framer.start;
          if (length < 1 || length > 65_535 || framer.end > framer.octets.length) return false;
          handedOut += length + 2;
        }
      }
      return handedOut <= chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    }),
    { seed, numRuns },
  );
});

t.test('split at every octet', async (t) => {
  const stream = Buffer.concat([
    frame(Buffer.from('one')),
    frame(Buffer.from('second')),
    frame(Buffer.alloc(300, 7)),
  ]);
  const expected = messagesOf([stream]);
  t.equal(expected.length, 3);
  for (let at = 0; at <= stream.length; at++) {
    t.same(messagesOf([stream.subarray(0, at), stream.subarray(at)]), expected, `in two at ${at}`);
  }
  t.same(messagesOf([...stream].map((octet) => Buffer.of(octet))), expected, 'octet by octet');
});

t.test('the largest message, octet by octet, is whole after the last', async (t) => {
  const stream = frame(Buffer.alloc(65_535, 0xab));
  const framer = new TcpFramer();
  const found: string[] = [];
  for (const octet of stream) found.push(...messagesOf([Buffer.of(octet)], framer));
  t.equal(found.length, 1);
  t.equal(found[0]?.length, 2 * 65_535);
});

t.test('whole messages are handed out where they lie, without a copy', async (t) => {
  const chunk = Buffer.concat([frame(Buffer.from('one')), frame(Buffer.from('two'))]);
  const framer = new TcpFramer();
  framer.push(chunk);
  framer.next();
  t.equal(framer.octets, chunk);
  t.same([framer.start, framer.end], [2, 5]);
  framer.next();
  t.equal(framer.octets, chunk);
  t.same([framer.start, framer.end], [7, 10]);
});

t.test('a frame of no octets breaks the stream for good', async (t) => {
  const framer = new TcpFramer();
  const stream = Buffer.concat([frame(Buffer.from('one')), Buffer.of(0, 0), frame(Buffer.from('two'))]);
  t.equal(messagesOf([stream], framer).length, 1);
  t.equal(framer.isBroken, true);
  t.same(messagesOf([frame(Buffer.from('three'))], framer), []);
  const late = new TcpFramer();
  t.same(messagesOf([Buffer.of(0), Buffer.of(0)], late), []);
  t.equal(late.isBroken, true, 'also when its length came in two pieces');
});

t.test('it knows when it stands within a frame', async (t) => {
  const framer = new TcpFramer();
  const states = [...frame(Buffer.from('abc'))].map((octet) => {
    messagesOf([Buffer.of(octet)], framer);
    return framer.isMidFrame;
  });
  t.same(states, [true, true, true, true, false]);
});
