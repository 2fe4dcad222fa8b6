/**
 * docs/site.md as a stranger follows it: every command is typed, and each export is read by the program that it is for. The endpoint
 * then has to resolve through that program, connected and in a cut. All of it happens in a private copy of /etc.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { Lab, LabCheck } from './check.ts';
import {
  Background,
  type Command,
  eventually,
  machineEnvironment,
  must,
  type Result,
  run,
} from './commands.ts';
import { dig } from './dig.ts';
import { commandsOf, fencedBlocks } from './markdown.ts';
import { ADDRESSES, ENDPOINT } from './sandbox-site.ts';
import { SITE_RESOLVERS } from './site-resolvers.ts';
import { StubMachine } from './site-stubs.ts';
import { SERVER_ADDRESSES, TwoServers } from './two-servers.ts';

/** Which resolver reads which file of docs/site.md. */
const FILES: Readonly<Record<string, string>> = {
  unbound: 'unbound/unbound.conf.d/outpost-dns.conf',
  named: 'bind/outpost-dns.conf',
  dnsmasq: 'dnsmasq.d/outpost-dns.conf',
};

export const siteExports: LabCheck = {
  name: 'site',
  about: 'docs/site.md: what export writes, in the programs that it is for, connected and in a cut',
  tools: [
    'curl',
    'debootstrap',
    'dig',
    'dnsmasq',
    'git',
    'ip',
    'kubectl',
    'named',
    'openssl',
    'python3',
    'unbound',
    'unshare',
  ],
  async run(lab) {
    const resolvers = SITE_RESOLVERS.map(({ address }) => address);
    await using servers = await TwoServers.start(lab.workshop, 'site', resolvers);
    const site = await PrivateSite.make(lab, servers);
    const stubs = await StubMachine.make(lab.workshop, servers);
    await typed(lab, site);
    await readByTheirPrograms(lab, site);
    await everyWay(lab, site, stubs, 'connected');
    await servers.setLink('down');
    await everyWay(lab, site, stubs, 'in a cut');
    lab.note('the Corefile was not tried: Debian has no package of CoreDNS');
    lab.note(
      'the PowerShell script and the TOML for Bottlerocket were not tried on Windows and Bottlerocket',
    );
  },
};

/** The site's namespace with a copy of /etc of its own: the documents' commands write there. */
class PrivateSite {
  readonly servers: TwoServers;
  readonly room: string;
  readonly etc: string;

  private constructor(servers: TwoServers, room: string) {
    this.servers = servers;
    this.room = room;
    this.etc = join(room, 'etc');
  }

  static async make(lab: Lab, servers: TwoServers): Promise<PrivateSite> {
    const site = new PrivateSite(servers, await lab.workshop.room('site-etc'));
    await must(['cp', '-a', '/etc', site.etc]);
    for (const folder of [
      'unbound/unbound.conf.d',
      'bind',
      'dnsmasq.d',
      'NetworkManager/conf.d',
      'outpost-dns',
    ])
      await mkdir(join(site.etc, folder), { recursive: true });
    // as Debian's packages have them, without what they read of the machine
    await site.write(
      'unbound/unbound.conf',
      'include-toplevel: "/etc/unbound/unbound.conf.d/outpost-dns.conf"\n',
    );
    await site.write('dnsmasq.conf', 'conf-dir=/etc/dnsmasq.d/,*.conf\n');
    await site.write('hosts', '127.0.0.1 localhost\n');
    await site.write('resolv.conf', 'nameserver 127.0.0.99\n');
    const config = parse(await readFile(servers.configFile, 'utf8'));
    const [address] = SERVER_ADDRESSES;
    await site.write(
      'outpost-dns/outpost-dns.yaml',
      stringify({
        ...config,
        listen: { ...config.listen, dns: [`${address}:53`] },
        admin: { ...config.admin, listen: `${address}:9153` },
        state: { directory: servers.stateDirectories[0] },
      }),
    );
    return site;
  }

  write(path: string, text: string): Promise<void> {
    return writeFile(join(this.etc, path), text);
  }

