/**
 * The Dockerfile, built by buildah on base images made here, because no image registry is reached. The base images are a
 * bare Debian, and a Debian with this machine's Node and npm. The result runs as docs/container.md has it: read-only root,
 * no capability, its own network.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chown, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab, LabCheck } from './check.ts';
import { Background, type Command, eventually, machineEnvironment, must, run } from './commands.ts';
import { dig } from './dig.ts';
import { Namespace } from './namespace.ts';

const ENDPOINT = 'abc.gr7.us-west-2.eks.amazonaws.com';
const PINNED = '10.0.1.10';
const BUILD_TIMEOUT_MS = 480_000;
const END_WITHIN_MS = 2000;

export const containerImage: LabCheck = {
  name: 'image',
  about: 'the Dockerfile built, inspected and run with a read-only root',
  tools: ['buildah', 'debootstrap', 'dig', 'ip', 'unshare', 'git'],
  async run(lab) {
    const buildah = new Buildah(join(lab.workshop.folder, 'images'));
    await makeBaseImages(lab, buildah);
    const built = await lab.step('docker build', async () => {
      const context = await lab.workshop.clone();
      await must(
        buildah.command(
          ...['build', '--format', 'docker', '--layers=false', '--tag', 'outpost-dns'],
          ...[
            '--build-arg',
            'NODE_IMAGE=localhost/lab-node',
            '--build-arg',
            'BASE_IMAGE=localhost/lab-debian',
          ],
          context,
        ),
        { env: buildah.environment, timeoutMs: BUILD_TIMEOUT_MS },
      );
    });
    if (!built) return;
    const config = await buildah.imageConfig('localhost/outpost-dns');
    await looksRight(lab, config);
    const rootFolder = await buildah.mount('localhost/outpost-dns');
    await holdsNothingElse(lab, rootFolder);
    await runsReadOnly(lab, config, rootFolder);
  },
};

/** The parts of an image that Docker reads. */
interface ImageConfig {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Volumes?: Readonly<Record<string, unknown>>;
  readonly StopSignal?: string;
  readonly ExposedPorts?: Readonly<Record<string, unknown>>;
  readonly Healthcheck?: { readonly Test: readonly string[] };
}

class Buildah {
  /** Without a daemon, without privileges beyond root's, and with storage of its own. */
  readonly environment: Record<string, string>;
  readonly #options: readonly string[];

  constructor(folder: string) {
    this.environment = { ...machineEnvironment(), BUILDAH_ISOLATION: 'chroot', HOME: folder };
    this.#options = [
      '--storage-driver',
      'vfs',
      '--root',
      join(folder, 'root'),
      '--runroot',
      join(folder, 'run'),
    ];
  }

  command(...words: string[]): Command {
    return ['buildah', ...this.#options, ...words];
  }

  async do(...words: string[]): Promise<string> {
    return (await must(this.command(...words), { env: this.environment, timeoutMs: 300_000 })).trim();
  }

  async imageConfig(image: string): Promise<ImageConfig> {
    const inspected = await this.do('inspect', '--type', 'image', image);
    // buildah's own output: what Docker would read is below "Docker"
    return (JSON.parse(inspected) as { readonly Docker: { readonly config: ImageConfig } }).Docker.config;
  }

  /** The folder that holds the image's files. */
  async mount(image: string): Promise<string> {
    return this.do('mount', await this.do('from', '--pull=never', image));
  }
}

