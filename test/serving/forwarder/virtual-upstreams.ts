/** Upstreams in virtual time: a forwarder whose transports are made of one function per test. */
import { FLAG, HEADER_OCTETS } from '../../../src/protocol/wire/message.ts';
import { parseQuery, Query } from '../../../src/protocol/wire/query.ts';
import { nameFromWire } from '../../../src/protocol/words/name.ts';
import {
  type Exchange,
  type ForwardOutcome,
  matchReply,
  type Upstream,
  type UpstreamEvidence,
  type UpstreamGroup,
} from '../../../src/serving/forwarder/exchange.ts';
import { Forwarder, type ForwarderOptions } from '../../../src/serving/forwarder/forwarder.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { rawRecord } from '../../helpers/zone-text.ts';
import { clientQuery, EVIDENCE_WANTED } from './hand-made-upstream.ts';
import { MadeUpTransport, transportsOf } from './made-up-transport.ts';

/** What an upstream does with one exchange, so many ms later. */
export type Doing =
  | {
      readonly afterMs: number;
      /**
       * `referral`: it does not recurse, and names the servers of the root; `recursingReferral`: a forwarder passes that on. `strayReferral`: of a zone that the name is not in.
       * `straySoa`: no answer, and the SOA of such a zone.
       * `alias`: it does not recurse, and has an alias to `end.example.net` beside a stray referral.
       */
      readonly says:
        | 'answer'
        | 'truncated'
        | 'referral'
        | 'recursingReferral'
        | 'strayReferral'
        | 'straySoa'
        | 'alias'
        | number;
      readonly withEdns?: boolean;
      readonly withAuthority?: boolean;
      /** RFC 8914. */
      readonly extendedError?: number | undefined;
    }
  | { readonly afterMs: number; readonly fails: 'network' | 'tls' | 'malformed' | 'spoofed' }
  | { readonly afterMs: number; readonly refusesEdns: true }
  | 'silence';

export interface Seen {
  readonly upstream: string;
  readonly transport: string;
  readonly atMs: number;
  /** `. NS`. */
  readonly isProbe: boolean;
  /** A name that nobody could guess. */
  readonly isLoopProbe: boolean;
  readonly hasEdns: boolean;
  /** The name asked for, in normal form. */
  readonly name: string;
  readonly exchange: Exchange;
}

const LOOP_PROBE = /^ [0-9a-f]{32} [0-9a-f]{32}/i;

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
      evidenceWanted: EVIDENCE_WANTED,
      clock: this.time,
      timers: this.time,
      random,
      log: this.log,
      groups,
      transports: transportsOf((name, to, onMismatch) => this.#transport(name, to, onMismatch)),
      onEvidence: (evidence) => this.evidence.push(evidence),
      onUpstreamUp: ({ text }) => this.changes.push(`${text} up at ${this.time.monotonicMs()}`),
      onUpstreamDown: ({ text }) => this.changes.push(`${text} down at ${this.time.monotonicMs()}`),
      ...more,
    });
  }

  /** What was asked apart from probes, as `upstream transport time`. */
  get asked(): string[] {
    return this.seen
      .filter(({ isProbe, isLoopProbe }) => !isProbe && !isLoopProbe)
      .map(({ upstream, transport, atMs }) => `${upstream} ${transport} ${atMs}`);
  }

  /** With EDNS. */
  get probed(): string[] {
    return this.seen
      .filter(({ isProbe, hasEdns }) => isProbe && hasEdns)
      .map(({ upstream, atMs }) => `${upstream} ${atMs}`);
  }

  /** Probes for loops, as the queries that they are where they come back. */
  get loopProbes(): { readonly upstream: string; readonly atMs: number; readonly query: Query }[] {
    return this.seen.flatMap(({ isLoopProbe, upstream, atMs, exchange }) => {
      const query = new Query();
      parseQuery(query, exchange.message, 0, exchange.message.length);
      return isLoopProbe ? [{ upstream, atMs, query }] : [];
    });
  }

  #transport(name: string, { text }: Upstream, onMismatch: () => void): MadeUpTransport {
    const start = (exchange: Exchange): void => {
      const seen = {
        upstream: text,
        transport: name,
        atMs: this.time.monotonicMs(),
        isProbe: exchange.questionEnd === 17,
        isLoopProbe: LOOP_PROBE.test(Buffer.from(exchange.message).toString('latin1', 12)),
        hasEdns: exchange.hasEdns,
        name: nameFromWire(exchange.message, HEADER_OCTETS),
        exchange,
      };
      this.seen.push(seen);
      const doing = this.behave(seen);
      if (doing === 'silence') return;
      this.time.after(doing.afterMs, () => {
        if (!transport.take(exchange)) onMismatch();
        else end(exchange, doing, this.time.monotonicMs());
      });
    };
    const transport = new MadeUpTransport(start, () => this.closed.push(`${text} ${name}`));
    return transport;
  }
}

