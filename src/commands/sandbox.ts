/** `outpost-dns sandbox`: runs the simulated Region, and the real server against it as a child process, until Ctrl-C. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { type Command, InvalidArgumentError } from 'commander';
import * as z from 'zod';
import { controlPathFor } from '../../sandbox/control.ts';
import { callSandbox } from '../../sandbox/control-client.ts';
import { type Sandbox, startSandbox } from '../../sandbox/sandbox.ts';
import { SandboxError } from '../../sandbox/sandbox-error.ts';
import { AdminError, startHttpServer } from '../admin/http-server.ts';
import { EXIT, type ExitCode, print, printFailure, type Run } from './subcommand.ts';

interface SandboxOptions {
  readonly port: number;
  readonly httpPort: number;
  readonly regionOnly?: true;
}

export function define(command: Command, { ended }: Run): void {
  const portOption = ['--port <port>', 'DNS port of the sandboxed server', readPort, 5300] as const;
  command
    .option(...portOption)
    .option('--http-port <port>', 'HTTP port of the sandboxed server', readPort, 9153)
    .option('--region-only', 'run the Region without the server; print how to reach it as JSON')
    .action(async (options: SandboxOptions) => ended(await sandbox(options)));
  const link = command.command('link').description('cut the link to the simulated Region, or restore it');
  link
    .addArgument(
      link
        .createArgument('<state>', 'down, up, or refused (answers with resets instead of silence)')
        .choices(Object.keys(LINK_TEXTS)),
    )
    .option(...portOption)
    .action(async (state: string, { port }: SandboxOptions) =>
      ended(await sendToSandbox(port, '/link', { state }, () => LINK_TEXTS[state] ?? state)),
    );
  const host = command
    .command('host')
    .description('give an address of a cluster to another host, to no host, or back to its API server');
  host
    .argument('<address>', 'the address')
    .addArgument(host.createArgument('<host>', 'the host that has it').choices(Object.keys(HOST_TEXTS)))
    .option(...portOption)
    .action(async (address: string, given: string, { port }: SandboxOptions) => {
      const text = () => `${address}: ${HOST_TEXTS[given] ?? given}`;
      ended(await sendToSandbox(port, '/host', { address, host: given }, text));
    });
  command
    .command('patch')
    .description('take a rolling patch of the simulated control plane one moment further')
    .argument('[cluster]', 'name of the cluster', 'demo')
    .option(...portOption)
    .action(async (cluster: string, { port }: SandboxOptions) =>
      ended(await sendToSandbox(port, '/patch', { cluster }, patchText)),
    );
}

function readPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('Not a port: write 1 to 65535.');
}

const LINK_TEXTS: Readonly<Record<string, string>> = {
  down: 'the link is cut: AWS and the upstreams are silent; "outpost-dns status" says so within ten seconds',
  refused: 'the link is cut: AWS resets connections, the upstreams are silent',
  up: 'the link is up',
};

const HOST_TEXTS: Readonly<Record<string, string>> = {
  other: 'another host has it, with a certificate of its own',
  none: 'nothing answers there',
  auto: 'what the interfaces say answers there',
};

const moment = z.object({ moment: z.number(), of: z.number(), address: z.string(), step: z.string() });

function patchText(answer: unknown): string {
  const { moment: at, of, address, step } = moment.parse(answer);
  return `moment ${at} of ${of}: the interface of ${address} is ${step}`;
}

/** Sends a command to the sandbox whose server has this port, and prints a text made from the sandbox's answer. */
async function sendToSandbox(
  dnsPort: number,
  path: string,
  body: object,
  text: (answer: unknown) => string,
): Promise<ExitCode> {
  try {
    print(text(await callSandbox(controlPathFor(dnsPort), 'POST', path, body)));
    return EXIT.well;
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
    const fix = error.code === 'not-running' ? ': start it with npm start' : '';
    printFailure(`cannot ${error.message}${fix}`);
    return EXIT.finding;
  }
}