  read(path: string): Promise<string> {
    return readFile(join(this.etc, path), 'utf8');
  }

  /** The command in the namespace, with the copy in the place of /etc. */
  within = (command: Command): Command =>
    this.servers.within(['sh', '-c', `mount --bind '${this.etc}' /etc && exec "$@"`, 'sh', ...command]);

  /** As a person types it, in the room. */
  shell(line: string): Promise<Result> {
    const path = `${join(this.servers.clone, 'bin')}:${machineEnvironment()['PATH']}`;
    const env = { ...machineEnvironment(), PATH: path };
    return run(this.within(['sh', '-c', line]), { cwd: this.room, env });
  }

  async export(words: string): Promise<string> {
    const { code, stdout, stderr } = await this.shell(`outpost-dns export ${words}`);
    assert.equal(code, 0, stderr);
    return stdout;
  }
}

/** Every command of the page, in its order. */
async function typed(lab: Lab, site: PrivateSite): Promise<void> {
  const page = await readFile(join(site.servers.clone, 'docs', 'site.md'), 'utf8');
  const commands = fencedBlocks(page)
    .filter(({ language }) => language === 'sh')
    .flatMap(commandsOf)
    // the machine's own /root stays as it is
    .map((command) => command.replaceAll('/root/', `${site.room}/`));
  for (const command of commands) {
    await lab.step(`$ ${command}`, async () => {
      const { code, stdout, stderr } = await site.shell(command);
      assert.equal(code, 0, `${stdout}${stderr}`);
      assert.doesNotMatch(stdout, /undefined|\[object/);
    });
  }
}

/** Those that answer no query. */
async function readByTheirPrograms(lab: Lab, site: PrivateSite): Promise<void> {
  await lab.step('without --server the addresses are those of the running server', async () => {
    assert.match(await site.export('--format unbound'), /forward-addr: 10\.0\.9\.53\n/);
  });
  await lab.step("kubectl shows the kubeconfig's server and certificate", async () => {
    const { stdout } = await site.shell('kubectl config view --kubeconfig outage.kubeconfig -o json');
    const { clusters, users } = JSON.parse(stdout);
    assert.equal(clusters[0].cluster.server, `https://${ENDPOINT.toLowerCase()}`);
    assert.equal(users[0].user['client-certificate'], join(site.room, 'admin.crt'));
  });
  await lab.step("Python's MIME parser, which cloud-init uses, reads the user data for nodeadm", async () => {
    const parts = JSON.parse((await site.shell(`python3 -c '${READ_MIME}' userdata.txt`)).stdout);
    assert.deepEqual(
      parts.map(([type]: [string]) => type),
      ['text/x-shellscript', 'application/node.eks.aws'],
    );
    const { kind, spec } = parse(parts[1][1]);
    assert.deepEqual([kind, spec.cluster.cidr], ['NodeConfig', '10.100.0.0/16']);
    await writeFile(join(site.room, 'bootstrap'), parts[0][1]);
    const { code, stderr } = await site.shell('bash bootstrap');
    assert.equal(code, 0, stderr);
    assert.match(
      await site.read(spec.kubelet.config.resolvConf.replace('/etc/', '')),
      /^nameserver 10\.0\.9\.53$/m,
    );
  });
  await lab.step('a TOML parser reads the user data for Bottlerocket', async () => {
    await writeFile(
      join(site.room, 'bottlerocket.toml'),
      await site.export(`--format bottlerocket --server ${SERVER_ADDRESSES.join(' ')}`),
    );
    const { stdout, stderr } = await site.shell(`python3 -c '${READ_TOML}' bottlerocket.toml`);
    assert.notEqual(stdout, '', stderr);
    const { settings } = JSON.parse(stdout);
    assert.deepEqual(settings.dns, { 'name-servers': [...SERVER_ADDRESSES], 'search-list': [] });
    assert.equal(settings.kubernetes['api-server'], `https://${ENDPOINT.toLowerCase()}`);
  });
}

const READ_MIME =
  'import sys, json, email; message = email.message_from_file(open(sys.argv[1])); assert message.is_multipart(); print(json.dumps([[part.get_content_type(), part.get_payload(decode=True).decode()] for part in message.get_payload()]))';
const READ_TOML = 'import sys, json, tomllib; print(json.dumps(tomllib.load(open(sys.argv[1], "rb"))))';

/** The endpoint through each program. */
async function everyWay(lab: Lab, site: PrivateSite, stubs: StubMachine, state: string): Promise<void> {
  for (const resolver of SITE_RESOLVERS) {
    await lab.step(`${state}: through ${resolver.name}`, async () => {
      const text = await site.read(FILES[resolver.name] ?? '');
      const folder = await lab.workshop.room(`site/${resolver.name}`);
      const command = await resolver.configure(folder, { block: text, beside: text });
      await using server = new Background(site.servers.within(command));
      await server.printed(resolver.ready);
      const { answer, text: reply } = await eventually(`${resolver.name} answers`, 40_000, async () => {
        const found = await dig(
          site.servers.within,
          `@${resolver.address}`,
          ENDPOINT,
          'A',
          '+tries=1',
          '+timeout=4',
        );
        return found.answer.length > 0 ? found : undefined;
      });
      assert.deepEqual(answer.map(({ data }) => data).sort(), ADDRESSES, reply);
    });
  }
  for (const stub of ['systemd-resolved', 'networkmanager'] as const) {
    await lab.step(`${state}: through ${stub}`, async () => {
      const exported = await site.export(`--format ${stub} --server ${SERVER_ADDRESSES.join(' ')}`);
      const { code, stdout, stderr } = await stubs.ask(stub, exported, ENDPOINT);
      assert.equal(code, 0, `${stdout}${stderr}`);
      for (const address of ADDRESSES) assert.ok(stdout.includes(address), stdout);
    });
  }
  await lab.step(`${state}: through /etc/hosts alone`, () => found(site, 'nameserver 127.0.0.99\n'));
  const hosts = await site.read('hosts');
  await site.write('hosts', '127.0.0.1 localhost\n');
  const resolvConf = await site.export(`--format resolv.conf --server ${SERVER_ADDRESSES.join(' ')}`);
  await lab.step(`${state}: through resolv.conf and glibc`, () => found(site, resolvConf));
  await lab.step(`${state}: through the resolv.conf that the user data of nodeadm wrote`, async () => {
    await found(site, await site.read('kubernetes/resolv.conf'));
  });
  await lab.step(`${state}: kubectl finds an address by the name in its kubeconfig`, async () => {
    await site.write('resolv.conf', resolvConf);
    await identity(site);
    const { stderr } = await site.shell(
      'outpost-dns export --format kubeconfig --certificate admin.crt --key admin.key --ca admin.crt >kubeconfig && kubectl --kubeconfig kubeconfig get --raw /readyz --request-timeout 20s',
    );
    // nothing listens there: the dialled address is the proof
    assert.ok(
      ADDRESSES.some((address) => stderr.includes(`dial tcp ${address}:443`)),
      stderr,
    );
  });
  await site.write('hosts', hosts);
}

/** A resolver of glibc gives up after some seconds, and the machine may stand still for as long. */
async function found(site: PrivateSite, resolvConf: string): Promise<void> {
  await site.write('resolv.conf', resolvConf);
  const addresses = await eventually('getent finds the endpoint', 40_000, async () => {
    const { code, stdout } = await run(site.within(['getent', 'ahostsv4', ENDPOINT]));
    return code === 0 ? [...new Set(stdout.match(/^[0-9.]+/gm))].sort() : undefined;
  });
  assert.deepEqual(addresses, ADDRESSES);
}

/** A certificate that kubectl can load. */
async function identity(site: PrivateSite): Promise<void> {
  await must(
    [
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      '/CN=admin',
      '-keyout',
      'admin.key',
      '-out',
      'admin.crt',
    ],
    { cwd: site.room },
  );
}
