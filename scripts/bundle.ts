/** The programs of a host, bundled into a folder: the command, the server, its thread for HTTPS, and its thread that reads a configuration. */
import { glob, readFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';
import { joinedFiles } from './joined.ts';

const PROGRAMS: readonly {
  readonly from: string;
  readonly to: string;
  /** Programs that this one loads. */
  readonly apart?: readonly string[];
  /** In one file, because a start waits for it. */
  readonly joined?: true;
}[] = [
  // named by its content, and by that of all it imports: it says by its name which program it is (checked-config.ts)
  { from: 'commands/serve.ts', to: 'serve-[hash]', joined: true },
  { from: 'main.ts', to: 'main', apart: ['commands/serve.ts'] },
  { from: 'far-side/far-side-thread.ts', to: 'far-side-thread' },
  { from: 'commands/config-thread.ts', to: 'config-thread' },
];
const root = join(import.meta.dirname, '..');

/** @returns the contents of all bundles together */
export async function bundleInto(outdir: string): Promise<Metafile> {
  const all: Metafile = { inputs: {}, outputs: {} };
  // each program alone: shared code would be files of its own, and a start reads and links every file that it needs
  for (const { from, to, apart = [], joined } of PROGRAMS) {
    const { metafile } = await build({
      ...OPTIONS,
      outdir,
      entryPoints: [join(root, 'src', from)],
      entryNames: to,
      // a part of a joined program must not be the file of another program that happens to have the same content
      chunkNames: joined === undefined ? '[name]-[hash]' : `[name]-${to}`,
      plugins: [lean, awsClients, leftApart(apart, all)],
      metafile: true,
    });
    const made =
      joined === undefined ? metafile : await joinedFiles(root, entryOf(from, metafile), metafile, OPTIONS);
    Object.assign(all.inputs, made.inputs);
    Object.assign(all.outputs, made.outputs);
  }
  return all;
}

/** The built file of a source file. */
function entryOf(file: string, { outputs }: Metafile): string {
  const built = Object.entries(outputs).find(([, { entryPoint }]) => entryPoint === `src/${file}`);
  if (built === undefined) throw new Error(`${file} is not built`);
  return built[0];
}

/** A program that another program loads is a file beside it, built before. */
function leftApart(files: readonly string[], metafile: Metafile): Plugin {
  return {
    name: 'left-apart',
    setup({ onResolve }) {
      onResolve({ filter: /\.ts$/ }, ({ path, kind, resolveDir }) => {
        const file = relative(join(root, 'src'), join(resolveDir, path));
        if (kind !== 'dynamic-import' || !files.includes(file)) return undefined;
        return { path: `./${basename(entryOf(file, metafile))}`, external: true };
      });
    },
  };
}

/** Leaves out modules that every start would load and no code here uses. */
const lean: Plugin = {
  name: 'lean',
  setup({ onResolve, onLoad }) {
    const packet = join(root, 'node_modules', 'dns2', 'packet.js');
    // for the number of a message that has none, which no message here is without
    onResolve({ filter: /^node:crypto$/ }, ({ importer }) =>
      importer === packet ? { path: 'node:crypto', namespace: 'crypto-later' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'crypto-later' }, () => ({
      contents: `export const randomInt = (...range) => process.getBuiltinModule('node:crypto').randomInt(...range);`,
    }));
    // an `import` of these reads all exports, and so loads undici, Web Crypto and other modules that no code here uses
    onResolve(
      { filter: /^node:(?:http|crypto|util|zlib|worker_threads|v8|os|child_process|dgram)$/ },
      // import() gets the module of Node itself: what stands in for it has no names
      ({ path, kind }) =>
        kind === 'dynamic-import'
          ? undefined
          : { path, namespace: kind === 'import-statement' ? 'builtin-names' : 'builtin' },
    );
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}');`,
    }));
    // the bundler leaves out the names that nobody takes: some of them load modules when they are read
    onLoad({ filter: /.*/, namespace: 'builtin-names' }, ({ path }) => ({
      contents: [
        `const all = /* @__PURE__ */ process.getBuiltinModule('${path}');`,
        ...Object.keys(process.getBuiltinModule(path) ?? {})
          .filter((name) => name !== 'default')
          .map((name) => `export const ${name} = /* @__PURE__ */ (() => all.${name})();`),
        'export default all;',
      ].join('\n'),
    }));
    // dns2 as a whole loads HTTP/2 and TLS; the server uses its messages alone
    onResolve({ filter: /^dns2$/ }, ({ importer }) =>
      importer.includes('/sandbox/') ? undefined : { path: packet, namespace: 'dns2' },
    );
    onLoad({ filter: /.*/, namespace: 'dns2' }, ({ path }) => ({
      contents: `export { default as Packet } from ${JSON.stringify(path)};`,
      resolveDir: root,
    }));
    // prom-client's client of a push gateway loads TLS, and its registry for many processes those
    onResolve({ filter: /^\.\/lib\/(?:pushgateway|cluster)$/ }, ({ path, importer }) =>
      importer.endsWith('/prom-client/index.js') ? { path, namespace: 'nothing' } : undefined,
    );
    // half of what a first scrape would load; only exemplars need it, and there are none here
    onResolve({ filter: /^@opentelemetry\/api$/ }, ({ path, importer }) =>
      importer.includes('/prom-client/') ? { path, namespace: 'nothing' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'nothing' }, () => ({ contents: '' }));
  },
};

