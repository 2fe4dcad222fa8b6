/** Knot Resolver, one process, its cache in a file of its own; modules that would look for the root or for time are unloaded. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, type Task, versionOf } from '../contender.ts';

export const knotResolver: Contender = {
  name: 'knot-resolver',
  debianPackage: 'knot-resolver',
  version: () => versionOf('kresd', '--version'),
  async prepare(task) {
    const work = join(task.directory, 'work');
    await mkdir(work);
    const file = join(task.directory, 'kresd.conf');
    await writeFile(file, configuration(task));
    return ['kresd', '--noninteractive', '--quiet', `--config=${file}`, work];
  },
};

const NOT_NEEDED = [
  'priming',
  'ta_update',
  'ta_signal_query',
  'ta_sentinel',
  'detect_time_skew',
  'detect_time_jump',
];

function configuration(task: Task): string {
  const rdata = task.addresses.map((address) => `kres.str2ip('${address}')`).join(', ');
  return `for _, name in ipairs({${NOT_NEEDED.map((name) => `'${name}'`).join(', ')}}) do modules.unload(name) end
net.listen('127.0.0.1', ${task.port}, { kind = 'dns' })
trust_anchors.remove('.')
cache.open(${task.cacheMebibytes} * MB, 'lmdb://cache')
policy.add(policy.domains(
  policy.ANSWER({ [kres.type.A] = { ttl = 60, rdata = { ${rdata} } } }),
  policy.todnames({ '${task.endpoint}' })))
policy.add(policy.all(policy.STUB('127.0.0.1@${task.upstreamPort}')))
`;
}
