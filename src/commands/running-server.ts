/**
 * Finds the server that a command is about. All commands look in the same order: the flag that names the server's place, the
 * configuration that --config names, the configuration of this host or container. Then come the sandbox of this user, and
 * the default places. Commands on the control socket go through here; server-client.ts knows how to speak with the server.
 */

import { access, readFile, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { basename, dirname, resolve } from 'node:path';
import { sandboxServer } from '../../sandbox/control-client.ts';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/fault.ts';
import { connectable, readSocketAddress, type SocketAddress } from '../config/kinds/address.ts';
import { DEFAULT_STATE_DIRECTORY } from '../config/source-text.ts';
import { socketText } from '../protocol/words/address-text.ts';
import { plural } from '../report/report.ts';
import { attemptRead, type Reader } from '../runtime/forms.ts';
import { isAbsent } from '../runtime/system-errors.ts';
import { readConfig } from './config-file.ts';
import { getStatus, sendCommand } from './server-client.ts';
import { DEFAULT_CONFIG_FILE, EXIT, type ExitCode, printFailure } from './subcommand.ts';

/** The places at which commands reach a server. */
export interface Places {
  /** The address of its HTTP server. */
  readonly admin: SocketAddress;
  /** The address at which it answers queries. */
  readonly dns: SocketAddress;
  /** Its files, and its control socket. */
  readonly stateDirectory: string;
}

export type ConfigSearch =
  | {
      readonly kind: 'config';
      readonly config: Config;
      /** The variables of the server's environment that this process does not have. */
      readonly environment: Readonly<Record<string, string>>;
      readonly isSandbox: boolean;
    }
  /** A configuration exists and cannot be used. */
  | { readonly kind: 'faulty'; readonly error: ConfigError; readonly isNamed: boolean }
  | { readonly kind: 'none' };

export const DEFAULT_PLACES: Places = {
  admin: { address: '127.0.0.1', port: 9153 },
  dns: { address: '127.0.0.1', port: 53 },
  stateDirectory: DEFAULT_STATE_DIRECTORY,
};
const DEFAULT_TIMEOUT_MS = 1_000;

/**
 * Finds the place of the server that a command needs; `flag`, if given, decides. Without a place it prints an explanation, the
 * same for every command, and returns an exit code.
 */
export async function findPlace<Kind extends keyof Places>(
  kind: Kind,
  flag: Places[Kind] | undefined,
  file: string | undefined,
  defaults: Places = DEFAULT_PLACES,
): Promise<Places[Kind] | ExitCode> {
  if (flag !== undefined) return flag;
  const search = await searchConfig(file);
  if (search.kind === 'config') return placesOf(search.config)[kind];
  if (search.kind === 'faulty' && search.isNamed) {
    process.stderr.write(`${search.error.message}\n`);
    printFailure(`without a sound configuration, name the place with ${FLAGS[kind]}`);
    return EXIT.usage;
  }
  const places = await atDefaultPlaces(defaults);
  return places === undefined ? explainNone(search) : places[kind];
}

const FLAGS: Readonly<Record<keyof Places, string>> = {
  admin: '--admin 127.0.0.1:9153',
  dns: '--server 127.0.0.1:53',
  stateDirectory: `--state ${DEFAULT_STATE_DIRECTORY}`,
};

/** `file`: as `--config` names it. */
export async function searchConfig(file: string | undefined): Promise<ConfigSearch> {
  if (file !== undefined) return attempt(file, {}, isOfSandbox(file));
  if (await isInstalled()) return attempt(undefined, await installedEnvironment(), false);
  const sandbox = await sandboxServer();
  return sandbox === undefined
    ? { kind: 'none' }
    : attempt(sandbox.configFile, sandbox.environment ?? {}, true);
}

/** Whether a sandbox wrote the file: in a folder of its own, which is thrown away with the state in it. */
function isOfSandbox(file: string): boolean {
  return basename(dirname(resolve(file))).startsWith('outpost-dns-sandbox-');
}

/** The file that systemd reads for the service (systemd/outpost-dns.service). */
const ENVIRONMENT_FILE = '/etc/outpost-dns/environment';

/** systemd.exec(5): lines of NAME=value, perhaps in quotes. A variable of this process wins. */
export async function installedEnvironment(): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(ENVIRONMENT_FILE, 'utf8').catch(() => '');
  const lines = [...text.matchAll(/^\s*([A-Za-z_]\w*)=(?:"(.*)"|'(.*)'|(.*?))\s*$/gm)];
  const read = lines.map(([, name = '', ...values]) => [name, values.find((one) => one) ?? ''] as const);
  return Object.fromEntries(read.filter(([name]) => process.env[name] === undefined));
}

