/** What every way of measuring shares: samples and their place, the task of a row, a contender started for it, and whose turn it is. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Contender, Region, Task } from './contender.ts';
import type { BenchOptions } from './options.ts';
import type { OwnProcess, Processes } from './processes.ts';
import { ENDPOINT } from './query-files.ts';
import type { MeasureName, Row } from './rows.ts';
import { type RunningServer, startServer } from './running-server.ts';

/** The samples of one server in one round. */
export type Sample = Partial<Record<MeasureName, number>> & {
  /** Queries without a NOERROR reply. */
  readonly failedPercent?: number;
  readonly failures?: readonly string[];
  readonly meanLatencyMillis?: number;
  /** The share of its core that the upstream was busy: near 100 the row measures the upstream. */
  readonly upstreamPercent?: number;
};

export interface Measured {
  readonly contender: string;
  readonly samples: Sample[];
  /** Why there are no samples, or fewer. */
  problem?: string;
}

export interface Workshop {
  readonly options: BenchOptions;
  /** Scratch, removed at the end. */
  readonly directory: string;
  readonly processes: Processes;
  /** Starts the upstream with so many records per answer. */
  readonly startUpstream: (records: number) => Promise<OwnProcess>;
  readonly note: (line: string) => void;
  /** Only in a row that has one. */
  readonly region?: Region;
}

const TCP_CONNECTIONS = 1_000;

function taskOf(row: Row, place: number, name: string, { options, directory, region }: Workshop): Task {
  const { firstPort } = options;
  return {
    directory: join(directory, `${row.name}-${name.replaceAll(' ', '-')}`),
    port: firstPort + 1 + place,
    adminPort: firstPort + 20 + place,
    upstreamPort: firstPort,
    endpoint: ENDPOINT,
    addresses: addresses(3),
    cachedNames: row.cachedNames,
    cacheMebibytes: row.cacheMebibytes,
    forwardedAtATime: row.asks === 'new' ? row.outstanding : 0,
    tcpConnections: TCP_CONNECTIONS,
    ...(region === undefined ? {} : { region }),
  };
}

/** The addresses that the bare loop gives, as upstream and as floor. */
export function addresses(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `10.0.1.${10 + index}`);
}

/** `folder`: `kept` starts it in the folder of its last start, as a restart does; it must have been started there before. */
export async function startOrTell(
  row: Row,
  place: number,
  contender: Contender,
  entry: Measured,
  shop: Workshop,
  folder: 'new' | 'kept' = 'new',
): Promise<RunningServer | undefined> {
  const { options, processes } = shop;
  const task = taskOf(row, place, contender.name, shop);
  const expected = {
    name: row.asks === 'endpoint' ? ENDPOINT : 'first.bench.example',
    addresses: addresses(row.asks === 'endpoint' ? 3 : row.upstreamRecords),
  };
  if (folder === 'new') await rm(task.directory, { recursive: true, force: true });
  try {
    return await startServer(contender, task, expected, options.serverCore, processes);
  } catch (error) {
    entry.problem = error instanceof Error ? error.message : String(error);
    shop.note(`${row.title}: ${contender.name} did not start: ${entry.problem}`);
    return undefined;
  }
}

/** What a server keeps for its next start is on its disk within this time. */
const KEPT_WITHIN_MS = 1_000;

/** Starts each contender once without measuring it: the starts that are measured are restarts, as on a host. */
export async function firstStarts(
  row: Row,
  contenders: readonly Contender[],
  measured: readonly Measured[],
  shop: Workshop,
): Promise<void> {
  for (const [place, contender] of contenders.entries()) {
    const entry = measured[place];
    if (entry === undefined) continue;
    const server = await startOrTell(row, place, contender, entry, shop);
    await pause(KEPT_WITHIN_MS);
    await server?.process.stop();
  }
}

/** Visits each contender that has no problem, in an order that starts one place further in each round. */
export async function inTurn(
  measured: readonly Measured[],
  round: number,
  visit: (place: number, entry: Measured) => Promise<void>,
): Promise<void> {
  for (const place of turn(measured.length, round)) {
    const entry = measured[place];
    if (entry !== undefined && entry.problem === undefined) await visit(place, entry);
  }
}

/** Takes one sample and tells it; a failure is told, and is the contender's problem from then on. `undefined`: there is no sample. */
export async function sampleOrTell(
  title: string,
  entry: Measured,
  shop: Workshop,
  sampleOf: () => Promise<Sample | undefined>,
  textOf: (sample: Sample) => string,
): Promise<void> {
  try {
    const sample = await sampleOf();
    if (sample === undefined) return;
    entry.samples.push(sample);
    shop.note(`${title}, ${entry.contender}: ${textOf(sample)}`);
  } catch (error) {
    entry.problem = error instanceof Error ? error.message : String(error);
    shop.note(`${title}, ${entry.contender} failed: ${entry.problem}`);
  }
}

/** Places 0 to count - 1, starting one place further in each round. */
export function turn(count: number, round: number): number[] {
  return Array.from({ length: count }, (_, index) => (index + round) % count);
}

/** The part of the queries without an answer, and the codes of their replies. */
export function failureText({ failedPercent = 0, failures = [] }: Sample): string {
  return `${failedPercent.toFixed(2)} % not answered${failures.length > 0 ? ` (${failures.join(', ')})` : ''}`;
}
