/**
 * Reads the configuration for a command: file, environment and this machine's addresses. A server that answers queries
 * meanwhile has it read in a thread of its own (config-thread.ts says why).
 */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Config, ZoneConfig } from '../config/config.ts';
import { ConfigError } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import { frozen } from '../config/normalise.ts';
import { readConfigFile } from '../config/source-text.ts';
import { inSlices, type Pause, type Steps, systemPause } from '../runtime/slices.ts';
import type { ReadOutcome, ReadRequest } from './config-thread.ts';
import { DEFAULT_CONFIG_FILE } from './subcommand.ts';

/** Throws ConfigError with every fault. `file` undefined: the default file, or the environment alone. */
export function readConfig(file: string | undefined): Promise<Config> {
  return loadConfig({ ...requestFor(file), readFile: readConfigFile });
}

/** As `readConfig`, for a server that answers queries meanwhile. */
export function readConfigApart(file: string | undefined): Promise<Config> {
  return loadConfigApart(requestFor(file), systemPause);
}

function requestFor(file: string | undefined) {
  return {
    file: file ?? DEFAULT_CONFIG_FILE,
    explicit: file !== undefined,
    environment: { ...process.env },
    ownAddresses: ownAddresses(networkInterfaces()),
  };
}

/** Every address of this host, a link-local one with its interface: `fe80::1` of another interface is another host. */
function ownAddresses(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string[] {
  return Object.entries(interfaces).flatMap(([name, infos = []]) =>
    infos.map(({ address }) => (/^fe[89ab]/i.test(address) ? `${address}%${name}` : address)),
  );
}

/** As `readConfig`, but faults are printed and `undefined` comes back. */
export async function readConfigOrExplain(file: string | undefined): Promise<Config | undefined> {
  try {
    return await readConfig(file);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return undefined;
  }
}

/** Beside this file, in the source and in the bundle. */
const PROGRAM = new URL(
  import.meta.url.endsWith('.ts') ? './config-thread.ts' : './config-thread.js',
  import.meta.url,
);

/** @throws {ConfigError} with every fault that could be found; any other error is a defect of the thread. */
export async function loadConfigApart(
  request: ReadRequest,
  pause: Pause,
  program: URL = PROGRAM,
): Promise<Config> {
  const outcome = await outcomeOf(new Worker(program, { name: 'config', workerData: request }));
  if (outcome.kind === 'refused') throw new ConfigError(outcome.code, outcome.faults);
  const zones = await inSlices(zonesOf(outcome.zones), pause);
  return Object.freeze({ ...frozen(outcome.others), zones: Object.freeze(zones) });
}

function outcomeOf(worker: Worker): Promise<ReadOutcome> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () =>
      reject(new Error('the thread that reads the configuration ended without a word')),
    );
  });
}

const OCTETS_PER_STEP = 1024; // some microseconds of parsing

function* zonesOf(texts: readonly string[]): Steps<ZoneConfig[]> {
  const zones: ZoneConfig[] = [];
  for (const text of texts) {
    zones.push(frozen(JSON.parse(text)));
    for (let octets = 0; octets < text.length; octets += OCTETS_PER_STEP) yield;
  }
  return zones;
}
