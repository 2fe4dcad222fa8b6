/** A key is declared once: everything else follows from its declaration, and the room named there uses it. */
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type DeclaredKey, declaredKeys } from '../../scripts/config-reference.ts';
import { readSourceFiles } from '../helpers/source-files.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Leaf {
  readonly path: string;
  readonly key: DeclaredKey;
}

function leaves(keys: readonly DeclaredKey[], above = ''): Leaf[] {
  return keys.flatMap((key) => {
    const path = `${above}${key.name}`;
    return key.keys.length === 0 ? [{ path, key }] : leaves(key.keys, `${path}.`);
  });
}

/** Keys whose value no room takes as it is, each with the option that comes from it. */
const TURNED_INTO: Readonly<Record<string, string>> = {
  'clusters.route53.findZone': 'route53 without a zoneId',
  'clusters.probe.enabled': 'a probe, or none',
  retain: 'the questions of refresh/retained',
};

t.test('each key names a room that uses its value under the option that it names', async (t) => {
  const files = readSourceFiles();
  for (const { path, key } of leaves(declaredKeys)) {
    if (path in TURNED_INTO) continue;
    t.ok(key.room !== undefined && existsSync(join(ROOT, 'src', key.room)), `${path}: room ${key.room}`);
    // the intervals are a table with a key for each source
    const word = key.option.startsWith('intervalMs.') ? 'intervalMs' : key.option.split('.').at(-1);
    const name = new RegExp(`\\b${word}\\b`);
    const users = files.filter((file) => file.path.startsWith(`${key.room}/`) && name.test(file.code));
    t.ok(users.length > 0, `${path}: ${key.option} is used in ${key.room}`);
  }
});

t.test('no key of a list needs a restart: its values are not compared', async (t) => {
  const inLists = declaredKeys.filter(({ isListOfMaps }) => isListOfMaps);
  t.ok(inLists.length > 1);
  for (const { path, key } of leaves(inLists)) t.notOk(key.facts.needsRestart, path);
  t.ok(leaves(declaredKeys).some(({ key }) => key.facts.needsRestart));
});

/** Files of this room that name a key besides the file of its section, each with the reason. */
const ALSO_IN: Readonly<Record<string, readonly string[]>> = {
  'clusters.vpcId': ['config/kinds/text.ts'], // the kind of its value has the same name
  'clusters.route53.zoneId': ['config/kinds/address.ts'], // ipaddr.js's word for the interface of an address
  // rules of other sections: whether an upstream is this server, and whether a retained name is forwarded
  'zones.forwardTo': ['config/keys/retain.ts', 'config/keys/server.ts'],
};

t.test('in this room a key is named in the file of its section alone', async (t) => {
  const files = readSourceFiles().filter(({ path }) => path.startsWith('config/'));
  const compound = leaves(declaredKeys).filter(({ key }) => /[a-z][A-Z]/.test(key.name)); // other names are common words
  t.ok(compound.length > 20);
  for (const { path, key } of compound) {
    const name = new RegExp(`\\b${key.name}\\b`);
    const named = files.filter((file) => name.test(file.code)).map((file) => file.path);
    const others = named.filter((file) => !(ALSO_IN[path] ?? []).includes(file));
    t.equal(others.length, 1, `${path}: ${others}`);
  }
});

/** The whole of what is written for a new key, besides the room that uses it. */
const MADE_UP: readonly (readonly [file: string, before: string, declaration: string])[] = [
  [
    'keys/server.ts',
    'inFlight: defaulted(',
    "hedgeAfter: defaulted(duration('10ms', '1s'), '50ms', 'made up for a test'),\n",
  ],
  [
    'keys/clusters.ts',
    'vpcId: optional(',
    "rack: optional(absolutePath('/rack/7'), 'made up too', '/rack/7'),\n",
  ],
];

t.test(
  'two made-up keys: one line each in the file of their section, and nothing else in this room',
  async (t) => {
    const root = t.testdir();
    const copy = join(root, 'src');
    cpSync(join(ROOT, 'scripts/config-reference.ts'), join(root, 'scripts/config-reference.ts'));
    // what this room imports (test/architecture)
    for (const room of ['config', 'records', 'protocol', 'runtime/system-errors.ts']) {
      cpSync(join(ROOT, 'src', room), join(copy, room), { recursive: true });
    }
    for (const [file, before, declaration] of MADE_UP) {
      const path = join(copy, 'config', file);
      const text = readFileSync(path, 'utf8');
      t.equal(text.split(before).length, 2, `${file}: one place for it`);
      writeFileSync(path, text.replace(before, declaration + before));
    }
    const { loadConfig } = await import(join(copy, 'config/config.ts'));
    const load = (text: string, environment = {}) =>
      loadConfig({
        file: 'f.yaml',
        explicit: true,
        text,
        environment,
        ownAddresses: [],
        readFile: undefined,
      });
    const smallest = 'clusters: [{name: a, region: us-west-2}]\nupstreams: [10.0.0.2]\n';

    const config = await load(smallest);
    t.equal(config.forward.hedgeAfterMs, 50, 'the default, with the unit in the name of the option');
    t.notOk('rack' in config.clusters[0], 'absent without a default');
    const set = await load(`${smallest}forward: {hedgeAfter: 1s}\n`, { OUTPOST_DNS_CLUSTERS__0__RACK: '/r' });
    t.equal(set.forward.hedgeAfterMs, 1000);
    t.equal(set.clusters[0].rack, '/r', 'by its variable');
    t.match(await faultsOf(load(`${smallest}forward: {hedgeAfter: 2s}\n`)), [
      {
        line: 3,
        path: 'forward.hedgeAfter',
        value: '"2s"',
        message: 'longer than 1s',
        fix: 'write a duration from 10ms to 1s, in ms, s, m, h or d',
      },
    ]);
    t.match(await faultsOf(load(smallest.replace('region', 'rakc: /r, region'))), [
      { path: 'clusters[0].rakc', fix: 'did you mean "rack"?' },
    ]);

    const { referenceYaml, configurationPage, jsonSchema } = await import(
      join(root, 'scripts/config-reference.ts')
    );
    t.match(referenceYaml(), '\n  # made up for a test\n  # default 50ms; a duration from 10ms to 1s');
    t.match(referenceYaml(), '\n    rack: /rack/7\n');
    t.match(configurationPage(), '| `hedgeAfter` | `50ms` |');
    const { properties } = JSON.parse(jsonSchema());
    t.match(properties.forward.properties.hedgeAfter, {
      default: '50ms',
      pattern: String,
      description: /^made up/,
    });
    t.match(properties.clusters.items.properties.rack, { pattern: '^/', examples: ['/rack/7'] });
  },
);

/** The copy has an error class of its own. */
async function faultsOf(loading: Promise<unknown>): Promise<unknown> {
  return loading.then(
    () => 'taken',
    (error: { readonly faults: unknown }) => error.faults,
  );
}
