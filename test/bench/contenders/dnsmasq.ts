/**
 * dnsmasq, which has one thread anyway. Its cache counts records, three of them per name; its limit of 150 queries on
 * their way would make it refuse what the others take, and is raised.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, type Task, versionOf } from '../contender.ts';

const LEAST_CACHED_RECORDS = 10_000; // the most that its manual advises

export const dnsmasq: Contender = {
  name: 'dnsmasq',
  debianPackage: 'dnsmasq-base',
  version: () => versionOf('dnsmasq', '--version'),
  async prepare(task) {
    const file = join(task.directory, 'dnsmasq.conf');
    await writeFile(file, configuration(task));
    return ['dnsmasq', '--keep-in-foreground', `--conf-file=${file}`];
  },
};

function configuration(task: Task): string {
  const records = Math.max(LEAST_CACHED_RECORDS, task.cachedNames * 4);
  return `port=${task.port}
listen-address=127.0.0.1
bind-interfaces
user=root
group=root
pid-file=
no-resolv
no-hosts
no-poll
cache-size=${records}
dns-forward-max=10000
local-ttl=60
${task.addresses.map((address) => `host-record=${task.endpoint},${address}`).join('\n')}
server=127.0.0.1#${task.upstreamPort}
`;
}
