/**
 * The room of the listeners: from received octets to octets sent. It knows sockets, frames, clients' addresses and
 * limits. Of DNS it knows the twelve header octets; answers come from a `QueryHandler`.
 *
 *     udp-batched --+                                              +-- answer: octets at once
 *     udp ----------+--> intake: header, access --> QueryHandler --+
 *     tcp ----------+    <-- rate limit, cookie <--                +-- PENDING -> later: messages to a Reply
 *
 * RFC 1035 section 4.2 (transports), RFC 7766 (TCP, in section 5 as good as UDP), RFC 8914 (REFUSED says why).
 *
 * This file decides which addresses are listened on: now, after a reload, and as the host's own addresses come and go. A
 * wildcard is one socket where the service manager handed one over, or where datagrams bring the address that they were sent
 * to. Elsewhere, and beside a program that holds the port on one address, it is a socket for each address of the host.
 */
import {
  isIpv6LinkLocal,
  isLoopbackText,
  isSix,
  isWildcard,
  socketText,
} from '../../protocol/words/address-text.ts';
import { type BindContext, type BoundAddress, bindAddress } from './bound-address.ts';
import {
  expandWildcard,
  HostAddresses,
  type HostAddressesContext,
  type ListenAddress,
  ListenerError,
} from './listen-address.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';
import { differences, mayBeOneSocket, type PlanFacts, planSockets, type SocketPlan } from './socket-plan.ts';
import type { UdpListener } from './udp.ts';

export interface ListenersContext extends BindContext, HostAddressesContext {
  /** Whether datagrams bring the address that they were sent to, so that one socket can serve a wildcard. */
  readonly hasPacketInfo?: boolean;
}

export interface ListeningOn extends ListenAddress {
  readonly udp: UdpListener['kind'];
}

/** An interface that loses its carrier loses its addresses too; their sockets work again when it comes back. */
const FORGET_ABSENT_MS = 600_000;
/** Queries in flight when an address is given up may take as long as the forwarder's whole deadline. */
const GRACE_MS = 5_000;

interface Bound {
  readonly endpoint: BoundAddress;
  /** When the host lost the address, if a wildcard brought it here. */
  absentSinceMs: number | undefined;
}

export class Listeners {
  readonly #context: ListenersContext;
  readonly #host: HostAddresses;
  /** By `socketText` of the address with its real port. */
  readonly #bound = new Map<string, Bound>();
  /** The port that an address with port 0 got, so that a reload finds it again. */
  readonly #freePorts = new Map<string, number>();
  /** Addresses that are not listened on, with the reason that was logged. */
  readonly #skipped = new Map<string, string>();
  /** Addresses that are no longer listened on, but have queries in flight. */
  readonly #leaving = new Map<string, BoundAddress>();
  /** As configured. */
  #asked: readonly ListenAddress[] = [];
  #plan: SocketPlan = { wanted: [], limits: new Map() };
  /** Changes run one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #isClosed = false;
  readonly #usable = Promise.withResolvers<void>();
  /**
   * Resolves when an address is served that a client on another host can have. Where only loopback was asked for, that is
   * as soon as it is served.
   */
  readonly usable: Promise<void> = this.#usable.promise;
  #isUsable = false;

  constructor(context: ListenersContext) {
    this.#context = context;
    this.#host = new HostAddresses(context, () => this.#inTurn(() => this.#followHost()));
  }

  /** Returns the addresses on which the server takes queries at this moment. */
  get addresses(): ListeningOn[] {
    const found = new Map<string, ListeningOn>();
    for (const { endpoint } of this.#bound.values()) {
      const { address: bound, served, udpKind: udp } = endpoint;
      const { port } = bound;
      for (const { address } of served.only ?? [bound])
        found.set(socketText({ address, port }), { address, port, udp });
    }
    return [...found.values()];
  }

  /**
   * Listens on all addresses. Throws a ListenerError and leaves nothing open when a named address cannot be bound, or none
   * can. An address of a wildcard, or an address that this host does not have yet, is skipped with a warning.
   */
  start(addresses: readonly ListenAddress[]): Promise<void> {
    return this.reconfigure(addresses);
  }

