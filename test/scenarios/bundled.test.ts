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

t.test(
  'what a server loads at its start and later brings no Zod, whose set-up takes ten milliseconds: only a configuration needs it',
  (t) => {
    const loaded = (path: string, found = new Set<string>()): ReadonlySet<string> => {
      if (found.has(path)) return found;
      found.add(path);
      for (const { path: to, kind } of outputs[path]?.imports ?? [])
        if (kind === 'import-statement') loaded(to, found);
      return found;
    };
    const entries = [
      'commands/serve',
      'admin/control-server',
      'admin/http-server',
      'log/pino-logger',
      'daemon/control-commands',
      'daemon/pages',
      'admin/metrics',
      'far-side/kubernetes/kubernetes',
      'far-side/kubernetes/kubeconfig',
    ];
    for (const entry of entries) {
      const path = Object.keys(outputs).find((one) => outputs[one]?.entryPoint === `src/${entry}.ts`) ?? '';
      const sources = [...loaded(path)].flatMap((one) => Object.keys(outputs[one]?.inputs ?? {}));
      t.ok(sources.length > 0, entry);
      t.strictSame(
        sources.filter((source) => source.includes('node_modules/zod/')),
        [],
        entry,
      );
    }
    t.end();
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
