/**
 * dnsmasq, which has one thread anyway. Its cache counts records, three of them per name. Its limit of 150 queries on their
 * way would make it refuse a load that the others take. The limit is raised only as far as the load needs: with every query
 * dnsmasq searches tables of that size. A limit of 10,000 tripled the time of an answer from the cache.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, type Task, versionOf } from '../contender.ts';

const LEAST_CACHED_RECORDS = 10_000; // the most that its manual advises
const USUAL_FORWARDED = 150;

export const dnsmasq: Contender = {
  name: 'dnsmasq',
  debianPackage: 'dnsmasq-base',
  // on TCP it forks for every connection, 20 at most, and ends each after 100 queries
  rows: ['endpoint', 'cached', 'miss', 'start', 'latency', 'memory', 'cold'],
  version: () => versionOf('dnsmasq', '--version'),
  async prepare(task) {
    const file = join(task.directory, 'dnsmasq.conf');
    await writeFile(file, configuration(task));
    return ['dnsmasq', '--keep-in-foreground', `--conf-file=${file}`];
  },
};

function configuration(task: Task): string {
  const forwarded = Math.max(USUAL_FORWARDED, task.forwardedAtATime);
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
dns-forward-max=${forwarded}
local-ttl=60
${task.addresses.map((address) => `host-record=${task.endpoint},${address}`).join('\n')}
server=127.0.0.1#${task.upstreamPort}
`;
}
