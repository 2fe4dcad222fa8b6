import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { type DeclaredKey, declaredKeys } from '../../scripts/config-reference.ts';
import { generate, outOfStep } from '../../scripts/generate.ts';
import { faultsBySchema } from './json-schema-check.ts';
import { load } from './loading.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

interface Declared {
  readonly path: string;
  readonly key: DeclaredKey;
}

function allKeys(keys: readonly DeclaredKey[] = declaredKeys, above = ''): Declared[] {
  return keys.flatMap((key) => {
    const path = above + key.name;
    return [{ path, key }, ...allKeys(key.keys, `${path}${key.isListOfMaps ? '[]' : ''}.`)];
  });
}

t.test('the generated files are in step with the source', async (t) => {
  t.strictSame(await outOfStep(ROOT), []);
  const run = spawnSync(process.execPath, [join(ROOT, 'scripts/generate.ts'), '--check'], {
    encoding: 'utf8',
  });
  t.equal(run.status, 0, run.stderr);
  const wrong = spawnSync(process.execPath, [join(ROOT, 'scripts/generate.ts'), '--chekc'], {
    encoding: 'utf8',
  });
  t.equal(wrong.status, 2, 'an unknown argument is wrong usage');
});

t.test('a generated file that was changed or lost is named, and written again', async (t) => {
  const root = t.testdir();
  const all = await generate(root);
  t.ok(all.length >= 3);
  t.strictSame(await outOfStep(root), []);
  appendFileSync(join(root, 'config/schema.json'), ' ');
  rmSync(join(root, 'docs/configuration.md'));
  t.strictSame(await outOfStep(root), ['config/schema.json', 'docs/configuration.md']);
  t.strictSame(await generate(root), ['config/schema.json', 'docs/configuration.md']);
  t.strictSame(await outOfStep(root), []);
});

t.test('every key has a line of doc and says what it allows, and a default or an example', async (t) => {
  for (const { path, key } of allKeys()) {
    t.ok(key.facts.doc, `${path}: doc`);
    if (key.keys.length > 0) continue;
    t.ok(key.facts.allowed, `${path}: allowed`);
    t.ok((key.facts.defaultValue ?? key.facts.example) !== undefined, `${path}: default or example`);
  }
});

t.test('the reference loads as it stands and shows every key', async (t) => {
  const text = read('config/reference.yaml');
  const config = await load(text);
  const smallest = await load('clusters: [{name: my-cluster, region: us-west-2}]\nupstreams: [10.0.0.2]\n');
  for (const part of [
    'listen',
    'clients',
    'refresh',
    'forward',
    'cache',
    'limits',
    'admin',
    'state',
    'log',
  ] as const) {
    t.strictSame(config[part], smallest[part], `${part} shows the defaults`);
  }
  for (const { path, key } of allKeys()) {
    t.match(text, new RegExp(`^ *(?:# |- )?${key.name}:`, 'm'), path);
  }
});

t.test('the reference loads with each alternative in place of what it excludes', async (t) => {
  const text = read('config/reference.yaml');
  const swapped = (on: string, off: string) =>
    text.replace(`# ${on}:`, `${on}:`).replace(new RegExp(`^( *)${off}:`, 'm'), `$1# ${off}:`);
  t.match((await load(swapped('zoneId', 'findZone'))).clusters[0]?.route53, { zoneId: String });
  t.match((await load(swapped('forwardTo', 'records'))).zones[0], { forwardTo: {} });
  t.match((await load(swapped('answer', 'records'))).zones[0], { answer: String });
  t.match((await load(swapped('whileDisconnected', 'records'))).zones[0], {
    forwardTo: {},
    whileDisconnected: 'servfail',
  });
  const certificate = ['certificate', 'key', 'ca'].reduce(
    (text, key) => text.replace(`# ${key}:`, `${key}:`),
    swapped('certificate', 'kubeconfig'),
  );
  t.match((await load(certificate)).clusters[0]?.kubernetes, { kind: 'certificate' });
});

t.test('the example loads', async (t) => {
  const config = await load(read('config/example.yaml'));
  t.equal(config.clusters.length, 2);
});

t.test('the JSON Schema takes what loads and refuses what it can', async (t) => {
  const schema = JSON.parse(read('config/schema.json'));
  t.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema');
  for (const path of ['config/reference.yaml', 'config/example.yaml']) {
    t.strictSame(faultsBySchema(schema, parse(read(path))), [], path);
  }
  const smallest = { clusters: [{ name: 'a', region: 'us-west-2' }], upstreams: ['10.0.0.2'] };
  t.strictSame(faultsBySchema(schema, smallest), []);
  const cases: [path: string, value: unknown, faults: string[]][] = [
    ['colour', 'blue', ['/colour: additionalProperties']],
    ['upstreams', [], ['/upstreams: minItems']],
    ['upstreams', ['dns.google'], ['/upstreams/0: pattern']],
    ['clusters', [{ name: 'a' }], ['/clusters/0: anyOf']],
    ['clusters', [{ region: 'us-west-2' }], ['/clusters/0: required']],
    ['zones', [{ name: 'z', answer: 'nxdomain', forwardTo: ['10.0.0.3'] }], ['/zones/0: oneOf']],
    ['zones', [{ name: 'z' }], ['/zones/0: oneOf']],
    ['zones', [{ name: 'z', whileDisconnected: 'stale' }], []],
    ['zones', [{ name: 'z', whileDisconnected: ['www A 10.0.0.5'] }], []],
    ['zones', [{ name: 'z', whileDisconnected: 'stale', forwardTo: ['10.0.0.3'] }], []],
    ['zones', [{ name: 'z', whileDisconnected: 'stale', answer: 'nxdomain' }], ['/zones/0: oneOf']],
    ['zones', [{ name: 'z', whileDisconnected: 'refused' }], ['/zones/0/whileDisconnected: anyOf']],
    ['zones', [{ name: 'z', whileDisconnected: [] }], ['/zones/0/whileDisconnected: anyOf']],
    ['refresh', { dns: 45 }, ['/refresh/dns: type']],
    ['cache', { size: '64MB' }, ['/cache/size: pattern']],
    ['limits', { slip: 11 }, ['/limits/slip: maximum']],
    ['log', { level: 'loud' }, ['/log/level: enum']],
  ];
  for (const [key, value, faults] of cases) {
    t.strictSame(faultsBySchema(schema, { ...smallest, [key]: value }), faults, JSON.stringify(value));
  }
});

t.test('the configuration page has a table row for every key', async (t) => {
  const page = read('docs/configuration.md');
  for (const { path, key } of allKeys().filter(({ key }) => key.keys.length === 0)) {
    const [first = '', ...rest] = path.replaceAll('[]', '').split('.');
    t.match(page, `\n## ${first}\n`, path);
    t.match(page, `| \`${rest.length === 0 ? first : rest.join('.')}\` |`, path);
    t.match(page, key.facts.allowed?.replaceAll('|', '\\|'), path);
  }
});
