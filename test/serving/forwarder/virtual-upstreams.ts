/** Upstreams in virtual time: a forwarder whose transports are made of one function per test. */
import type {
  Exchange,
  ExchangeTransport,
  TransportHooks,
  TransportName,
} from '../../../src/serving/forwarder/exchange.ts';
import { judgeReply } from '../../../src/serving/forwarder/exchange.ts';
import { Forwarder, type ForwarderOptions } from '../../../src/serving/forwarder/forwarder.ts';
import type { Transports } from '../../../src/serving/forwarder/transports.ts';
import type { Upstream, UpstreamGroup } from '../../../src/serving/forwarder/upstream.ts';
import type { UpstreamEvidence } from '../../../src/serving/forwarder/upstream-client.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { rawRecord } from '../../helpers/zone-text.ts';

/** What an upstream does with one exchange, so many ms later. */
export type Doing =
  | { readonly afterMs: number; readonly says: 'answer' | 'truncated' | number }
  | { readonly afterMs: number; readonly fails: 'network' | 'tls' | 'malformed' | 'spoofed' }
  | { readonly afterMs: number; readonly refusesEdns: true }
  | 'silence';

export interface Seen {
  readonly upstream: string;
  readonly transport: TransportName;
  readonly atMs: number;
  readonly isProbe: boolean;
  readonly hasEdns: boolean;
  readonly exchange: Exchange;
}

export function upstream(text: string): Upstream {
  return { text, address: text, port: 53 };
}

export function group(name: string, ...texts: string[]): UpstreamGroup {
  return { name, upstreams: texts.map(upstream) };
}

export class VirtualUpstreams {
  readonly time = new VirtualTime();
  readonly log = new CollectingLog();
  readonly seen: Seen[] = [];
  readonly closed: string[] = [];
  readonly evidence: UpstreamEvidence[] = [];
  readonly changes: string[] = [];
  behave: (seen: Seen) => Doing;
  readonly forwarder: Forwarder;

  constructor(
    groups: readonly UpstreamGroup[],
    behave: (seen: Seen) => Doing,
    more: Partial<ForwarderOptions> = {},
  ) {
    this.behave = behave;
    let drawn = 0;
    const random = { uint16: () => drawn++ & 0xffff, uint32: () => drawn++, fraction: () => 0 };
    this.forwarder = new Forwarder({
      clock: this.time,
      timers: this.time,
      random,
      log: this.log,
      groups,
      transports: this.#transports(),
      onEvidence: (evidence) => this.evidence.push(evidence),
      onUpstreamUp: ({ text }) => this.changes.push(`${text} up at ${this.time.monotonicMs()}`),
      onUpstreamDown: ({ text }) => this.changes.push(`${text} down at ${this.time.monotonicMs()}`),
      ...more,
    });
  }

  /** What was asked apart from probes, as `upstream transport time`. */
  get asked(): string[] {
    return this.seen
      .filter(({ isProbe }) => !isProbe)
      .map(({ upstream, transport, atMs }) => `${upstream} ${transport} ${atMs}`);
  }

  get probed(): string[] {
    return this.seen.filter(({ isProbe }) => isProbe).map(({ upstream, atMs }) => `${upstream} ${atMs}`);
  }

  #transports(): Transports {
    const make = (transport: TransportName) => (upstream: Upstream, hooks: TransportHooks) =>
      this.#transport(transport, upstream, hooks);
    return { udp: make('udp'), tcp: make('tcp'), tls: make('tls') };
  }

  #transport(
    transport: TransportName,
    { text }: Upstream,
    { ownIds, onMismatch }: TransportHooks,
  ): ExchangeTransport {
    const inFlight = new Set<Exchange>();
    const carrier = { drop: (exchange: Exchange) => void inFlight.delete(exchange) };
    let nextId = 0;
    return {
      start: (exchange) => {
        exchange.id = nextId++ & 0xffff;
        exchange.message[0] = exchange.id >> 8;
        exchange.message[1] = exchange.id & 0xff;
        exchange.carrier = carrier;
        inFlight.add(exchange);
        ownIds.add(exchange.id);
        const seen = {
          upstream: text,
          transport,
          atMs: this.time.monotonicMs(),
          isProbe: exchange.questionEnd === 17,
          hasEdns: exchange.hasEdns,
          exchange,
        };
        this.seen.push(seen);
        const doing = this.behave(seen);
        if (doing === 'silence') return;
        this.time.after(doing.afterMs, () => {
          if (!inFlight.delete(exchange)) onMismatch();
          else end(exchange, doing, this.time.monotonicMs() - seen.atMs);
        });
      },
      doubt: () => {},
      withId: (id) => [...inFlight].filter((exchange) => exchange.id === id),
      close: () => {
        inFlight.clear();
        this.closed.push(`${text} ${transport}`);
      },
    };
  }
}

function end(exchange: Exchange, doing: Exclude<Doing, 'silence'>, elapsedMs: number): void {
  if ('fails' in doing)
    exchange.onEnd({ kind: 'failed', reason: doing.fails, detail: `made to ${doing.fails}` });
  else if ('refusesEdns' in doing) exchange.onEnd({ kind: 'edns-refused', elapsedMs });
  else {
    const octets = replyTo(exchange, doing.says);
    const verdict = judgeReply(exchange, octets);
    if (verdict.kind !== 'reply') throw new Error(verdict.kind);
    exchange.onEnd({ kind: 'reply', octets, index: verdict.index, elapsedMs, isRoundTrip: true });
  }
}

function replyTo(exchange: Exchange, says: 'answer' | 'truncated' | number): Buffer {
  const answers = says === 'answer' ? [rawRecord('answer', 'A', 60, [10, 0, 0, 1])] : [];
  const octets = Buffer.concat([exchange.message.subarray(0, exchange.questionEnd), ...answers]);
  const flags = says === 'truncated' ? 0x8380 : says === 'answer' ? 0x8180 : 0x8180 | says;
  octets.writeUInt16BE(flags, 2);
  octets.writeUInt16BE(answers.length, 6);
  octets.writeUInt16BE(0, 10);
  return octets;
}
