/**
 * Lives through the month and prints what it saw, as one line of JSON. A process of its own, because the test runner follows every promise, of
 * which a month has some hundred millions. `node thirty-days-child.ts STATE-DIRECTORY DAYS`
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createMetrics } from '../../src/admin/metrics.ts';
import { ROOM_REPORTS } from '../../src/daemon/report.ts';
import { ENDPOINT, VirtualSite } from './virtual-site.ts';

export interface Day {
  readonly heapMb: number;
  readonly timers: number;
  readonly cacheEntries: number;
  readonly pending: number;
  /** Every age of the endpoint and its sources, in status and metrics. */
  readonly agesSeconds: readonly number[];
  readonly cutForSeconds: number;
  readonly condition: string;
  readonly credentials: string | undefined;
  readonly isReady: boolean;
  readonly warnings: readonly string[];
}

export interface Month {
  /** What was not answered as it should be, with when. */
  readonly faults: readonly string[];
  readonly asked: number;
  readonly days: readonly Day[];
  /** When each warning about the age of the addresses came, in ms from the cut, and the days that it spoke of. */
  readonly warned: readonly { readonly afterMs: number; readonly level: string; readonly days: unknown }[];
  /** Lines of the log in the whole month, those for debugging apart. */
  readonly lines: number;
  readonly afterReturn: {
    readonly conditionAfter3s: string;
    readonly addressesAfter8s: readonly string[];
    readonly lastRefreshFailed: boolean | undefined;
    readonly warnings: readonly string[];
  };
}

const MINUTE_MS = 60_000;
const RETAINED = 'registry.example.com';
const ONCE_ASKED = 'www.example.com';
export const MOVED: readonly string[] = ['10.0.1.10', '10.0.2.10', '10.0.3.77'];

class Life {
  readonly #site: VirtualSite;
  readonly #days: number;
  readonly #collect = collector();
  readonly #faults: string[] = [];
  readonly #warned: Month['warned'][number][] = [];
  readonly #seen: Day[] = [];
  #asked = 0;
  #lines = 0;
  #cutMs = 0;

  constructor(site: VirtualSite, days: number) {
    this.#site = site;
    this.#days = days;
  }

  async live(): Promise<Month> {
    const { time } = this.#site;
    await time.advance(10 * MINUTE_MS);
    await this.#site.ask({ name: ONCE_ASKED });
    this.#readLog();
    this.#lines = 0;
    this.#site.isUp = false;
    this.#cutMs = time.monotonicMs();
    time.settling = 'promises';
    for (let hour = 1; hour <= this.#days * 24; hour++) {
      for (let minute = 0; minute < 60; minute += 10) {
        await time.advance(10 * MINUTE_MS);
        this.#readLog();
      }
      await this.#ask(hour);
      if (hour % 24 === 0) await this.#look();
    }
    time.settling = 'all';
    const lines = this.#lines;
    const afterReturn = await this.#comeBack();
    return {
      faults: this.#faults,
      asked: this.#asked,
      days: this.#seen,
      warned: this.#warned,
      lines,
      afterReturn,
    };
  }

  async #ask(hour: number): Promise<void> {
    const fault = (what: string, reply: unknown) =>
      this.#faults.push(`hour ${hour}: ${what}: ${JSON.stringify(reply)}`);
    const ask = async (name: string) => {
      this.#asked++;
      const { rcode, aa, ede, answers, afterMs } = await this.#site.ask({ name, edns: {} });
      return { rcode, aa, ede, ttls: answers.map(({ ttl }) => ttl).join(), afterMs };
    };
    const same = (reply: object, wanted: object) => JSON.stringify(reply) === JSON.stringify(wanted);
    const stale = { rcode: 0, aa: false, ede: 3, ttls: '30', afterMs: 0 };

    const endpoint = await ask(ENDPOINT);
    if (!same({ ...endpoint, ede: 0 }, { rcode: 0, aa: true, ede: 0, ttls: '30,30,30', afterMs: 0 }))
      fault('endpoint', endpoint);
    // names that are not cached, as pods with search lists make them up; the same ones each day
    const unknown = await ask(`n${hour % 24}.example.org`);
    if (unknown.rcode !== 2 || unknown.afterMs > 0) fault('unknown name', unknown);
    const retained = await ask(RETAINED);
    if (!same({ ...retained, aa: false }, stale)) fault('retained name', retained);
    const forwarded = await ask(ONCE_ASKED);
    // stale for 30 days, which begin when its TTL of five minutes ends
    const isRight =
      hour <= 30 * 24 ? same(forwarded, stale) : forwarded.rcode === 2 && forwarded.afterMs === 0;
    if (!isRight) fault('forwarded name', forwarded);
  }

  async #look(): Promise<void> {
    const { endpoints, link, server, queries, cache } = this.#site.report;
    const [endpoint] = endpoints;
    const pieces = await createMetrics(ROOM_REPORTS, () => this.#site.report, false).render();
    const metrics = Buffer.concat(pieces).toString();
    const inMetrics = [...metrics.matchAll(/^outpost_dns_endpoint(?:_source)?_age_seconds\{.*\} (\S+)$/gm)];
    const inStatus = [
      endpoint?.confirmedAgeSeconds,
      ...(endpoint?.sources.map((source) => source.ageSeconds) ?? []),
    ];
    this.#collect();
    this.#seen.push({
      heapMb: process.memoryUsage().heapUsed / 1e6,
      timers: this.#site.time.pendingTimers,
      cacheEntries: cache.entries,
      pending: queries.pending,
      agesSeconds: [...inStatus, ...inMetrics.map(([, seconds]) => Number(seconds))].map(
        (age) => age ?? Number.NaN,
      ),
      cutForSeconds: link.summary.ageSeconds,
      condition: link.summary.condition,
      credentials: endpoint?.credentials?.condition,
      isReady: server.ready,
      warnings: endpoint?.warnings ?? [],
    });
  }

  /** Takes the lines out, so that the log's own growth is not taken for the server's. */
  #readLog(): void {
    for (const { level, text, fields } of this.#site.log.lines.splice(0)) {
      // hours of virtual time pass while the real disk works
      if (text.startsWith('the disk of the state directory')) continue;
      if (level !== 'debug') this.#lines++;
      if (text !== 'addresses have not been confirmed for days') continue;
      const afterMs = this.#site.time.monotonicMs() - this.#cutMs;
      this.#warned.push({ afterMs, level, days: fields['days'] });
    }
  }

  async #comeBack(): Promise<Month['afterReturn']> {
    const { time } = this.#site;
    this.#site.addresses = MOVED;
    this.#site.isUp = true;
    await time.advance(3_000);
    const conditionAfter3s = this.#site.report.link.summary.condition;
    await time.advance(5_000);
    const { answers } = await this.#site.ask({ name: ENDPOINT });
    const [endpoint] = this.#site.report.endpoints;
    return {
      conditionAfter3s,
      addressesAfter8s: answers.map(({ data }) => data).toSorted(),
      lastRefreshFailed: endpoint?.lastRefreshFailed,
      warnings: endpoint?.warnings ?? [],
    };
  }
}

/** As `--expose-gc` would give it. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void; // V8's own
}

if (import.meta.main) {
  Error.stackTraceLimit = 0; // a million looks are given up, and nobody reads where
  const [directory = '', days = ''] = process.argv.slice(2);
  const site = await VirtualSite.open(directory, `retain: [${RETAINED}]\n`);
  console.log(JSON.stringify(await new Life(site, Number(days)).live()));
  await site.close();
}
