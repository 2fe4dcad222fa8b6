/**
 * Joins a bundled program and all files that it imports as it starts into one file: a start reads, checks and links every file, and
 * each of them takes a million instructions. What is loaded later stays apart, and imports parts of the program from the joined file.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type BuildOptions, build, type Metafile } from 'esbuild';

/**
 * `path` is an output of `metafile`, relative to the folder `root`; `options` are those of the build that made it. Resolves to
 * the metafile with the joined file, whose name has the hash of its own content.
 */
export async function joinedFiles(
  root: string,
  path: string,
  metafile: Metafile,
  options: BuildOptions,
): Promise<Metafile> {
  const parts = importedAtOnce(path, metafile);
  const folder = dirname(join(root, path));
  const lines = parts.map((part, at) =>
    part === path
      ? `export * from './${basename(part)}';`
      : `export { ${names(part, metafile).map((name) => `${name} as ${unique(name, at)}`)} } from './${basename(part)}';`,
  );
  const { metafile: made } = await build({
    ...options,
    absWorkingDir: folder, // names of inputs count in the hash, and the folder of a build has a name by chance
    banner: {}, // each part has its own
    splitting: false,
    outdir: folder,
    stdin: { contents: lines.join('\n'), resolveDir: folder, sourcefile: 'joined.js' },
    entryNames: basename(path).replace(/-[^-]*$/, '-[hash]'),
    plugins: [
      {
        name: 'loaded-later',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^\.\// }, ({ path: to, kind }) =>
            kind === 'dynamic-import' ? { path: to, external: true } : undefined,
          ),
      },
    ],
    metafile: true,
  });
  const [[name, output] = ['', undefined]] = Object.entries(made.outputs);
  const file = join(dirname(path), name);
  for (const part of parts) await rm(join(root, part));
  const outputs: Metafile['outputs'] = {};
  for (const [later, output] of Object.entries(metafile.outputs)) {
    if (parts.includes(later)) continue;
    const code = await readFile(join(root, later), 'utf8');
    const next = withNamesOf(file, parts, code);
    await writeFile(join(root, later), next);
    const imports = output.imports.map((to) => (parts.includes(to.path) ? { ...to, path: file } : to));
    outputs[later] = { ...output, bytes: Buffer.byteLength(next), imports };
  }
  const joined = parts.flatMap((part) => metafile.outputs[part] ?? []);
  outputs[file] = {
    ...output,
    bytes: output?.bytes ?? 0,
    exports: names(path, metafile),
    inputs: Object.assign({}, ...joined.map(({ inputs }) => inputs)),
    imports: joined.flatMap(({ imports }) => imports).filter((to) => !parts.includes(to.path)),
    entryPoint: metafile.outputs[path]?.entryPoint ?? '',
  };
  return { inputs: metafile.inputs, outputs };
}

/** The code of a file that is loaded later: what it imports of a part comes from the joined file. */
function withNamesOf(file: string, parts: readonly string[], code: string): string {
  const places = new Map(parts.map((part, at) => [basename(part), at]));
  const found = code.replace(
    /\bimport(?:\{([^{}]*)\}from)?"\.\/([^"/]+)";/g,
    (statement, list: string | undefined, from: string) => {
      const at = places.get(from);
      if (at === undefined) return statement;
      if (list === undefined) return `import"./${basename(file)}";`;
      const taken = list.split(',').map((one) => {
        const [name = '', as = name] = one.trim().split(/\s+as\s+/);
        return at === 0 ? one : `${unique(name, at)} as ${as}`;
      });
      return `import{${taken}}from"./${basename(file)}";`;
    },
  );
  for (const part of places.keys())
    if (found.includes(part))
      throw new Error(`a file that is loaded later names "${part}" in a way that is not known here`);
  return found;
}

/** `path` first. */
function importedAtOnce(path: string, { outputs }: Metafile, found: string[] = []): readonly string[] {
  if (found.includes(path)) return found;
  found.push(path);
  for (const { path: next, kind, external } of outputs[path]?.imports ?? [])
    if (kind === 'import-statement' && external !== true)
      importedAtOnce(next, { outputs, inputs: {} }, found);
  return found;
}

function names(path: string, { outputs }: Metafile): string[] {
  return outputs[path]?.exports ?? [];
}

/** The files name their exports each for itself. */
function unique(name: string, part: number): string {
  return `${name}$${part}`;
}
