/**
 * Runs a program that was just built, so that its compiled code is kept beside it: in Node's compile cache, made to be
 * moved, with the functions that have run (executed-code.ts). A start then compiles hardly anything, nor does the first poll of a
 * source while a query waits. The run is that of a site: an older state, the sandbox's Region, every command that an operator may
 * need in a hurry, a cut and its end.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { glob, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';
import { CHECKED_CONFIG } from '../src/commands/checked-config.ts';
import { keptSourceKey, sourceKey } from './code-file.ts';

/** For the first polls, the changes after them, and a first save. */
const LOOK_MS = 3000;
/** Until a cut is noticed, and until its end is. */
const NOTICE_MS = 3000;
const READY_WITHIN_MS = 60_000;

/** `out` is the folder of the build. Throws where the program fails. */
export async function warmCompileCache(out: string): Promise<void> {
  await using sandbox = await startSandbox();
  const room = await mkdtemp(join(tmpdir(), 'outpost-dns-build-'));
  const [dnsPort, httpPort] = [await freePort(), await freePort()];
  const config = join(room, 'outpost-dns.yaml');
  const state = join(room, 'state');
  await mkdir(state, { mode: 0o750 });
  const overrides = { retain: ['www.example.com'], log: { level: 'error', format: 'json' } };
  await writeFile(config, sandbox.configYaml({ dnsPort, httpPort, stateDirectory: state, overrides }));
  const site: Site = {
    program: join(out, 'bin', 'outpost-dns'),
    config,
    dns: `127.0.0.1:${dnsPort}`,
    http: `127.0.0.1:${httpPort}`,
    environment: { ...sandbox.environment, PATH: process.env['PATH'] },
  };
  try {
    // only to make a state: the first run that keeps code is to be a usual start
    await served(site, () => pause(LOOK_MS));
    await mkdir(join(out, 'dist', 'compile-cache'));
    await using _ = await keepingExecutedCode(out);
    await served(site, () => ask(site, sandbox));
    await rm(join(state, CHECKED_CONFIG), { force: true }); // the first start on a host reads the file
    await served(site, () => ask(site, sandbox));
    await served(site, () => use(site, sandbox));
  } finally {
    await rm(room, { recursive: true });
  }
}

interface Site {
  readonly program: string;
  readonly config: string;
  /** Address and port. */
  readonly dns: string;
  readonly http: string;
  readonly environment: NodeJS.ProcessEnv;
}

async function served(site: Site, during: () => Promise<void>): Promise<void> {
  const { program, config, environment: env } = site;
  const server = spawn(program, ['serve', '--config', config], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env,
  });
  const ended = once(server, 'exit');
  try {
    await isReady(site);
    await during();
  } finally {
    server.kill('SIGTERM');
  }
  const [code, signal] = await ended;
  if (code !== 0) throw new Error(`the program that was built ended with ${code ?? signal}`);
}

async function isReady(site: Site): Promise<void> {
  for (const deadline = performance.now() + READY_WITHIN_MS; ; ) {
    const healthy = await run(site, 'status', '--admin', site.http, '--healthy').catch(() => undefined);
    if (healthy !== undefined) return;
    if (performance.now() > deadline) throw new Error('the program that was built does not answer');
  }
}

async function ask(site: Site, sandbox: Sandbox): Promise<void> {
  const endpoint = sandbox.state.clusters[0]?.endpoint ?? 'demo.example';
  const names = [
    [endpoint, 'A'],
    [endpoint, 'AAAA'],
    [`_status.${endpoint}`, 'TXT'],
    ['10.1.0.10.in-addr.arpa', 'PTR'],
    ['localhost', 'A'],
    ['www.example.com', 'A'],
    ['www.example.com', 'A'],
    ['big.example.com', 'TXT'], // over TCP
  ] as const;
  // what cannot be answered, as in a cut, ends with an exit code of its own
  for (const [name, type] of names)
    await run(site, 'lookup', name, type, '--server', site.dns).catch(() => undefined);
}

async function use(site: Site, sandbox: Sandbox): Promise<void> {
  await pause(LOOK_MS);
  await ask(site, sandbox);
  await run(site, 'status', '--admin', site.http);
  for (const path of ['/', '/metrics', '/status', '/healthz', '/readyz']) {
    const page = await fetch(`http://${site.http}${path}`);
    if (!page.ok) throw new Error(`${path}: ${page.status}`);
    await page.arrayBuffer();
  }
  sandbox.link.set('down');
  await pause(NOTICE_MS);
  await ask(site, sandbox);
  sandbox.link.set('up');
  await pause(NOTICE_MS);
  await run(site, 'drill', 'start', '--for', '1s', '--config', site.config);
  await run(site, 'drill', 'report', '--config', site.config);
  await run(site, 'history', '--config', site.config);
  await run(site, 'export', '--config', site.config);
  await run(site, 'check', '--config', site.config).catch(() => undefined); // it has findings
}

/** Until it is disposed, every process of the program keeps the code of its functions when it ends (executed-code.ts). */
async function keepingExecutedCode(out: string): Promise<AsyncDisposable> {
  const node = join(out, 'node_modules', 'node', 'bin', 'node');
  const real = `${node}.real`;
  const keeping = `--expose-internals --disable-warning=internal/test/binding --require '${EXECUTED_CODE}'`;
  await rename(node, real);
  await writeFile(node, `#!/bin/sh\nexec '${real}' ${keeping} "$@"\n`, { mode: 0o755 });
  return {
    async [Symbol.asyncDispose]() {
      await rename(real, node);
      await removeForeignCode(out);
    },
  };
}

const EXECUTED_CODE = join(import.meta.dirname, 'executed-code.ts');

/** The code of modules that are not delivered: those of executed-code.ts itself. */
async function removeForeignCode(out: string): Promise<void> {
  const dist = join(out, 'dist');
  const delivered = new Set<string>();
  for await (const file of glob(join(dist, '*.js'))) delivered.add(sourceKey(await readFile(file)));
  for await (const file of glob(join(dist, 'compile-cache', '*', '*')))
    if (!delivered.has(keptSourceKey(await readFile(file)))) await rm(file);
}

async function run({ program, environment: env }: Site, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, [...args], { env });
  return stdout;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port on loopback');
  return address.port;
}
