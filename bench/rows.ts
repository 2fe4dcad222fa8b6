/** The measurements: a row of the table each, as data. A further measurement is a further row here. */

export type RowName =
  | 'endpoint'
  | 'cached'
  | 'miss'
  | 'start'
  | 'tcp20'
  | 'tcp100'
  | 'latency'
  | 'memory'
  | 'idle'
  | 'flood'
  | 'cold';

export interface Row {
  readonly name: RowName;
  readonly title: string;
  /**
   * - `endpoint`   one name, answered from configuration
   * - `cached`     so many names, every one of them in the cache
   * - `new`        every name asked for the first time
   */
  readonly asks: 'endpoint' | 'cached' | 'new';
  readonly cachedNames: number;
  readonly cacheMebibytes: number;
  /** Records in an answer of the upstream. */
  readonly upstreamRecords: number;
  readonly transport: 'udp' | 'tcp';
  /** Sockets, or connections, of dnsperf, and its queries in flight. */
  readonly clients: number;
  readonly outstanding: number;
  /**
   * - `peak`   as many queries as are answered
   * - `half`   half of what the slowest of all answers at its peak, and each latency is noted
   * - `none`   no load: only the start is timed, again in every round
   * - `cold`   as many queries as are answered, and then a light load, each from the first answer of a new process on (cold.ts)
   * - `idle`   no load while memory is read; then a light load, through a poll of a Region (idle.ts)
   * - `minutes` as `peak`, for minutes, and memory is read meanwhile (flood.ts)
   */
  readonly load: 'peak' | 'half' | 'none' | 'idle' | 'minutes' | 'cold';
}

const usual: Omit<Row, 'name' | 'title' | 'asks'> = {
  cachedNames: 1_000,
  cacheMebibytes: 64,
  upstreamRecords: 3,
  transport: 'udp',
  clients: 8,
  outstanding: 200,
  load: 'peak',
};

export const ROWS: readonly Row[] = [
  { ...usual, name: 'endpoint', title: 'endpoint answer, UDP', asks: 'endpoint' },
  { ...usual, name: 'cached', title: 'cached answer, UDP, 1,000 names', asks: 'cached' },
  { ...usual, name: 'miss', title: 'forwarded miss, UDP, every name new', asks: 'new', upstreamRecords: 1 },
  { ...usual, name: 'start', title: 'start', asks: 'endpoint', load: 'none' },
  {
    ...usual,
    name: 'tcp20',
    title: 'cached answer, TCP, 20 connections',
    asks: 'cached',
    transport: 'tcp',
    clients: 20,
  },
  {
    ...usual,
    name: 'tcp100',
    title: 'cached answer, TCP, 100 connections',
    asks: 'cached',
    transport: 'tcp',
    clients: 100,
    outstanding: 400,
  },
  {
    ...usual,
    name: 'latency',
    title: 'endpoint answer at half load, UDP',
    asks: 'endpoint',
    load: 'half',
  },
  {
    ...usual,
    name: 'memory',
    title: 'cached answer, UDP, 100,000 names',
    asks: 'cached',
    cachedNames: 100_000,
    cacheMebibytes: 256,
  },
  { ...usual, name: 'cold', title: 'cached answer, first 3 s of a process', asks: 'cached', load: 'cold' },
  { ...usual, name: 'idle', title: 'idle, connected to a Region', asks: 'endpoint', load: 'idle' },
  {
    ...usual,
    name: 'flood',
    title: 'forwarded misses for minutes, 64 MiB of cache',
    asks: 'new',
    upstreamRecords: 1,
    load: 'minutes',
  },
];

/** A figure of a row, with the unit in its title; `better` says which direction of a ratio is good; `zero` has no ratio. */
export const MEASURES = {
  queriesPerSecond: { title: 'queries/s', digits: 0, better: 'higher' },
  microsPerQuery: { title: 'processor, us/query', digits: 2, better: 'lower' },
  userMicrosPerQuery: { title: 'of it user, us/query', digits: 2, better: 'lower' },
  p99Millis: { title: 'p99 latency, ms', digits: 3, better: 'lower' },
  firstAnswerMillis: { title: 'to first answer, ms', digits: 0, better: 'lower' },
  firstAnswerProcessorMillis: { title: 'processor until then, ms', digits: 0, better: 'lower' },
  residentMebibytes: { title: 'resident memory, MiB', digits: 0, better: 'lower' },
  privateMebibytes: { title: 'of it private, MiB', digits: 0, better: 'lower' },
  p999Millis: { title: 'p99.9 latency, ms', digits: 3, better: 'lower' },
  longestMillis: { title: 'longest latency, ms', digits: 1, better: 'lower' },
  stopMillis: { title: 'longest stop of the machine meanwhile, ms', digits: 1, better: 'lower' },
  pollP999Millis: { title: 'p99.9 while a poll runs, ms', digits: 3, better: 'lower' },
  pollP999Ratio: { title: 'while a poll runs / without', digits: 2, better: 'lower' },
  pollProcessorMillis: { title: 'processor for a poll, ms', digits: 0, better: 'lower' },
  growthMebibytes: { title: 'growth, MiB a minute', digits: 2, better: 'zero' },
  peakMebibytes: { title: 'peak memory, MiB', digits: 0, better: 'lower' },
} as const;

export type MeasureName = keyof typeof MEASURES;

/** The measures that a row shows. */
export function measuresOf(row: Row): readonly MeasureName[] {
  if (row.load === 'none') return ['firstAnswerMillis', 'firstAnswerProcessorMillis'];
  if (row.load === 'half') return ['p99Millis', 'microsPerQuery'];
  if (row.load === 'minutes')
    return ['queriesPerSecond', 'microsPerQuery', 'peakMebibytes', 'residentMebibytes', 'growthMebibytes'];
  if (row.load === 'cold')
    return [
      'queriesPerSecond',
      'microsPerQuery',
      'userMicrosPerQuery',
      'p999Millis',
      'longestMillis',
      'stopMillis',
    ];
  if (row.load === 'idle')
    return [
      'residentMebibytes',
      'privateMebibytes',
      'peakMebibytes',
      'p999Millis',
      'pollP999Millis',
      'pollP999Ratio',
      'pollProcessorMillis',
    ];
  return ['queriesPerSecond', 'microsPerQuery', 'userMicrosPerQuery', 'peakMebibytes'];
}
