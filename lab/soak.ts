/**
 * A soak: the delivered program runs at half of its peak while faults strike around it, again and again. SOAK_MINUTES is its
 * length (10 in CI, 60 for the note), and SOAK_SEED repeats the order of events. A lost query, growing memory and growing
 * descriptors are failures. Latencies are only reported, because the machine may stand still.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { dnsperfArguments } from '../bench/dnsperf.ts';
import { queryOf } from '../test/serving/resolver/messages.ts';
import type { Lab, LabCheck } from './check.ts';
import { atTheEnd, eventually, must, run } from './commands.ts';
import { LoopbackSite } from './loopback-site.ts';
import { ADDRESSES, ENDPOINT } from './sandbox-site.ts';
import { MemoryWatch } from './soak-memory.ts';

const DNS_PORT = 5343;
const HTTP_PORT = 9344;
const HOSTILE_PORT = 5345;
const PEAK_SECONDS = 5;
const SAMPLE_MS = 5_000;
/** Every how many samples the server is asked what its memory is made of. */
const SAMPLES_PER_SCRAPE = 4;
const FULL = 0.9;
const FILL_WITHIN_MS = 120_000;
const MIB = 1024 * 1024;

export const soak: LabCheck = {
  name: 'soak',
  about: 'half of peak for minutes, with everything going wrong around it (SOAK_MINUTES)',
  tools: ['dnsperf', 'ip'],
  async run(lab) {
    const minutes = Number(process.env['SOAK_MINUTES'] ?? 10);
    const seed = Number(process.env['SOAK_SEED'] ?? Date.now() % 1_000_000);
    lab.note(`SOAK_MINUTES=${minutes} SOAK_SEED=${seed}`);
    const site = await LoopbackSite.start(lab.workshop, {
      name: 'soak',
      dnsPort: DNS_PORT,
      httpPort: HTTP_PORT,
      overrides: {},
    });
    await using stack = new AsyncDisposableStack();
    stack.use(site);
    await new Soak(lab, site, stack, randomOf(seed)).run(minutes * 60_000);
  },
};

class Soak {
  readonly #lab: Lab;
  readonly #site: LoopbackSite;
  readonly #stack: AsyncDisposableStack;
  readonly #random: () => number;
  readonly #memory = new MemoryWatch();
  readonly #events = new Map<string, number>();
  readonly #afterMs: number[] = [];
  #server: ChildProcess | undefined;
  #asked = 0;
  #retried = 0;
  readonly #lost: string[] = [];
  #isOver = false;

  constructor(lab: Lab, site: LoopbackSite, stack: AsyncDisposableStack, random: () => number) {
    this.#lab = lab;
    this.#site = site;
    this.#stack = stack;
    this.#random = random;
  }