async function makeBaseImages(lab: Lab, buildah: Buildah): Promise<void> {
  const debian = await lab.workshop.debian();
  const container = await buildah.do('from', 'scratch');
  const files = await buildah.do('mount', container);
  await must(['cp', '-a', `${debian}/.`, files]);
  await buildah.do('commit', container, 'lab-debian');
  await mkdir(join(files, 'usr/lib/node_modules'), { recursive: true });
  for (const path of ['usr/bin/node', 'usr/bin/npm', 'usr/bin/npx', 'usr/lib/node_modules/npm'])
    await must(['cp', '-a', join('/', path), join(files, path)]);
  // like the images of Node 26, which does not run without it
  await copyFile('/etc/resolv.conf', join(files, 'etc/resolv.conf'));
  for (const words of [['update'], ['install', '-y', '--no-install-recommends', 'libatomic1']])
    await must(['chroot', files, 'apt-get', ...words]);
  // this machine's way to its registry; a build on an ordinary machine needs no such setting
  const certificates = '/etc/ssl/certs/ca-certificates.crt';
  await mkdir(join(files, 'etc/ssl/certs'), { recursive: true });
  await copyFile(certificates, join(files, certificates));
  const npmrc = join(process.env['HOME'] ?? '/root', '.npmrc');
  await copyFile(npmrc, join(files, 'root/.npmrc')).catch(() => undefined);
  await buildah.do('config', '--env', `NODE_EXTRA_CA_CERTS=${certificates}`, container);
  await buildah.do('commit', container, 'lab-node');
  await buildah.do('rm', container);
}

async function looksRight(lab: Lab, config: ImageConfig): Promise<void> {
  await lab.step('it runs as an unprivileged user', async () => {
    assert.match(config.User ?? '', /^[1-9]\d+:[1-9]\d+$/);
  });
  await lab.step('entrypoint, command and health check are in exec form', async () => {
    assert.deepEqual(config.Entrypoint, ['outpost-dns']);
    assert.equal(config.Cmd?.[0], 'serve');
    assert.deepEqual(config.Healthcheck?.Test, ['CMD', 'outpost-dns', 'status', '--healthy']);
  });
  await lab.step('state is a volume, ports are declared, SIGTERM stops it', async () => {
    assert.deepEqual(Object.keys(config.Volumes ?? {}), ['/var/lib/outpost-dns']);
    assert.deepEqual(Object.keys(config.ExposedPorts ?? {}).sort(), ['53/tcp', '53/udp', '9153/tcp']);
    assert.equal(config.StopSignal, 'SIGTERM');
  });
}

async function holdsNothingElse(lab: Lab, rootFolder: string): Promise<void> {
  await lab.step('no npm, compiler, TypeScript or source in the last stage', async () => {
    const names = [
      'npm',
      'npx',
      'corepack',
      'yarn',
      'gcc',
      'cc',
      'g++',
      'make',
      'tsc',
      'esbuild',
      'typescript',
      '*.ts',
    ];
    const wanted = names.flatMap((name) => ['-o', '-name', name]).slice(1);
    const found = await must([
      ...(['find', rootFolder, '-xdev', '-not', '-type', 'd', '('] as const),
      ...wanted,
      ')',
      '-print',
    ]);
    assert.equal(found, '');
    assert.deepEqual(await readdir(join(rootFolder, 'usr/lib/outpost-dns/node_modules')), ['node']);
    assert.ok(!existsSync(join(rootFolder, 'usr/local/lib/node_modules')), 'global packages');
  });
  const ours = join(rootFolder, 'usr/lib/outpost-dns');
  await lab.step('the runtime has no symbols, and the folder is that of the packages', async () => {
    const bill: { components: { name: string; properties?: unknown[] }[] } = JSON.parse(
      await readFile(join(ours, 'bom.cdx.json'), 'utf8'),
    );
    const runtime = bill.components.find(({ name }) => name === 'node');
    assert.match(JSON.stringify(runtime?.properties), /sha256-before-strip/);
    for (const folder of ['man', 'completions', 'docs', 'config']) assert.ok(existsSync(join(ours, folder)));
  });
  lab.note(`size of /usr/lib/outpost-dns: ${(await must(['du', '-sh', ours])).split('\t')[0]}`);
  lab.note(
    `size: ${(await must(['du', '-sh', rootFolder])).split('\t')[0]}, of it the lab's own Debian with systemd 209M`,
  );
}

