/**
 * The row `cold`: the first seconds of a process, which is started anew in every round, twice. The first process gets as many
 * queries as it answers, so that every name is a miss once and then a hit; its processor time is counted from its first answer
 * on. The second process gets a light load, and each latency is noted, beside the longest stop of the machine.
 */
import type { Contender } from './contender.ts';
import { runDnsperf } from './dnsperf.ts';
import { microsPerQuery, readProcessorTime } from './process-figures.ts';
import { cachedName, writeQueryFile } from './query-files.ts';
import type { Row } from './rows.ts';
import type { RunningServer } from './running-server.ts';
import { percentile } from './statistics.ts';
import {
  firstStarts,
  inTurn,
  type Measured,
  type Sample,
  sampleOrTell,
  startOrTell,
  type Workshop,
} from './workshop.ts';

const SECONDS = 3;
/** The light load: a stop of 5 ms delays 15 of its 9,000 queries, more than one of a thousand. */
const QUERIES_PER_SECOND = 3_000;

export async function measureCold(
  row: Row,
  contenders: readonly Contender[],
  measured: readonly Measured[],
  shop: Workshop,
): Promise<void> {
  const queryFile = await writeQueryFile(shop.directory, 'cold', row.cachedNames, cachedName);
  await firstStarts(row, contenders, measured, shop);
  for (let round = 0; round < shop.options.rounds; round++) {
    await inTurn(measured, round, async (place, entry) => {
      const contender = contenders[place];
      if (contender === undefined) return;
      const started = async (measure: (server: RunningServer) => Promise<Sample>): Promise<Sample> => {
        const server = await startOrTell(row, place, contender, entry, shop, 'kept');
        if (server === undefined) return {};
        try {
          return await measure(server);
        } finally {
          await server.process.stop();
        }
      };
      const sampleOf = async () => {
        const sample = {
          ...(await started((server) => atPeak(row, server, queryFile, shop))),
          ...(await started((server) => underLightLoad(row, server, queryFile, shop))),
        };
        return entry.problem === undefined ? sample : undefined;
      };
      await sampleOrTell(`${row.title}, round ${round + 1}`, entry, shop, sampleOf, sampleText);
    });
  }
}

async function atPeak(
  row: Row,
  { port, process }: RunningServer,
  queryFile: string,
  shop: Workshop,
): Promise<Sample> {
  const { transport, clients, outstanding } = row;
  const before = await readProcessorTime(process.pid);
  const load = { port, queryFile, transport, clients, outstanding, seconds: SECONDS };
  const { sent, answered, seconds, failures } = await runDnsperf(load, shop.options.loadCore, shop.processes);
  const after = await readProcessorTime(process.pid);
  if (answered === 0) throw new Error('it answered nothing');
  return {
    queriesPerSecond: answered / seconds,
    ...microsPerQuery(before, after, answered),
    failedPercent: (1 - answered / sent) * 100,
    failures,
  };
}

async function underLightLoad(
  { transport, clients, outstanding }: Row,
  { port }: RunningServer,
  queryFile: string,
  shop: Workshop,
): Promise<Sample> {
  using stops = new Stops();
  const load = {
    port,
    queryFile,
    transport,
    clients,
    outstanding,
    seconds: SECONDS,
    rate: QUERIES_PER_SECOND,
  };
  const { latenciesMillis } = await runDnsperf(load, shop.options.loadCore, shop.processes);
  const p999Millis = percentile(latenciesMillis, 0.999);
  const longestMillis = percentile(latenciesMillis, 1);
  return {
    ...(p999Millis === undefined ? {} : { p999Millis }),
    ...(longestMillis === undefined ? {} : { longestMillis }),
    stopMillis: stops.longestMs,
  };
}

const TICK_MS = 1;

/** The longest time by which a timer of this process, which has nothing else to do, was late. */
class Stops implements Disposable {
  #latestMs = performance.now();
  #longestMs = 0;
  readonly #timer = setInterval(() => {
    const nowMs = performance.now();
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#latestMs - TICK_MS);
    this.#latestMs = nowMs;
  }, TICK_MS);

  get longestMs(): number {
    return this.#longestMs;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function sampleText(sample: Sample): string {
  const { microsPerQuery = 0, p999Millis = 0, longestMillis = 0, stopMillis = 0 } = sample;
  return `${microsPerQuery.toFixed(2)} us, p99.9 ${p999Millis.toFixed(3)} ms, longest ${longestMillis.toFixed(1)} ms, machine ${stopMillis.toFixed(1)} ms`;
}
