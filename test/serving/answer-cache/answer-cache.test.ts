import t from 'tap';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import { AnswerCache } from '../../../src/serving/answer-cache/answer-cache.ts';
import { ENTRY_OVERHEAD_OCTETS, mayRecheck } from '../../../src/serving/answer-cache/cached-answer.ts';
import { message, opt, rawRecord } from '../../helpers/zone-text.ts';
import { asked, bench, collidingNames, nxdomain, positive, servfail, settings } from './asked.ts';

const name = 'www.example.com';

t.test('a stored answer is found by the same question alone', async (t) => {
  const { store, find } = bench();
  t.equal(find(), undefined, 'nothing before');
  const answer = store(positive(name, 300));
  t.equal(find(), answer);
  t.equal(find(asked(name, 'A', { upperCase: true })), answer, 'in any case (RFC 4343)');
  t.equal(find(asked(name, 'A', { dnssecOk: false })), answer, 'with EDNS but without DO');
  const others: [string, ReturnType<typeof asked>][] = [
    ['another name', asked('www2.example.com')],
    ['a name under it', asked(`a.${name}`)],
    ['its parent', asked('example.com')],
    ['another type', asked(name, 'AAAA')],
    ['another class', asked(name, 'A', { qclass: 3 })],
    ['with DO (RFC 4035 section 3.2.1)', asked(name, 'A', { dnssecOk: true })],
    ['with CD (RFC 4035 section 3.2.2)', asked(name, 'A', { checkingDisabled: true })],
  ];
  for (const [what, query] of others) t.equal(find(query), undefined, what);
});

t.test('questions of one name that differ in type, class, DO or CD have different keys', async (t) => {
  const keys = new Set<number>();
  let questions = 0;
  for (let type = 0; type < 512; type++) {
    for (const qclass of [1, 3, 255]) {
      for (const dnssecOk of [false, true]) {
        for (const checkingDisabled of [false, true]) {
          const key = asked(name, `TYPE${type}`, { qclass, dnssecOk, checkingDisabled }).key;
          if (key !== (key | 0)) t.fail(`${key} is no 32-bit signed integer`);
          keys.add(key);
          questions++;
        }
      }
    }
  }
  t.equal(keys.size, questions);
});

t.test(
  'HTTPS, whose number reads as the letter A, is not mixed up with the type 32 further on',
  async (t) => {
    const { store, find } = bench();
    const https = message({
      question: [name, 'HTTPS'],
      answers: [rawRecord(name, 'HTTPS', 60, [0, 1, 0])],
    });
    const answer = store(https, asked(name, 'HTTPS'));
    t.equal(find(asked(name, 'HTTPS')), answer);
    t.equal(find(asked(name, 'TYPE97')), undefined);
  },
);

t.test("two names that share a key have an answer each, and never get each other's", async (t) => {
  const { store, find, fail, time, cache } = bench();
  const [first, second] = collidingNames();
  t.equal(asked(first).key, asked(second).key);
  const one = store(positive(first, 300), asked(first));
  t.equal(find(asked(second)), undefined);
  t.equal(fail(asked(second))?.kind, 'failure', 'a failure is remembered elsewhere');
  t.equal(find(asked(first)), one);
  t.ok(mayRecheck(one!, 0), 'and is no worse for it');
  const two = store(positive(second, 300, [10, 0, 0, 2]), asked(second));
  t.equal(find(asked(second)), two);
  t.equal(find(asked(first)), one);
  const denied = store(nxdomain(second, 60), asked(second));
  t.equal(find(asked(second)), denied, 'a newer answer takes the place of its own');
  t.equal(denied?.earlier?.serial, two?.serial);
  t.equal(find(asked(first)), one);
  for (const [name, octets] of [
    [first, one?.octets],
    [second, two?.octets],
  ] as const) {
    const given = cache.peekAny(asked(name, 'A', { dnssecOk: true }), time.monotonicMs() + 70_000, true);
    t.same(given?.answer.octets, octets, 'with another DO, too');
  }
  const other = new AnswerCache(settings);
  for (const entry of cache.entries(0)) {
    if (entry !== undefined) t.equal(other.load(entry, 0), 'kept', 'through a restart');
  }
  t.ok(other.find(asked(first), 0));
  t.ok(other.find(asked(second), 0));
});