  async run(durationMs: number): Promise<void> {
    await this.#mountState();
    this.#openHostileUpstream();
    await this.#configure(0);
    const server = this.#start();
    await eventually('the endpoint is answered', 60_000, () => this.#isWhole());
    const queryFile = join(this.#site.room, 'queries');
    await writeFile(queryFile, `${ENDPOINT} A\n${ENDPOINT} AAAA\nwww.example.com A\nlocalhost A\n`);
    await this.#fillCache();
    const peak = await this.#load(queryFile, PEAK_SECONDS);
    const rate = Math.floor(peak.perSecond / 2);
    this.#lab.note(`peak ${Math.round(peak.perSecond)} queries a second: the soak is at ${rate}`);
    const load = this.#load(queryFile, Math.ceil(durationMs / 1000), rate);
    const deadline = performance.now() + durationMs;
    await Promise.all([this.#askAllAlong(), this.#sampleAllAlong(), this.#trouble(deadline)]);
    this.#lab.note([...this.#events].map(([name, times]) => `${name} ${times}`).join(', '));
    this.#report(); // before the load has ended: on a busy machine it may not end in time
    const carried = await load;
    await this.#calm();
    this.#lab.note(`load: ${carried.text}`);
    await this.#steps(server);
  }

  async #steps(server: ChildProcess): Promise<void> {
    const { step } = this.#lab;
    await step('the server never ended', async () => {
      assert.equal(server.exitCode ?? server.signalCode, null);
    });
    await step(
      'no query about the endpoint was lost: each has its answer at the first or the second try',
      async () => {
        assert.deepEqual(this.#lost.slice(0, 5), []);
        assert.ok(this.#asked > 100, `${this.#asked} asked`);
      },
    );
    await step('memory and descriptors are flat', async () => {
      assert.deepEqual(this.#memory.grown(), []);
    });
    await step(
      'once all is well again it is ready, saves, and serves the addresses as they are',
      async () => {
        await eventually('all is well', 60_000, async () => {
          const { server: about, state, link, endpoints } = JSON.parse(await this.#page('/status'));
          const { answers } = await this.#site.ask({ name: ENDPOINT });
          // an address may stay for an hour where the name had it while the listing lacked it: two moves in a row look so
          const shown: { address: string; lackedAgeSeconds?: number }[] = endpoints[0].addresses;
          const lacked = shown.filter(({ lackedAgeSeconds }) => lackedAgeSeconds !== undefined);
          const kept = new Set(lacked.map(({ address }) => address));
          const isExpected = (address: string) => ADDRESSES.includes(address);
          const addresses = answers
            .map(({ data }) => `${data}`)
            .filter((it) => isExpected(it) || !kept.has(it));
          // the hostile upstream is down for the server, and the summary says so
          const paths: { side: string; condition: string }[] = link.paths;
          const isAwsBack = paths.every(({ side, condition }) => side !== 'aws' || condition === 'connected');
          const found = [about.ready, state.isPending, isAwsBack, addresses.sort()];
          assert.deepEqual(found, [true, false, true, [...ADDRESSES]]);
          return true;
        });
      },
    );
    await step('a stop takes no more than some seconds', async () => {
      server.kill('SIGTERM');
      await eventually('it has ended', 10_000, async () => (server.exitCode === null ? undefined : true));
      assert.equal(server.exitCode, 0);
    });
  }

  /** The state has a file system of its own, which can be filled. */
  async #mountState(): Promise<void> {
    const { stateDirectory } = this.#site;
    await must(['mkdir', '-p', stateDirectory]);
    await must(['mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', stateDirectory]);
    const forget = atTheEnd(() => spawn('umount', ['-l', stateDirectory]));
    this.#stack.defer(async () => {
      forget();
      await run(['umount', '-l', stateDirectory]);
    });
  }

  /** An upstream whose replies no client may see: other IDs, other questions, broken records, noise. */
  #openHostileUpstream(): void {
    const socket = createSocket('udp4');
    let turn = 0;
    socket.on('message', (query, from) => {
      const reply = Buffer.from(query);
      reply[2] = 0x81;
      reply[3] = 0x80;
      turn += 1;
      if (turn % 5 === 0) reply[0] = (reply[0] ?? 0) ^ 0xff;
      if (turn % 5 === 1) reply[7] = 9;
      if (turn % 5 === 2 && reply.length > 14) reply[13] = (reply[13] ?? 0) ^ 0x01;
      const sent = turn % 5 === 3 ? reply.subarray(0, 11) : turn % 5 === 4 ? Buffer.alloc(1400, turn) : reply;
      socket.send(sent, from.port, from.address, () => undefined);
    });
    socket.on('error', () => undefined);
    socket.bind(HOSTILE_PORT, '127.0.0.1');
    this.#stack.defer(() => void socket.close());
  }

  /** Each version has different zones and a different cache, and for one name a hostile upstream beside the Region's. */
  async #configure(version: number): Promise<void> {
    const { configFile } = this.#site;
    const config = parse(readFileSync(configFile, 'utf8'));
    const zones = Array.from({ length: 200 + (version % 3) * 100 }, (_, at) => ({
      name: `z${at}.v${version % 2}.example`,
      records: ['@ A 10.9.0.1', 'www CNAME @'],
    }));
    const hostile = { name: 'hostile.example', forwardTo: [`127.0.0.1:${HOSTILE_PORT}`] };
    const next = {
      ...config,
      refresh: { dns: '2s', interfaces: '2s', cluster: '5s', retryMin: '500ms', retryMax: '2s' },
      zones: [...zones, hostile],
      cache: { size: version % 2 === 0 ? '16MiB' : '12MiB' },
      log: { level: 'info', format: 'json' },
    };
    await writeFile(configFile, stringify(next));
  }

  #start(): ChildProcess {
    const { program, configFile, environment } = this.#site;
    const server = spawn(program, ['serve', '--config', configFile], {
      env: { PATH: '/usr/bin:/bin', MALLOC_MMAP_THRESHOLD_: '98304', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    server.stdout?.resume();
    server.stderr?.resume();
    this.#server = server;
    const forget = atTheEnd(() => server.kill('SIGKILL'));
    this.#stack.defer(() => {
      forget();
      server.kill('SIGKILL');
    });
    return server;
  }

  async #load(queryFile: string, seconds: number, rate?: number) {
    const args = dnsperfArguments({
      port: DNS_PORT,
      queryFile,
      transport: 'udp',
      clients: 8,
      outstanding: 200,
      seconds,
    });
    const limited = rate === undefined ? args : [...args, '-Q', `${rate}`];
    const { stdout } = await run(['dnsperf', ...limited], { timeoutMs: (seconds + 300) * 1000 });
    const of = (pattern: RegExp) => pattern.exec(stdout)?.[1] ?? '?';
    return {
      perSecond: Number(of(/Queries per second:\s+([\d.]+)/)),
      text: `sent ${of(/Queries sent:\s+(\d+)/)}, lost ${of(/Queries lost:\s+(.*)/)}, ${of(/Response codes:\s+(.*)/)}, mean ${of(/Average Latency \(s\):\s+([\d.]+)/)} s`,
    };
  }

  async #isWhole(): Promise<true | undefined> {
    const { answers } = await this.#site.ask({ name: ENDPOINT });
    const found = answers.map(({ data }) => data).sort();
    return `${found}` === `${ADDRESSES}` ? true : undefined;
  }

