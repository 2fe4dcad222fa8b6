/**
 * Lays out all files of a host in one folder: programs, runtime, documents, man pages, completion, licences, list of contents.
 * It refuses to know what becomes of the folder: an image, a copy by hand (build.ts) or a package (package.ts).
 */
import { chmod, copyFile, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import packageJson from '../package.json' with { type: 'json' };
import { wholeProgram } from '../src/commands/program.ts';
import { writeBillOfMaterials } from './bill-of-materials.ts';
import { completions } from './completions.ts';
import { manPages } from './man-pages.ts';
import type { Runtime } from './runtime.ts';

const root = join(import.meta.dirname, '..');

export interface Bundled {
  /** The folder that `bundleInto` filled. */
  readonly folder: string;
  readonly metafile: Metafile;
}

/** `out` must not exist. `nodeLicense` is the runtime's own file. */
export async function layDelivery(
  out: string,
  { folder, metafile }: Bundled,
  runtime: Runtime,
  nodeLicense: string,
): Promise<void> {
  for (const below of ['bin', 'node_modules/node/bin', 'man/man1', 'man/man5', 'completions'])
    await mkdir(join(out, below), { recursive: true });
  await cp(folder, join(out, 'dist'), { recursive: true });
  const { name, version, license } = packageJson;
  await writeFile(
    join(out, 'package.json'),
    `${JSON.stringify({ name, version, license, type: 'module', private: true }, null, 2)}\n`,
  );
  await cp(join(root, 'bin'), join(out, 'bin'), { recursive: true });
  const node = join(out, 'node_modules', 'node', 'bin', 'node');
  await copyFile(runtime.path, node);
  await chmod(node, 0o755);
  for (const file of ['LICENSE', 'SECURITY.md', 'CHANGELOG.md'])
    await copyFile(join(root, file), join(out, file));
  for (const below of ['config', 'docs', 'systemd'])
    await cp(join(root, below), join(out, below), { recursive: true });
  const program = await wholeProgram();
  for (const [file, text] of manPages(program, version)) await writeFile(join(out, 'man', file), text);
  for (const [file, text] of completions(program)) await writeFile(join(out, 'completions', file), text);
  await writeFile(join(out, 'THIRD-PARTY-LICENSES'), await thirdPartyLicenses(metafile, nodeLicense));
  await writeBillOfMaterials(join(out, 'bom.cdx.json'), metafile, runtime);
}

/** The licence texts of the packages in the bundles, and of the runtime. */
async function thirdPartyLicenses(metafile: Metafile, nodeLicense: string): Promise<string> {
  const folders = new Set(
    Object.keys(metafile.inputs).flatMap((input) => {
      const folder = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
      return folder === undefined || input.startsWith('dns2:')
        ? []
        : [folder.replace(/^.*?(?=node_modules\/)/, '')];
    }),
  );
  const sections: string[] = [];
  for (const folder of [...folders].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8'));
    const file = (await readdir(join(root, folder))).sort().find((one) => /^licen[cs]e(?:\.|$)/i.test(one));
    const text =
      file === undefined ? `License: ${license}` : await readFile(join(root, folder, file), 'utf8');
    sections.push(`${name} ${version}\n\n${text.trim()}\n`);
  }
  sections.push(`node\n\n${(await readFile(nodeLicense, 'utf8')).trim()}\n`);
  return sections.join(`\n${'-'.repeat(80)}\n\n`);
}
