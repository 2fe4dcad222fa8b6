/**
 * Reads the configuration for a command: file, environment and this machine's addresses. A running server reads the
 * configuration in a thread of its own (config-thread.ts says why), and gives up a file that nobody can read.
 */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Config, LoadedConfig, ZoneConfig } from '../config/config.ts';
import { ConfigError } from '../config/fault.ts';
import { frozen, MAX_OCTETS, type ReadFile, readConfigFile } from '../config/source-text.ts';
import { endThread, refusesThread } from '../runtime/background.ts';
import { JsonList } from '../runtime/json-list.ts';
import { atOnce, type Pause, systemPause } from '../runtime/slices.ts';
import { readAcceptedConfig } from './accepted-config.ts';
import { encodeCheckedConfig, readCheckedConfig, readOwnFile } from './checked-config.ts';
import type { ReadOutcome, ReadRequest, ThreadMessage } from './config-thread.ts';
import { DEFAULT_CONFIG_FILE } from './subcommand.ts';

/**
 * Throws ConfigError with every fault. `file` undefined: the default file, or the environment alone. `environment` is added to
 * that of this process.
 */
export async function readConfig(
  file: string | undefined,
  environment: Readonly<Record<string, string>> = {},
): Promise<LoadedConfig> {
  const request = requestFor(file);
  // it loads the reader of YAML and all declarations, which most starts do not need
  const { loadConfig } = await import('../config/config.ts');
  return loadConfig({ ...request, environment: { ...request.environment, ...environment }, readFile });
}

const readFile: ReadFile = (path, limitOctets) => readConfigFile(path, limitOctets, (ms) => sleep(ms));

/** Reads as `readConfig` does, for the reloads of a server that answers queries meanwhile. */
export function configReader(file: string | undefined): ConfigReader {
  return new ConfigReader(() => requestFor(file), systemPause);
}

function requestFor(file: string | undefined) {
  return {
    file: file ?? DEFAULT_CONFIG_FILE,
    explicit: file !== undefined,
    environment: { ...process.env },
    ownAddresses: ownAddresses(networkInterfaces()),
  };
}

