/**
 * The thread that reads the configuration for a reload: parsing and checking a large file takes seconds, in which queries
 * are answered. It is a program of its own, started by config-apart.ts; it says one thing and ends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { Config } from '../config/config.ts';
import { ConfigError, type ConfigErrorCode, type Fault } from '../config/fault.ts';
import { type LoadRequest, loadConfig } from '../config/load.ts';
import { type ReadFile, readConfigFile } from '../config/yaml-file.ts';
import { yieldToQueries } from '../runtime/threads.ts';

/** What the thread is told. */
export type ReadRequest = Pick<LoadRequest, 'file' | 'explicit' | 'environment' | 'ownAddresses'>;

/** Zones as JSON, each for itself, because thousands of them are taken over in pieces. */
export type ReadOutcome =
  | {
      readonly kind: 'config';
      readonly others: Omit<Config, 'zones'>;
      readonly zones: readonly string[];
    }
  | { readonly kind: 'refused'; readonly code: ConfigErrorCode; readonly faults: readonly Fault[] };

/** What it says: that it has the text of the file, then what came of it. */
export type ThreadMessage = { readonly kind: 'read' } | ReadOutcome;

// absent where it is merely imported, for its types
if (parentPort !== null) {
  yieldToQueries();
  // the assertion: config-apart.ts alone starts this program
  parentPort.postMessage(await read(workerData as ReadRequest));
}

async function read(request: ReadRequest): Promise<ReadOutcome> {
  try {
    const readFile: ReadFile = async (path, limitOctets) => {
      const octets = await readConfigFile(path, limitOctets, (ms) => sleep(ms));
      parentPort?.postMessage({ kind: 'read' } satisfies ThreadMessage);
      return octets;
    };
    const { zones, ...others } = await loadConfig({ ...request, readFile });
    return { kind: 'config', others, zones: zones.map((zone) => JSON.stringify(zone)) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { kind: 'refused', code: error.code, faults: error.faults };
  }
}
