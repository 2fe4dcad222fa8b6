/** The whole resolver with its real rooms, in virtual time; only the upstreams are made up. */
import type { Query } from '../../../src/protocol/wire/query.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import { TYPE, typeName } from '../../../src/protocol/words/codes.ts';
import { isAtOrUnder } from '../../../src/protocol/words/name.ts';
import type { EndpointRecord } from '../../../src/records/endpoint-record.ts';
import { AnswerCache, type AnswerCacheSettings } from '../../../src/serving/answer-cache/answer-cache.ts';
import { EndpointTable, ServingTable } from '../../../src/serving/endpoints/endpoint-table.ts';
import type { ForwardFailureReason } from '../../../src/serving/forwarder/exchange.ts';
import {
  DisconnectedRules,
  type DisconnectedRulesOptions,
} from '../../../src/serving/local-zones/disconnected-rules.ts';
import { LocalZones } from '../../../src/serving/local-zones/local-zones.ts';
import type { ZoneRule } from '../../../src/serving/local-zones/own-zones.ts';
import { Resolver } from '../../../src/serving/resolver/resolver.ts';
import type { Fetched, ResolverOptions, Upstreams } from '../../../src/serving/resolver/resolver-deps.ts';
import { Identity, type IdentityOptions } from '../../../src/serving/resolver/resolver-deps.ts';
import {
  type ClientTransport,
  NO_REPLY,
  PENDING,
  type QueryHandler,
  type Reply,
  type Route,
  type Step,
  Turn,
} from '../../../src/serving/turn.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { message, rawRecord, soaData } from '../../helpers/zone-text.ts';
import { type QueryText, queryOf, type ReadReply, readReply } from './messages.ts';

export const ENDPOINT = '5e9d0f3c.gr7.us-west-2.eks.amazonaws.com';

export function endpointRecord(record: {
  endpoint?: string;
  addresses?: readonly string[];
  dead?: readonly string[];
  ttlSeconds?: number;
}): EndpointRecord {
  const { endpoint = ENDPOINT, addresses = [], dead = [], ttlSeconds = 60 } = record;
  return {
    cluster: endpoint.split('.')[0] ?? '',
    region: 'us-west-2',
    endpoint,
    addresses: addresses.map((address) => ({
      address,
      provenance: {},
      ...(dead.includes(address) ? { isLast: true } : {}),
    })),
    ttlSeconds,
    basis: addresses.length > 0 ? 'name' : 'none',
    changedAtMs: 1_700_000_000_000,
    confirmedAtMs: {},
    lastRefreshFailed: false,
  };
}

export const CACHE_SETTINGS: AnswerCacheSettings = {
  sizeOctets: 1 << 20,
  maxTtlSeconds: 86_400,
  negativeTtlSeconds: 60,
  staleForMs: 86_400_000,
  staleTtlSeconds: 30,
  prefetch: true,
};

/** What an upstream says to one question: a message, or how the exchange fails. `undefined`: silence. */
export type Says =
  | Buffer
  | { readonly extendedError: number; readonly reason?: ForwardFailureReason }
  | undefined;

export interface Asked {
  readonly question: string;
  readonly route: string;
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
  /** Of the client. */
  readonly network: number;
  readonly atMs: number;
}

export interface RigOptions {
  readonly records?: readonly EndpointRecord[];
  readonly rules?: readonly ZoneRule<string>[];
  readonly disconnected?: Partial<DisconnectedRulesOptions>;
  readonly identity?: IdentityOptions;
  readonly trustAuthenticatedData?: boolean;
  readonly cache?: Partial<AnswerCacheSettings>;
  readonly arrange?: (steps: readonly Step[]) => readonly Step[];
}

const GUARD = 0xa5;
const OFFSET = 37; // messages lie somewhere in a larger buffer

