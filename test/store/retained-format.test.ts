import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { typeFromText } from '../../src/protocol/words/codes.ts';
import { canonicalJson } from '../../src/records/endpoint-record.ts';
import type { RetainedRecord } from '../../src/records/retained-record.ts';
import { atOnce } from '../../src/runtime/slices.ts';
import type { Written } from '../../src/store/checked-json.ts';
import { RETAINED } from '../../src/store/retained-format.ts';
import { message, rawRecord, rrsigData } from '../helpers/zone-text.ts';
import { retained, textOf } from './retained-records.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 200);
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
t.comment(`seed ${seed}`);

const file = (content: readonly RetainedRecord[]): Written<readonly RetainedRecord[]> => ({
  generation: 7,
  writtenAtMs: Date.UTC(2026, 0, 2),
  content,
});

function encoded(content: readonly RetainedRecord[]): string {
  const outcome = atOnce(RETAINED.encode(file(content)));
  if (outcome.kind === 'refused') throw new Error(outcome.detail);
  return Buffer.from(outcome.octets).toString();
}

t.test('a file can be read by a person', async (t) => {
  t.equal(
    encoded([retained('registry.example', 5)]).replace(/sha256:[0-9a-f]{64}/, 'sha256:...'),
    `{
  "about": [
    "the answers that outpost-dns retains, and gives while their upstreams cannot be reached",
    "replaced whole by the server; the generation before this one is retained.previous.json",
    "checksum by hand: jq -jcS 'del(.checksum)' retained.json | sha256sum"
  ],
  "format": "outpost-dns retained",
  "version": 1,
  "generation": 7,
  "writtenAt": "2026-01-02T00:00:00.000Z",
  "checksum": "sha256:...",
  "answers": [
    {
      "name": "registry.example",
      "type": "A",
      "confirmedAt": "2026-01-01T00:00:00.000Z",
      "changedAt": "2026-01-01T00:00:00.000Z",
      "records": [
        "registry.example 300 A 10.0.0.5"
      ],
      "message": "EjSBgAABAAEAAAAACHJlZ2lzdHJ5B2V4YW1wbGUAAAEAAQhyZWdpc3RyeQdleGFtcGxlAAABAAEAAAEsAAQKAAAF"
    }
  ]
}
`,
  );
});

const anyRecord = fc
  .record({
    name: fc.constantFrom('a.example', 'registry.example', '_ntp._udp.example', 'x\\.y.example', 'b'),
    type: fc.constantFrom('TYPE4711', 'TYPE4712'), // of unknown shape
    rdata: fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 4 }),
    tail: fc.uint8Array({ maxLength: 20 }),
    isSigned: fc.boolean(),
    times: fc.tuple(fc.nat(2 ** 41), fc.nat(2 ** 41)),
  })
  .map(({ name, type, rdata, tail, isSigned, times }): RetainedRecord => {
    const answers = rdata.map((octets) => rawRecord(name, type, 60, octets));
    const octets = new Uint8Array(Buffer.concat([message({ question: [name, type], answers }), tail]));
    return {
      name,
      qtype: typeFromText(type)!,
      message: octets,
      ...(isSigned ? { signedMessage: octets.slice() } : {}),
      confirmedAtMs: times[0],
      changedAtMs: times[1],
    };
  });

t.test('any records come back octet for octet', async (t) => {
  let signed = 0;
  fc.assert(
    fc.property(fc.array(anyRecord, { maxLength: 8 }), (records) => {
      const back = atOnce(RETAINED.decode(Buffer.from(encoded(records))));
      if (back.kind !== 'ok') throw new Error(JSON.stringify(back));
      if (textOf(back.file.content) !== textOf(records)) throw new Error('other records');
      signed += records.filter(({ signedMessage }) => signedMessage !== undefined).length;
    }),
    { seed, numRuns },
  );
  t.ok(signed > 10);
});

t.test('no change of any octet crashes or yields a changed record', async (t) => {
  const records = [
    retained('registry.example', 5),
    retained('oidc.example', 9, { signedMessage: retained('oidc.example', 9).message }),
  ];
  const whole = Buffer.from(encoded(records));
  const kinds = new Map<string, number>();
  const look = (octets: Uint8Array, what: string) => {
    const found = atOnce(RETAINED.decode(octets));
    kinds.set(found.kind, (kinds.get(found.kind) ?? 0) + 1);
    // white space between members is free
    if (found.kind === 'ok' && textOf(found.file.content) !== textOf(records)) t.fail(what);
  };
  for (let at = 0; at < whole.length; at++) {
    for (const by of [1, 0x20, 0x80]) {
      const changed = Buffer.from(whole);
      changed[at]! ^= by;
      look(changed, `${by} at ${at}`);
    }
    look(whole.subarray(0, at), `cut at ${at}`);
  }
  t.comment(JSON.stringify([...kinds]));
  t.ok((kinds.get('corrupt') ?? 0) > whole.length * 2);
});

