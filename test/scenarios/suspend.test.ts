/**
 * A host that sleeps. A C library before libc moves the kernel's clocks of the server. A file over /proc/uptime stands for
 * the file that a container's own file system shows there: a source beside the clocks, which may jump alone.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { pause, until } from '../helpers/patience.ts';
import { isReady } from './readiness.ts';
import { PROGRAM, ServerProcess } from './server-process.ts';
import { folder, Site } from './site.ts';

const SLEPT_SECONDS = 3600;
/** The server compares its clocks every second. */
const NOTICED_WITHIN_MS = 3500;

const library = join(t.testdir(), 'sleeper.so');
const skip = whySkip();

function whySkip(): string | false {
  if (spawnSync('unshare', ['-m', 'true']).status !== 0) return 'mounting over /proc/uptime needs root';
  const source = join(import.meta.dirname, 'sleeper.c');
  const compiled = spawnSync('gcc', ['-O1', '-shared', '-fPIC', '-o', library, source], { encoding: 'utf8' });
  if (compiled.error !== undefined) return `no gcc: ${compiled.error.message}`;
  return compiled.status === 0 ? false : `gcc cannot make the library: ${compiled.stderr}`;
}

/** Overwrites in place: the server must never read an empty file, or one that is shorter than its map. */
function overwrite(path: string, octets: Uint8Array): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT);
  writeSync(fd, octets);
  closeSync(fd);
}

interface Jumps {
  /** By CLOCK_BOOTTIME. */
  readonly boot?: boolean;
  /** By the wall clock. */
  readonly wall?: boolean;
  /** By /proc/uptime. */
  readonly uptime?: boolean;
}

class Sleeper {
  readonly server: ServerProcess;
  readonly #site: Site;
  readonly #clocks: string;
  #uptimeAheadSeconds = 0;

  constructor(t: Test, site: Site, options: string) {
    const directory = folder(t);
    const uptime = join(directory, 'uptime');
    const startedMs = performance.now();
    const write = () => {
      const seconds = (performance.now() - startedMs) / 1000 + 5000 + this.#uptimeAheadSeconds;
      overwrite(uptime, Buffer.from(`${seconds.toFixed(2)} 0.00\n`));
    };
    write();
    const writing = setInterval(write, 20);
    t.teardown(() => clearInterval(writing));
    this.#site = site;
    this.#clocks = join(directory, 'clocks');
    this.jump({});
    const environment = {
      ...site.sandbox.environment,
      LD_PRELOAD: library,
      SLEEPER_FILE: this.#clocks,
      NODE_OPTIONS: options,
    };
    const mount = `mount --bind "${uptime}" /proc/uptime && exec "$0" "$@"`;
    const command = ['unshare', '-m', 'sh', '-c', mount, PROGRAM] as const;
    this.server = new ServerProcess(t, site.configFile, site.ports, environment, command);
  }

  jump({ boot = false, wall = false, uptime = false }: Jumps): void {
    const seconds = [boot, wall].map((jumps) => BigInt(jumps ? SLEPT_SECONDS : 0));
    overwrite(this.#clocks, new Uint8Array(BigInt64Array.from(seconds).buffer));
    this.#uptimeAheadSeconds = uptime ? SLEPT_SECONDS : 0;
  }

  /** Whether a question that was answered before reaches the upstream again. */
  async isAskedAgain(name: string): Promise<boolean> {
    const asked = this.#site.sandbox.dns.countOf(name);
    await this.server.ask({ name });
    return this.#site.sandbox.dns.countOf(name) > asked;
  }

  get hasNoticed(): boolean {
    return this.server.logged('the host was suspended: asking again for everything').length > 0;
  }
}

const NO_FFI = '--no-experimental-ffi';

for (const [name, options, jumps] of [
  ['the clocks of the kernel', '', { boot: true, wall: true }],
  ['a wall clock that was not set after it', '', { boot: true }],
  ['/proc/uptime and the wall clock, where C cannot be called', NO_FFI, { wall: true, uptime: true }],
] as const satisfies readonly (readonly [string, string, Jumps])[]) {
  t.test(`an hour of sleep, by ${name}: a kept answer is an hour older`, { skip }, async (t) => {
    const sleeper = new Sleeper(t, await Site.open(t), options);
    const { server } = sleeper;
    await isReady(server);
    t.match(await server.ask({ name: 'www.example.com' }), { answers: { length: 2 } });
    t.notOk(await sleeper.isAskedAgain('www.example.com'), 'the answer is kept');
    const before = (await server.status()).server.uptimeSeconds;
    sleeper.jump(jumps);
    await until('the sleep is noticed', () => sleeper.hasNoticed);
    const after = (await server.status()).server.uptimeSeconds;
    t.ok(after >= before + SLEPT_SECONDS - 100, 'the time that passed counts');
    t.ok(after <= before + SLEPT_SECONDS + 600, 'and no more than that');
    t.ok(await sleeper.isAskedAgain('www.example.com'), 'the answer is old now');
    t.match(await server.kill('SIGTERM'), { code: 0 });
  });
}

for (const [name, options, jumps] of [
  ['/proc/uptime jumps alone, as in a container that has a file of its own there', '', { uptime: true }],
  ['/proc/uptime jumps alone, where C cannot be called', NO_FFI, { uptime: true }],
  ['the wall clock is set forward', '', { wall: true }],
  ['the wall clock is set forward, where C cannot be called', NO_FFI, { wall: true }],
] as const satisfies readonly (readonly [string, string, Jumps])[]) {
  t.test(`no sleep: ${name}`, { skip }, async (t) => {
    const sleeper = new Sleeper(t, await Site.open(t), options);
    const { server } = sleeper;
    await isReady(server);
    t.match(await server.ask({ name: 'www.example.com' }), { answers: { length: 2 } });
    sleeper.jump(jumps);
    await pause(NOTICED_WITHIN_MS);
    t.notOk(sleeper.hasNoticed, 'nothing is taken for a sleep');
    t.notOk(await sleeper.isAskedAgain('www.example.com'), 'the answer is kept');
    t.match(await server.kill('SIGTERM'), { code: 0 });
  });
}
