/** Reads the configuration for a command: file, environment and this machine's addresses, or faults on standard error. */
import { open } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import { DEFAULT_CONFIG_FILE } from './program.ts';

/** Throws ConfigError with every fault. `file` undefined: the default file, or the environment alone. */
export function readConfig(file: string | undefined): Promise<Config> {
  return loadConfig({
    file: file ?? DEFAULT_CONFIG_FILE,
    explicit: file !== undefined,
    environment: process.env,
    ownAddresses: Object.values(networkInterfaces()).flatMap((one) =>
      (one ?? []).map(({ address }) => address),
    ),
    readFile: readBounded,
  });
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

/** At most `limitOctets` of the file: whatever was named by mistake, memory stays bounded. */
async function readBounded(path: string, limitOctets: number): Promise<Uint8Array> {
  await using handle = await open(path, 'r');
  const octets = new Uint8Array(limitOctets);
  let length = 0;
  while (length < limitOctets) {
    const { bytesRead } = await handle.read(octets, length, limitOctets - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return octets.subarray(0, length);
}
