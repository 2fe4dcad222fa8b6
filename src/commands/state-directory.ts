/** Which state directory a command is about: the one that was named, or the configuration's. */
import { ConfigError } from '../config/fault.ts';
import { readConfig } from './config-file.ts';

export interface StateDirectoryOptions {
  /** Configuration file. */
  readonly config?: string;
  /** State directory; the configuration is not read then. */
  readonly state?: string;
}

/** Faults of the configuration are printed, with the way around them, and `undefined` comes back. */
export async function findStateDirectory({
  config,
  state,
}: StateDirectoryOptions): Promise<string | undefined> {
  if (state !== undefined) return state;
  try {
    return (await readConfig(config)).state.directory;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const mend = 'without a configuration, name the state directory: --state /var/lib/outpost-dns';
    process.stderr.write(`${error.message}\noutpost-dns: ${mend}\n`);
    return undefined;
  }
}
