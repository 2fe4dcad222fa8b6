/**
 * libfaketime moves the time under the running server. First it moves the wall clock alone, by days and years in both
 * directions, as an empty battery or a wrong NTP server does. Then it moves both clocks, so that days of a disconnect pass
 * in seconds.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, LabCheck } from './check.ts';
import { eventually } from './commands.ts';
import { FakeClock } from './fake-clock.ts';
import { LoopbackSite } from './loopback-site.ts';
import { ADDRESSES, ENDPOINT } from './sandbox-site.ts';

const DNS_PORT = 5361;
const HTTP_PORT = 9261;
const DAY_SECONDS = 86_400;
const YEAR_SECONDS = 365 * DAY_SECONDS;
const SHORT = { name: 'short.example.com', ttlSeconds: 3 };

export const movedClock: LabCheck = {
  name: 'clock',
  about: 'wall clock moved by years, both clocks by days, under the running server (libfaketime)',
  tools: ['faketime', 'git'],
  async run(lab) {
    await wallAlone(lab);
    await bothClocks(lab);
    await faster(lab);
  },
};

const REFRESH = {
  dns: '1s',
  interfaces: '1s',
  cluster: '3s',
  retryMin: '500ms',
  retryMax: '2s',
  deadline: '4s',
};

function start(lab: Lab, name: string, refresh: object = REFRESH): Promise<LoopbackSite> {
  const overrides = { refresh, log: { level: 'info' }, cache: { staleFor: '1d' } };
  return LoopbackSite.start(lab.workshop, { name, dnsPort: DNS_PORT, httpPort: HTTP_PORT, overrides });
}

function startServer(site: LoopbackSite, clock: FakeClock): void {
  clock.forget(site.startServer({ ...site.environment, ...clock.environment }).pid);
}

async function wallAlone(lab: Lab): Promise<void> {
  await using site = await start(lab, 'clock-wall');
  const clock = new FakeClock(site.room, { movesMonotonic: false, at: '+0' });
  startServer(site, clock);
  await site.firstAnswer();
  await site.untilRefreshed(1, 30_000);
  const keeps = new Set((await site.ask({ name: 'www.example.com' })).answers.map(({ ttl }) => ttl));
  const askedMs = performance.now();
  const watch = new Watch(site, 'no age older than the process');
  for (const [words, at, seconds] of [
    ['3 days ahead', '+3d', 3 * DAY_SECONDS],
    ['10 years back', '-10y', -10 * YEAR_SECONDS],
    ['8 years ahead', '+8y', 8 * YEAR_SECONDS],
    ['right again', '+0', 0],
  ] as const) {
    await lab.step(`wall clock alone ${words}: the process sees it, and goes on refreshing`, async () => {
      clock.set(at);
      await untilWallClockIs(site, seconds);
      await site.untilRefreshed(3, 30_000);
      const { link, endpoints } = await site.status();
      assert.equal(link.summary.condition, 'connected');
      assert.equal(endpoints[0]?.credentials?.condition, 'accepted', 'a wrong clock is not bad credentials');
    });
    await lab.step(
      `wall clock alone ${words}: a cached answer has aged by the time that has passed`,
      async () => {
        const { answers } = await site.ask({ name: 'www.example.com' });
        const passed = (performance.now() - askedMs) / 1000;
        const [kept = 0] = keeps;
        for (const { ttl } of answers)
          assert.ok(Math.abs(kept - passed - ttl) <= 2, `TTL ${ttl}, ${passed.toFixed(1)} s after ${kept}`);
        assert.ok(answers.length > 0);
      },
    );
  }
  await lab.step(
    'cut off: what is stale is served stale with TTL 30, wherever the wall clock goes',
    async () => {
      await cacheShort(site);
      await site.command('/link', { state: 'down' });
      await sleep((SHORT.ttlSeconds + 1) * 1000);
      for (const at of ['+1y', '-20y', '+0']) {
        clock.set(at);
        await sleep(1200);
        await isStale(site);
      }
    },
  );
  await lab.step(`endpoint answered all the while, TTL 5 to 60, no age negative or jumping`, () =>
    watch.end(lab),
  );
  await untilWallClockIs(site, 0); // the state is written with the right time
  await site.stopServer();

  for (const [words, at, ageSeconds] of [
    ['10 years back, so that the state file is from the future', '-10y', 0],
    ['8 years ahead', '+8y', 8 * YEAR_SECONDS],
  ] as const) {
    await lab.step(
      `cut off, started with the wall clock ${words}: answered, with the right age where the clock allows one`,
      async () => {
        clock.set(at);
        startServer(site, clock);
        const reply = await site.firstAnswer();
        assert.deepEqual(reply.answers.map(({ data }) => data).sort(), ADDRESSES);
        for (const { ttl } of reply.answers) assert.ok(ttl >= 5 && ttl <= 60, `TTL ${ttl}`);
        lab.note(`first answer after ${reply.sinceStartMs.toFixed(0)} ms`);
        const age = await eventually(
          'ages are right',
          10_000,
          async () => (await site.status()).endpoints[0]?.confirmedAgeSeconds,
        );
        // years have leap days, and the years of the library have none
        assert.ok(Math.abs(age - ageSeconds) < 3 * DAY_SECONDS && age >= 0, `age ${age} s`);
        for (const [what, seconds] of await agesOf(site)) assert.ok(seconds >= 0, `${what} ${seconds}`);
        if (ageSeconds === 0)
          assert.match((await site.status()).endpoints[0]?.warnings.join() ?? '', /ahead of this clock/);
      },
    );
    await lab.step('what was cached before is stale, however long ago that was by this clock', async () => {
      await eventually('it is loaded', 15_000, async () => {
        await isStale(site);
        return true;
      });
    });
    await lab.step(`the link back, wall clock ${words.replace(/,.*/, '')}: everything is fresh`, async () => {
      await site.command('/link', { state: 'up' });
      await site.untilRefreshed(2, 30_000);
      const age = (await site.status()).endpoints[0]?.confirmedAgeSeconds ?? -1;
      assert.ok(age >= 0 && age < 20, `age ${age} s`);
    });
    clock.set('+0'); // the state is written with the right time before the next start
    await untilWallClockIs(site, 0);
    await site.command('/link', { state: 'down' });
    await site.stopServer();
  }
}

async function bothClocks(lab: Lab): Promise<void> {
  await using site = await start(lab, 'clock-both');
  const clock = new FakeClock(site.room, { movesMonotonic: true, at: '+0' });
  startServer(site, clock);
  await site.firstAnswer();
  await site.untilRefreshed(1, 30_000);
  const watch = new Watch(site, 'any age');
  await site.ask({ name: 'www.example.com' });
  await lab.step('both clocks 2 hours on: what was cached is fetched again, refresh goes on', async () => {
    clock.set('+2h');
    await untilUptimeIs(site, 2 * 3600);
    const { answers } = await site.ask({ name: 'www.example.com' });
    assert.ok(
      answers.length > 0 && answers.every(({ ttl }) => ttl > 290),
      `TTL ${answers.map(({ ttl }) => ttl)}`,
    );
    await site.untilRefreshed(3, 30_000);
    const age = (await site.status()).endpoints[0]?.confirmedAgeSeconds ?? -1;
    assert.ok(age >= 0 && age < 20, `age ${age} s`);
  });
  await cacheShort(site);
  await site.command('/link', { state: 'down' });
  await eventually('the cut is known', 60_000, async () => {
    await site.ask({ name: 'other.example.com', edns: {} }, 6000).catch(() => undefined);
    return (await site.status()).link.summary.condition === 'disconnected' ? true : undefined;
  });
  await lab.step('cut off for 20 hours: cached names are stale, and answered at once', async () => {
    clock.set('+22h');
    await untilUptimeIs(site, 22 * 3600);
    await isStale(site);
  });
  await lab.step('cut off for 3 days: forwarded names are too old, the endpoint is not', async () => {
    clock.set('+3d');
    await untilUptimeIs(site, 3 * DAY_SECONDS);
    const { rcode } = await site.ask({ name: SHORT.name }, 6000);
    assert.equal(rcode, 2, 'stale for a day, no longer');
  });
  const warned = () =>
    site.server.output.split('\n').filter((line) => line.includes('have not been confirmed for days'));
  for (const [days, lines] of [
    [8, 1],
    [20, 1],
    [31, 2],
    [40, 2],
  ] as const) {
    await lab.step(
      `cut off for ${days} days: answered, as old as that, warned ${lines === 1 ? 'once' : 'twice'} so far`,
      async () => {
        clock.set(`+${days}d`);
        await untilUptimeIs(site, days * DAY_SECONDS);
        await eventually('warned', 30_000, async () => (warned().length >= lines ? true : undefined));
        await sleep(3000);
        assert.equal(warned().length, lines);
        const age = (await site.status()).endpoints[0]?.confirmedAgeSeconds ?? -1;
        assert.ok(Math.abs(age - days * DAY_SECONDS) < 3 * 3600, `age ${age} s`);
      },
    );
  }
  await lab.step('the link back after 40 days: everything is fresh', async () => {
    await site.command('/link', { state: 'up' });
    await site.untilRefreshed(2, 30_000);
    const age = (await site.status()).endpoints[0]?.confirmedAgeSeconds ?? -1;
    assert.ok(age >= 0 && age < 20, `age ${age} s`);
  });
  await lab.step('endpoint answered all the while, TTL 5 to 60, no age negative', () => watch.end(lab));
  await site.stopServer();
}

/** Both clocks at twenty times their pace: every wait is shorter than it says. */
async function faster(lab: Lab): Promise<void> {
  const seconds = 60;
  const refresh = {
    dns: '60s',
    interfaces: '60s',
    cluster: '5m',
    retryMin: '10s',
    retryMax: '60s',
    deadline: '60s',
  };
  await using site = await start(lab, 'clock-faster', refresh);
  const clock = new FakeClock(site.room, { movesMonotonic: true, at: '+0 x20' });
  startServer(site, clock);
  await site.firstAnswer();
  await site.untilRefreshed(1, 60_000);
  const watch = new Watch(site, 'any age');
  await lab.step('both clocks 20 times as fast: refreshed by the same schedule', async () => {
    const before = {
      uptime: (await site.status()).server.uptimeSeconds,
      polls: await site.refreshes('interfaces'),
    };
    await site.untilRefreshed(6, 120_000);
    const passed = (await site.status()).server.uptimeSeconds - before.uptime;
    const polls = (await site.refreshes('interfaces')) - before.polls;
    lab.note(`${polls} polls in ${passed.toFixed(0)} s of its own time`);
    // one in 60 s with its jitter; a machine that is late by a second is late by 20 here, and a timer of real time by 1,200
    assert.ok(polls >= 6 && passed / polls < 5 * seconds, `${polls} polls in ${passed.toFixed(0)} s`);
  });
  await lab.step('endpoint answered all the while, TTL 5 to 60, no age negative', () => watch.end(lab));
  await site.stopServer();
}

/** The clock of the process, from its status: it shows that the library has read its file. */
async function untilWallClockIs(site: LoopbackSite, offsetSeconds: number): Promise<void> {
  await eventually(`the process takes it to be ${offsetSeconds} s from now`, 15_000, async () => {
    const { startedAt, uptimeSeconds } = (await site.status()).server;
    const offMs = Date.parse(startedAt) + uptimeSeconds * 1000 - Date.now() - offsetSeconds * 1000;
    return Math.abs(offMs) < 4 * DAY_SECONDS * 1000 && (offsetSeconds !== 0 || Math.abs(offMs) < 60_000)
      ? true
      : undefined;
  });
}

async function untilUptimeIs(site: LoopbackSite, seconds: number): Promise<void> {
  await eventually(`the process has run for ${seconds} s by its own clock`, 15_000, async () =>
    (await site.status()).server.uptimeSeconds >= seconds ? true : undefined,
  );
}

/** A name with a short TTL, asked for and so cached. */
async function cacheShort(site: LoopbackSite): Promise<void> {
  await site.command('/records', {
    name: SHORT.name,
    type: 'A',
    values: ['192.0.2.200'],
    ttlSeconds: SHORT.ttlSeconds,
  });
  const { answers } = await site.ask({ name: SHORT.name });
  assert.equal(answers[0]?.data, '192.0.2.200');
  assert.ok((answers[0]?.ttl ?? 0) > 0);
}

async function isStale(site: LoopbackSite): Promise<void> {
  const { rcode, answers, ede } = await site.ask({ name: SHORT.name, edns: {} }, 6000);
  assert.deepEqual([rcode, answers[0]?.data, answers[0]?.ttl, ede], [0, '192.0.2.200', 30, 3]);
}

/** Every age in status, metrics and `_status`, in seconds. */
async function agesOf(site: LoopbackSite): Promise<(readonly [what: string, seconds: number])[]> {
  const found: (readonly [string, number])[] = [];
  const walk = (value: unknown, path: string): void => {
    if (typeof value === 'number' && /(?:age|uptime)Seconds$/i.test(path)) found.push([path, value]);
    if (typeof value === 'object' && value !== null)
      for (const [key, inner] of Object.entries(value)) walk(inner, `${path}.${key}`);
  };
  walk(await site.status(), 'status');
  for (const [, what = '', value] of (await site.page('/metrics')).matchAll(
    /^(outpost_dns_\w*age_seconds\S*) (\S+)$/gm,
  ))
    found.push([what, Number(value)]);
  const { answers } = await site.ask({ name: `_status.${ENDPOINT}`, type: 'TXT' });
  for (const { data } of answers)
    for (const [, value, unit = 's'] of data.matchAll(/(-?\d+)([smhd])\b(?=$|"| ago)/g))
      found.push([data, Number(value) * ({ s: 1, m: 60, h: 3600, d: DAY_SECONDS }[unit] ?? 1)]);
  return found;
}

const UPTIME_SLACK_SECONDS = 5;

/** Asks for the endpoint and reads every age again and again, and keeps every fault. */
class Watch {
  readonly #site: LoopbackSite;
  readonly #wants: 'any age' | 'no age older than the process';
  readonly #faults: string[] = [];
  readonly #stopping = new AbortController();
  readonly #loops: Promise<unknown>;
  #answers = 0;
  #ages = 0;
  #longestMs = 0;

  constructor(site: LoopbackSite, wants: 'any age' | 'no age older than the process') {
    this.#site = site;
    this.#wants = wants;
    this.#loops = Promise.all([
      this.#loop(20, () => this.#endpoint()),
      this.#loop(300, () => this.#readAges()),
    ]);
  }

  async #loop(everyMs: number, read: () => Promise<void>): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await read().catch((error: unknown) => this.#faults.push(String(error)));
      await sleep(everyMs);
    }
  }

  async #endpoint(): Promise<void> {
    const { answers, afterMs } = await this.#site.ask({ name: ENDPOINT });
    this.#answers++;
    this.#longestMs = Math.max(this.#longestMs, afterMs);
    const addresses = answers.map(({ data }) => data).sort();
    if (`${addresses}` !== `${ADDRESSES}`) this.#faults.push(`answered ${addresses}`);
    for (const { ttl } of answers) if (!(ttl >= 5 && ttl <= 60)) this.#faults.push(`TTL ${ttl}`);
  }

  async #readAges(): Promise<void> {
    const most = (performance.now() - this.#site.startedMs) / 1000 + UPTIME_SLACK_SECONDS;
    for (const [what, seconds] of await agesOf(this.#site)) {
      this.#ages++;
      const isTooOld = this.#wants === 'no age older than the process' && seconds > most;
      if (!(seconds >= 0) || isTooOld) this.#faults.push(`${what}: ${seconds} s`);
    }
  }

  async end(lab: Lab): Promise<void> {
    this.#stopping.abort();
    await this.#loops;
    lab.note(
      `${this.#answers} answers, the slowest after ${this.#longestMs.toFixed(0)} ms; ${this.#ages} ages read`,
    );
    assert.deepEqual([...new Set(this.#faults)].slice(0, 10), []);
    assert.ok(this.#answers > 100 && this.#ages > 100, `${this.#answers} answers, ${this.#ages} ages`);
  }
}
