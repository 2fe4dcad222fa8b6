/** The .rpm, made by rpmbuild. The spec lies in packaging/rpm/. */
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compressManPages, emptied, layHostTree, settle } from './host-tree.ts';
import { DESCRIPTION, MAINTAINER, type PackageJob, SUMMARY, tool, XZ_LEVEL } from './job.ts';

const SPEC = join(import.meta.dirname, '..', '..', 'packaging', 'rpm', 'outpost-dns.spec');

export async function buildRpm(job: PackageJob): Promise<string> {
  const { version, architecture, room, out, epochSeconds } = job;
  const tree = await emptied(join(room, 'rpm'));
  await layHostTree(job, tree, { zshFolder: 'usr/share/zsh/site-functions' });
  await compressManPages(tree);
  for (const file of ['LICENSE', 'CHANGELOG.md'])
    await copyFile(join(job.delivery, file), join(tree, 'usr/share/doc/outpost-dns', file));
  await settle(tree, epochSeconds);

  const spec = join(room, 'outpost-dns.spec');
  await writeFile(spec, filled(await readFile(SPEC, 'utf8'), version, epochSeconds));
  const top = await emptied(join(room, 'rpmbuild'));
  const definitions = {
    _topdir: top,
    _rpmdir: out,
    _build_name_fmt: '%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm',
    tree,
    // rpm names the machine and the time of a build in the package
    _buildhost: 'localhost',
    use_source_date_epoch_as_buildtime: '1',
    clamp_mtime_to_source_date_epoch: '1',
    _binary_payload: `w${XZ_LEVEL}T2.xzdio`,
  };
  await tool(job, 'rpmbuild', [
    '-bb',
    `--target=${architecture.rpm}-linux`,
    ...Object.entries(definitions).flatMap(([name, value]) => ['--define', `${name} ${value}`]),
    spec,
  ]);
  return join(out, `outpost-dns-${version}-1.${architecture.rpm}.rpm`);
}

function filled(spec: string, version: string, epochSeconds: number): string {
  const [weekday = '', day = '', month = '', year = ''] = new Date(epochSeconds * 1000)
    .toUTCString()
    .split(/,? /);
  const values: Readonly<Record<string, string>> = {
    VERSION: version,
    SUMMARY,
    PACKAGER: MAINTAINER,
    DESCRIPTION: DESCRIPTION.join('\n'),
    CHANGELOG: `* ${weekday} ${month} ${day} ${year} ${MAINTAINER} - ${version}-1\n- Version ${version}: see CHANGELOG.md.`,
  };
  return spec.replaceAll(/@([A-Z]+)@/g, (whole, name: string) => values[name] ?? whole);
}
