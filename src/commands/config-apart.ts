/** The configuration as `loadConfig` gives it, read in a thread of its own (config-thread.ts says why). */
import { Worker } from 'node:worker_threads';
import type { Config, ZoneConfig } from '../config/config.ts';
import { ConfigError } from '../config/fault.ts';
import { frozen } from '../config/normalise.ts';
import type { Pause } from '../runtime/slices.ts';
import { inSlices, type Steps } from '../runtime/slices.ts';
import type { ReadOutcome, ReadRequest } from './config-thread.ts';

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
