/**
 * `npm run package [-- --format deb] [-- --arch x64]`: packages for hosts in `dist/packages/`, with their checksums. Without arguments
 * it makes every format for every architecture. dpkg-deb, rpmbuild and tar make the files. Two builds of one commit are identical:
 * times come from SOURCE_DATE_EPOCH or from the commit, and no compile cache is packed.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import packageJson from '../package.json' with { type: 'json' };
import { bundleInto } from './bundle.ts';
import { layDelivery } from './delivery.ts';
import { buildDeb } from './packages/deb.ts';
import { dateFiles } from './packages/host-tree.ts';
import type { PackageJob } from './packages/job.ts';
import { buildRpm } from './packages/rpm.ts';
import { buildTarball } from './packages/tarball.ts';
import { ARCHITECTURES, type Architecture, runtimePackage, sha256Of, strippedRuntime } from './runtime.ts';

const root = join(import.meta.dirname, '..');

const FORMATS = { deb: buildDeb, rpm: buildRpm, tar: buildTarball } as const;
type Format = keyof typeof FORMATS;

interface Wanted {
  readonly formats: readonly Format[];
  readonly architectures: readonly Architecture[];
  readonly out: string;
  readonly epochSeconds: number;
}

async function packageAll({ formats, architectures, out, epochSeconds }: Wanted): Promise<void> {
  const room = await mkdtemp(join(tmpdir(), 'outpost-dns-package-'));
  try {
    await mkdir(out, { recursive: true });
    const folder = join(room, 'dist');
    const metafile = await bundleInto(folder);
    for (const architecture of architectures) {
      const delivery = join(room, architecture.node);
      const runtime = await strippedRuntime(architecture, join(room, `node-${architecture.node}`));
      const license = join(await runtimePackage(architecture), 'LICENSE');
      await layDelivery(delivery, { folder, metafile }, runtime, license);
      await dateFiles(delivery, epochSeconds);
      const job: PackageJob = {
        delivery,
        architecture,
        version: packageJson.version,
        epochSeconds,
        room: await mkdtemp(join(room, 'work-')),
        out,
      };
      for (const format of formats) await report(await FORMATS[format](job));
    }
    await writeChecksums(out);
  } finally {
    await rm(room, { recursive: true, force: true });
  }
}

async function report(path: string): Promise<void> {
  console.log(`made ${path} (${((await stat(path)).size / 1e6).toFixed(1)} MB)`);
}

/** `SHA256SUMS` of every package in the folder, for `sha256sum --check`. */
async function writeChecksums(out: string): Promise<void> {
  const files = (await readdir(out)).filter((name) => /\.(?:deb|rpm|tar\.xz)$/.test(name)).sort();
  const lines = await Promise.all(files.map(async (name) => `${await sha256Of(join(out, name))}  ${name}\n`));
  await writeFile(join(out, 'SHA256SUMS'), lines.join(''));
}

/** The time that all files get. Throws where neither the environment nor a commit says it. */
function sourceDate(): number {
  const given = process.env['SOURCE_DATE_EPOCH'];
  const text = given ?? commitTime();
  if (/^\d{1,12}$/.test(text)) return Number(text);
  throw new Error(`SOURCE_DATE_EPOCH is "${text}": set it to seconds since 1970, such as 1767225600`);
}

function commitTime(): string {
  try {
    return execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' }).trim();
  } catch (error) {
    throw new Error('no commit says the time of the sources: set SOURCE_DATE_EPOCH', { cause: error });
  }
}

function wantedBy(args: readonly string[]): Wanted {
  const { values } = parseArgs({
    args: [...args],
    options: {
      format: { type: 'string', multiple: true },
      arch: { type: 'string', multiple: true },
      out: { type: 'string' },
    },
  });
  const { format: names = Object.keys(FORMATS), arch = ARCHITECTURES.map(({ node }) => node) } = values;
  return {
    formats: names.map((name) => {
      if (Object.hasOwn(FORMATS, name)) return name as Format; // a key of FORMATS
      throw new Error(`no format "${name}": choose from ${Object.keys(FORMATS).join(', ')}`);
    }),
    architectures: arch.map((name) => {
      const found = ARCHITECTURES.find(({ node }) => node === name);
      if (found !== undefined) return found;
      throw new Error(
        `no architecture "${name}": choose from ${ARCHITECTURES.map(({ node }) => node).join(', ')}`,
      );
    }),
    out: values.out ?? join(root, 'dist', 'packages'),
    epochSeconds: sourceDate(),
  };
}

async function main(args: readonly string[]): Promise<number> {
  let wanted: Wanted;
  try {
    wanted = wantedBy(args);
  } catch (error) {
    console.error(`package: ${error instanceof Error ? error.message : String(error)}`);
    return 2;
  }
  process.umask(0o022);
  await packageAll(wanted);
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
