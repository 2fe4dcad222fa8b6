import fc from 'fast-check';
import t from 'tap';
import {
  FRAME_OCTETS,
  HEADER_OCTETS,
  parseBlock,
  parseHeader,
  type SnapshotEntry,
} from '../../src/store/snapshot-format.ts';
import { entries, fileOf, read, textOf } from './snapshot-entries.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 200);
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
t.comment(`seed ${seed}`);

const plain = (n: number, octets = 60): SnapshotEntry => ({
  kind: 'positive',
  octets: new Uint8Array(octets).fill(n),
  ageMs: n,
  lifetimeMs: 1000 * n,
  dnssecOk: false,
  checkingDisabled: true,
  hits: n,
  idleMs: 2 * n,
});

t.test('any entries come back octet for octet, in their order, with reads of any length', async (t) => {
  let most = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(entries(), { maxLength: 40, size: 'max' }),
      fc.nat(2 ** 47),
      fc.integer({ min: 1, max: 5000 }),
      async (wanted, writtenAtMs, atOnce) => {
        const found = await read(fileOf(wanted, writtenAtMs), atOnce);
        if (found.fault !== undefined) throw new Error(JSON.stringify(found.fault));
        if (textOf(found.entries) !== textOf(wanted)) throw new Error('other entries');
        if (wanted.length > 0 && found.writtenAtMs !== writtenAtMs) throw new Error('another time');
        most = Math.max(most, wanted.length);
      },
    ),
    { seed, numRuns },
  );
  t.ok(most > 10, `${most} entries`);
});

t.test('entries of the largest messages fill blocks of their own and come back', async (t) => {
  const largest = (n: number): SnapshotEntry => ({ ...plain(n, 65_535), earlier: plain(n + 1, 65_535) });
  const wanted = [1, 2, 3, 4].map(largest);
  t.ok(textOf((await read(fileOf(wanted))).entries) === textOf(wanted));
});

t.test('impossible ages are brought within bounds, and never younger', async (t) => {
  const odd = { ...plain(1), ageMs: Number.NaN, lifetimeMs: -5, idleMs: 2 ** 60, hits: 2 ** 40 };
  const [back] = (
    await read(fileOf([odd, { ...plain(2), ageMs: 0.6, lifetimeMs: Number.POSITIVE_INFINITY }]))
  ).entries;
  t.match(back, { ageMs: 2 ** 48 - 1, lifetimeMs: 0, idleMs: 2 ** 48 - 1, hits: 2 ** 32 - 1 });
});

/** 200 entries in about five blocks. */
const some = Array.from({ length: 200 }, (_, n) => plain(n, 1000 + n));
const whole = fileOf(some);

t.test(
  'a file cut off at any length gives its good prefix, block by block, and says that it is torn',
  async (t) => {
    const small = fileOf(Array.from({ length: 5 }, (_, n) => plain(n, 20)));
    const prefixes = new Set<number>();
    const wrong: string[] = [];
    const look = async (file: Buffer, of: readonly SnapshotEntry[], length: number) => {
      const { entries: found, fault } = await read(file.subarray(0, length));
      const isPrefix = textOf(found) === textOf(of.slice(0, found.length));
      const reason = length === 0 ? 'empty' : 'torn';
      if (!isPrefix || fault?.kind !== 'corrupt' || fault.reason !== reason)
        wrong.push(`${length}: ${fault?.reason}`);
      return found.length;
    };
    const smallEntries = Array.from({ length: 5 }, (_, n) => plain(n, 20));
    for (let length = 0; length < small.length; length++) await look(small, smallEntries, length);
    for (let length = 0; length < whole.length; length += 997) prefixes.add(await look(whole, some, length));
    t.strictSame(wrong, []);
    t.ok(prefixes.size >= 4, `prefixes of ${[...prefixes].join(', ')} entries`);
    t.equal((await read(whole)).fault, undefined, 'the whole file is whole');
  },
);

