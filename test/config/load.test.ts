import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type LoadRequest, loadConfig } from '../../src/config/config.ts';
import { formatFaults } from '../../src/config/fault.ts';
import { MAX_OCTETS, readConfigFile } from '../../src/config/source-text.ts';
import { processorMs } from '../helpers/patience.ts';
import { errorOf, faultLines, load, SMALLEST } from './loading.ts';

const REQUEST: LoadRequest = { explicit: true, environment: {}, ownAddresses: [], readFile: readConfigFile };
const BY_VARIABLES = {
  OUTPOST_DNS_CLUSTERS__0__NAME: 'a',
  OUTPOST_DNS_CLUSTERS__0__REGION: 'us-west-2',
  OUTPOST_DNS_UPSTREAMS: '10.0.0.2',
};

function failing(code: string): LoadRequest['readFile'] {
  return () => Promise.reject(Object.assign(new Error(code), { code }));
}

t.test('a file is read from the disk', async (t) => {
  const directory = t.testdir({
    'a.yaml': SMALLEST,
    'bom.yaml': `\ufeff${SMALLEST}`,
    'crlf.yaml': SMALLEST.replaceAll('\n', '\r\n'),
  });
  for (const name of ['a.yaml', 'bom.yaml', 'crlf.yaml']) {
    const config = await loadConfig({ ...REQUEST, file: join(directory, name) });
    t.equal(config.clusters[0]?.name, 'a', name);
  }
});

t.test('a file that yields no text is one fault that names the file', async (t) => {
  const directory = t.testdir({
    empty: '',
    'utf-16': Buffer.from(`\ufeff${SMALLEST}`, 'utf16le'),
    large: 'a'.repeat(MAX_OCTETS + 1),
  });
  mkdirSync(join(directory, 'directory'));
  writeFileSync(join(directory, 'file'), 'x');
  symlinkSync(join(directory, 'loop'), join(directory, 'loop'));
  const cases: [name: string, message: string][] = [
    ['absent', 'no such file'],
    ['empty', 'the file is empty'],
    ['directory', 'a directory, not a file'],
    ['file/below', 'a part of the path is not a directory'],
    ['loop', 'too many symbolic links'],
    ['utf-16', 'the file is not UTF-8 text'],
    ['large', 'the file is larger than 1 MiB'],
  ];
  for (const [name, message] of cases) {
    const file = join(directory, name);
    const error = await errorOf(loadConfig({ ...REQUEST, file }));
    t.equal(error.code, 'unreadable', name);
    t.match(error.faults, [{ file, path: '', message }], name);
    t.equal(error.faults.length, 1, name);
  }
});

t.test('a refusal of the file system is a fault with its reason', async (t) => {
  for (const [code, message] of [
    ['EACCES', 'the file may not be read by this user'],
    ['EIO', 'cannot read the file: EIO'],
  ] as const) {
    const error = await errorOf(loadConfig({ ...REQUEST, file: 'f.yaml', readFile: failing(code) }));
    t.match(error.faults, [{ file: 'f.yaml', message }], code);
  }
});

t.test('a file without an end is not read to its end', async (t) => {
  const error = await errorOf(loadConfig({ ...REQUEST, file: '/dev/zero' }));
  t.match(error.faults, [{ message: 'the file is larger than 1 MiB' }]);
});

t.test('variables alone suffice if no file was named', async (t) => {
  const environment = BY_VARIABLES;
  const absent = { ...REQUEST, file: '/etc/absent.yaml', environment, readFile: failing('ENOENT') };
  t.equal(
    (await loadConfig({ ...REQUEST, explicit: false, environment })).clusters[0]?.region,
    'us-west-2',
    'no file at all',
  );
  t.equal(
    (await loadConfig({ ...absent, explicit: false })).clusters[0]?.region,
    'us-west-2',
    'none in the default place',
  );
  t.match((await errorOf(loadConfig(absent))).faults, [{ message: 'no such file' }], 'the file was named');
  const without = await errorOf(loadConfig({ ...absent, explicit: false, environment: {} }));
  t.match(without.faults, [{ file: '/etc/absent.yaml', message: 'no such file' }], 'no variables');
  const unreadable = await errorOf(loadConfig({ ...absent, explicit: false, readFile: failing('EACCES') }));
  t.match(
    unreadable.faults,
    [{ message: 'the file may not be read by this user' }],
    'a file that is there counts',
  );
  const nothing = await errorOf(loadConfig({ ...REQUEST, explicit: false }));
  t.match(nothing.faults, [{ file: 'environment', message: 'no file and no variables' }], 'neither');
});

