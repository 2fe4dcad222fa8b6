/** The daemon's own rooms, wired as they are, in virtual time: only what crosses the link is made up. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { NetworkParts } from '../../src/daemon/parts.ts';
import type { StatusReport } from '../../src/daemon/report.ts';
import { buildRooms, type Rooms } from '../../src/daemon/rooms.ts';
import { Daemon } from '../../src/daemon/running-daemon.ts';
import type { FarSource } from '../../src/far-side/poll.ts';
import { parseQuery, Query } from '../../src/protocol/wire/query.ts';
import { typeName } from '../../src/protocol/words/codes.ts';
import { failed, type Observation, SourceError } from '../../src/records/observation.ts';
import { systemRandom } from '../../src/runtime/random.ts';
import { type Exchange, matchReply } from '../../src/serving/forwarder/exchange.ts';
import { Turn } from '../../src/serving/turn.ts';
import { prepareDirectory } from '../../src/store/state-backend.ts';
import { load } from '../config/loading.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { message, rawRecord, soaData } from '../helpers/zone-text.ts';
import { MadeUpTransport, transportsOf } from '../serving/forwarder/made-up-transport.ts';
import { type QueryText, queryOf, type ReadReply, readReply } from '../serving/resolver/messages.ts';

export const ENDPOINT = '5e9d0f3c.gr7.us-west-2.eks.amazonaws.com';
export const UPSTREAM = '192.0.2.53';
const FAR_MS = 40; // a round trip over the link
const RESEND_MS = 1_000; // TCP's first pause before it sends again

/** A site in a directory of its own, which ends with the test. */
export async function openSite(t: Test, more = '', cluster = '') {
  const parent = await mkdtemp(join(tmpdir(), 'virtual-site-'));
  const directory = join(parent, 'site');
  const site = await VirtualSite.open(directory, more, undefined, cluster);
  t.teardown(async () => {
    await site.close();
    await rm(parent, { recursive: true, force: true, maxRetries: 50 });
  });
  return { site, directory };
}

