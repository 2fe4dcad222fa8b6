/**
 * Which server a command is about, found in one way by all commands: the configuration that is named, else the installed
 * one (the environment's, in a container), else that of a sandbox of this user. It tells where the server keeps its
 * state, where its status is, and where it answers.
 */
import { access } from 'node:fs/promises';
import { sandboxConfigFile } from '../../sandbox/control-client.ts';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/fault.ts';
import { readConfig } from './config-file.ts';
import { DEFAULT_CONFIG_FILE } from './default-config-file.ts';

export type FoundServer =
  | { readonly kind: 'found'; readonly config: Config }
  /** There is a configuration, and it cannot be used. */
  | { readonly kind: 'faulty'; readonly error: ConfigError }
  /** Nothing tells of a server here. */
  | { readonly kind: 'none' };

/** `file`: as `--config` names it. */
export async function findServer(file: string | undefined): Promise<FoundServer> {
  const found = await attempt(file);
  if (found.kind === 'found' || file !== undefined || (await isInstalled())) return found;
  const sandboxFile = await sandboxConfigFile();
  return sandboxFile === undefined ? { kind: 'none' } : attempt(sandboxFile);
}

async function attempt(file: string | undefined): Promise<FoundServer> {
  try {
    return { kind: 'found', config: await readConfig(file) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { kind: 'faulty', error };
  }
}

async function isInstalled(): Promise<boolean> {
  if (Object.keys(process.env).some((name) => /^OUTPOST_DNS_(?:CLUSTERS|UPSTREAMS)(?:__|$)/.test(name)))
    return true;
  return access(DEFAULT_CONFIG_FILE).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT' && error.code !== 'ENOTDIR',
  );
}

/** For a command that can do nothing without: the configuration, or `undefined` after one explanation. */
export async function findServerOrExplain(
  file: string | undefined,
  otherwise: string,
): Promise<Config | undefined> {
  const found = await findServer(file);
  if (found.kind === 'found') return found.config;
  const text =
    found.kind === 'faulty'
      ? `${found.error.message}\noutpost-dns: without a sound configuration, ${otherwise}\n`
      : `outpost-dns: no server is known here: there is no "${DEFAULT_CONFIG_FILE}" and no sandbox runs: ${otherwise}, or a configuration with --config\n`;
  process.stderr.write(text);
  return undefined;
}

export interface StateDirectoryOptions {
  /** Configuration file. */
  readonly config?: string;
  /** State directory; the configuration is not read then. */
  readonly state?: string;
}

/** The directory that is named, or the server's; `undefined` after one explanation. */
export async function findStateDirectory({
  config,
  state,
}: StateDirectoryOptions): Promise<string | undefined> {
  if (state !== undefined) return state;
  const otherwise = 'name the state directory with --state /var/lib/outpost-dns';
  return (await findServerOrExplain(config, otherwise))?.state.directory;
}

/** An address to connect to, for one to listen on: a wildcard is reached over loopback. */
export function reachable({ address, port }: { readonly address: string; readonly port: number }) {
  const host = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
  return { host, port };
}