t.test(
  'no change of any octet crashes, or yields an entry that was not written or out of its place',
  async (t) => {
    const mutation = fc.oneof(
      fc.record({
        kind: fc.constant('flip' as const),
        at: fc.nat(whole.length - 1),
        by: fc.integer({ min: 1, max: 255 }),
      }),
      fc.record({
        kind: fc.constant('fill' as const),
        at: fc.nat(whole.length - 1),
        length: fc.nat(5000),
        by: fc.nat(255),
      }),
      fc.record({
        kind: fc.constant('cut out' as const),
        at: fc.nat(whole.length - 1),
        length: fc.nat(60_000),
      }),
      fc.record({
        kind: fc.constant('repeat' as const),
        at: fc.nat(whole.length - 1),
        length: fc.nat(60_000),
      }),
    );
    const counts = { unchanged: 0, foreign: 0, corrupt: 0, newer: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
        let file = Buffer.from(whole);
        for (const one of mutations) {
          const end = 'length' in one ? Math.min(file.length, one.at + one.length) : 0;
          if (one.kind === 'flip' && one.at < file.length) file[one.at]! ^= one.by;
          if (one.kind === 'fill') file.fill(one.by, one.at, end);
          if (one.kind === 'cut out') file = Buffer.concat([file.subarray(0, one.at), file.subarray(end)]);
          if (one.kind === 'repeat') file = Buffer.concat([file.subarray(0, end), file.subarray(one.at)]);
        }
        const { entries: found, fault } = await read(file);
        if (textOf(found) !== textOf(some.slice(0, found.length))) throw new Error('a changed entry');
        if (file.equals(whole)) counts.unchanged++;
        else if (fault === undefined || fault.kind === 'unreadable') throw new Error('nothing was noticed');
        else counts[fault.kind]++;
      }),
      { seed, numRuns },
    );
    t.comment(JSON.stringify(counts));
    t.ok(counts.corrupt > numRuns / 2);
  },
);

t.test('every single octet of a small file matters', async (t) => {
  const file = fileOf([plain(1, 30), plain(2, 30)]);
  const unnoticed: number[] = [];
  for (let at = 0; at < file.length; at++) {
    const changed = Buffer.from(file);
    changed[at]! ^= 0x20;
    if ((await read(changed)).fault === undefined) unnoticed.push(at);
  }
  t.strictSame(unnoticed, []);
});

t.test('blocks of two files cannot be put together, although each proves itself in its own', async (t) => {
  const one = fileOf(some, 1000);
  const other = fileOf(some, 2000);
  const mixed = Buffer.concat([one.subarray(0, HEADER_OCTETS), other.subarray(HEADER_OCTETS)]);
  const { entries: found, fault } = await read(mixed);
  t.equal(found.length, 0);
  t.match(fault, { kind: 'corrupt', reason: 'checksum-mismatch' });
});

t.test('what a file is, going by how it begins', async (t) => {
  const header = whole.subarray(0, HEADER_OCTETS);
  const version = (n: number) => {
    const changed = Buffer.from(header);
    changed.writeUInt32BE(n, 20);
    return changed;
  };
  const cases: [it: string, octets: Uint8Array, want: object][] = [
    ['ours', header, { kind: 'header', answers: 200 }],
    ['nothing', new Uint8Array(0), { kind: 'corrupt', reason: 'empty' }],
    ['zeros, as a disk leaves them', new Uint8Array(500), { kind: 'foreign' }],
    ['JSON', Buffer.from('{"format":"outpost-dns endpoints"}'), { kind: 'foreign' }],
    ['a part of the first line', header.subarray(0, 9), { kind: 'corrupt', reason: 'torn' }],
    [
      'a later version, however its header goes on',
      version(2).subarray(0, 24),
      { kind: 'newer', version: 2 },
    ],
    ['version 0', version(0), { kind: 'corrupt', reason: 'bad-header' }],
    ['our version, cut off', header.subarray(0, 30), { kind: 'corrupt', reason: 'torn' }],
  ];
  for (const [it, octets, want] of cases) t.match(parseHeader(octets), want, it);
});

t.test('a block states a length that no block has: nothing of that size is read or allocated', async (t) => {
  const file = Buffer.from(fileOf([plain(1)]));
  file.writeUInt32BE(0xffff_ffff, HEADER_OCTETS);
  t.match((await read(file)).fault, { kind: 'corrupt', reason: 'bad-length' });
});

t.test('octets after the end are noticed', async (t) => {
  const { entries: found, fault } = await read(Buffer.concat([whole, Buffer.of(0)]));
  t.equal(found.length, some.length);
  t.match(fault, { kind: 'corrupt', reason: 'overlong' });
});

t.test('a payload of any octets is parsed without a throw, and within its bounds', async (t) => {
  const block = whole.subarray(HEADER_OCTETS + FRAME_OCTETS, HEADER_OCTETS + FRAME_OCTETS + 20_000);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400 }),
      fc.nat(20_000),
      fc.integer({ min: 0, max: 0x1f }),
      (octets, cut, flags) => {
        parseBlock(octets);
        parseBlock(block.subarray(0, cut));
        parseBlock(Buffer.concat([Buffer.of(flags), octets]));
      },
    ),
    { seed, numRuns },
  );
  t.equal(parseBlock(new Uint8Array(5)), undefined);
});