t.test('a file with a valid checksum is checked all the same', async (t) => {
  const content = JSON.parse(encoded([retained('registry.example')]));
  const resigned = (change: (content: Record<string, unknown>, answer: Record<string, unknown>) => void) => {
    const copy = structuredClone(content);
    change(copy, copy.answers[0]);
    delete copy.checksum;
    copy.checksum = `sha256:${createHash('sha256').update(canonicalJson(copy)).digest('hex')}`;
    return Buffer.from(JSON.stringify(copy));
  };
  const other = Buffer.from(retained('other.example').message).toString('base64');
  const cases: [it: string, octets: Buffer, want: object][] = [
    ['as it is', resigned(() => {}), { kind: 'ok' }],
    ['an unknown member', resigned((_, answer) => Object.assign(answer, { colour: 'blue' })), { kind: 'ok' }],
    [
      'a later version',
      resigned((whole) => Object.assign(whole, { version: 2 })),
      { kind: 'newer', version: 2 },
    ],
    [
      'another format',
      resigned((whole) => Object.assign(whole, { format: 'outpost-dns endpoints' })),
      { kind: 'foreign' },
    ],
    [
      'a message about another name',
      resigned((_, answer) => Object.assign(answer, { message: other })),
      { kind: 'corrupt', reason: 'bad-content' },
    ],
    [
      'a signed one about another name',
      resigned((_, answer) => Object.assign(answer, { signedMessage: other })),
      { kind: 'corrupt' },
    ],
    ['another type', resigned((_, answer) => Object.assign(answer, { type: 'AAAA' })), { kind: 'corrupt' }],
    ['no type', resigned((_, answer) => Object.assign(answer, { type: 'BLUE' })), { kind: 'corrupt' }],
    ['no message', resigned((_, answer) => Object.assign(answer, { message: 'AAAA' })), { kind: 'corrupt' }],
    ['no base64', resigned((_, answer) => Object.assign(answer, { message: '!' })), { kind: 'corrupt' }],
    [
      'a name that is none',
      resigned((_, answer) => Object.assign(answer, { name: 'a..b' })),
      { kind: 'corrupt' },
    ],
    [
      'a time that is none',
      resigned((_, answer) => Object.assign(answer, { confirmedAt: 'now' })),
      { kind: 'corrupt' },
    ],
    ['no answers', resigned((whole) => Object.assign(whole, { answers: undefined })), { kind: 'corrupt' }],
  ];
  for (const [it, octets, want] of cases) t.match(atOnce(RETAINED.decode(octets)), want, it);
});

t.test('records that no file may hold are refused before they are written', async (t) => {
  const cases: [it: string, record: RetainedRecord][] = [
    ['a time that is none', retained('a.example', 1, { confirmedAtMs: Number.NaN })],
    ['a time before 1970', retained('a.example', 1, { changedAtMs: -1 })],
    ['a time after 9999', retained('a.example', 1, { confirmedAtMs: Date.UTC(10_000, 0, 1) })],
    ['a name that is not in normal form', { ...retained('a.example'), name: 'A.example' }],
    ['the root', retained('.')],
    [
      'a message that is too large',
      retained('a.example', 1, {
        message: Buffer.concat([retained('a.example').message, Buffer.alloc(65_536)]),
      }),
    ],
    ['another question', { ...retained('a.example'), name: 'b.example' }],
    ['no message', { ...retained('a.example'), message: new Uint8Array(3) }],
  ];
  for (const [it, record] of cases) t.equal(atOnce(RETAINED.encode(file([record]))).kind, 'refused', it);
});

t.test('all records that are not refused can be read back', async (t) => {
  const odd = fc.record({
    name: fc.constantFrom('a.example', '.', '', 'A.example', 'a..b', 'x y'),
    qtype: fc.integer({ min: -1, max: 70_000 }),
    message: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom(...['a.example', 'b.example', '.'].map((name) => retained(name).message)),
    ),
    confirmedAtMs: fc.double(),
    changedAtMs: fc.oneof(fc.double(), fc.integer()),
  });
  const usual = anyRecord.chain((record) =>
    odd.map((other) => ({ ...record, ...(other.qtype % 2 === 0 ? {} : { changedAtMs: other.changedAtMs }) })),
  );
  const counts = { encoded: 0, refused: 0 };
  fc.assert(
    fc.property(fc.array(fc.oneof(odd, usual), { maxLength: 3 }), (records) => {
      const outcome = atOnce(RETAINED.encode(file(records)));
      counts[outcome.kind]++;
      if (outcome.kind === 'encoded' && atOnce(RETAINED.decode(outcome.octets)).kind !== 'ok')
        throw new Error('not read back');
    }),
    { seed, numRuns: numRuns * 5 },
  );
  t.ok(counts.encoded > 10 && counts.refused > 10, JSON.stringify(counts));
});

