/**
 * Unbound with one thread. No validation, as outpost-dns has none. Its tables for queries in flight and its socket buffers
 * are raised, so that neither bounds it. Its two caches share the memory that the others have for one.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, type Task, versionOf } from '../contender.ts';

export const unbound: Contender = {
  name: 'unbound',
  debianPackage: 'unbound',
  version: () => versionOf('unbound', '-V'),
  async prepare(task) {
    const file = join(task.directory, 'unbound.conf');
    await writeFile(file, configuration(task));
    return ['unbound', '-d', '-c', file];
  },
};

function configuration(task: Task): string {
  const cache = Math.floor(task.cacheMebibytes / 2);
  return `server:
  username: ""
  chroot: ""
  directory: "${task.directory}"
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  logfile: ""
  verbosity: 0
  statistics-interval: 0
  num-threads: 1
  interface: 127.0.0.1@${task.port}
  access-control: 127.0.0.0/8 allow
  do-ip6: no
  do-not-query-localhost: no
  module-config: "iterator"
  so-rcvbuf: 4m
  so-sndbuf: 4m
  outgoing-range: 4096
  num-queries-per-thread: 4096
  incoming-num-tcp: ${task.tcpConnections}
  msg-cache-size: ${cache}m
  rrset-cache-size: ${cache}m
  ratelimit: 0
  ip-ratelimit: 0
  minimal-responses: yes
  rrset-roundrobin: yes
  local-zone: "${task.endpoint}." static
${task.addresses.map((address) => `  local-data: "${task.endpoint}. 60 IN A ${address}"`).join('\n')}
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@${task.upstreamPort}
`;
}