export class VirtualSite {
  readonly time = new VirtualTime();
  readonly log = new CollectingLog();
  readonly rooms: Rooms;
  readonly daemon: Daemon;
  #isUp = true;
  /** What was sent while the link was down, and is sent again. */
  readonly #lost = new Set<() => void>();
  addresses: readonly string[] = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];
  /** Addresses of upstreams on this side of the link. */
  readonly onSite = new Set<string>();
  /** How a source is polled that the site does not have. */
  polled: (source: FarSource, signal: AbortSignal) => Promise<Observation> = () =>
    Promise.reject(new Error('not asked here'));
  /** What an upstream says to a question such as `www.example.com A`, where it is not what `end` below has. */
  says: (question: string, upstream: string) => Buffer | 'silence' | undefined = () => undefined;

  private constructor(build: (site: VirtualSite) => readonly [Rooms, Daemon]) {
    [this.rooms, this.daemon] = build(this);
  }

  /** `more` is added to the configuration, `cluster` to its only cluster. */
  static async open(directory: string, more = '', random = systemRandom, cluster = ''): Promise<VirtualSite> {
    await prepareDirectory(directory, systemRandom);
    const config =
      await load(`clusters: [{ name: demo, region: us-west-2, probe: { enabled: false }${cluster && `, ${cluster}`} }]
upstreams: [${UPSTREAM}]
state: { directory: ${directory} }
${more}`);
    const site = new VirtualSite((self) => {
      const parts = {
        config,
        loadConfig: async () => config,
        clock: self.time,
        timers: self.time,
        pause: async () => undefined,
        random,
        log: self.log,
        setLogLevel: () => undefined,
        interfaces: () => ({}),
        network: self.#network(),
        version: '0.0.0',
        runtime: 'node',
      };
      const rooms = buildRooms(parts, { libc: undefined, datagrams: undefined });
      return [rooms, new Daemon(parts, rooms)];
    });
    const { plane, retained, probe } = site.rooms;
    await plane.load([]);
    plane.start();
    retained.start();
    probe.watch(['us-west-2']);
    return site;
  }

  /** `false`: all that crosses the link is lost. */
  get isUp(): boolean {
    return this.#isUp;
  }

  set isUp(isUp: boolean) {
    this.#isUp = isUp;
    if (!isUp) return;
    for (const resend of this.#lost) this.time.after(RESEND_MS, resend);
    this.#lost.clear();
  }

  get report(): StatusReport {
    return this.daemon.report();
  }

  /** The reply, and after how long: time moves on only for queries that are not answered at once. */
  async ask(query: QueryText): Promise<ReadReply & { readonly afterMs: number }> {
    const octets = queryOf(query);
    const { resolver } = this.rooms;
    const startMs = this.time.monotonicMs();
    const turn = new Turn();
    turn.space = new Uint8Array(1232);
    turn.nowMs = startMs;
    turn.read(octets, 0, octets.length);
    const length = resolver.answer(turn);
    if (length > 0) return { ...readReply(turn.space.subarray(0, length)), afterMs: 0 };
    let reply: (ReadReply & { readonly afterMs: number }) | undefined;
    resolver.later(turn.keep(), {
      send: (given) => {
        const afterMs = this.time.monotonicMs() - startMs;
        if (given.length > 0) reply = { ...readReply(given.slice()), afterMs };
      },
      fail: (error) => {
        throw error;
      },
    });
    for (let turn = 0; reply === undefined && turn < 1000; turn++)
      await this.time.advance(turn === 0 ? 0 : 10);
    if (reply === undefined) throw new Error(`no reply about "${query.name}"`);
    return reply;
  }

  async close(): Promise<void> {
    const { plane, retained, probe, forwarder, ledger, store, retainedStore } = this.rooms;
    this.time.settling = 'all';
    probe.stop();
    const ended = Promise.all([plane.stop(), retained.stop()]);
    await this.time.advance(10_000);
    await ended;
    forwarder.close();
    await this.rooms.answers.stop();
    await Promise.all([ledger.flush(), store.flush(), retainedStore.flush()]);
  }

  #network(): NetworkParts {
    return {
      transports: transportsOf((_name, { address }) => this.#transport(address)),
      poll: (source, _settings, _context, signal) => this.#poll(source, signal),
      ping: (_region, signal) =>
        this.#cross(signal).then(
          () => 'answered',
          () => 'timeout',
        ),
    };
  }

  /** Resolves after a round trip, or rejects when the signal is aborted. */
  #cross(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#lost.delete(resolve);
        reject(new SourceError({ reason: 'timeout', reachedFarSide: false, detail: 'lost' }));
      };
      signal.addEventListener('abort', giveUp, { once: true });
      if (this.#isUp) this.time.after(FAR_MS, resolve);
      else this.#lost.add(resolve);
    });
  }

  async #poll(source: FarSource, signal: AbortSignal): Promise<Observation> {
    try {
      await this.#cross(signal);
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      return failed(source, { reason: error.code, reachedFarSide: false, detail: error.message });
    }
    if (source === 'interfaces') return { kind: 'addresses', source, addresses: this.addresses };
    if (source !== 'cluster') return this.polled(source, signal);
    const details = { endpoint: ENDPOINT, vpcId: 'vpc-1', subnetIds: ['subnet-1'] };
    return { kind: 'details', source, details: { ...details, learnedAtMs: this.time.wallMs() } };
  }

  #transport(upstream: string): MadeUpTransport {
    const transport = new MadeUpTransport((exchange) => {
      if (!this.#isUp && !this.onSite.has(upstream)) return;
      const said = this.#said(exchange, upstream);
      if (said === 'silence') return;
      this.time.after(FAR_MS, () => {
        if (transport.take(exchange)) end(exchange, said);
      });
    });
    return transport;
  }

  #said({ message: asked }: Exchange, upstream: string): Buffer | 'silence' {
    const query = new Query();
    parseQuery(query, asked, 0, asked.length);
    const [name, type] = [query.nameText(), typeName(query.qtype)];
    return this.says(`${name} ${type}`, upstream) ?? ordinary(name, type, this.addresses);
  }
}

/** The upstream knows the endpoint, every name under `example.com`, and nothing else. */
function ordinary(name: string, type: string, addresses: readonly string[]): Buffer {
  const found = name === ENDPOINT ? addresses : /(^|\.)example\.com$/.test(name) ? ['192.0.2.80'] : [];
  const isKnown = found.length > 0;
  const apex = isKnown && name !== ENDPOINT ? 'example.com' : '.';
  const answers =
    type === 'A' ? found.map((address) => rawRecord(name, 'A', 300, address.split('.').map(Number))) : [];
  const authorities = answers.length > 0 ? [] : [rawRecord(apex, 'SOA', 300, soaData(300))];
  const flags = isKnown || name === '.' ? 0x8180 : 0x8183;
  return message({ flags, question: [name, type], answers, authorities });
}

/** Ends an exchange with this response, whose ID is set. */
function end(exchange: Exchange, octets: Buffer): void {
  octets.writeUInt16BE(exchange.id, 0);
  // the question is echoed in the case in which it was asked
  const nameEnd = octets.indexOf(0, 12);
  octets.set(exchange.message.subarray(12, nameEnd), 12);
  const reply = matchReply(exchange, octets, exchange.startedAtMs + FAR_MS);
  if (reply?.kind !== 'reply') throw new Error(`the made-up upstream: ${reply?.kind}`);
  exchange.end(reply);
}
