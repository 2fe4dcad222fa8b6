/** Made once in a run, for several checks: a fresh clone with its packages, the build, a bare Debian. */

import { rmSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { atTheEnd, machineEnvironment, must } from './commands.ts';
import type { Tool } from './tools.ts';

export const root = join(import.meta.dirname, '..');

/** Tools of `packages`. */
export const PACKAGE_TOOLS = ['rpmbuild', 'strip', 'xz'] as const satisfies readonly Tool[];

const SUITE = 'bookworm';

/**
 * With `LAB_CACHE=<folder>` clone, build and Debian are kept there and used again, for work on the lab. A check then does
 * not try the present work tree.
 */
export class Workshop implements AsyncDisposable {
  /** A folder for this run alone. */
  readonly folder: string;
  readonly #cache: string | undefined;
  readonly #made = new Map<string, Promise<string>>();
  #commitTime: Promise<string> | undefined;

  private constructor(folder: string, cache: string | undefined) {
    this.folder = folder;
    this.#cache = cache;
    atTheEnd(() => rmSync(folder, { recursive: true, force: true }));
  }

  static async open(): Promise<Workshop> {
    // short, and not under $TMPDIR: sockets go into it, whose paths have 107 octets
    return new Workshop(await mkdtemp('/tmp/outpost-lab-'), process.env['LAB_CACHE']);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A folder of the check's own. */
  async room(name: string): Promise<string> {
    const path = join(this.folder, name);
    await mkdir(path, { recursive: true });
    return path;
  }

  /** Where reports for people go: `lab-out/`, which ignores itself. */
  async reportFile(name: string): Promise<string> {
    const folder = join(root, 'lab-out');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, '.gitignore'), '*\n');
    return join(folder, name);
  }

  /** A clone of the present work tree, committed or not, without the files that git ignores. */
  clone(): Promise<string> {
    return this.#once('clone', async (path) => {
      const listed = await must(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
        cwd: root,
      });
      for (const file of listed.split('\0').filter((name) => name !== '')) {
        const source = join(root, file);
        if (!(await isFile(source))) continue; // deleted in the work tree
        await mkdir(dirname(join(path, file)), { recursive: true });
        await copyFile(source, join(path, file));
      }
    });
  }

  /** The clone after `npm ci`, by the machine's own Node and npm. */
  async installed(): Promise<string> {
    const clone = await this.clone();
    await this.#once('installed', async (path) => {
      await must(['npm', 'ci'], { cwd: clone, timeoutMs: 300_000 });
      await mkdir(path, { recursive: true }); // says that it is done
    });
    return clone;
  }

  /** `dist/outpost-dns` of the clone after `npm run build`. */
  bundle(): Promise<string> {
    return this.#once('bundle', async (path) => {
      const clone = await this.installed();
      await must(['npm', 'run', 'build'], { cwd: clone });
      await must(['cp', '-a', join(clone, 'dist', 'outpost-dns'), path]);
    });
  }

  /** The folder of the .deb, .rpm and tarball for this machine, and their checksums, by `npm run package`. */
  packages(): Promise<string> {
    return this.#once('packages', (path) => this.package(path, process.env));
  }

  /** `npm run package` in the clone, into `path`. */
  async package(path: string, { TMPDIR = '/tmp', TZ = 'UTC' }: NodeJS.ProcessEnv): Promise<void> {
    const clone = await this.installed();
    // asked once: a commit beside the lab must not be a difference between two builds
    this.#commitTime ??= must(['git', 'log', '-1', '--format=%ct'], { cwd: root });
    const epoch = (await this.#commitTime).trim();
    await must(['npm', 'run', 'package', '--', '--arch', process.arch, '--out', path], {
      cwd: clone,
      env: { ...machineEnvironment(), SOURCE_DATE_EPOCH: epoch, TMPDIR, TZ },
      timeoutMs: 480_000,
    });
  }

  /** A minimal Debian with systemd, for copies; it has no Node. */
  debian(): Promise<string> {
    return this.#once('debian', async (path) => {
      const packages = 'systemd,systemd-sysv,dbus,bind9-dnsutils,iproute2,procps';
      await must(['debootstrap', '--variant=minbase', `--include=${packages}`, SUITE, path], {
        env: { ...machineEnvironment(), DEBIAN_FRONTEND: 'noninteractive' },
        timeoutMs: 300_000,
      });
      await rm(join(path, 'var/cache/apt/archives'), { recursive: true, force: true });
      await rm(join(path, 'var/lib/apt/lists'), { recursive: true, force: true });
    });
  }

  #once(name: string, make: (path: string) => Promise<void>): Promise<string> {
    const known = this.#made.get(name);
    if (known !== undefined) return known;
    const making = this.#make(name, make);
    this.#made.set(name, making);
    return making;
  }

  async #make(name: string, make: (path: string) => Promise<void>): Promise<string> {
    const path = join(this.#cache ?? join(this.folder, 'shared'), name);
    const done = `${path}.made`;
    if (await isFile(done)) return path;
    await rm(path, { recursive: true, force: true });
    await mkdir(dirname(path), { recursive: true });
    await make(path);
    await writeFile(done, '');
    return path;
  }
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}