  /**
   * Changes the addresses: binds the new, then releases the old; addresses that stay are not touched. Throws a ListenerError
   * and leaves everything as it was.
   */
  reconfigure(addresses: readonly ListenAddress[]): Promise<void> {
    return this.#inTurn(async () => {
      const before = new Set(this.#bound.keys());
      const asked = addresses.map((one) => this.#withPort(one));
      const plan = planSockets(asked, this.#facts);
      try {
        const keep = await this.#bindAll(plan);
        this.#plan = plan;
        this.#asked = asked;
        for (const key of keep) {
          const served = this.#bound.get(key)?.endpoint.served;
          if (served !== undefined) served.only = plan.limits.get(key);
        }
        this.#release(without(before, keep), GRACE_MS);
      } catch (error) {
        this.#release(without(this.#bound.keys(), before), 0);
        throw error;
      }
      for (const [difference, addresses] of differences(asked, this.#facts, plan.limits))
        LISTENER_MESSAGES[difference](this.#context.log, { addresses });
      this.#followLater();
    });
  }

  /** Whether this host has the address now. */
  isHere(address: string): boolean {
    const listed = Object.values(this.#host.list() ?? {});
    return listed.some((infos = []) => infos.some((info) => info.address === address));
  }

  /** Releases all addresses; queries in flight have `graceMs` to be answered. */
  async close(graceMs = 0): Promise<void> {
    this.#isClosed = true;
    this.#host.stop();
    await this.#turn.catch(() => undefined);
    this.#release([...this.#bound.keys()], graceMs);
    await Promise.all([...this.#leaving.values()].map((endpoint) => endpoint.close(graceMs)));
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(() => (this.#isClosed ? undefined : change()));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /** Binds addresses that are not bound yet; returns the keys of all addresses, with wildcards expanded. */
  async #bindAll({ wanted: addresses, limits }: SocketPlan): Promise<Set<string>> {
    const keys: string[] = [];
    const absent: ListenerError[] = [];
    for (const wanted of addresses) {
      if (isWildcard(wanted.address)) keys.push(...(await this.#bindNewWildcard(wanted, limits)));
      else {
        const { keys: bound, errors } = await this.#bindEach(wanted, [wanted.address]);
        const fatal = errors.find(({ code }) => code !== 'no-such-address');
        if (fatal !== undefined) throw fatal;
        keys.push(...bound);
        absent.push(...errors);
      }
    }
    // an address that comes later (DHCP, a VLAN, keepalived) must not stop the others from serving
    if (keys.length > 0) {
      for (const error of absent) this.#skip(error.subject, error.message);
      return new Set(keys);
    }
    if (absent[0] !== undefined) throw absent[0];
    const texts = addresses.map(socketText).join('", "');
    const message = `cannot listen anywhere: no address of this host for "${texts}"`;
    throw new ListenerError('nothing-bound', texts, message);
  }

  /** Returns the address with its real port. */
  async #bind(address: ListenAddress): Promise<ListenAddress> {
    const asked = socketText(address);
    if (this.#bound.has(asked)) return address;
    // wanted again while its old sockets still close: "in use" would blame another program
    await this.#leaving.get(asked)?.close(0);
    const endpoint = await bindAddress(address, this.#context);
    const key = socketText(endpoint.address);
    if (address.port === 0) this.#freePorts.set(asked, endpoint.address.port);
    this.#bound.set(key, { endpoint, absentSinceMs: undefined });
    this.#skipped.delete(key);
    const handed = endpoint.isHanded ? { handed: true } : {};
    LISTENER_MESSAGES.listening(this.#context.log, { address: key, udp: endpoint.udpKind, ...handed });
    return endpoint.address;
  }

  /** Binds each of these addresses; an address that cannot be bound does not stop the others. */
  async #bindEach(wanted: ListenAddress, addresses: readonly string[]) {
    const keys: string[] = [];
    const errors: ListenerError[] = [];
    for (const address of addresses) {
      const { port } = this.#withPort(wanted);
      try {
        const bound = await this.#bind({ address, port });
        keys.push(socketText(bound));
        if (port === 0) this.#freePorts.set(socketText(wanted), bound.port);
      } catch (error) {
        if (!(error instanceof ListenerError)) throw error;
        errors.push(error);
      }
    }
    return { keys, errors };
  }

  async #bindNewWildcard(wildcard: ListenAddress, limits: SocketPlan['limits']): Promise<string[]> {
    const text = socketText(wildcard);
    if (mayBeOneSocket(wildcard, this.#facts)) {
      const { keys, errors } = await this.#bindEach(wildcard, [wildcard.address]);
      const [error] = errors;
      if (error === undefined && this.#isEnough(wildcard, limits)) return keys;
      if (error?.code === 'not-permitted') throw error;
      if (error !== undefined)
        LISTENER_MESSAGES.eachByItself(this.#context.log, { address: text, reason: error.message });
    }
    const hostAddresses = this.#standsFor(wildcard) ?? [wildcard.address];
    if (hostAddresses.length === 0) this.#skip(text, 'this host has no address of that family');
    const { keys, errors } = await this.#bindEach(wildcard, hostAddresses);
    // not permitted, or another program has the port on every address: the server would run and answer no query
    const fatal = errors.find(
      ({ code }) => code === 'not-permitted' || (code === 'in-use' && keys.length === 0),
    );
    if (fatal !== undefined) throw fatal;
    for (const error of errors) this.#skip(error.subject, error.message);
    return keys;
  }

  /** What decides between one socket and several: with the addresses of the sockets that are open now. */
  get #facts(): PlanFacts {
    const open = [...this.#bound.values()].map(({ endpoint }) => endpoint.address);
    return { ...this.#context, open };
  }

  /** Logs an address that is not listened on, once until the reason changes. */
  #skip(address: string, reason: string): void {
    if (this.#skipped.get(address) === reason) return;
    this.#skipped.set(address, reason);
    LISTENER_MESSAGES.skipped(this.#context.log, { address, reason });
  }

  /**
   * The addresses to bind for a configured address: itself, or for a wildcard the addresses that the host has now. A plain
   * listener has both where the service manager handed over the wildcard: what waited in it, and what it can answer right.
   * Undefined when the host cannot list them, as in a sandbox without AF_NETLINK. Then only the wildcard itself can be
   * bound, and after that no other address on its port.
   */
  #standsFor(wanted: ListenAddress): string[] | undefined {
    if (!isWildcard(wanted.address)) return [wanted.address];
    const isBoundItself = this.#bound.has(this.#keyOf(wanted));
    if (isBoundItself && this.#isEnough(wanted, this.#plan.limits)) return [wanted.address];
    const interfaces = this.#host.list();
    const each = interfaces && expandWildcard(wanted.address, interfaces);
    return isBoundItself && each !== undefined ? [wanted.address, ...each] : each;
  }

  /** Whether the socket of a wildcard can do without sockets of single addresses beside it. */
  #isEnough(wildcard: ListenAddress, limits: SocketPlan['limits']): boolean {
    const { handed, hasPacketInfo } = this.#context;
    return (
      hasPacketInfo === true || handed?.has('udp', wildcard) !== true || limits.has(this.#keyOf(wildcard))
    );
  }

  #keyOf(wanted: ListenAddress): string {
    return socketText(this.#withPort(wanted));
  }

  #withPort(wanted: ListenAddress): ListenAddress {
    if (wanted.port !== 0) return wanted;
    return { ...wanted, port: this.#freePorts.get(socketText(wanted)) ?? 0 };
  }

  /** Follows the addresses of the host while a configured address is not bound, or stands for the addresses of the host. */
  #followLater(): void {
    this.#noteUsable();
    const isComplete = (wanted: ListenAddress): boolean =>
      this.#bound.has(this.#keyOf(wanted)) &&
      (!isWildcard(wanted.address) || this.#context.hasPacketInfo === true);
    if (this.#isClosed || (this.#isUsable && this.#plan.wanted.every(isComplete))) this.#host.stop();
    else this.#host.start();
  }

  #noteUsable(): void {
    const served = this.addresses.map(({ address }) => address);
    const isServed = (address: string): boolean =>
      served.some((one) => one === address || (isWildcard(one) && isSix(one) === isSix(address)));
    const isLoopbackAsked = this.#asked.every(({ address }) => isLoopbackText(address));
    const isLinkLocalAsked = served.some((address) => isIpv6LinkLocal(address) && address.includes('%'));
    this.#isUsable ||= isLoopbackAsked || isLinkLocalAsked || this.#host.hasReachable(isServed);
    if (this.#isUsable) this.#usable.resolve();
  }

  /** Binds addresses that have come, and releases addresses that have been gone for long. */
  async #followHost(): Promise<void> {
    try {
      await this.#followEach();
    } catch (error) {
      LISTENER_MESSAGES.followFails(this.#context.log, { err: error });
    }
    this.#followLater();
  }

  async #followEach(): Promise<void> {
    const present = new Set<string>();
    for (const wanted of this.#plan.wanted) {
      const { port } = this.#withPort(wanted);
      const hostAddresses = this.#standsFor(wanted);
      if (hostAddresses === undefined) return; // not known: everything stays
      const { errors } = await this.#bindEach(wanted, hostAddresses);
      for (const error of errors) this.#skip(error.subject, error.message);
      for (const address of hostAddresses) present.add(socketText({ address, port }));
    }
    this.#release(this.#longAbsent(present), GRACE_MS);
  }

  #longAbsent(present: ReadonlySet<string>): string[] {
    const nowMs = this.#context.clock.monotonicMs();
    const gone: string[] = [];
    for (const [key, bound] of this.#bound) {
      bound.absentSinceMs = present.has(key) ? undefined : (bound.absentSinceMs ?? nowMs);
      if (bound.absentSinceMs !== undefined && nowMs - bound.absentSinceMs >= FORGET_ABSENT_MS)
        gone.push(key);
    }
    return gone;
  }

  /** Releases addresses without waiting for their last replies. */
  #release(keys: readonly string[], graceMs: number): void {
    for (const key of keys) {
      const endpoint = this.#bound.get(key)?.endpoint;
      this.#bound.delete(key);
      if (endpoint === undefined) continue;
      this.#leaving.set(key, endpoint);
      endpoint.close(graceMs).then(() => {
        if (this.#leaving.get(key) === endpoint) this.#leaving.delete(key);
        LISTENER_MESSAGES.stopped(this.#context.log, { address: key });
      });
    }
  }
}

function without(keys: Iterable<string>, excluded: ReadonlySet<string>): string[] {
  return [...keys].filter((key) => !excluded.has(key));
}
