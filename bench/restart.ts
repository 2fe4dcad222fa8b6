/**
 * The row `restart`: a Debian that boots systemd restarts each DNS server ten times under 1,000 queries per second, and the table
 * says how many queries were lost and how long the others waited. Needs root, debootstrap and systemd-nspawn, and takes some
 * minutes. The measuring itself is lab/restart/peers.ts, inside that machine.
 *
 *     npm run bench -- --only restart
 */
import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { boot, runAtBoot } from '../lab/booted-machine.ts';
import { must } from '../lab/commands.ts';
import type { RestartResult } from '../lab/restart/peers.ts';
import { isInstalled, PACKAGES } from '../lab/tools.ts';
import { PACKAGE_TOOLS, Workshop } from '../lab/workshop.ts';
import { median } from './statistics.ts';

const ENDPOINT = 'abc.gr7.us-west-2.eks.amazonaws.com';
const ADDRESS = '10.0.1.10';
const UPSTREAM_PORT = 5399;
const DEADLINE_MS = 900_000;
const PEERS = ['unbound', 'bind9', 'dnsmasq'];

const TOOLS = ['debootstrap', 'systemd-nspawn', 'git', ...PACKAGE_TOOLS] as const;

/** Why the row cannot be measured here, with the fix. */
export function obstacleToRestarts(): string | undefined {
  if (process.getuid?.() !== 0) return 'a machine is booted in a folder: run it as root';
  const missing = TOOLS.filter((tool) => !isInstalled(tool));
  const packages = missing.map((tool) => PACKAGES[tool]).join(' ');
  return missing.length === 0 ? undefined : `${missing.join(', ')} not installed: apt install ${packages}`;
}

/** Returns the table. Throws where the machine cannot be made. */
export async function measureRestarts(): Promise<string> {
  await using workshop = await Workshop.open();
  const machine = await prepareMachine(workshop);
  const lines = (await boot(machine, DEADLINE_MS)).split('\n').filter((line) => line.startsWith('{'));
  return restartTable(lines.map((line): RestartResult => JSON.parse(line)));
}

/** Ours first, and each of the others with the ratio ours / its own. */
export function restartTable(results: readonly RestartResult[]): string {
  const figures = results.map(({ name, samples }) => ({
    name,
    rounds: samples.length,
    lost: median(samples.map(({ lost }) => lost)),
    total: samples.reduce((sum, { lost }) => sum + lost, 0),
    asked: samples.reduce((sum, { asked }) => sum + asked, 0),
    longestMs: median(samples.map(({ longestMs }) => longestMs)),
    worstMs: Math.max(...samples.map(({ longestMs }) => longestMs)),
  }));
  const [ours] = figures;
  const rows = figures.map((one) => {
    if (one.rounds === 0) return [one.name, 'failed', '', '', ''];
    const ratio =
      one === ours || ours?.longestMs === undefined || one.longestMs === undefined
        ? ''
        : ` (${(ours.longestMs / one.longestMs).toFixed(2)})`;
    return [
      one.name,
      `${one.total} of ${one.asked}`,
      String(one.lost ?? ''),
      `${one.longestMs?.toFixed(0)}${ratio}`,
      one.worstMs.toFixed(0),
    ];
  });
  const head = [
    ['', 'queries lost', 'lost per restart, median', 'longest wait, ms, median', 'worst'],
    ['---', '---:', '---:', '---:', '---:'],
  ];
  const table = [...head, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  return `${table}

\`systemctl restart\`, ten times each, 1,000 queries/s over UDP: 60 % for the endpoint, 30 % for 50 cached names, 10 % forwarded to an upstream that takes 20 ms.
A lost query is one without an answer after 30 s: at this rate, one for each ms in which nobody hears. In parentheses outpost-dns / peer.
The wait is that of queries with an answer: the client of a lost query waits for its own retry, a second or more.
`;
}

async function prepareMachine(workshop: Workshop): Promise<string> {
  const machine = join(workshop.folder, 'machine');
  await must(['cp', '-a', await workshop.debian(), machine]);
  await mkdir(join(machine, 'lab'), { recursive: true });
  await copyFile('/etc/resolv.conf', join(machine, 'etc', 'resolv.conf'));
  // no server may start in the machine before it boots
  await writeFile(join(machine, 'usr', 'sbin', 'policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  for (const words of [['update'], ['install', '-y', '--no-install-recommends', 'libatomic1', ...PEERS]])
    await must(['chroot', machine, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...words], {
      timeoutMs: 300_000,
    });
  await must(['chroot', machine, 'systemctl', 'disable', 'unbound', 'named', 'dnsmasq']);
  for (const [path, text] of Object.entries(CONFIGURATIONS)) {
    await mkdir(join(machine, path, '..'), { recursive: true });
    await writeFile(join(machine, path), text);
  }
  await must(['cp', '-a', await workshop.bundle(), join(machine, 'root', 'dist')]);
  const packages = await workshop.packages();
  const name = (await readdir(packages)).find((file) => /_(?:amd64|arm64)\.deb$/.test(file));
  if (name === undefined) throw new Error(`no .deb in ${packages}`);
  await copyFile(join(packages, name), join(machine, 'root', name));
  await must(['cp', '-a', join(import.meta.dirname, '..', 'lab', 'restart'), join(machine, 'lab')]);
  await writeFile(join(machine, 'lab', 'restart', 'package.json'), '{ "type": "module" }\n');
  await writeFile(
    join(machine, 'lab', 'checks.sh'),
    `#!/bin/bash
exec 2>/lab/log
rm /usr/sbin/policy-rc.d
# an address that a client can use, so that a start is ready at once
ip address add 10.0.9.53/32 dev lo
apt-get install -y /root/${name} >&2
systemctl stop outpost-dns.service outpost-dns.socket >&2
/root/dist/node_modules/node/bin/node /lab/restart/peers.ts ${ENDPOINT} ${UPSTREAM_PORT} >/lab/results
journalctl --no-pager >&2
`,
  );
  await runAtBoot(machine);
  return machine;
}

/** The same task for all: the endpoint from configuration, everything else forwarded and cached. */
const CONFIGURATIONS: Readonly<Record<string, string>> = {
  'etc/outpost-dns/outpost-dns.yaml': `clusters:
  - name: my-cluster
    endpoint: ${ENDPOINT}
    sources: [dns]
    pin: [${ADDRESS}]
    probe: { enabled: false }
upstreams: ['127.0.0.1:${UPSTREAM_PORT}']
`,
  'etc/unbound/unbound.conf': `server:
  interface: 127.0.0.1
  module-config: "iterator"
  do-not-query-localhost: no
  local-data: "${ENDPOINT}. 60 IN A ${ADDRESS}"
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@${UPSTREAM_PORT}
`,
  'etc/bind/named.conf': `options {
  directory "/var/cache/bind";
  listen-on { 127.0.0.1; };
  listen-on-v6 { none; };
  forward only;
  forwarders { 127.0.0.1 port ${UPSTREAM_PORT}; };
  dnssec-validation no;
};
zone "${ENDPOINT}" { type primary; file "/etc/bind/endpoint.zone"; };
`,
  'etc/bind/endpoint.zone': `$TTL 60
@ IN SOA ns.invalid. nobody.invalid. 1 3600 600 86400 60
@ IN NS ns.invalid.
@ IN A ${ADDRESS}
`,
  'etc/dnsmasq.conf': `port=53
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
cache-size=10000
server=127.0.0.1#${UPSTREAM_PORT}
host-record=${ENDPOINT},${ADDRESS}
`,
};
