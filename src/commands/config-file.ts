/** Reads the configuration for a command: file, environment and this machine's addresses, or faults on standard error. */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import { readConfigFile } from '../config/source-text.ts';
import { systemPause } from '../runtime/slices.ts';
import { loadConfigApart } from './config-apart.ts';
import { DEFAULT_CONFIG_FILE } from './default-config-file.ts';

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
