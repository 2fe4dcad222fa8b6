/** `outpost-dns sandbox`: the simulated Region and the real server against it, as a child process, until Ctrl-C. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { controlPathFor } from '../../sandbox/control.ts';
import { type Sandbox, startSandbox } from '../../sandbox/sandbox.ts';
import { SandboxError } from '../../sandbox/sandbox-error.ts';
import { AdminError, startHttpServer } from '../admin/http-server.ts';
import { EXIT, type ExitCode } from './exit-code.ts';

export interface SandboxCommandOptions {
  readonly port: string;
  readonly httpPort: string;
  readonly regionOnly?: true;
}

const READY_POLL_MS = 50;
/** A server that is asked to stop does so in half a second at most; one that does not is of no more use. */
const STOP_PATIENCE_MS = 3_000;

export async function sandbox(options: SandboxCommandOptions): Promise<ExitCode> {
  const dnsPort = portOf(options.port);
  const httpPort = portOf(options.httpPort);
  if (dnsPort === undefined || httpPort === undefined) {
    process.stderr.write(
      `outpost-dns: not a port: "${dnsPort === undefined ? options.port : options.httpPort}": say 1 to 65535\n`,
    );
    return EXIT.usage;
  }
  const ended = untilSignal(); // from here on, so that a Ctrl-C that comes early leaves nothing behind either
  const directory = await mkdtemp(join(tmpdir(), 'outpost-dns-sandbox-'));
  try {
    await using region = await startSandbox({ controlPath: controlPathFor(dnsPort) });
    if (!options.regionOnly) await claim(httpPort); // behind the control socket, which knows another sandbox for one
    const configFile = join(directory, 'outpost-dns.yaml');
    const stateDirectory = join(directory, 'state');
    await writeFile(configFile, region.configYaml({ dnsPort, httpPort, stateDirectory }));
    region.server.configFile = configFile;
    if (options.regionOnly) return await runRegion(region, configFile, ended);
    return await runServer(region, configFile, { dnsPort, httpPort }, ended);
  } catch (error) {
    if (!(error instanceof SandboxError || error instanceof AdminError)) throw error;
    const saying =
      error instanceof AdminError
        ? `listen on "127.0.0.1:${httpPort}" for HTTP (${error.code}): choose another with --http-port`
        : error.message;
    process.stderr.write(`outpost-dns: cannot ${saying}\n`);
    return EXIT.finding;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A server on its own does without its pages where their port is taken; here they are half of what is to be seen. */
async function claim(port: number): Promise<void> {
  const log = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => log };
  const server = await startHttpServer({ address: '127.0.0.1', port, pages: new Map(), log });
  await server.close();
}

function nothing(): void {}

function portOf(text: string): number | undefined {
  const port = Number(text);
  return /^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535 ? port : undefined;
}

/** For a server that somebody starts by hand, or that a test kills: everything it needs, as one line of JSON. */
async function runRegion(region: Sandbox, configFile: string, ended: Promise<unknown>): Promise<ExitCode> {
  const { regionUrl, dnsAddress, controlPath, environment } = region;
  process.stdout.write(
    `${JSON.stringify({ configFile, regionUrl, dnsAddress, controlPath, environment })}\n`,
  );
  await ended;
  return EXIT.well;
}

async function runServer(
  region: Sandbox,
  configFile: string,
  { dnsPort, httpPort }: { readonly dnsPort: number; readonly httpPort: number },
  ended: Promise<'signal'>,
): Promise<ExitCode> {
  const main = process.argv[1] ?? '';
  const server = spawn(process.execPath, [...process.execArgv, main, 'serve', '--config', configFile], {
    // the channel tells the server when we are gone, however we ended
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...region.environment },
  });
  const exited = once(server, 'exit');
  const outcome = await Promise.race([
    untilReady(`http://127.0.0.1:${httpPort}/readyz`, server),
    exited.then(() => 'exited' as const),
    ended,
  ]);
  if (outcome === 'exited') return EXIT.finding; // the server has said why
  if (outcome === 'ready') process.stdout.write(banner(region, dnsPort, httpPort));
  const stopped = await Promise.race([ended, exited.then(() => 'exited' as const)]);
  server.kill('SIGTERM');
  const impatience = setTimeout(() => server.kill('SIGKILL'), STOP_PATIENCE_MS);
  await exited;
  clearTimeout(impatience);
  return stopped === 'exited' ? EXIT.finding : EXIT.well;
}

/** Until its endpoint can be answered. The server itself says first that it listens: on its port may be somebody else's. */
async function untilReady(url: string, server: ChildProcess): Promise<'ready'> {
  await once(server, 'message');
  while (server.exitCode === null && server.signalCode === null) {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) }).catch(() => undefined);
    if (response?.ok) return 'ready';
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
  return new Promise(() => undefined); // its exit wins the race
}

/** Ctrl-C, a supervisor, or the terminal that was closed. */
function untilSignal(): Promise<'signal'> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => resolve('signal'));
  });
}

function banner(region: Sandbox, dnsPort: number, httpPort: number): string {
  const { name, endpoint } = region.state.clusters[0] ?? { name: '', endpoint: '' };
  const strong = (text: string) => styleText('bold', text);
  const faint = (text: string) => styleText('dim', text);
  const dig = `dig @127.0.0.1 -p ${dnsPort} ${endpoint}`;
  const other = dnsPort === 5300 ? '' : ` --port ${dnsPort}`;
  return [
    '',
    `${styleText('green', 'outpost-dns')} serves ${strong(name)} from a simulated AWS Region`,
    `  DNS       127.0.0.1:${dnsPort} ${faint('UDP and TCP')}`,
    `  HTTP      http://127.0.0.1:${httpPort}/ ${faint('status, metrics')}`,
    `  Region    ${region.regionUrl} ${faint('EC2, EKS, Route 53, STS')}`,
    `  upstream  ${region.dnsAddress}`,
    '',
    'In a second terminal:',
    `  ${strong(dig)}`,
    `  ${strong(`npx outpost-dns sandbox link down${other}`)}`,
    `  ${strong(dig)}`,
    '',
    faint('Ctrl-C ends it.'),
    '',
  ].join('\n');
}