t.test('the answer is content; time, TTL and order are not', async (t) => {
  const [a, b] = [retained('a.example', 1), retained('b.example', 1)];
  const aged = retained('a.example', 1, { confirmedAtMs: 5 });
  const ttl = { ...a, message: a.message.with(a.message.length - 7, 99) };
  const cases: [it: string, before: RetainedRecord[], after: RetainedRecord[], want: string][] = [
    ['the same', [a, b], [a, b], 'none'],
    ['confirmed', [a], [aged], 'ageing'],
    ['another TTL', [a], [ttl], 'ageing'],
    ['another order', [a, b], [b, a], 'ageing'],
    ['another address', [a], [retained('a.example', 2)], 'content'],
    ['one more', [a], [a, b], 'content'],
    ['one less', [a, b], [a], 'content'],
    ['signatures', [a], [{ ...a, signedMessage: b.message }], 'content'],
  ];
  for (const [it, before, after, want] of cases) t.equal(atOnce(RETAINED.compare(before, after)), want, it);
});

t.test('a large file that does not name our format is refused unparsed', async (t) => {
  const huge = Buffer.from(`{"format":"other","x":[${'{"a":1},'.repeat(100_000)}`); // no JSON: parsing it would say so
  t.match(atOnce(RETAINED.decode(huge)), { kind: 'foreign', reason: 'not-our-format' });
  t.match(atOnce(RETAINED.decode(Buffer.alloc(9 * 1024 * 1024, 0x20))), {
    kind: 'corrupt',
    reason: 'too-large',
  });
});

t.test(
  'answers for which there is no room are left out, the first come first, and the rest is read back',
  async (t) => {
    const name = 'large.example';
    const padding = Array.from({ length: 15 }, () =>
      rawRecord(name, 'TXT', 300, [255, ...new Array<number>(255).fill(0x78)]),
    );
    const large = new Uint8Array(message({ question: [name, 'A'], answers: padding }));
    const many = Array.from({ length: 1500 }, () => retained(name, 1, { message: large }));
    const outcome = atOnce(RETAINED.encode(file([...many, retained('small.example')])));
    if (outcome.kind !== 'encoded') throw new Error(outcome.detail);
    t.ok(outcome.octets.length <= RETAINED.maxOctets && outcome.octets.length > 0.9 * RETAINED.maxOctets);
    const back = atOnce(RETAINED.decode(outcome.octets));
    if (back.kind !== 'ok') throw new Error(back.kind);
    t.equal(back.file.content.length, 1501 - (outcome.leftOut ?? 0));
    t.ok((outcome.leftOut ?? 0) > 0);
  },
);

t.test('two thousand ordinary answers with signatures have room', async (t) => {
  const signed = (name: string) =>
    new Uint8Array(
      message({
        question: [name, 'A'],
        answers: [
          ...[1, 2, 3, 4].map((last) => rawRecord(name, 'A', 300, [10, 0, 0, last])),
          rawRecord(name, 'RRSIG', 300, rrsigData('A', 281)),
        ],
      }),
    );
  const records = Array.from({ length: 2000 }, (_, at) => {
    const name = `registry-${at}.prod.corp.example.com`;
    return retained(name, 1, { signedMessage: signed(name) });
  });
  const outcome = atOnce(RETAINED.encode(file(records)));
  t.equal(outcome.kind === 'encoded' ? (outcome.leftOut ?? 0) : outcome.detail, 0);
});

t.test('a long list is composed, compared and read an answer a step', async (t) => {
  const records = Array.from({ length: 500 }, (_, at) => retained(`n${at}.example`));
  const steps = (work: unknown) => {
    let count = 0;
    for (const _ of work as Iterable<unknown>) count++;
    return count;
  };
  t.ok(steps(RETAINED.encode(file(records))) >= 1000);
  t.ok(
    steps(
      RETAINED.compare(
        records,
        records.map((one) => ({ ...one, confirmedAtMs: 5 })),
      ),
    ) >= 1000,
  );
  t.ok(steps(RETAINED.decode(Buffer.from(encoded(records)))) >= 1000);
});
