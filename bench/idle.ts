/**
 * The row `idle`: servers that nobody asks, ours connected to a simulated Region. Memory is read when the thread of the last
 * poll has ended. Then a light load of loads of a second shows the next poll: its processor time, and how long queries wait.
 *
 *     start all -> round: ours at rest: memory -> load until a poll has come -> peers: memory, load
 *
 * A poll shows in /proc: the thread that polls is there.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { populationOf } from '../sandbox/demo-population.ts';
import { startSandbox } from '../sandbox/sandbox.ts';
import type { Contender } from './contender.ts';
import { runDnsperf } from './dnsperf.ts';
import {
  type Memory,
  readMemory,
  readPeakMebibytes,
  readThreadMillis,
  readThreadNames,
} from './process-figures.ts';
import { ENDPOINT, writeQueryFile } from './query-files.ts';
import type { Row } from './rows.ts';
import type { RunningServer } from './running-server.ts';
import { median, percentile } from './statistics.ts';
import {
  addresses,
  inTurn,
  type Measured,
  type Sample,
  sampleOrTell,
  startOrTell,
  type Workshop,
} from './workshop.ts';

const REGION = 'us-west-2';
const CLUSTER = 'bench';
/** The default is five minutes, and nothing but a poll makes a difference to memory at rest. */
const POLL_EVERY_SECONDS = 40;
/** Within this time ours has also asked CloudWatch about the Outpost, which it does every five minutes from then on. */
const SETTLED_AFTER_MS = 45_000;
/** After the end of the thread of a poll its memory has gone back to the system. */
const AT_REST_AFTER_MS = 5_000;
const PATIENCE_MS = 120_000;
const WATCH_EVERY_MS = 50;

/** A site of an Outpost has some hundreds of queries a second. More of them see a shorter wait. */
const QUERIES_PER_SECOND = 5_000;
const WINDOW_SECONDS = 1;
/** A poll that begins late in a load goes on in the next one. */
const WINDOWS_OF_A_POLL = 2;
/** Loads without a poll, at least, before the one with it, and for a peer. */
const QUIET_WINDOWS = 6;

export async function measureIdle(
  row: Row,
  contenders: readonly Contender[],
  measured: readonly Measured[],
  shop: Workshop,
): Promise<void> {
  const population = populationOf([
    { name: CLUSTER, region: REGION, endpoint: ENDPOINT, addresses: addresses(3) },
  ]);
  await using sandbox = await startSandbox({ population });
  const { environment, upstreams } = sandbox;
  const region = {
    name: REGION,
    cluster: CLUSTER,
    environment,
    upstreams,
    pollEverySeconds: POLL_EVERY_SECONDS,
  };
  const queryFile = await writeQueryFile(shop.directory, 'idle', 1, () => ENDPOINT);
  await using started = new AsyncDisposableStack();
  const servers: (IdleServer | undefined)[] = [];
  for (const [place, contender] of contenders.entries()) {
    const entry = measured[place];
    if (entry === undefined) continue;
    const server = await startOrTell(row, place, contender, entry, { ...shop, region });
    if (server !== undefined) started.defer(() => server.process.stop());
    servers[place] = server === undefined ? undefined : started.use(new IdleServer(server, queryFile, shop));
  }
  for (let round = 0; round < shop.options.rounds; round++) {
    await inTurn(measured, round, async (place, entry) => {
      const server = servers[place];
      if (server === undefined) return;
      const title = `${row.title}, round ${round + 1}`;
      await sampleOrTell(title, entry, shop, () => server.sample(), sampleText);
    });
  }
}

/** A load of a second. */
interface Window {
  readonly latenciesMillis: readonly number[];
  readonly processorMillis: number;
  readonly failedPercent: number;
}

class IdleServer implements Disposable {
  readonly #server: RunningServer;
  readonly #queryFile: string;
  readonly #shop: Workshop;
  readonly #watching: NodeJS.Timeout;
  readonly #startedAtMs = performance.now();
  #isPolling = false;
  #polls = 0;
  /** When the thread of polls was last seen. */
  #polledAtMs = Number.NEGATIVE_INFINITY;

  constructor(server: RunningServer, queryFile: string, shop: Workshop) {
    this.#server = server;
    this.#queryFile = queryFile;
    this.#shop = shop;
    this.#watching = setInterval(() => void this.#watch().catch(() => undefined), WATCH_EVERY_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#watching);
  }