export class Rig {
  readonly time = new VirtualTime();
  readonly serving = new ServingTable();
  readonly cache: AnswerCache;
  readonly options: ResolverOptions & { readonly cache: AnswerCache };
  readonly resolver: Resolver;
  /** Every question that went to the upstreams. */
  readonly asked: Asked[] = [];
  readonly loops: string[] = [];
  /** The notes on clients, in an outage or not. */
  readonly hurt: string[] = [];
  /** What the upstreams say, `delayMs` after they are asked. */
  says: (question: string, route: string) => Says = () => ({ extendedError: 22 });
  delayMs = 20;
  /** Routes on which nobody can be asked. */
  readonly down = new Set<string>();
  /** Names that are cut off on every route, each with all names under it. */
  readonly cutSuffixes = new Set<string>();
  readonly link = { isFarSideCut: false };
  /** Of the client. */
  network = 0;
  /** The query that was asked last. */
  readonly turn = new Turn();
  readonly falseDenials: string[] = [];
  ownQuestion: string | undefined;
  /** How often the strings at `_status` were asked for. */
  statusTexts = 0;

  constructor(options: RigOptions = {}) {
    this.cache = new AnswerCache({ ...CACHE_SETTINGS, ...options.cache });
    this.serving.publish(new EndpointTable(options.records ?? []));
    this.options = {
      endpoints: this.serving,
      cache: this.cache,
      clock: this.time,
      timers: this.time,
      upstreams: this.#upstreams(),
      link: this.link,
      arrange: options.arrange,
      statusStrings: (record) => {
        this.statusTexts += 1;
        return [`link=disconnected for 3m`, `addresses=${record.addresses.length}`];
      },
      outage: {
        isCollecting: true,
        noteFailed: (query) => void this.hurt.push(`failed ${questionText(query)}`),
        noteStale: (query) => void this.hurt.push(`stale ${questionText(query)}`),
        noteEndpoint: ({ endpoint }) => void this.hurt.push(`endpoint ${endpoint}`),
      },
    };
    this.resolver = new Resolver(this.options, {
      localZones: new LocalZones({ rules: (options.rules ?? []).map(routed) }),
      disconnected: new DisconnectedRules({ zones: [], regions: [], vpcs: [], ...options.disconnected }),
      identity: new Identity(options.identity ?? {}),
      defaultRoute: routeNamed('default'),
      routesBeyondLink: new Set(['default']),
      trustAuthenticatedData: options.trustAuthenticatedData ?? false,
      deadlineMs: 5000,
    });
  }

  /** The first pass alone. */
  now(query: Uint8Array | QueryText, transport: ClientTransport = 'udp'): ReadReply | 'pending' | 'none' {
    const octets = query instanceof Uint8Array ? query : queryOf(query);
    const received = Buffer.concat([Buffer.alloc(OFFSET, GUARD), octets, Buffer.alloc(9, GUARD)]);
    const room = transport === 'udp' ? 1232 : 65_535;
    const reply = new Uint8Array(room + 2 * OFFSET).fill(GUARD);
    const end = OFFSET + octets.length;
    const { turn } = this;
    turn.transport = transport;
    turn.nowMs = this.time.monotonicMs();
    turn.space = reply;
    turn.spaceStart = OFFSET;
    turn.read(received, OFFSET, end);
    const length = this.resolver.answer(turn);
    if (length === PENDING) return 'pending';
    if (length === NO_REPLY) return 'none';
    const outside = [...reply.subarray(0, OFFSET), ...reply.subarray(OFFSET + room)];
    if (outside.some((octet) => octet !== GUARD)) throw new Error('written outside of the reply buffer');
    return readReply(reply.subarray(OFFSET, OFFSET + length));
  }

  /** Both passes. */
  async ask(
    query: Uint8Array | QueryText,
    transport: ClientTransport = 'udp',
  ): Promise<ReadReply | undefined> {
    const octets = query instanceof Uint8Array ? query : queryOf(query);
    const first = this.now(octets, transport);
    if (first === 'none') return undefined;
    if (first !== 'pending') return first;
    const waiting = this.turn.keep();
    waiting.query.network = this.network;
    return later(this.resolver, waiting);
  }

  /** Asks, lets time pass until there must be a reply, and gives it. */
  async answer(
    query: Uint8Array | QueryText,
    { withinMs = 100, transport = 'udp' }: { withinMs?: number; transport?: ClientTransport } = {},
  ): Promise<ReadReply> {
    let reply: ReadReply | undefined;
    void this.ask(query, transport).then((found) => {
      reply = found;
    });
    await this.time.advance(withinMs);
    if (reply === undefined) throw new Error(`no reply within ${withinMs} ms`);
    return reply;
  }

