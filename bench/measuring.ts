/** Rounds: every server gets the same load in turn, in an order that moves on by one with each round. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { measureCold } from './cold.ts';
import type { Contender } from './contender.ts';
import { type Load, type LoadReport, runDnsperf } from './dnsperf.ts';
import { measureFlood } from './flood.ts';
import { measureIdle } from './idle.ts';
import { microsPerQuery, readPeakMebibytes, readProcessorTime } from './process-figures.ts';
import type { OwnProcess } from './processes.ts';
import { cachedName, ENDPOINT, MOST_PER_SECOND, newName, writeQueryFile } from './query-files.ts';
import type { Row } from './rows.ts';
import type { RunningServer } from './running-server.ts';
import { percentile } from './statistics.ts';
import {
  failureText,
  firstStarts,
  inTurn,
  type Measured,
  type Sample,
  sampleOrTell,
  startOrTell,
  type Workshop,
} from './workshop.ts';

const FAILURES_TOLD_PERCENT = 0.1;

export async function measureRow(
  row: Row,
  contenders: readonly Contender[],
  shop: Workshop,
): Promise<Measured[]> {
  const upstream = await shop.startUpstream(row.upstreamRecords);
  const measured = contenders.map(({ name }): Measured => ({ contender: name, samples: [] }));
  try {
    if (row.load === 'none') await measureStarts(row, contenders, measured, shop);
    else if (row.load === 'cold') await measureCold(row, contenders, measured, shop);
    else if (row.load === 'idle') await measureIdle(row, contenders, measured, shop);
    else if (row.load === 'minutes') await measureFlood(row, contenders, measured, shop);
    else await new LoadRow(row, shop, upstream).measure(contenders, measured);
  } finally {
    await upstream.stop();
  }
  return measured;
}

async function measureStarts(
  row: Row,
  contenders: readonly Contender[],
  measured: readonly Measured[],
  shop: Workshop,
): Promise<void> {
  await firstStarts(row, contenders, measured, shop);
  for (let round = 0; round < shop.options.rounds; round++) {
    await inTurn(measured, round, async (place, entry) => {
      const contender = contenders[place];
      if (contender === undefined) return;
      const server = await startOrTell(row, place, contender, entry, shop, 'kept');
      if (server === undefined) return;
      await server.process.stop();
      const { firstAnswerMillis, firstAnswerProcessorMillis } = server;
      entry.samples.push({ firstAnswerMillis, firstAnswerProcessorMillis });
      shop.note(`${row.title}, round ${round + 1}, ${contender.name}: ${firstAnswerMillis.toFixed(0)} ms`);
    });
  }
}

/** A row under load: all servers run through all rounds, and one at a time is asked. */
class LoadRow {
  readonly #row: Row;
  readonly #shop: Workshop;
  readonly #upstream: OwnProcess;
  readonly #directory: string;

  constructor(row: Row, shop: Workshop, upstream: OwnProcess) {
    this.#row = row;
    this.#shop = shop;
    this.#upstream = upstream;
    this.#directory = join(shop.directory, `${row.name}-queries`);
  }

