/**
 * The row `flood`: new names for minutes, one server after the other. The memory of a server is read every second, and the
 * slope of the second half says whether it still grows when its cache has long been full.
 */
import { rm } from 'node:fs/promises';
import type { Contender } from './contender.ts';
import { runDnsperf } from './dnsperf.ts';
import { microsPerQuery, readMemory, readPeakMebibytes, readProcessorTime } from './process-figures.ts';
import { MOST_PER_SECOND, newName, writeQueryFile } from './query-files.ts';
import type { Row } from './rows.ts';
import type { RunningServer } from './running-server.ts';
import { type Point, slope } from './statistics.ts';
import { type Measured, type Sample, sampleOrTell, startOrTell, type Workshop } from './workshop.ts';

/** A load of this length has a file of its own: for ten minutes a single file would take gigabytes. */
const LOAD_SECONDS = 5;
const MEMORY_EVERY_MS = 1_000;

export async function measureFlood(
  row: Row,
  contenders: readonly Contender[],
  measured: readonly Measured[],
  shop: Workshop,
): Promise<void> {
  for (const [place, contender] of contenders.entries()) {
    const entry = measured[place];
    if (entry === undefined) continue;
    const server = await startOrTell(row, place, contender, entry, shop);
    if (server === undefined) continue;
    await sampleOrTell(row.title, entry, shop, () => flood(row, server, shop), sampleText);
    await server.process.stop();
  }
}

async function flood(row: Row, server: RunningServer, shop: Workshop): Promise<Sample> {
  const { pid } = server.process;
  const memory: Point[] = [];
  const startedMs = performance.now();
  let isReading = false;
  const read = async (): Promise<void> => {
    if (isReading) return;
    isReading = true;
    // a server that has ended is found by the load
    const now = await readMemory(pid).catch(() => undefined);
    if (now !== undefined)
      memory.push({ x: (performance.now() - startedMs) / 60_000, y: now.residentMebibytes });
    isReading = false;
  };
  const before = await readProcessorTime(pid);
  const watch = setInterval(() => void read(), MEMORY_EVERY_MS);
  const sum = { sent: 0, answered: 0, seconds: 0 };
  try {
    const loads = Math.ceil((shop.options.minutes * 60) / LOAD_SECONDS);
    for (let load = 0; load < loads; load++) {
      const report = await askNewNames(row, server, `flood${load}`, shop);
      sum.sent += report.sent;
      sum.answered += report.answered;
      sum.seconds += report.seconds;
    }
  } finally {
    clearInterval(watch);
  }
  const after = await readProcessorTime(pid);
  if (sum.answered === 0) throw new Error('it answered nothing');
  return {
    queriesPerSecond: sum.answered / sum.seconds,
    microsPerQuery: microsPerQuery(before, after, sum.answered).microsPerQuery,
    peakMebibytes: await readPeakMebibytes(pid),
    residentMebibytes: memory.at(-1)?.y,
    growthMebibytes: slope(memory.slice(Math.floor(memory.length / 2))),
    failedPercent: (1 - sum.answered / sum.sent) * 100,
  };
}

async function askNewNames(row: Row, { port }: RunningServer, series: string, shop: Workshop) {
  const { directory, options, processes } = shop;
  const name = (index: number) => newName(series, index);
  const queryFile = await writeQueryFile(directory, 'flood', LOAD_SECONDS * MOST_PER_SECOND, name);
  const { transport, clients, outstanding } = row;
  const load = { port, queryFile, transport, clients, outstanding, seconds: LOAD_SECONDS, timesThrough: 1 };
  try {
    return await runDnsperf(load, options.loadCore, processes);
  } finally {
    await rm(queryFile);
  }
}

function sampleText({ queriesPerSecond = 0, peakMebibytes = 0, growthMebibytes = 0 }: Sample): string {
  const growth = `${growthMebibytes < 0 ? '' : '+'}${growthMebibytes.toFixed(2)} MiB a minute`;
  return `${queriesPerSecond.toFixed(0)} queries/s, peak ${peakMebibytes.toFixed(0)} MiB, ${growth}`;
}