  /** Asks now and says in the end how long the reply took. */
  timed(query: QueryText): Promise<{ reply: ReadReply | undefined; afterMs: number }> {
    const startMs = this.time.monotonicMs();
    return this.ask(query).then((reply) => ({ reply, afterMs: this.time.monotonicMs() - startMs }));
  }

  publish(...records: readonly EndpointRecord[]): void {
    this.serving.publish(new EndpointTable(records));
  }

  #upstreams(): Upstreams {
    return {
      forwardTo: (query, route, reply) => this.#forward(query, route.name, reply),
      isCut: (query, route) => this.#isCut(query, route.name),
      noteFalseDenial: (query) => void this.falseDenials.push(questionText(query)),
      isLoopProbe: (query) => questionText(query) === this.ownQuestion,
      noteLoop: (query) => void this.loops.push(questionText(query)),
    };
  }

  #isCut(query: Query, route: string): boolean {
    const name = query.nameText();
    return this.down.has(route) || [...this.cutSuffixes].some((suffix) => isAtOrUnder(name, suffix));
  }

  #forward(query: Query, route: string, reply: Reply<Fetched>): void {
    const question = questionText(query);
    const { dnssecOk, checkingDisabled, network } = query;
    this.asked.push({ question, route, dnssecOk, checkingDisabled, network, atMs: this.time.monotonicMs() });
    const said = this.#isCut(query, route) ? { extendedError: 22 } : this.says(question, route);
    const check = () => {
      // the forwarder reads the question until the exchange ends
      if (questionText(query) !== question) throw new Error(`"${question}" became "${questionText(query)}"`);
    };
    this.time.after(this.delayMs, check);
    if (said === undefined) this.time.after(5000, () => reply.send(fetched({ extendedError: 22 })));
    else if (this.#isCut(query, route)) reply.send(fetched(said));
    else this.time.after(this.delayMs, () => reply.send(fetched(said)));
  }
}

/** The reply that comes later, of which nobody may keep the octets. */
export function later(handler: QueryHandler, waiting: Turn): Promise<ReadReply | undefined> {
  return new Promise((resolve, reject) =>
    handler.later(waiting, {
      send: (reply) => resolve(reply.length === NO_REPLY ? undefined : readReply(reply.slice())),
      fail: reject,
    }),
  );
}

const routes = new Map<string, Route>();

/** One route for each name: the resolver compares them. */
export function routeNamed(name: string): Route {
  const route = routes.get(name) ?? { name };
  routes.set(name, route);
  return route;
}

function routed(rule: ZoneRule<string>): ZoneRule<Route> {
  return 'forwardTo' in rule ? { ...rule, forwardTo: routeNamed(rule.forwardTo) } : rule;
}

function fetched(said: NonNullable<Says>): Fetched {
  if ('extendedError' in said) return { kind: 'failed', reason: 'timeout', ...said };
  const index = indexResponse(said);
  if (index.kind === 'fault') throw new Error(`the upstream of the test is broken: ${index.reason}`);
  return { kind: 'response', octets: said, index, upstream: '192.0.2.53' };
}

/** `www.example.com A`. */
export function questionText(query: Query): string {
  return `${query.nameText()} ${typeName(query.qtype)}`;
}

function split(question: string): readonly [name: string, type: string] {
  const [name = '.', type = 'A'] = question.split(' ');
  return [name, type];
}

/** A response with these addresses to any question for A; the question's case is the upstream's own. */
export function addresses(
  question: string,
  list: readonly string[],
  ttlSeconds = 300,
  flags = 0x8180,
): Buffer {
  const answers = list.map((address) =>
    rawRecord(split(question)[0], 'A', ttlSeconds, address.split('.').map(Number)),
  );
  return message({ id: 0x7777, flags, question: split(question), answers });
}

/** A response without answers: `flags` carry the response code, an SOA says how long to believe it. */
export function denial(question: string, rcode: number, negativeTtl: number | undefined = 300): Buffer {
  const soa = negativeTtl === undefined ? [] : [rawRecord('example.com', 'SOA', 3600, soaData(negativeTtl))];
  return message({ id: 0x7777, flags: 0x8180 | rcode, question: split(question), authorities: soa });
}

export { TYPE };