function end(exchange: Exchange, doing: Exclude<Doing, 'silence'>, nowMs: number): void {
  if ('fails' in doing) exchange.fail(doing.fails, `made to ${doing.fails}`);
  else if ('refusesEdns' in doing)
    exchange.end({ kind: 'edns-refused', elapsedMs: nowMs - exchange.startedAtMs });
  else {
    const reply = matchReply(exchange, replyTo(exchange, doing), nowMs);
    if (reply?.kind !== 'reply') throw new Error(`the made-up upstream: ${reply?.kind}`);
    exchange.end(reply);
  }
}

const NOT_RECURSING = 0x8100;
const FLAGS = {
  answer: 0x8180,
  truncated: 0x8380,
  referral: NOT_RECURSING,
  recursingReferral: 0x8180,
  strayReferral: NOT_RECURSING,
  straySoa: NOT_RECURSING,
  alias: NOT_RECURSING,
};

const NAME_SERVER = [1, 97, 0];
const STRAY = rawRecord('zone.invalid', 'NS', 60, NAME_SERVER);
const ANSWERS = new Map<unknown, Buffer>([
  ['answer', rawRecord('.', 'A', 60, [10, 0, 0, 1])],
  ['alias', rawRecord('.', 'CNAME', 60, Buffer.from('\x03end\x07example\x03net\0', 'latin1'))],
]);
const AUTHORITIES = new Map<unknown, Buffer>([
  ['referral', rawRecord('.', 'NS', 60, NAME_SERVER)],
  ['recursingReferral', rawRecord('.', 'NS', 60, NAME_SERVER)],
  ['strayReferral', STRAY],
  [
    'straySoa',
    rawRecord('zone.invalid', 'SOA', 60, [...NAME_SERVER, ...NAME_SERVER, ...Buffer.alloc(20, 1)]),
  ],
  ['alias', STRAY],
]);

function replyTo(
  exchange: Exchange,
  { says, withEdns, withAuthority, extendedError }: Extract<Doing, { says: unknown }>,
): Buffer {
  const answer = ANSWERS.get(says);
  const answers = answer === undefined ? [] : [Buffer.concat([Buffer.of(0xc0, 0x0c), answer.subarray(1)])];
  const authority = [AUTHORITIES.get(says) ?? []].flat();
  const option = extendedError === undefined ? [] : [0, 15, 0, 2, 0, extendedError];
  const upperBits = typeof says === 'number' ? says >> 4 : 0;
  const opt =
    withEdns || option.length > 0 || upperBits > 0
      ? [Buffer.from([0, 0, 41, 4, 208, upperBits, 0, 0, 0, 0, option.length, ...option])]
      : [];
  const octets = Buffer.concat([
    exchange.message.subarray(0, exchange.questionEnd),
    ...answers,
    ...authority,
    ...opt,
  ]);
  const flags = typeof says === 'number' ? 0x8180 | (says & 15) : FLAGS[says];
  octets.writeUInt16BE(withAuthority ? flags | FLAG.AA : flags, 2);
  octets.writeUInt16BE(answers.length, 6);
  octets.writeUInt16BE(authority.length, 8);
  octets.writeUInt16BE(opt.length, 10);
  return octets;
}

/** Forwards a question and moves time until it is settled; `[outcome, after how many ms]`. */
export async function ask(
  world: VirtualUpstreams,
  name = 'a.example',
  groupName = 'default',
): Promise<[ForwardOutcome, number]> {
  const startedAtMs = world.time.monotonicMs();
  let settled: [ForwardOutcome, number] | undefined;
  void world.forwarder.forward(clientQuery(name), group(groupName)).then((outcome) => {
    settled = [outcome, world.time.monotonicMs() - startedAtMs];
  });
  for (let turn = 0; turn < 1_000 && settled === undefined; turn++) await world.time.advance(10);
  if (settled === undefined) throw new Error('never settled');
  return settled;
}

export function shown([outcome, afterMs]: [ForwardOutcome, number]): string {
  const what =
    outcome.kind === 'response'
      ? `${outcome.upstream} rcode ${outcome.index.rcode}`
      : `${outcome.reason} extended error ${outcome.extendedError}`;
  return `${what} after ${afterMs}`;
}