  /** As a client with one retry: a query without an answer at the second try is lost. */
  async #askAllAlong(): Promise<void> {
    while (!this.#isOver) {
      this.#asked += 1;
      const first = await this.#site.ask({ name: ENDPOINT }, 2000).catch(() => undefined);
      if (first === undefined) this.#retried += 1;
      const reply = first ?? (await this.#site.ask({ name: ENDPOINT }, 5000).catch(() => undefined));
      if (reply === undefined || reply.answers.length === 0)
        this.#lost.push(
          `${new Date().toISOString()}: ${reply === undefined ? 'no reply' : `rcode ${reply.rcode}`}`,
        );
      else this.#afterMs.push(reply.afterMs);
      await sleep(20);
    }
  }

  async #sampleAllAlong(): Promise<void> {
    for (let at = 0; !this.#isOver; at++) {
      const isScrape = at % SAMPLES_PER_SCRAPE === 0;
      const metrics = isScrape ? await this.#page('/metrics').catch(() => undefined) : undefined;
      this.#memory.sample(this.#server?.pid ?? 0, metrics);
      await sleep(SAMPLE_MS);
    }
  }

  /** Memory is measured with a full cache: one on its way to its bound looks like a leak. */
  async #fillCache(): Promise<void> {
    const startedMs = performance.now();
    await eventually('the cache is full', FILL_WITHIN_MS, async () => {
      await this.#flood((at) => `w${at}${Math.floor(this.#random() * 1e9)}.example.net`);
      const { octets, limitOctets, entries } = JSON.parse(await this.#page('/status')).cache;
      if (octets < FULL * limitOctets) return undefined;
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
      this.#lab.note(
        `the cache was filled in ${seconds} s: ${entries} answers, ${(octets / MIB).toFixed(1)} MiB`,
      );
      return true;
    });
  }

  async #trouble(deadline: number): Promise<void> {
    const troubles = [
      ['link flap', () => this.#flap()],
      ['reload', () => this.#reload()],
      ['broken reload', () => this.#brokenReload()],
      ['moved interface', () => this.#move()],
      ['clients that never read', () => this.#hostileClients('reads nothing')],
      ['half-sent frames', () => this.#hostileClients('half a frame')],
      ['noise over TCP', () => this.#hostileClients('noise')],
      ['random names', () => this.#flood((at) => `r${at}${Math.floor(this.#random() * 1e9)}.example.net`)],
      [
        'hostile upstream',
        () => this.#flood((at) => `h${at}${Math.floor(this.#random() * 1e6)}.hostile.example`),
      ],
      ['upstream that drops', () => this.#fault('drop')],
      ['upstream that fails', () => this.#fault('servfail')],
      ['upstream that truncates', () => this.#fault('truncate')],
      ['full disk', () => this.#fullDisk()],
      ['stalled log', () => this.#stalledLog()],
      ['scrapers', () => this.#scrape()],
    ] as const;
    while (performance.now() < deadline) {
      const [name, cause] = troubles[Math.floor(this.#random() * troubles.length)] ?? troubles[0];
      this.#events.set(name, (this.#events.get(name) ?? 0) + 1);
      try {
        await cause();
      } catch (error) {
        this.#lab.note(`${name}: ${error instanceof Error ? error.message : error}`);
      }
      await sleep(500 + 1500 * this.#random());
    }
    this.#isOver = true;
  }

  async #calm(): Promise<void> {
    await this.#site.command('/fault/clear', {});
    await this.#site.command('/link', { state: 'up' });
    await rm(join(this.#site.stateDirectory, 'filler'), { force: true });
  }

  async #flap(): Promise<void> {
    await this.#site.command('/link', { state: this.#random() < 0.5 ? 'down' : 'refused' });
    await sleep(1000 + 7000 * this.#random());
    await this.#site.command('/link', { state: 'up' });
  }

  async #reload(): Promise<void> {
    await this.#configure(Math.floor(this.#random() * 6));
    this.#server?.kill('SIGHUP');
    await sleep(500);
  }

  async #brokenReload(): Promise<void> {
    const text = readFileSync(this.#site.configFile, 'utf8');
    await writeFile(this.#site.configFile, `${text}\nno such key: 1\n`);
    this.#server?.kill('SIGHUP');
    await sleep(1000);
    await writeFile(this.#site.configFile, text);
  }

  async #move(): Promise<void> {
    const [from = '', to] = [ADDRESSES[0], '10.0.1.77'];
    await this.#site.command('/eni', { cluster: 'demo', from, to });
    await sleep(2000);
    await this.#site.command('/eni', { cluster: 'demo', from: to, to: from });
  }

  async #hostileClients(kind: 'reads nothing' | 'half a frame' | 'noise'): Promise<void> {
    const query = queryOf({ name: ENDPOINT, type: 'TXT' });
    const frame = Buffer.concat([Buffer.of(0, query.length), query]);
    const noise = Buffer.from(Array.from({ length: 4000 }, () => Math.floor(this.#random() * 256)));
    const octets = {
      'reads nothing': Buffer.concat(Array.from({ length: 2000 }, () => frame)),
      'half a frame': frame.subarray(0, 9),
      noise,
    }[kind];
    const sockets = Array.from({ length: 160 }, (_, at): Socket => {
      const localAddress = `127.0.0.${100 + (at % 8)}`;
      const socket = connect({ port: DNS_PORT, host: '127.0.0.1', localAddress });
      socket.on('error', () => undefined);
      socket.pause();
      socket.write(octets);
      return socket;
    });
    await sleep(3000);
    for (const socket of sockets) socket.destroy();
  }

  async #flood(nameOf: (at: number) => string): Promise<void> {
    const socket = createSocket('udp4');
    socket.on('error', () => undefined);
    for (let at = 0; at < 3000; at++) {
      socket.send(queryOf({ name: nameOf(at), type: 'A' }), DNS_PORT, '127.0.0.1', () => undefined);
      if (at % 50 === 49) await sleep(10);
    }
    await sleep(500);
    socket.close();
  }

  async #fault(kind: 'drop' | 'servfail' | 'truncate'): Promise<void> {
    await this.#site.command('/fault', { service: 'dns', kind });
    await this.#flood((at) => `f${at % 40}.example.com`);
    await sleep(2000);
    await this.#site.command('/fault/clear', { service: 'dns' });
  }

  async #fullDisk(): Promise<void> {
    const filler = join(this.#site.stateDirectory, 'filler');
    await writeFile(filler, Buffer.alloc(16 * MIB)).catch(() => undefined);
    await this.#move();
    await rm(filler, { force: true });
  }

  /** No process reads the log for a while, during which much is logged. */
  async #stalledLog(): Promise<void> {
    this.#server?.stdout?.pause();
    await this.#flap();
    await this.#reload();
    this.#server?.stdout?.resume();
  }

  async #scrape(): Promise<void> {
    const endMs = performance.now() + 3000;
    const loops = Array.from({ length: 32 }, async () => {
      while (performance.now() < endMs) await this.#page('/metrics').catch(() => undefined);
    });
    await Promise.all(loops);
  }

  async #page(path: string): Promise<string> {
    const url = `http://127.0.0.1:${HTTP_PORT}${path}`;
    return (await fetch(url, { signal: AbortSignal.timeout(10_000) })).text();
  }

  #report(): void {
    const sorted = this.#afterMs.toSorted((a, b) => a - b);
    const at = (share: number) =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]?.toFixed(1);
    this.#lab.note(
      `endpoint: ${this.#asked} asked, ${this.#retried} at a second try, ${this.#lost.length} lost; p50 ${at(0.5)}, p99 ${at(0.99)}, worst ${at(1)} ms`,
    );
    for (const sentence of this.#memory.report()) this.#lab.note(sentence);
  }
}

/** The same numbers for the same seed (Mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}
