import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { stringify } from 'yaml';
import { type DeclaredKey, declaredKeys } from '../../scripts/config-reference.ts';
import { ConfigError } from '../../src/config/fault.ts';
import { load, SMALLEST } from './loading.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 300);
const SEED = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
const OPTIONS = { numRuns: RUNS, seed: SEED };

const SEEDS = ['reference.yaml', 'example.yaml'].map((name) =>
  readFileSync(join(import.meta.dirname, '../../config', name), 'utf8'),
);
const NAMES = keyNames(declaredKeys);

function keyNames(keys: readonly DeclaredKey[]): string[] {
  return [...new Set(keys.flatMap((key) => [key.name, ...keyNames(key.keys)]))];
}

/** Every fault can be printed on two lines. */
async function endsWell(text: string, environment: Record<string, string> = {}): Promise<boolean> {
  try {
    return Object.isFrozen(await load(text, { environment }));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return (
      error.faults.length > 0 &&
      error.faults.every(
        (fault) => fault.message !== '' && fault.fix !== '' && !/[\r\n]/.test(fault.message + fault.path),
      )
    );
  }
}

const piece = fc.oneof(
  fc.constantFrom(
    ...NAMES,
    ...'[]{}:,-?&*!|>%@`#\'"\n\t ~',
    ': ',
    '- ',
    '\n  ',
    '---\n',
    '&a ',
    '*a',
    '!!str ',
    '<<: ',
    '10.0.0.2',
    'null',
    '\\',
    '\u2028',
    '\ud800',
    '\0',
  ),
  fc.string({ maxLength: 4 }),
);
const soup = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''));

const damaged = fc
  .record({
    seed: fc.constantFrom(...SEEDS),
    cuts: fc.array(fc.tuple(fc.nat(), fc.nat(40), piece), { minLength: 1, maxLength: 5 }),
  })
  .map(({ seed, cuts }) =>
    cuts.reduce(
      (text, [at, length, put]) =>
        text.slice(0, at % text.length) + put + text.slice((at % text.length) + length),
      seed,
    ),
  );

const scalar = fc.oneof(
  fc.constantFrom(
    '45s',
    '5m',
    '64MiB',
    '10.0.0.2',
    '10.0.0.0/8',
    '[::]:53',
    'a',
    'us-west-2',
    'www A 10.0.0.1',
    'unlimited',
    'dns',
    '',
  ),
  fc.string({ maxLength: 20 }),
  fc.double(),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
);
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    scalar,
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...NAMES), fc.string({ maxLength: 8 })), tie('tree'), {
      maxKeys: 6,
    }),
  ),
}));
const ofKnownKeys = fc.dictionary(fc.constantFrom(...declaredKeys.map((key) => key.name)), tree, {
  maxKeys: 6,
});

t.comment(`seed ${SEED}, ${RUNS} runs each`);

t.test('no text makes the loader fail with anything but a ConfigError', async (t) => {
  await fc.assert(
    fc.asyncProperty(soup, (text) => endsWell(text)),
    OPTIONS,
  );
  t.pass('words and signs of YAML in any order');
  await fc.assert(
    fc.asyncProperty(damaged, (text) => endsWell(text)),
    OPTIONS,
  );
  t.pass('good files with pieces cut out and put in');
});

t.test('no values make the loader fail with anything but a ConfigError', async (t) => {
  await fc.assert(
    fc.asyncProperty(ofKnownKeys, (data) => endsWell(stringify(data))),
    OPTIONS,
  );
  t.pass('any tree below known keys');
});

t.test('no environment makes the loader fail with anything but a ConfigError', async (t) => {
  const name = fc
    .array(
      fc.oneof(
        fc.constantFrom(...NAMES.map((one) => one.toUpperCase()), '0', '1', '999999999999'),
        fc.string({ maxLength: 4 }),
      ),
      { maxLength: 5 },
    )
    .map((words) => `OUTPOST_DNS_${words.join('__')}`);
  const environment = fc.dictionary(
    name,
    fc.oneof(fc.string(), fc.constantFrom('1', 'true', '10.0.0.2', 'a,b', 'x'.repeat(5000))),
    { maxKeys: 8 },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        ofKnownKeys.map((data) => stringify(data)),
        fc.constantFrom(...SEEDS),
      ),
      environment,
      endsWell,
    ),
    OPTIONS,
  );
  t.pass('any variables over any tree');
});

t.test(
  'no record makes the loader fail with anything but a ConfigError, and a record that is taken lies in its zone',
  async (t) => {
    const word = fc.oneof(
      fc.constantFrom(
        'www',
        '@',
        'a.b.',
        'IN',
        'A',
        'AAAA',
        'CNAME',
        'MX',
        'TXT',
        '10',
        '10.0.0.1',
        '"',
        '\\',
        '"a b"',
        '60',
      ),
      fc.string({ maxLength: 6 }),
    );
    const text = fc.array(word, { maxLength: 7 }).map((words) => words.join(' '));
    await fc.assert(
      fc.asyncProperty(text, async (record) => {
        const zone = `${SMALLEST}zones: [{name: corp.example, records: [${JSON.stringify(record)}]}]\n`;
        try {
          const [found] = (await load(zone)).zones;
          const [read] = found !== undefined && 'records' in found ? found.records : [];
          return read?.owner.endsWith('corp.example') === true && read.ttlSeconds >= 1;
        } catch (error) {
          return error instanceof ConfigError && error.faults.every(({ message }) => message !== '');
        }
      }),
      OPTIONS,
    );
    t.pass('words of records in any order');
  },
);