  async measure(contenders: readonly Contender[], measured: readonly Measured[]): Promise<void> {
    await mkdir(this.#directory);
    const servers = await Promise.all(
      contenders.map((contender, place) => this.#start(contender, place, measured[place])),
    );
    try {
      const rate = await this.#warmUp(servers);
      for (let round = 0; round < this.#shop.options.rounds; round++) {
        await this.#round(round, rate, servers, measured);
      }
    } finally {
      await Promise.all(servers.map((server) => server?.process.stop()));
      await rm(this.#directory, { recursive: true, force: true });
    }
  }

  async #start(
    contender: Contender,
    place: number,
    entry: Measured | undefined,
  ): Promise<RunningServer | undefined> {
    return entry === undefined ? undefined : startOrTell(this.#row, place, contender, entry, this.#shop);
  }

  /** Fills caches and lets compilers do their work; returns the rate of the rounds, if there is to be one. */
  async #warmUp(servers: readonly (RunningServer | undefined)[]): Promise<number | undefined> {
    const { warmupSeconds } = this.#shop.options;
    const file = await this.#questions('warmup', warmupSeconds);
    let slowest = Number.POSITIVE_INFINITY;
    for (const server of servers) {
      if (server === undefined) continue;
      if (this.#row.asks === 'cached') await this.#load(server, { queryFile: file, timesThrough: 2 });
      const { answered, seconds } = await this.#load(server, {
        queryFile: file,
        ...this.#bounds(warmupSeconds),
      });
      slowest = Math.min(slowest, answered / seconds);
    }
    return this.#row.load === 'half' ? slowest / 2 : undefined;
  }

  async #round(
    round: number,
    rate: number | undefined,
    servers: readonly (RunningServer | undefined)[],
    measured: readonly Measured[],
  ): Promise<void> {
    const { seconds } = this.#shop.options;
    const queryFile = await this.#questions(`r${round}`, seconds);
    const title = `${this.#row.title}, round ${round + 1}`;
    await inTurn(measured, round, async (place, entry) => {
      const server = servers[place];
      if (server === undefined) return;
      const load = { queryFile, ...this.#bounds(seconds), rate };
      await sampleOrTell(title, entry, this.#shop, () => this.#sample(server, load), sampleText);
    });
    if (this.#row.asks === 'new') await rm(queryFile);
  }

  async #sample(server: RunningServer, load: AskedLoad): Promise<Sample> {
    const before = await readProcessorTime(server.process.pid);
    const upstreamBefore = await readProcessorTime(this.#upstream.pid);
    const report = await this.#load(server, load);
    const after = await readProcessorTime(server.process.pid);
    const upstreamAfter = await readProcessorTime(this.#upstream.pid);
    if (report.answered === 0) throw new Error('it answered nothing');
    const upstream =
      upstreamAfter.userMicros +
      upstreamAfter.systemMicros -
      upstreamBefore.userMicros -
      upstreamBefore.systemMicros;
    return {
      queriesPerSecond: report.answered / report.seconds,
      ...microsPerQuery(before, after, report.answered),
      peakMebibytes: await readPeakMebibytes(server.process.pid),
      failedPercent: (1 - report.answered / report.sent) * 100,
      failures: report.failures,
      meanLatencyMillis: report.meanLatencyMillis,
      upstreamPercent: upstream / report.seconds / 10_000,
      p99Millis: percentile(report.latenciesMillis, 0.99),
    };
  }

  #load(server: RunningServer, load: AskedLoad): Promise<LoadReport> {
    const { transport, clients, outstanding } = this.#row;
    const { options, processes } = this.#shop;
    return runDnsperf(
      { port: server.port, transport, clients, outstanding, ...load },
      options.loadCore,
      processes,
    );
  }

  /** A file of new names is read once at most: a second time they would not be new. */
  #bounds(seconds: number): { readonly seconds: number; readonly timesThrough?: number } {
    return this.#row.asks === 'new' ? { seconds, timesThrough: 1 } : { seconds };
  }

  /** The questions for so many seconds; the same file for every server, and for every round where the names may repeat. */
  #questions(series: string, seconds: number): Promise<string> {
    const { asks, cachedNames } = this.#row;
    const directory = this.#directory;
    if (asks === 'endpoint') return writeQueryFile(directory, 'endpoint', 1, () => ENDPOINT);
    if (asks === 'cached') return writeQueryFile(directory, 'cached', cachedNames, cachedName);
    return writeQueryFile(directory, series, seconds * MOST_PER_SECOND, (index) => newName(series, index));
  }
}

type AskedLoad = Pick<Load, 'queryFile' | 'seconds' | 'timesThrough' | 'rate'>;

function sampleText(sample: Sample): string {
  const { queriesPerSecond = 0, microsPerQuery = 0, userMicrosPerQuery = 0, failedPercent = 0 } = sample;
  const failed = failedPercent > FAILURES_TOLD_PERCENT ? `, ${failureText(sample)}` : '';
  return `${queriesPerSecond.toFixed(0)} queries/s, ${microsPerQuery.toFixed(2)} us (user ${userMicrosPerQuery.toFixed(2)})${failed}`;
}