const READY_POLL_MS = 50;
/** The start takes less than a second; after this time the events are shown without the picture. */
const READY_PATIENCE_MS = 5_000;
/** A server stops within half a second; after this time it is killed. */
const STOP_PATIENCE_MS = 3_000;

async function sandbox(options: SandboxOptions): Promise<ExitCode> {
  const { port: dnsPort, httpPort } = options;
  const ended = untilSignal(); // from here on, so that an early Ctrl-C leaves no file either
  const directory = await mkdtemp(join(tmpdir(), 'outpost-dns-sandbox-'));
  try {
    await using region = await startSandbox({
      controlPath: controlPathFor(dnsPort),
      hasSecondUpstream: true,
    });
    if (!options.regionOnly) await claim(httpPort); // after the control socket, whose error names another sandbox as such
    const configFile = join(directory, 'outpost-dns.yaml');
    const stateDirectory = join(directory, 'state');
    const overrides = process.stdout.isTTY ? { log: { format: 'pretty' } } : {};
    await writeFile(
      configFile,
      region.configYaml({ dnsPort, httpPort, stateDirectory, overrides, isProving: true }),
    );
    region.server.configFile = configFile;
    region.server.environment = region.environment;
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

/** A server without a sandbox serves without its pages where their port is taken; here the pages are half of the show. */
async function claim(port: number): Promise<void> {
  const log = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => log };
  const server = await startHttpServer({ address: '127.0.0.1', port, pages: new Map(), log });
  await server.close();
}

function nothing(): void {}

/** Prints one line of JSON with the settings for a server that a person starts by hand, or that a test kills. */
async function runRegion(region: Sandbox, configFile: string, ended: Promise<unknown>): Promise<ExitCode> {
  const { regionUrl, dnsAddress, upstreams, controlPath, environment } = region;
  process.stdout.write(
    `${JSON.stringify({ configFile, regionUrl, dnsAddress, upstreams, controlPath, environment })}\n`,
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
    // the channel tells the server that this process has ended, even by SIGKILL
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    env: {
      ...(process.stdout.hasColors?.() ? { FORCE_COLOR: '1' } : {}),
      ...process.env,
      ...region.environment,
    },
  });
  const exited = once(server, 'exit');
  // the picture and the commands come first, the events of the start below them
  const showEvents = () => server.stdout?.pipe(process.stdout, { end: false });
  const impatient = setTimeout(showEvents, READY_PATIENCE_MS);
  const outcome = await Promise.race([
    untilReady(`http://127.0.0.1:${httpPort}/readyz`, server),
    exited.then(() => 'exited' as const),
    ended,
  ]);
  clearTimeout(impatient);
  if (outcome === 'ready') process.stdout.write(banner(region, dnsPort, httpPort));
  showEvents();
  if (outcome === 'exited') return EXIT.finding; // the server's log says why
  const stopped = await Promise.race([ended, exited.then(() => 'exited' as const)]);
  server.kill('SIGTERM');
  const impatience = setTimeout(() => server.kill('SIGKILL'), STOP_PATIENCE_MS);
  await exited;
  clearTimeout(impatience);
  return stopped === 'exited' ? EXIT.finding : EXIT.well;
}

/** Until the endpoint can be answered. The server first says that it listens: another program may have its port. */
async function untilReady(url: string, server: ChildProcess): Promise<'ready'> {
  await once(server, 'message');
  while (server.exitCode === null && server.signalCode === null) {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) }).catch(() => undefined);
    if (response?.ok) return 'ready';
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
  return new Promise(() => undefined); // the exit wins the race
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
    `  upstreams ${region.upstreams.join(', ')}`,
    '',
    'In a second terminal:',
    `  ${strong(dig)}`,
    `  ${strong(`npx outpost-dns sandbox link down${other}`)}`,
    `  ${strong(dig)}`,
    ...['status', 'history', `sandbox link up${other}`].map(
      (rest) => `  ${strong(`npx outpost-dns ${rest}`)}`,
    ),
    '',
    faint('Ctrl-C ends it.'),
    '',
  ].join('\n');
}