/** Every address of this host. A link-local address has its interface: `fe80::1` on another interface is another host. */
function ownAddresses(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string[] {
  return Object.entries(interfaces).flatMap(([name, infos = []]) =>
    infos.map(({ address }) => (/^fe[89ab]/i.test(address) ? `${address}%${name}` : address)),
  );
}

export interface StartConfig {
  readonly config: Config;
  /** Composes what is to be kept beside the state for the next start; absent where it is kept already, or cannot be. */
  readonly composeKept?: (pause: Pause) => Promise<Uint8Array | undefined>;
  /** The text of the file, where there is a file. */
  readonly octets?: Uint8Array;
  /** Why the file is refused, where `config` is the one that the server took last. */
  readonly refusal?: Error;
}

/**
 * Reads for a start: a file that was checked before is not parsed again. Faults are printed, and then the configuration that the server
 * took last comes back, or `undefined` where there is none.
 */
export async function readConfigForStart(
  file: string | undefined,
  program: string | undefined,
  read: ReadFile = readFile,
): Promise<StartConfig | undefined> {
  const request = requestFor(file);
  // read once: a pipe gives its text a single time, and a pipe that gives nothing is waited for
  const reading = read(request.file, MAX_OCTETS + 1);
  const octets = await reading.catch(() => undefined);
  try {
    const origin = octets && program !== undefined ? { request, octets, program } : undefined;
    const checked = origin && (await soonOrNever(readCheckedConfig(origin, readOwnFile)));
    if (checked !== undefined) return { config: kept(checked), octets };
    const { loadConfig } = await import('../config/config.ts');
    const config = kept(await loadConfig({ ...request, readFile: () => reading }));
    if (origin === undefined) return { config, octets };
    return { config, octets, composeKept: (pause) => encodeCheckedConfig(origin, config, pause) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    const config = await acceptedBefore(request, octets);
    return config && { config, refusal: error };
  }
}

/**
 * For a file that is sound and cannot be served on this host: what the server took last, or `undefined` where there is none, or
 * where it is this text.
 */
export function readOtherAccepted(
  file: string | undefined,
  text: Uint8Array | undefined,
): Promise<Config | undefined> {
  return acceptedBefore(requestFor(file), text);
}

/** The endpoints of a configuration that was good are answered, whatever was written into its file since. */
async function acceptedBefore(
  request: ReturnType<typeof requestFor>,
  refused: Uint8Array = new Uint8Array(),
): Promise<Config | undefined> {
  const accepted = await soonOrNever(readAcceptedConfig(request, refused, readOwnFile), ACCEPTED_WAIT_MS);
  if (accepted === undefined || Buffer.compare(accepted, refused) === 0) return undefined;
  try {
    const { loadConfig } = await import('../config/config.ts');
    return kept(await loadConfig({ ...request, readFile: async () => accepted }));
  } catch (error) {
    if (error instanceof ConfigError) return undefined; // the faults of a variable have been printed with those of the file
    throw error;
  }
}

/** It lies on the disk of the state, which may hang; to parse the file again takes less. */
const KEPT_WAIT_MS = 500;
/** Without this text the start ends: a disk that starts after a rest, or is busy after a power cut, takes seconds. */
const ACCEPTED_WAIT_MS = 10_000;

async function soonOrNever<T>(reading: Promise<T>, limitMs = KEPT_WAIT_MS): Promise<T | undefined> {
  const enough = new AbortController();
  const late = sleep(limitMs, undefined, { signal: enough.signal }).catch(() => undefined);
  const outcome = await Promise.race([reading, late]);
  enough.abort();
  return outcome;
}

/** Beside this file, in the source and in the bundle. */
const PROGRAM = new URL(
  import.meta.url.endsWith('.ts') ? './config-thread.ts' : './config-thread.js',
  import.meta.url,
);

export interface ReaderOptions {
  readonly program?: URL;
  readonly readLimitMs?: number;
}

/** A disk or a pipe that gives nothing for this long is given up. */
const READ_LIMIT_MS = 30_000;

export class ConfigReader implements Disposable {
  /** Made for each read: the host's addresses may have changed. */
  readonly #request: () => ReadRequest;
  readonly #pause: Pause;
  readonly #options: ReaderOptions;
  /** The thread that has not got the text of the file yet. A dead disk (NFS) holds it in the kernel, where nothing ends it. */
  #reading: Worker | 'starts' | undefined;
  readonly #texts = new WeakMap<Config, Uint8Array>();

  constructor(request: () => ReadRequest, pause: Pause, options: ReaderOptions = {}) {
    this.#request = request;
    this.#pause = pause;
    this.#options = options;
  }

  get isReading(): boolean {
    return this.#reading !== undefined;
  }

  /** The text of the file that this configuration was read from, where there was a file. */
  textOf(config: Config): Uint8Array | undefined {
    return this.#texts.get(config);
  }

  /** @throws {ConfigError} with every fault that could be found; any other error is a defect of the thread. */
  async read(): Promise<Config> {
    if (this.isReading) throw this.#unreadable('the reload before is still waiting for the file');
    const refusal = refusesThread();
    if (refusal !== undefined) throw this.#unreadable(refusal, 'restart the server without this limit');
    // a turn for each: code that has not run for hours is compiled again
    const workerData = this.#request();
    this.#reading = 'starts';
    await this.#pause();
    this.#reading = undefined; // where the system gives no thread, the next reload asks again
    const worker = new Worker(this.#options.program ?? PROGRAM, {
      name: 'config',
      workerData,
      // it prints nothing, and pipes to the output of this process take time
      stdout: true,
      stderr: true,
    });
    const outcome = await this.#outcomeOf(worker);
    if (outcome.kind === 'refused') throw new ConfigError(outcome.code, outcome.faults, outcome.count);
    const zones = Object.freeze(new JsonList<ZoneConfig>(outcome.zones, frozen));
    const config = Object.freeze({ ...frozen(outcome.others), zones });
    if (outcome.octets !== undefined) this.#texts.set(config, outcome.octets);
    return config;
  }

  /** Gives up the read that waits for its file. */
  [Symbol.dispose](): void {
    if (this.#reading instanceof Worker) endThread(this.#reading);
  }

  #outcomeOf(worker: Worker): Promise<ReadOutcome> {
    const { readLimitMs = READ_LIMIT_MS } = this.#options;
    this.#reading = worker;
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => {
        reject(this.#unreadable(`the file cannot be read within ${readLimitMs / 1000} s`));
        endThread(worker);
      }, readLimitMs);
      const hasRead = () => {
        clearTimeout(deadline);
        if (this.#reading === worker) this.#reading = undefined;
      };
      worker.on('message', (message: ThreadMessage) => {
        hasRead();
        if (message.kind !== 'read') resolve(message);
      });
      worker.once('error', reject);
      worker.once('exit', () => {
        hasRead();
        reject(new Error('the thread that reads the configuration ended without an outcome'));
      });
    });
  }

  #unreadable(message: string, fix = 'check the disk that the file is on'): ConfigError {
    const { file = '' } = this.#request();
    return new ConfigError('unreadable', [{ file, path: '', message, fix }]);
  }
}

/** As the server keeps it. */
function kept(config: Config): Config {
  return Object.freeze({ ...config, zones: atOnce(JsonList.of(config.zones, frozen)) });
}
