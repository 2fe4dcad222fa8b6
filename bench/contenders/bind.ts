/** BIND with one worker thread, a zone of its own for the endpoint, and everything else forwarded; it neither validates nor logs. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, type Task, versionOf } from '../contender.ts';

export const bind: Contender = {
  name: 'bind',
  debianPackage: 'bind9',
  version: () => versionOf('named', '-V'),
  async prepare(task) {
    await mkdir(join(task.directory, 'work'));
    await writeFile(join(task.directory, 'work', 'endpoint.zone'), zone(task));
    const file = join(task.directory, 'named.conf');
    await writeFile(file, configuration(task));
    return ['named', '-f', '-4', '-n', '1', '-c', file];
  },
};

function configuration(task: Task): string {
  return `options {
  directory "${join(task.directory, 'work')}";
  listen-on port ${task.port} { 127.0.0.1; };
  listen-on-v6 { none; };
  pid-file none;
  session-keyfile none;
  recursion yes;
  forward only;
  forwarders { 127.0.0.1 port ${task.upstreamPort}; };
  dnssec-validation no;
  qname-minimization off;
  max-cache-size ${task.cacheMebibytes}m;
  recursive-clients 10000;
  tcp-clients ${task.tcpConnections};
  minimal-responses yes;
  answer-cookie no;
  querylog no;
  empty-zones-enable no;
  notify no;
};
controls { };
logging { category default { null; }; category unmatched { null; }; };
zone "${task.endpoint}" { type primary; file "endpoint.zone"; };
`;
}

function zone(task: Task): string {
  return `$TTL 60
@ IN SOA @ hostmaster 1 3600 600 86400 60
@ IN NS @
${task.addresses.map((address) => `@ IN A ${address}`).join('\n')}
`;
}