/**
 * Of each AWS client only the names that the source takes from it: the bundler would keep all that `import()` may give, and the EC2
 * client has 700 commands. A poll loads 66 KB of that client instead of 1.9 MB, and compiles as much less.
 */
const awsClients: Plugin = {
  name: 'aws-clients',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@aws-sdk\/client-/ }, ({ path, kind }) =>
      kind === 'dynamic-import' ? { path, namespace: 'aws-client' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'aws-client' }, async ({ path }) => ({
      contents: `export { ${(await namesTakenFrom(path)).join(', ')} } from '${path}';`,
      resolveDir: root,
    }));
    // a key that is computed from a constant counts as work, so that the bundler keeps the schemas of all commands
    onLoad({ filter: /\/@aws-sdk\/client-[^/]+\/dist-es\/schemas\/[^/]+\.js$/ }, async ({ path }) => {
      const code = await readFile(path, 'utf8');
      const constants = new Map(
        Array.from(code.matchAll(/^const (\w+) = ("[^"\\]*");$/gm), ([, name, value]) => [name, value]),
      );
      return {
        contents: code.replace(/\[(\w+)\]:/g, (key, name) =>
          constants.has(name) ? `${constants.get(name)}:` : key,
        ),
      };
    });
  },
};

/** Sorted: a folder is listed in an order of its own on each disk, and two builds must be the same. */
async function namesTakenFrom(client: string): Promise<readonly string[]> {
  const names = new Set<string>();
  for await (const file of glob(join(root, 'src', 'far-side', '**', '*.ts'))) {
    const code = await readFile(file, 'utf8');
    const taken = [...code.matchAll(/const \{\s+([\w,\s]+?),?\s+\} = await import\('([^']+)'\)/g)].filter(
      ([, , from]) => from === client,
    );
    if (taken.length !== code.split(`import('${client}')`).length - 1)
      throw new Error(`${file}: write the names that it takes: const { ... } = await import('${client}')`);
    for (const [, list = ''] of taken) for (const name of list.split(/,\s+/)) names.add(name);
  }
  return [...names].sort();
}

/** Options of every program. */
const OPTIONS: BuildOptions = {
  bundle: true,
  absWorkingDir: root, // names of the metafile are relative to it
  splitting: true,
  format: 'esm',
  platform: 'node',
  // the AWS clients' ES modules: their CommonJS would come out of import() without its names
  mainFields: ['module', 'main'],
  target: 'node24',
  sourcemap: false,
  minifySyntax: true,
  // comments and indents are a third of what a start reads, and a comment with one character beyond Latin-1 doubles its file in memory
  minifyWhitespace: true,
  lineLimit: 120,
  legalComments: 'none',
  logLevel: 'warning',
  // packages in the old module system ask for Node's own modules at run time
  banner: {
    js: "import { createRequire as outpostRequire } from 'node:module';const require = outpostRequire(import.meta.url);",
  },
};
