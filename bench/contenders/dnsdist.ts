/**
 * dnsdist, a balancer with a packet cache: one listener thread, the endpoint as a rule of its own. To its upstream dnsdist
 * has one socket, and so one port, for as long as it runs. Its misses cost less than those of a resolver that opens a random
 * port for each exchange: the report shows them, and compares nothing.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contender, type Task, versionOf } from '../contender.ts';

const LEAST_CACHED = 100_000;

export const dnsdist: Contender = {
  name: 'dnsdist',
  debianPackage: 'dnsdist',
  // what it is asked over TCP it forwards over TCP, which the upstream of the bench does not have
  rows: ['endpoint', 'cached', 'miss', 'start', 'latency', 'memory', 'cold'],
  version: () => versionOf('dnsdist', '--version'),
  async prepare(task) {
    const file = join(task.directory, 'dnsdist.conf');
    await writeFile(file, configuration(task));
    return ['dnsdist', '--supervised', '--disable-syslog', '--config', file];
  },
};

function configuration(task: Task): string {
  const entries = Math.max(LEAST_CACHED, task.cachedNames * 2);
  const addresses = task.addresses.map((address) => `"${address}"`).join(', ');
  return `setLocal("127.0.0.1:${task.port}", { tcpListenQueueSize = 4096 })
setACL({ "127.0.0.0/8" })
setSecurityPollSuffix("")
setMaxTCPClientThreads(1)
setMaxTCPConnectionsPerClient(${task.tcpConnections})
newServer({ address = "127.0.0.1:${task.upstreamPort}", maxInFlight = 1000 }):setUp()
getPool(""):setCache(newPacketCache(${entries}, { maxTTL = 86400, numberOfShards = 20 }))
addAction(QNameRule("${task.endpoint}"), SpoofAction({ ${addresses} }, { ttl = 60 }))
`;
}
