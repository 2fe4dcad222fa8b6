/**
 * systemd-resolved and NetworkManager of a Debian of their own, in the site's network: a machine that runs the lab keeps its
 * resolver. Both get what `outpost-dns export` wrote.
 */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { machineEnvironment, must, type Result, run } from './commands.ts';
import type { TwoServers } from './two-servers.ts';
import type { Workshop } from './workshop.ts';

export type Stub = 'systemd-resolved' | 'networkmanager';

const FILES: Readonly<Record<Stub, string>> = {
  'systemd-resolved': 'etc/systemd/resolved.conf.d/outpost-dns.conf',
  networkmanager: 'etc/NetworkManager/conf.d/90-outpost-dns.conf',
};

/** Each script starts the program, and asks it until it has answered once. */
const SCRIPTS: Readonly<Record<Stub, string>> = {
  'systemd-resolved': `
mkdir -p /run/systemd/resolve
chown systemd-resolve:systemd-resolve /run/systemd/resolve
/lib/systemd/systemd-resolved &
for turn in $(seq 60); do resolvectl query --cache=no "$1" && exit 0; sleep 0.5; done
exit 1`,
  networkmanager: `
printf '[main]\\nrc-manager=file\\ndns=default\\n' >/etc/NetworkManager/conf.d/00-lab.conf
rm -f /etc/resolv.conf
echo 'nameserver 127.0.0.99' >/etc/resolv.conf
NetworkManager --print-config | grep -A2 global-dns
NetworkManager --no-daemon &
for turn in $(seq 60); do ! grep -q 127.0.0.99 /etc/resolv.conf && getent ahostsv4 "$1" && exit 0; sleep 0.5; done
exit 1`,
};

export class StubMachine {
  readonly #root: string;
  readonly #site: TwoServers;

  private constructor(root: string, site: TwoServers) {
    this.#root = root;
    this.#site = site;
  }

  static async make(workshop: Workshop, site: TwoServers): Promise<StubMachine> {
    const root = join(workshop.folder, 'stub-machine');
    await must(['cp', '-a', await workshop.debian(), root]);
    await copyFile('/etc/resolv.conf', join(root, 'etc', 'resolv.conf'));
    const env = { ...machineEnvironment(), DEBIAN_FRONTEND: 'noninteractive' };
    const packages = ['systemd-resolved', 'network-manager'];
    for (const words of [['update'], ['install', '-y', '--no-install-recommends', ...packages]])
      await must(['chroot', root, 'apt-get', ...words], { env, timeoutMs: 300_000 });
    // both want an interface besides loopback
    const ip = (...words: string[]) => must(['ip', '-n', site.namespace.name, ...words]);
    await ip('link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1');
    await ip('address', 'add', '10.0.9.60/24', 'dev', 'lan0');
    for (const link of ['lan0', 'lan1']) await ip('link', 'set', link, 'up');
    return new StubMachine(root, site);
  }

  /** Starts the program with this export, asks it for the name, and ends it. */
  async ask(stub: Stub, exported: string, name: string): Promise<Result> {
    const file = join(this.#root, FILES[stub]);
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, exported);
    await writeFile(
      join(this.#root, 'ask.sh'),
      `mount -t proc proc /proc
mount -t sysfs -o ro sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus
dbus-daemon --system --fork
${SCRIPTS[stub]}
`,
    );
    // with a namespace of processes, every daemon ends with the script
    const inside = ['unshare', '--mount', '--pid', '--fork', 'chroot', this.#root, 'sh', '/ask.sh', name];
    return run(this.#site.within(inside as [string, ...string[]]));
  }
}
