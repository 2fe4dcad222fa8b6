/**
 * Builds `dist/outpost-dns/`: everything that runs on a host, in one folder to be copied to /usr/lib/outpost-dns.
 * The program is bundled, and so is that of the thread of all that speaks HTTPS, started when first needed; its runtime
 * is the Node that the tests ran on.
 */
import { chmodSync, copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import packageJson from '../package.json' with { type: 'json' };
import { warmCompileCache } from './warm.ts';

const PROGRAMS: readonly {
  readonly from: string;
  readonly to: string;
  readonly apart?: readonly string[];
}[] = [
  { from: 'main.ts', to: 'main', apart: ['./serve.ts'] },
  { from: 'commands/serve.ts', to: 'serve' },
  { from: 'refresh/sources/https-thread.ts', to: 'https-thread' },
];
const root = join(import.meta.dirname, '..');
const out = join(root, 'dist', 'outpost-dns');

rmSync(out, { recursive: true, force: true });
for (const folder of ['bin', 'dist', 'node_modules/node/bin', 'config', 'docs', 'systemd']) {
  mkdirSync(join(out, folder), { recursive: true });
}
/** A program that another one loads is a file beside it. */
function leftApart(files: readonly string[]): Plugin {
  return {
    name: 'left-apart',
    setup({ onResolve }) {
      onResolve({ filter: /\.ts$/ }, ({ path, kind }) =>
        kind === 'dynamic-import' && files.includes(path)
          ? { path: path.replace(/\.ts$/, '.js'), external: true }
          : undefined,
      );
    },
  };
}

/** What would be loaded at every start and is used by nobody here. */
const lean: Plugin = {
  name: 'lean',
  setup({ onResolve, onLoad }) {
    // an `import` of node:http reads all that it exports, and with it loads undici
    onResolve({ filter: /^node:http$/ }, () => ({ path: 'node:http', namespace: 'builtin' }));
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}');`,
    }));
    // dns2 as a whole loads HTTP/2 and TLS; the server uses its messages alone
    const packet = join(root, 'node_modules', 'dns2', 'packet.js');
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
    onLoad({ filter: /.*/, namespace: 'nothing' }, () => ({ contents: '' }));
  },
};

/** What every program is built with. */
const options: BuildOptions = {
  outdir: join(out, 'dist'),
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  // the AWS clients' ES modules: their CommonJS would come out of import() without its names
  mainFields: ['module', 'main'],
  target: 'node24',
  sourcemap: false,
  minifySyntax: true,
  legalComments: 'none',
  logLevel: 'warning',
  // packages in the old module system ask for Node's own modules at run time
  banner: {
    js: "import { createRequire as outpostRequire } from 'node:module';const require = outpostRequire(import.meta.url);",
  },
};
// each apart: what programs share would be files of its own, and a start reads and links every file that it needs
for (const { from, to, apart = [] } of PROGRAMS) {
  await build({
    ...options,
    entryPoints: [{ in: join(root, 'src', from), out: to }],
    plugins: [lean, leftApart(apart)],
  });
}
const { name, version, license } = packageJson;
writeFileSync(
  join(out, 'package.json'),
  `${JSON.stringify({ name, version, license, type: 'module', private: true }, null, 2)}\n`,
);
copyFileSync(join(root, 'bin', 'outpost-dns'), join(out, 'bin', 'outpost-dns'));
copyFileSync(
  join(root, 'node_modules', 'node', 'bin', 'node'),
  join(out, 'node_modules', 'node', 'bin', 'node'),
);
chmodSync(join(out, 'node_modules', 'node', 'bin', 'node'), 0o755);
copyFileSync(join(root, 'LICENSE'), join(out, 'LICENSE'));
for (const folder of ['config', 'docs', 'systemd'])
  cpSync(join(root, folder), join(out, folder), { recursive: true });
await warmCompileCache(out);
console.log(`built ${out} (${name} ${version})`);
