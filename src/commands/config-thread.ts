/**
 * The thread that reads the configuration for a reload: parsing and checking a large file takes seconds, in which queries
 * are answered. It is a program of its own, started by config-file.ts, and ends with its outcome.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { type Config, type LoadRequest, loadConfig } from '../config/config.ts';
import { ConfigError, type ConfigErrorCode, type Fault, SHOWN_FAULTS } from '../config/fault.ts';
import { type ReadFile, readConfigFile } from '../config/source-text.ts';
import { yieldToQueries } from '../runtime/background.ts';
import { buffersOf, JsonList, type JsonParts } from '../runtime/json-list.ts';
import { atOnce } from '../runtime/slices.ts';

/** The thread's input. */
export type ReadRequest = Pick<LoadRequest, 'file' | 'explicit' | 'environment' | 'ownAddresses'>;

export type ReadOutcome =
  | {
      readonly kind: 'config';
      readonly others: Omit<Config, 'zones'>;
      /** Of a `JsonList`: the server takes thousands of zones without making an object of any. */
      readonly zones: JsonParts;
      /** The text of the file, where there is a file. */
      readonly octets: Uint8Array | undefined;
    }
  | {
      readonly kind: 'refused';
      readonly code: ConfigErrorCode;
      /** The first of `count`. */
      readonly faults: readonly Fault[];
      readonly count: number;
    };

/** The thread's messages: first that the text of the file has been read, then the outcome. */
export type ThreadMessage = { readonly kind: 'read' } | ReadOutcome;

// absent where this file is imported for its types
if (parentPort !== null) {
  yieldToQueries();
  // the assertion: config-file.ts alone starts this program
  const outcome = await read(workerData as ReadRequest);
  parentPort.postMessage(outcome, outcome.kind === 'config' ? buffersOf(outcome.zones) : []);
}

async function read(request: ReadRequest): Promise<ReadOutcome> {
  let octets: Uint8Array | undefined;
  try {
    const readFile: ReadFile = async (path, limitOctets) => {
      const text = await readConfigFile(path, limitOctets, (ms) => sleep(ms));
      parentPort?.postMessage({ kind: 'read' } satisfies ThreadMessage);
      octets = text.slice(); // without the room for a larger file
      return text;
    };
    const { zones, ...others } = await loadConfig({ ...request, readFile });
    return { kind: 'config', others, zones: atOnce(JsonList.of(zones)).parts, octets };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { code, faults, count } = error;
    return { kind: 'refused', code, faults: faults.slice(0, SHOWN_FAULTS), count };
  }
}
