/** The list of what is delivered holds every package that the bundles hold, and the runtime. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import packageJson from '../../package.json' with { type: 'json' };
import { writeBillOfMaterials } from '../../scripts/bill-of-materials.ts';
import { bundleInto } from '../../scripts/bundle.ts';

t.setTimeout(300_000);

interface Component {
  readonly group?: string;
  readonly name: string;
  readonly version?: string;
  readonly type: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
}

t.test('every package of the bundles, with its version, and the runtime with its sum', async (t) => {
  const folder = t.testdir();
  const metafile = await bundleInto(folder);
  const path = join(folder, 'bom.cdx.json');
  const sha256 = 'ab'.repeat(32);
  await writeBillOfMaterials(path, metafile, { path: '', version: '26.10.0', sha256 });
  const bill = JSON.parse(readFileSync(path, 'utf8'));
  t.match(bill, {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    metadata: { component: { name: packageJson.name } },
  });
  const components: readonly Component[] = bill.components;
  const listed = new Map(
    components.map(({ group, name, version }) => [group ? `${group}/${name}` : name, version]),
  );
  const bundled = new Set(
    Object.values(metafile.outputs).flatMap(({ inputs }) =>
      Object.keys(inputs).flatMap(
        (input) => /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(input)?.[1] ?? [],
      ),
    ),
  );
  t.ok(bundled.size > 20);
  for (const name of bundled) t.ok(listed.get(name), name);
  t.equal(listed.get('@aws-sdk/client-ec2'), packageJson.dependencies['@aws-sdk/client-ec2']);
  t.match(components.at(-1), {
    type: 'platform',
    name: 'node',
    hashes: [{ alg: 'SHA-256', content: sha256 }],
  });
  t.notOk(
    components.some(({ name }) => name === 'typescript' || name === 'tap'),
    'and nothing that only builds or tests',
  );
});
