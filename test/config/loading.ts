/** Loads configurations from text, without a file system and without this machine's own environment. */
import { type LoadedConfig, loadConfig } from '../../src/config/config.ts';
import { ConfigError, formatFaults } from '../../src/config/fault.ts';

export interface Surroundings {
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly ownAddresses?: readonly string[];
}

export function load(
  text: string,
  { environment = {}, ownAddresses = [] }: Surroundings = {},
): Promise<LoadedConfig> {
  const readFile = () => Promise.reject(new Error('a test with its text at hand reads no file'));
  return loadConfig({ file: 'f.yaml', explicit: true, text, environment, ownAddresses, readFile });
}

/** The error of a text that must not load. */
export async function errorOf(loading: Promise<LoadedConfig>): Promise<ConfigError> {
  try {
    await loading;
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the configuration was taken');
}

/** The faults of a text that must not load, as they are printed: two lines each. */
export async function faultLines(text: string, surroundings: Surroundings = {}): Promise<string[]> {
  const { faults } = await errorOf(load(text, surroundings));
  return formatFaults(faults).split('\n');
}

export const CLUSTER = 'clusters: [{name: a, region: us-west-2}]\n';
export const SMALLEST = `${CLUSTER}upstreams: [10.0.0.2]\n`;