t.test('faults without a file are those of the environment', async (t) => {
  const error = await errorOf(
    loadConfig({
      ...REQUEST,
      explicit: false,
      file: '/etc/absent.yaml',
      readFile: failing('ENOENT'),
      environment: { OUTPOST_DNS_LOG__LEVEL: 'loud' },
    }),
  );
  t.strictSame(
    error.faults.map(({ file, variable, path, message }) => [file, variable, path, message]),
    [
      ['environment', undefined, 'clusters', 'missing'],
      ['environment', undefined, 'upstreams', 'missing'],
      ['environment', 'OUTPOST_DNS_LOG__LEVEL', 'log.level', 'not one of the words allowed'],
    ],
  );
});

t.test('a fault carries file, line, column, path, value, message and fix', async (t) => {
  const error = await errorOf(load(`${SMALLEST}log:\n  level: loud\n`));
  t.equal(error.code, 'invalid');
  t.strictSame(error.faults, [
    {
      file: 'f.yaml',
      line: 4,
      column: 10,
      path: 'log.level',
      value: '"loud"',
      message: 'not one of the words allowed',
      fix: 'write one of debug, info, warn, error',
    },
  ]);
  t.equal(error.message, `cannot use the configuration: 1 fault\n${formatFaults(error.faults)}`);
});

t.test('aliases of values are accepted, and faults in them point to the alias', async (t) => {
  const text = `clusters: [{name: a, region: &r us-west-2}, {name: b, region: *r}]\nupstreams: &u [10.0.0.2]\nzones: [{name: z, forwardTo: *u}]\n`;
  const config = await load(text);
  t.equal(config.clusters[1]?.region, 'us-west-2');
  t.match(config.zones, [{ forwardTo: { upstreams: [{ address: '10.0.0.2' }] } }]);
  const lines = await faultLines(`${SMALLEST}log: {level: &l loud}\nstate: {directory: *l}\n`);
  t.match(lines[2], 'f.yaml:4:20: state.directory: "loud"');
});

t.test('aliases that multiply are refused in time and memory', async (t) => {
  const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(10).fill(`*l${i}`)}]`);
  const startedMs = processorMs();
  const error = await errorOf(load(`l0: &l0 [x]\n${levels.join('\n')}\n`));
  t.equal(error.code, 'malformed');
  t.match(error.faults.at(-1), { message: 'more than 100 aliases' });
  t.ok(processorMs() - startedMs < 5000);
});

t.test('a set of records is bounded, and its fault is reported once', async (t) => {
  const zone = (count: number) =>
    `${SMALLEST}zones:\n  - name: z\n    records:\n${Array.from({ length: count }, (_, i) => `      - a A 10.0.${i >> 8}.${i & 255}\n`).join('')}`;
  t.equal((await load(zone(1024))).zones.length, 1);
  const lines = await faultLines(zone(1030));
  t.equal(lines.length, 2);
  t.match(
    lines[0],
    'f.yaml:1030:9: zones[0].records[1024]: "a A 10.0.4.0": the records of type A of a.z take more than',
  );
});

t.test('a file with a fault on each line prints fifty and counts the rest', async (t) => {
  const lines = await faultLines(
    `${SMALLEST}${Array.from({ length: 60 }, (_, i) => `key${i}: 1\n`).join('')}`,
  );
  t.equal(lines.length, 101);
  t.equal(lines.at(-1), 'and 10 more faults');
});

/** The time grows with the length; a text as long as the largest file takes four times as long. */
const HOSTILE_OCTETS = MAX_OCTETS / 4;

t.test('hostile texts of 256 KiB end in a ConfigError within seconds of work', async (t) => {
  const fill = (piece: string) => piece.repeat(Math.floor(HOSTILE_OCTETS / piece.length));
  const texts = {
    brackets: fill('['),
    dashes: fill('- '),
    bangs: fill('!'),
    keys: Array.from({ length: 25_000 }, (_, i) => `k${i}: 1`).join('\n'),
    items: `upstreams: [${fill('1,').slice(20)}]`,
  };
  for (const [name, text] of Object.entries(texts)) {
    const startedMs = processorMs();
    const { faults } = await errorOf(load(text));
    t.ok(faults.length > 0, name);
    t.ok(
      faults.every(({ message, path, value = '' }) => message.length + path.length + value.length < 500),
      `${name}: faults stay short`,
    );
    t.ok(processorMs() - startedMs < 30_000, `${name}: ${Math.round(processorMs() - startedMs)} ms`);
  }
});
