/**
 * PowerDNS Recursor with one thread that reads its own socket, the endpoint in a zone of its own, no validation. Its caches
 * are bounded by entries and not by memory: they hold what the row asks for.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, type Task, versionOf } from '../contender.ts';

const LEAST_CACHED = 100_000;

export const recursor: Contender = {
  name: 'pdns-recursor',
  debianPackage: 'pdns-recursor',
  version: () => versionOf('pdns_recursor', '--version'),
  async prepare(task) {
    await writeFile(join(task.directory, 'endpoint.zone'), zone(task));
    await writeFile(join(task.directory, 'recursor.conf'), configuration(task));
    return ['pdns_recursor', `--config-dir=${task.directory}`, `--socket-dir=${task.directory}`];
  },
};

function configuration(task: Task): string {
  const entries = Math.max(LEAST_CACHED, task.cachedNames * 2);
  return `daemon=no
write-pid=no
setuid=
setgid=
threads=1
pdns-distributes-queries=no
local-address=127.0.0.1
local-port=${task.port}
allow-from=127.0.0.0/8
dont-query=
forward-zones-recurse=.=127.0.0.1:${task.upstreamPort}
auth-zones=${task.endpoint}=${join(task.directory, 'endpoint.zone')}
dnssec=off
qname-minimization=no
max-cache-entries=${entries}
max-packetcache-entries=${entries}
packetcache-ttl=3600
max-mthreads=4096
max-tcp-clients=${task.tcpConnections}
max-concurrent-requests-per-tcp-connection=1000
client-tcp-timeout=60
security-poll-suffix=
webserver=no
statistics-interval=0
quiet=yes
loglevel=0
disable-syslog=yes
`;
}

function zone(task: Task): string {
  return `$TTL 60
@ IN SOA @ hostmaster 1 3600 600 86400 60
@ IN NS @
${task.addresses.map((address) => `@ IN A ${address}`).join('\n')}
`;
}