/** As `docker run --read-only --cap-drop ALL --security-opt no-new-privileges` in a network of its own. */
async function runsReadOnly(lab: Lab, config: ImageConfig, rootFolder: string): Promise<void> {
  await using namespace = await Namespace.make();
  const within = (command: Command) => namespace.within(command);
  // Docker sets this in every container's network
  await must(within(['sysctl', '-q', '-w', 'net.ipv4.ip_unprivileged_port_start=0']));
  const room = await lab.workshop.room('image');
  const [uid = 0, gid = 0] = (config.User ?? '').split(':').map(Number);
  for (const folder of ['state', 'etc', 'root']) await mkdir(join(room, folder), { recursive: true });
  await chown(join(room, 'state'), uid, gid);
  await writeFile(
    join(room, 'etc', 'outpost-dns.yaml'),
    `clusters: [{ name: c, endpoint: ${ENDPOINT}, pin: [${PINNED}], probe: { enabled: false } }]\nupstreams: [127.0.0.1:5399]\n`,
  );
  const inside = (words: readonly string[]): string[] => [
    ...[
      'setpriv',
      `--reuid=${uid}`,
      `--regid=${gid}`,
      '--clear-groups',
      '--bounding-set=-all',
      '--inh-caps=-all',
      '--no-new-privs',
    ],
    ...['env', '-i', ...(config.Env ?? []), ...words],
  ];
  const script = `set -e
mount --make-rprivate /
mount --bind '${rootFolder}' '${room}/root'
mount --bind '${room}/etc' '${room}/root/etc/outpost-dns'
mount --bind '${room}/state' '${room}/root/var/lib/outpost-dns'
mount -t proc proc '${room}/root/proc'
mount --rbind /dev '${room}/root/dev'
mount -o remount,ro,bind '${room}/root'
mount -o remount,ro,bind '${room}/root/etc/outpost-dns'
cd /
exec chroot '${room}/root' "$@"
`;
  const start: Command = [
    ...(['unshare', '--mount', '--pid', '--fork', '--kill-child', 'bash', '-c', script, 'run'] as const),
    ...inside([...(config.Entrypoint ?? []), ...(config.Cmd ?? [])]),
  ];
  await using server = new Background(within(start));
  await lab.step('it answers with a read-only root', async () => {
    await server.printed(/"listening"/);
    const { answer } = await dig(within, '@127.0.0.1', ENDPOINT);
    assert.deepEqual(
      answer.map(({ data }) => data),
      [PINNED],
    );
  });
  const pid = await firstChild(server.pid);
  const health = within([
    'nsenter',
    `--target=${pid}`,
    ...['--mount', '--pid', '--root', '--wd'],
    ...inside(config.Healthcheck?.Test.slice(1) ?? ['false']),
  ] as unknown as Command); // begins with a literal
  await lab.step('it is process 1, without capabilities, and cannot write outside its volume', async () => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    assert.match(status, /^NSpid:.*\t1$/m);
    assert.match(status, /^CapEff:\t0+$/m);
    assert.match(status, new RegExp(`^Uid:\t${uid}\t`, 'm'));
    const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8');
    assert.match(mounts, /^\S+ \S+ \S+ \S+ \/ ro/m);
    assert.match(await must(['ls', join(room, 'state')]), /^endpoints\.json$/m);
  });
  await lab.step('the health check passes', async () => {
    const { code, stdout, stderr } = await run(health);
    assert.equal(code, 0, `${stdout}${stderr}`);
  });
  await lab.step('the health check fails while the server hangs', async () => {
    process.kill(pid, 'SIGSTOP');
    const { code, tookMs } = await run(health);
    process.kill(pid, 'SIGCONT');
    assert.equal(code, 1);
    assert.ok(tookMs < 3000, `it took ${tookMs.toFixed(0)} ms: Docker's timeout is 3 s`);
    await eventually('it is well again', 5000, async () =>
      (await run(health)).code === 0 ? true : undefined,
    );
  });
  await lab.step(`SIGTERM ends it within ${END_WITHIN_MS} ms with exit code 0`, async () => {
    process.kill(pid, 'SIGTERM');
    const { code, tookMs } = await server.ended(5000);
    assert.equal(code, 0, server.output.slice(-2000));
    assert.ok(tookMs < END_WITHIN_MS, `it took ${tookMs.toFixed(0)} ms`);
    lab.note(`ended after ${tookMs.toFixed(0)} ms`);
  });
}

async function firstChild(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return Number(children.trim().split(' ')[0]);
}