  async sample(): Promise<Sample> {
    const { pid } = this.#server.process;
    await this.#atRest();
    const memory: Memory = await readMemory(pid);
    const quiet: Window[] = [];
    while (quiet.length < QUIET_WINDOWS) quiet.push(await this.#window());
    const polled = this.#server.contender.pollThread !== undefined ? await this.#throughPoll(quiet) : [];
    const p999Millis = p999(quiet);
    const pollP999Millis = p999(polled);
    const usual = median(quiet.map(({ processorMillis }) => processorMillis)) ?? 0;
    const spent = polled.reduce((sum, { processorMillis }) => sum + processorMillis - usual, 0);
    return {
      ...memory,
      peakMebibytes: await readPeakMebibytes(pid),
      p999Millis,
      failedPercent: Math.max(...[...quiet, ...polled].map(({ failedPercent }) => failedPercent)),
      ...(p999Millis === undefined || pollP999Millis === undefined
        ? {}
        : { pollP999Millis, pollP999Ratio: pollP999Millis / p999Millis, pollProcessorMillis: spent }),
    };
  }

  async #atRest(): Promise<void> {
    const patienceMs = performance.now() + PATIENCE_MS;
    const isDue = (nowMs: number) =>
      nowMs - this.#startedAtMs >= SETTLED_AFTER_MS && nowMs - this.#polledAtMs >= AT_REST_AFTER_MS;
    while (!isDue(performance.now())) {
      if (performance.now() > patienceMs)
        throw new Error(`the thread of a poll did not end within ${PATIENCE_MS / 1000} s`);
      await pause(WATCH_EVERY_MS);
    }
  }

  /** Adds windows to `quiet` until a poll comes; returns those with the poll. */
  async #throughPoll(quiet: Window[]): Promise<readonly Window[]> {
    const patienceMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const before = this.#polls;
      const window = await this.#window();
      await this.#watch();
      if (this.#polls > before) {
        const windows = [window];
        while (windows.length < WINDOWS_OF_A_POLL) windows.push(await this.#window());
        return windows;
      }
      quiet.push(window);
      if (performance.now() > patienceMs) throw new Error(`no poll came within ${PATIENCE_MS / 1000} s`);
    }
  }

  async #window(): Promise<Window> {
    const { pid } = this.#server.process;
    const { options, processes } = this.#shop;
    const before = await readThreadMillis(pid);
    const load = { queryFile: this.#queryFile, transport: 'udp', clients: 8, outstanding: 200 } as const;
    const { latenciesMillis, sent, answered } = await runDnsperf(
      { ...load, port: this.#server.port, seconds: WINDOW_SECONDS, rate: QUERIES_PER_SECOND },
      options.loadCore,
      processes,
    );
    const processorMillis = (await readThreadMillis(pid)) - before;
    return { latenciesMillis, processorMillis, failedPercent: (1 - answered / sent) * 100 };
  }

  async #watch(): Promise<void> {
    const { pollThread } = this.#server.contender;
    if (pollThread === undefined) return;
    const names = await readThreadNames(this.#server.process.pid);
    const isPolling = names.includes(pollThread);
    if (isPolling) this.#polledAtMs = performance.now();
    if (isPolling && !this.#isPolling) this.#polls++;
    this.#isPolling = isPolling;
  }
}

/** Of as many windows together as a poll has, the median of all such groups: a stop of the machine in one group decides nothing. */
function p999(windows: readonly Window[]): number | undefined {
  const groups = Array.from({ length: Math.floor(windows.length / WINDOWS_OF_A_POLL) }, (_, at) =>
    windows.slice(at * WINDOWS_OF_A_POLL, (at + 1) * WINDOWS_OF_A_POLL),
  );
  const each = groups.map((group) =>
    percentile(
      group.flatMap(({ latenciesMillis }) => latenciesMillis),
      0.999,
    ),
  );
  return median(each.filter((one) => one !== undefined));
}

function sampleText(sample: Sample): string {
  const { residentMebibytes = 0, privateMebibytes = 0, p999Millis = 0 } = sample;
  const { pollP999Millis, pollProcessorMillis } = sample;
  const poll =
    pollP999Millis === undefined
      ? ''
      : `, ${pollP999Millis.toFixed(3)} ms while a poll ran, which took ${pollProcessorMillis?.toFixed(0)} ms of processor`;
  return `${residentMebibytes.toFixed(0)} MiB (private ${privateMebibytes.toFixed(0)}), p99.9 ${p999Millis.toFixed(3)} ms${poll}`;
}