async function attempt(
  file: string | undefined,
  environment: Readonly<Record<string, string>>,
  isSandbox: boolean,
): Promise<ConfigSearch> {
  try {
    const config = await readConfig(file, environment);
    return { kind: 'config', config, environment, isSandbox };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { kind: 'faulty', error, isNamed: file !== undefined };
  }
}

/** The one error of every command that finds no server. */
function explainNone(search: Exclude<ConfigSearch, { kind: 'config' }>): ExitCode {
  const { admin, stateDirectory } = DEFAULT_PLACES;
  const tried = [
    search.kind === 'faulty'
      ? `the configuration has ${plural(search.error.faults.length, 'fault')} ("outpost-dns check" lists them)`
      : NO_CONFIG,
    `nothing answers at "${socketText(admin)}"`,
    `there is no state in "${stateDirectory}"`,
  ];
  printFailure(
    `no server was found: ${tried.join(', ')}`,
    'start one with "outpost-dns serve" (or "outpost-dns sandbox" to try it out), or name its configuration with --config',
  );
  return search.kind === 'faulty' ? EXIT.usage : EXIT.finding;
}

const NO_CONFIG = `there is no configuration "${DEFAULT_CONFIG_FILE}", this user runs no sandbox`;

/** Explains to a person that a command needs a configuration and found none. */
export async function explainNoConfig(): Promise<ExitCode> {
  if ((await atDefaultPlaces(DEFAULT_PLACES)) === undefined) return explainNone({ kind: 'none' });
  printFailure(`no configuration was found: ${NO_CONFIG}`, 'name it with --config');
  return EXIT.usage;
}

/** Returns the places at which commands reach the server of this configuration. */
export function placesOf({ listen, admin, state }: Config): Places {
  const [first = DEFAULT_PLACES.dns] = listen.dns;
  return { admin: connectable(admin.listen), dns: connectable(first), stateDirectory: state.directory };
}

/** Whether this host has a configuration, valid or not. */
async function isInstalled(): Promise<boolean> {
  if (Object.keys(process.env).some((name) => /^OUTPOST_DNS_(?:CLUSTERS|UPSTREAMS)(?:__|$)/.test(name)))
    return true;
  return access(DEFAULT_CONFIG_FILE).then(
    () => true,
    (error: unknown) => !isAbsent(error),
  );
}

/** Looks at the default places for a server that runs without its configuration file, or for the files of an earlier server. */
async function atDefaultPlaces(defaults: Places): Promise<Places | undefined> {
  const reading = await getStatus(defaults.admin, DEFAULT_TIMEOUT_MS);
  if (reading.kind === 'read') {
    const { server, state } = reading.facts;
    const dns = readSocketAddress(server.listening[0]?.address ?? '', 53, 1);
    return {
      admin: defaults.admin,
      dns: 'value' in dns ? connectable(dns.value) : defaults.dns,
      stateDirectory: (await isOwn(state.directory)) ? state.directory : defaults.stateDirectory,
    };
  }
  return stat(defaults.stateDirectory).then(
    () => defaults,
    () => undefined,
  );
}

/** Any user may listen on the default port, and a path in such a report must not name files that root then reads. */
async function isOwn(directory: string): Promise<boolean> {
  const found = await stat(directory).catch(() => undefined);
  return found?.isDirectory() === true && found.uid === process.getuid?.();
}

// Gives a command to the server that runs here, through its control socket, and reads the answer.

/** The options that name the server. */
export interface ServerOptions {
  readonly config?: string;
  readonly state?: string;
}

/** `action` completes "cannot ...". Returns the answer, or the exit code after a failure that has been explained. */
export async function command<Report>(
  { config, state }: ServerOptions,
  action: string,
  route: { readonly method: 'GET' | 'POST'; readonly path: string; readonly body?: unknown },
  form: Reader<Report>,
): Promise<Report | ExitCode> {
  const directory = await findPlace('stateDirectory', state, config);
  if (typeof directory === 'number') return directory;
  const answer = await sendCommand(directory, route.method, route.path, route.body);
  if (answer.kind !== 'done') {
    printFailure(`cannot ${action}: ${answer.detail}`, answer.fix);
    return EXIT.finding;
  }
  const report = attemptRead(form, answer.content);
  if (report.kind === 'ok') return report.content;
  printFailure(
    `cannot ${action}: the answer is not one of this version`,
    'client and server may be of different versions: compare "outpost-dns --version" with the status',
  );
  return EXIT.finding;
}

/** The name of the user who gives the command: with sudo, the user who called sudo. */
export function commander(environment: NodeJS.ProcessEnv): string {
  const { SUDO_USER } = environment;
  if (SUDO_USER !== undefined && /^[^\p{Cc}]{1,64}$/u.test(SUDO_USER)) return SUDO_USER;
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`; // a user of a container may have no name
  }
}
