/** Queries in flight that outlive their process. What the file holds may be anything: another version wrote it, or a disk. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { openOutlivingFile } from '../../../src/runtime/service-manager.ts';
import { parseTaken, TAKEN_FILE_OCTETS } from '../../../src/serving/listener/taken-queries.ts';
import { MemoryFile } from './memory-file.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 300);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1_000_000);
t.comment(`fast-check seed ${seed}, ${numRuns} runs`);

const ADDRESS = new Uint8Array(Buffer.from('[fe80::1%eth0]:53'));
const NAME = Uint32Array.from([2, 3, 4, 5, 6, 7, 8]);
const INFO = Uint32Array.from([11, 12, 13, 14, 15]);
const QUERY = Uint8Array.from({ length: 40 }, (_, i) => i);

t.test('what is kept is left for the next process as it was, at its address, once', async (t) => {
  const file = new MemoryFile();
  const before = file.reopened();
  before.keep(ADDRESS, QUERY, 10, 40, NAME, INFO, 0);
  before.keep(ADDRESS, QUERY, 0, 40, NAME, undefined, 0);
  const after = file.reopened();
  t.same(after.takeLeft('127.0.0.1:53'), [], 'not at another address');
  const left = after.takeLeft('[fe80::1%eth0]:53');
  t.same(left, [
    {
      address: '[fe80::1%eth0]:53',
      atMs: 0,
      octets: QUERY.slice(10),
      name: new Uint8Array(NAME.buffer),
      info: INFO,
    },
    {
      address: '[fe80::1%eth0]:53',
      atMs: 0,
      octets: QUERY,
      name: new Uint8Array(NAME.buffer),
      info: undefined,
    },
  ]);
  t.same(after.takeLeft('[fe80::1%eth0]:53'), []);
  t.same(
    file.reopened().takeLeft('[fe80::1%eth0]:53'),
    [],
    'a query that ends a process cannot end every process',
  );
});

t.test('what is forgotten is not left, and its slot is used again', async (t) => {
  const file = new MemoryFile();
  const taken = file.reopened();
  const slots = Array.from({ length: 600 }, () => taken.keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 0));
  t.equal(slots.filter((slot) => slot >= 0).length, 512, 'no more than there are slots');
  t.ok(file.octets.length <= TAKEN_FILE_OCTETS);
  for (const slot of slots.slice(0, 512)) taken.forget(slot);
  t.equal(taken.keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 0), -1, 'not at any rate');
  t.ok(taken.keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 1) >= 0);
  t.equal(file.reopened().takeLeft('[fe80::1%eth0]:53').length, 1);
});

t.test(
  'a query whose listener has closed stays for the next process, and keeps no slot from later queries',
  async (t) => {
    const file = new MemoryFile();
    const taken = file.reopened();
    for (let ms = 0; ms < 1_000; ms++) {
      const slot = taken.keep(ADDRESS, QUERY, 10, 40, NAME, INFO, ms);
      if (slot < 0) t.fail(`no slot after ${ms} queries`);
      taken.leave(slot);
    }
    t.ok(taken.keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 1_000) >= 0);
    const left = file.reopened().takeLeft('[fe80::1%eth0]:53');
    t.equal(left.length, 512, 'the latest');
    t.equal(left.filter(({ octets }) => octets.length === 40).length, 1);
  },
);

t.test('a query that is too long, or a file that fails, keeps nothing and stops nothing', async (t) => {
  const file = new MemoryFile();
  const taken = file.reopened();
  t.equal(taken.keep(ADDRESS, new Uint8Array(4096), 0, 893, NAME, INFO, 0), -1);
  t.ok(taken.keep(ADDRESS, new Uint8Array(4096), 0, 892, NAME, INFO, 0) >= 0);
  file.error = new Error('no space');
  const slot = taken.keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 0);
  taken.forget(slot);
  t.equal(taken.keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 0), -1);
  t.match(file.log.lines, [{ level: 'warn', fields: { detail: 'no space' } }], 'said once');
  t.equal(taken.keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 60_000), 1, 'tried again after a minute');
  t.equal(file.log.lines.length, 1);
  file.error = undefined;
  t.equal(taken.keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 100_000), -1);
  const again = taken.keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 120_000);
  t.ok(again >= 0, 'somebody has made room');
  t.equal(file.reopened().takeLeft('[fe80::1%eth0]:53').length, 2);
});

t.test('a query is too old after five seconds, and at a wall clock that was set back', async (t) => {
  for (const [nowMs, left] of [
    [1_000, 1],
    [6_000, 1],
    [6_001, 0],
    [999, 0],
  ] as const) {
    const file = new MemoryFile();
    file.nowMs = 1_000;
    file.reopened().keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 0);
    file.nowMs = nowMs;
    t.equal(file.reopened().takeLeft('[fe80::1%eth0]:53').length, left, `at ${nowMs}`);
  }
});

t.test('an address that comes long after the start gets no old queries', async (t) => {
  const file = new MemoryFile();
  file.reopened().keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 0);
  file.nowMs = 4_000;
  const after = file.reopened();
  file.nowMs = 5_001;
  t.same(after.takeLeft('[fe80::1%eth0]:53'), []);
});

t.test(
  'whatever stands in the file, reading it throws nothing and finds no more than it holds',
  async (t) => {
    const file = new MemoryFile();
    const taken = file.reopened();
    for (let i = 0; i < 3; i++) taken.keep(ADDRESS, QUERY, 0, 40, NAME, INFO, 0);
    const whole = file.octets;
    const changes = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 8 });
    fc.assert(
      fc.property(changes, fc.nat(whole.length), (changed, length) => {
        const octets = whole.slice(0, length);
        for (const [at, value] of changed) if (at < length) octets[at] = value;
        const left = parseTaken(octets, 0);
        return left.length <= 3 && left.every((one) => one.octets.length <= 892 && one.name.length === 28);
      }),
    );
    t.same(parseTaken(new Uint8Array(7), 0), []);
  },
);

t.test('the folder of the service manager: a file of our own, emptied at the start', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-run-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const open = (folder: string) => openOutlivingFile({ RUNTIME_DIRECTORY: folder }, 'taken', 8);
  t.same(openOutlivingFile({}, 'taken', 8), { kind: 'none' });
  const first = open(`${directory}:/elsewhere`);
  if (first.kind !== 'open') throw new Error('not open');
  first.file.write(Uint8Array.of(1, 2, 3), 2, 4);
  const path = join(directory, 'taken');
  t.same([...readFileSync(path)], [0, 0, 0, 0, 1, 2]);
  t.equal(statSync(path).mode & 0o777, 0o600);
  writeFileSync(path, new Uint8Array(100).fill(7));
  const second = open(directory);
  t.match(second, { kind: 'open', file: { left: { length: 8 } } });
  t.equal(statSync(path).size, 0);

  for (const [what, make] of [
    ['a link', () => symlinkSync('/etc/passwd', path)],
    ['a folder', () => mkdirSync(path)],
    ['a pipe', () => execFileSync('mkfifo', [path])],
  ] as const) {
    rmSync(path, { recursive: true, force: true });
    make();
    t.equal(open(directory).kind, 'failed', what);
  }
  t.match(open(join(directory, 'absent')), { kind: 'failed', detail: /ENOENT/ });
});
