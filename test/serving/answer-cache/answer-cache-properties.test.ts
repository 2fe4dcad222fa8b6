import fc from 'fast-check';
import t from 'tap';
import { writePatchedReply } from '../../../src/protocol/wire/reply.ts';
import { AnswerCache } from '../../../src/serving/answer-cache/answer-cache.ts';
import { sizeOf } from '../../../src/serving/answer-cache/cached-answer.ts';
import { message, rawRecord } from '../../helpers/zone-text.ts';
import { asked, indexed, nxdomain, positive, servfail, settings } from './asked.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 300);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

const label = fc.stringMatching(/^[a-z0-9_-]{1,12}$/);
const domain = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
/** Those whose RDATA has no known shape. */
const unknownType = fc.integer({ min: 1000, max: 32_000 });
const record = fc.record({
  owner: domain,
  type: unknownType,
  ttl: fc.integer({ min: 100, max: 86_400 }),
  rdata: fc.uint8Array({ maxLength: 300 }),
});

t.test('any RDATA of unknown types comes back octet for octet, only TTLs differ (RFC 3597)', async () => {
  fc.assert(
    fc.property(
      fc.record({
        name: domain,
        qtype: unknownType,
        answers: fc.array(record, { maxLength: 6 }),
        authorities: fc.array(record, { maxLength: 3 }),
        additionals: fc.array(record, { maxLength: 3 }),
        ttl: fc.oneof(fc.record({ ageSeconds: fc.nat(99) }), fc.record({ ttlSeconds: fc.constant(30) })),
        at: fc.nat(50),
      }),
      ({ name, qtype, answers, authorities, additionals, ttl, at }) => {
        const type = `TYPE${qtype}`;
        const own = { owner: name, type: qtype, ttl: 100, rdata: Uint8Array.of(1, 2, 3) };
        const compose = (ttlOf: (ttl: number) => number, flags: number, id: number) => {
          const section = (records: (typeof own)[]) =>
            records.map((each) => rawRecord(each.owner, each.type, ttlOf(each.ttl), each.rdata));
          return message({
            id,
            flags,
            question: [name, type],
            answers: section([own, ...answers]),
            authorities: section(authorities),
            additionals: section(additionals),
          });
        };
        const cache = new AnswerCache(settings);
        const received = compose((left) => left, 0x8180, 9);
        const stored = cache.store(asked(name, type), received, indexed(received), 0);
        const query = asked(name, type);
        const found = cache.find(query, 0);
        if (found === undefined || found !== stored) throw new Error('not found');
        const before = Buffer.from(found.octets);
        const reply = new Uint8Array(70_000);
        const options = { ttl, extendedError: undefined, trustAuthenticatedData: false, limit: 65_535 };
        const length = writePatchedReply(query, found.octets, found.index, options, reply, at);
        const aged = (left: number) =>
          'ttlSeconds' in ttl ? ttl.ttlSeconds : Math.max(0, left - ttl.ageSeconds);
        const want = compose(aged, 0x8180, query.id);
        const got = Buffer.from(reply.subarray(at, at + length));
        if (!got.equals(want)) throw new Error(`${got.toString('hex')}\n${want.toString('hex')}`);
        if (!before.equals(found.octets)) throw new Error('a hit wrote to the stored answer');
      },
    ),
    { seed, numRuns },
  );
});

t.test(
  'under random load the bound holds and only the latest answer to a question is ever found',
  async (t) => {
    const step = fc.record({
      name: fc.nat(60).map((n) => `host${n}.example`),
      what: fc.constantFrom(
        'positive',
        'positive',
        'nxdomain',
        'servfail',
        'failure',
        'find',
        'find',
        'find',
        'resize',
      ),
      value: fc.nat(255),
      passedMs: fc.nat(40_000),
    });
    let evictions = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 200, size: 'max' }), (steps) => {
        let sizeOctets = 20_000;
        const cache = new AnswerCache({ ...settings, sizeOctets, staleForMs: 120_000 });
        /** The number of what was last kept for a question, which may have been evicted since; the failure itself. */
        const latest = new Map<string, unknown>();
        let nowMs = 0;
        for (const { name, what, value, passedMs } of steps) {
          nowMs += passedMs;
          const query = asked(name);
          if (what === 'find') {
            const found = cache.find(query, nowMs);
            if (found !== undefined && (found.serial || found) !== latest.get(name))
              throw new Error('an answer of long ago');
          } else if (what === 'resize') {
            sizeOctets = 5000 + 200 * value;
            cache.reconfigure({ ...cache.settings, sizeOctets });
          } else {
            const octets =
              what === 'positive'
                ? positive(name, 60 + value, [10, 0, 0, value])
                : what === 'nxdomain'
                  ? nxdomain(name, 60)
                  : servfail(name);
            const kept =
              what === 'failure'
                ? cache.noteFailure(query, nowMs)
                : cache.store(query, octets, indexed(octets), nowMs);
            if (kept !== undefined) latest.set(name, kept.serial || kept);
            if (kept !== undefined && sizeOf(kept) > 5000) throw new Error('an answer grows without bound');
          }
          const { octets, entries } = cache.stats();
          if (octets > sizeOctets) throw new Error(`${octets} octets where ${sizeOctets} are the bound`);
          if (entries > octets / 256) throw new Error('entries that were not counted');
        }
        evictions += cache.stats().evictions;
      }),
      { seed, numRuns },
    );
    t.ok(evictions > 0, `${evictions} evictions`);
  },
);

t.test('a hit allocates nothing', async (t) => {
  const cache = new AnswerCache(settings);
  const name = 'www.example.com';
  const octets = positive(name, 86_400);
  cache.store(asked(name), octets, indexed(octets), 0);
  const query = asked(name, 'A', { upperCase: true });
  const spin = (times: number) => {
    for (let i = 0; i < times; i++) if (cache.find(query, 1) === undefined) throw new Error('a miss');
  };
  spin(200_000);
  const grown: number[] = [];
  // until the optimiser is done, which it may be late on a machine that is busy
  for (let round = 0; round < 5 || (round < 100 && Math.min(...grown.map(Math.abs)) >= 200_000); round++) {
    const before = process.memoryUsage().heapUsed;
    spin(100_000);
    grown.push(process.memoryUsage().heapUsed - before);
  }
  const least = Math.min(...grown.map(Math.abs));
  // one object of the smallest size per hit would be 1.6 million octets
  t.ok(least < 200_000, `${least} octets in 100,000 hits`);
});
