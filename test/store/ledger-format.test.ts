import fc from 'fast-check';
import t from 'tap';
import {
  composeLine,
  LEDGER_KINDS,
  type LedgerEvent,
  MAX_LINE_OCTETS,
  parseLine,
} from '../../src/store/ledger-format.ts';
import { SAMPLES } from './ledger-events.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 500);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

const AT_MS = Date.UTC(2026, 0, 1, 3);

function lineOf(event: LedgerEvent, sequence = 7, lost = 0): string {
  return Buffer.from(composeLine({ sequence, atMs: AT_MS, lost, event })).toString();
}

t.test('every kind comes back from its line as it was', async (t) => {
  for (const event of SAMPLES) {
    const line = lineOf(event, 7, 3);
    t.match(line, /^\{"sequence":7,"at":"2026-01-01T03:00:00\.000Z","lost":3,"kind":"[a-z-]+".*\}\n$/);
    const entry = parseLine(line.trimEnd());
    t.strictSame(entry?.event, event, JSON.stringify(event));
    t.match(entry, { sequence: 7, at: '2026-01-01T03:00:00.000Z', lost: 3, kind: event.kind });
  }
  t.strictSame(
    LEDGER_KINDS.toSorted(),
    [...new Set(SAMPLES.map(({ kind }) => kind))].sort(),
    'a sample for every kind, and every kind in the list',
  );
});

t.test('an entry without loss says nothing of loss', async (t) => {
  t.notMatch(lineOf(SAMPLES[0]!), /lost/);
  t.equal(parseLine(lineOf(SAMPLES[0]!).trimEnd())?.lost, 0);
});

t.test('a line of a later version is an entry with its whole line, without an event', async (t) => {
  const later = { sequence: 1, at: '2027-01-01T00:00:00Z', kind: 'earthquake', magnitude: 7 };
  const entry = parseLine(JSON.stringify(later));
  t.match(entry, { kind: 'earthquake', line: later });
  t.equal(entry?.event, undefined);
  const grown = { sequence: 2, at: '2027-01-01T00:00:00Z', kind: 'stop', reason: 'x', more: { deep: [1] } };
  t.match(parseLine(JSON.stringify(grown)), { event: { kind: 'stop', reason: 'x' }, line: grown });
});

t.test('a line of another program is no entry', async (t) => {
  const head = '"sequence":1,"at":"2026-01-01T00:00:00Z","kind":"stop"';
  const whole = `{${head},"reason":"x"}`;
  t.ok(parseLine(whole), 'the whole line is one');
  const deep = '['.repeat(5000) + ']'.repeat(5000);
  for (const [what, text] of [
    ['empty', ''],
    ['torn', whole.slice(0, -1)],
    ['the end of a torn line', whole.slice(9)],
    ['two lines in one', whole + whole],
    ['zeros, as after a power cut', '\0'.repeat(100)],
    ['an array', `[${whole}]`],
    ['a number', '1'],
    ['no sequence', '{"at":"2026-01-01T00:00:00Z","kind":"stop"}'],
    ['a negative sequence', whole.replace(':1,', ':-1,')],
    ['a sequence that is no whole number', whole.replace(':1,', ':1.5,')],
    ['a time that is none', whole.replace('2026-01-01T00:00:00Z', 'yesterday')],
    ['no kind', whole.replace('"stop"', '""')],
    ['a loss that is none', whole.replace('"kind"', '"lost":-1,"kind"')],
    ['nested too deep', whole.replace('"x"', `${'['.repeat(20)}${']'.repeat(20)}`)],
    ['nested far too deep', whole.replace('"x"', deep)],
    ['too long', whole.replace('"x"', `"${'x'.repeat(MAX_LINE_OCTETS)}"`)],
  ] as const)
    t.equal(parseLine(text), undefined, what);
});

t.test('a line is bounded for any event, and says that it was clipped', async (t) => {
  const longText = lineOf({ kind: 'stop', reason: '\u{1f4a5}'.repeat(100_000) });
  t.ok(Buffer.byteLength(longText) <= MAX_LINE_OCTETS);
  t.match(parseLine(longText.trimEnd()), { event: { kind: 'stop' }, line: { clipped: true } });
  const longList = lineOf({
    kind: 'reload',
    outcome: 'refused',
    faults: Array(5000).fill('fault '.repeat(50)),
  });
  t.ok(Buffer.byteLength(longList) <= MAX_LINE_OCTETS);
  t.match(parseLine(longList.trimEnd()), { event: { kind: 'reload' }, line: { clipped: true } });
  const seen = Object.fromEntries(Array.from({ length: 3000 }, (_, at) => [`source-${at}`, ['10.0.0.1']]));
  const wide = lineOf({ kind: 'addresses', cluster: 'c', before: [], after: [], basis: 'name', seen });
  t.ok(Buffer.byteLength(wide) <= MAX_LINE_OCTETS);
  const entry = parseLine(wide.trimEnd());
  t.match(entry, { kind: 'addresses', line: { clipped: true } });
  t.equal(entry?.event, undefined, 'nothing is left of it but its kind');
});

t.test('an event with any texts is one line and comes back', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.nat(1e6),
        fc.nat(50),
        (reason, sequence, lost) => {
          const event: LedgerEvent = { kind: 'stop', reason };
          const line = lineOf(event, sequence, lost);
          const feeds = line.split('\n').length - 1;
          const entry = parseLine(line.slice(0, -1));
          // a surrogate on its own is written as an escape and comes back as it was
          return feeds === 1 && line.endsWith('\n') && JSON.stringify(entry?.event) === JSON.stringify(event);
        },
      ),
      { seed, numRuns },
    ),
  );
});

t.test('no line makes the parser throw', async (t) => {
  const whole = SAMPLES.map((event) => lineOf(event).trimEnd());
  const mutated = fc
    .record({
      line: fc.constantFrom(...whole),
      cut: fc.nat(400),
      insert: fc.oneof(fc.json({ maxDepth: 12 }), fc.string({ unit: 'binary' })),
      at: fc.nat(400),
    })
    .map(({ line, cut, insert, at }) => line.slice(0, at) + insert + line.slice(cut));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.oneof(mutated, fc.json(), fc.string({ unit: 'binary' })), (text) => {
        const entry = parseLine(text);
        if (entry === undefined) return true;
        return (
          Number.isSafeInteger(entry.sequence) && Number.isFinite(Date.parse(entry.at)) && entry.kind !== ''
        );
      }),
      { seed, numRuns: numRuns * 4 },
    ),
  );
});