t.test(
  'a message that does not answer the question is not kept, and the answer before it stays',
  async (t) => {
    const { store, find } = bench();
    const good = store(positive(name, 300));
    const wrong: [string, Buffer][] = [
      ['another name', positive('evil.example.com', 300)],
      ['another name of the same length', positive('wwx.example.com', 300)],
      [
        'another type',
        message({ question: [name, 'AAAA'], answers: [rawRecord(name, 'AAAA', 300, Buffer.alloc(16))] }),
      ],
      ['another class', message({ question: [name, 'A', 3], answers: [] })],
      ['SERVFAIL to another name', servfail('evil.example.com')],
      [
        'TC',
        message({ flags: 0x8380, question: [name, 'A'], answers: [rawRecord(name, 'A', 300, [1, 2, 3, 4])] }),
      ],
      ['REFUSED', message({ flags: 0x8185, question: [name, 'A'] })],
      ['NXDOMAIN without SOA', message({ flags: 0x8183, question: [name, 'A'] })],
    ];
    for (const [what, octets] of wrong) {
      t.equal(store(octets), undefined, what);
      t.equal(find(), good, `${what}: the answer before is still there`);
    }
    t.equal(find(asked('evil.example.com')), undefined, 'and nothing is kept under the wrong question');
  },
);

t.test('kept octets are a message of their own', async (t) => {
  const { store } = bench({ maxTtlSeconds: 1000 });
  const slab = new Uint8Array(65_535);
  const octets = message({
    id: 7,
    question: ['WWW.example.com', 'A'],
    answers: [
      rawRecord('www.example.com', 'A', 2000, [10, 0, 0, 1]),
      rawRecord('www.example.com', 'A', 999, [10, 0, 0, 2]),
    ],
    additionals: [
      rawRecord('x', 'A', 0xffff_ffff, [1, 1, 1, 1]),
      opt({ options: [0, 15, 0, 2, 0, 3] }),
      rawRecord('behind.opt', 'A', 5, [2, 2, 2, 2]),
    ],
  });
  // message() lower-cases names: put the case of the question back
  octets.set(Buffer.from('WWW'), 13);
  slab.set(octets, 0);
  const received = slab.subarray(0, octets.length);
  const answer = store(received);
  if (answer === undefined) throw new Error('not kept');
  slab.fill(0xff);
  t.equal(answer.octets.buffer.byteLength, answer.octets.length, 'retains no larger buffer');
  t.same(
    Buffer.from(answer.octets),
    message({
      id: 7,
      question: ['www.example.com', 'A'],
      answers: [
        rawRecord('www.example.com', 'A', 1000, [10, 0, 0, 1]),
        rawRecord('www.example.com', 'A', 999, [10, 0, 0, 2]),
      ],
      additionals: [rawRecord('x', 'A', 1000, [1, 1, 1, 1])],
    }),
    'OPT and the records after it cut off, TTLs capped, question in lower case',
  );
  t.match(
    indexResponse(answer.octets),
    { ...answer.index, hasEdns: false, extendedError: undefined, ttlOffsets: Object },
    'and reads back from its octets alone',
  );
});

t.test('the bound holds in octets, least recently used first', async (t) => {
  const { cache, store, find } = bench({ sizeOctets: 10 * (ENTRY_OVERHEAD_OCTETS + 200) });
  const names = Array.from({ length: 30 }, (_, n) => `n${n}.example`);
  for (const each of names) {
    store(positive(each, 300), asked(each));
    find(asked('n0.example'));
  }
  const { entries, octets, evictions } = cache.stats();
  t.ok(octets <= 10 * (ENTRY_OVERHEAD_OCTETS + 200));
  t.equal(entries + evictions, 30);
  t.ok(entries >= 10 && entries <= 12, `${entries} entries`);
  t.ok(find(asked('n0.example')), 'used all the time');
  t.notOk(find(asked('n1.example')), 'used least recently');
  t.ok(find(asked('n29.example')));
});

t.test('a size of 0 keeps nothing and still answers the client', async (t) => {
  const { store, find } = bench({ sizeOctets: 0 });
  t.ok(store(positive(name, 300)));
  t.equal(find(), undefined);
});
