/** What only the bundles can lack: a module of the old system, loaded by `import()`, has no names there except `default`. */
import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { bundleInto } from '../../scripts/bundle.ts';
import { until } from '../helpers/patience.ts';
import { keepState, keptRecord } from './kept-state.ts';
import { NO_AWS, ServerProcess } from './server-process.ts';
import { ENDPOINT, folder, Site } from './site.ts';

const bundle = folder(t);
writeFileSync(join(bundle, 'package.json'), '{"type":"module"}');
const { outputs } = await bundleInto(bundle);

t.test('no file of the bundles loads another one that has lost its names', async (t) => {
  const loads = Object.entries(outputs).flatMap(([from, { imports }]) =>
    imports.flatMap(({ kind, path }) => (kind === 'dynamic-import' ? { from, to: path } : [])),
  );
  t.ok(loads.length > 10);
  const nameless = loads.filter(({ to }) => outputs[to]?.exports.join() === 'default');
  t.strictSame(nameless, []);
});

t.test(
  'a start imports the server as one file; what is loaded later finds its parts in that file',
  async (t) => {
    const server =
      Object.keys(outputs).find((path) => outputs[path]?.entryPoint === 'src/commands/serve.ts') ?? '';
    const importedBy = (path: string) =>
      (outputs[path]?.imports ?? []).filter(
        ({ kind, external }) => kind === 'import-statement' && external !== true,
      );
    t.strictSame(importedBy(server), []);
    const later = Object.keys(outputs).filter((path) => importedBy(path).some((to) => to.path === server));
    t.ok(later.length > 5);
    for (const path of later) await t.resolves(import(join(bundle, basename(path))), path);
  },
);

t.test('readable lines, as on a terminal', async (t) => {
  const site = await Site.open(t, { overrides: { log: { format: 'pretty' } } });
  await keepState(site.stateDirectory, [keptRecord()]);
  const command = [process.execPath, join(bundle, 'main.js')] as const;
  const server = new ServerProcess(t, site.configFile, site.ports, NO_AWS, command);
  await server.firstAnswer({ name: ENDPOINT });
  await until('a line is written', () => /INFO/.exec(server.stdout));
  t.match(await server.kill('SIGTERM'), { code: 0 });
});
