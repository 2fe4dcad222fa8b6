/**
 * The room of the listeners: from received octets to octets sent. It knows sockets, frames, clients' addresses and
 * limits. Of DNS it knows the twelve header octets; answers come from a `QueryHandler`.
 *
 *     udp-batched --+                                              +-- answer: octets at once
 *     udp-plain ----+--> intake: header, access --> QueryHandler --+
 *     tcp ----------+    <-- rate limit, cookie <--                +-- PENDING -> later: messages to a Reply
 *
 * RFC 1035 section 4.2 (transports), RFC 7766 (TCP, in section 5 as good as UDP), RFC 8914 (REFUSED says why).
 *
 * This file decides which addresses are listened on: now, after a reload, and as the host's own addresses come and go.
 */

import { type BindContext, type BoundAddress, bindAddress } from './bound-address.ts';
import {
  expandWildcard,
  formatListenAddress,
  type HostInterfaces,
  isWildcard,
  type ListenAddress,
  MAX_EXPANDED,
} from './listen-address.ts';
import { ListenerError } from './listener-error.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';
import type { UdpListener } from './udp-listener.ts';

export interface ListenersContext extends BindContext {
  /** `os.networkInterfaces`. */
  readonly interfaces: () => HostInterfaces;
  readonly rescanMs?: number;
}

export interface ListeningOn extends ListenAddress {
  readonly udp: UdpListener['kind'];
}

const RESCAN_MS = 30_000;
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
  /** By `formatListenAddress` of the address with its real port. */
  readonly #bound = new Map<string, Bound>();
  /** The port that an address with port 0 got, so that a reload finds it again. */
  readonly #freePorts = new Map<string, number>();
  /** Addresses of a wildcard that could not be bound, with the reason that was logged. */
  readonly #skipped = new Map<string, string>();
  /** Addresses that are no longer listened on, but have queries in flight. */
  readonly #leaving = new Map<string, BoundAddress>();
  #wanted: readonly ListenAddress[] = [];
  #rescan: Disposable | undefined;
  /** Changes run one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #isClosed = false;
  /** Whether the host listed its interfaces the last time; a failure is logged once. */
  #isListing = true;

  constructor(context: ListenersContext) {
    this.#context = context;
  }

  /** Returns the addresses on which the server takes queries at this moment. */
  get addresses(): ListeningOn[] {
    return [...this.#bound.values()].map(({ endpoint }) => ({ ...endpoint.address, udp: endpoint.udpKind }));
  }

  /**
   * Listens on all addresses. Throws a ListenerError and leaves nothing open when a named address cannot be bound, or none
   * can. An address of a wildcard, or an address that this host does not have yet, is skipped with a warning.
   */
  start(addresses: readonly ListenAddress[]): Promise<void> {
    return this.reconfigure(addresses);
  }

  /**
   * Changes to other addresses: binds new ones, then releases old ones; the others are not touched. Throws a ListenerError
   * and leaves everything as it was.
   */
  reconfigure(addresses: readonly ListenAddress[]): Promise<void> {
    return this.#inTurn(async () => {
      const before = new Set(this.#bound.keys());
      try {
        const keep = await this.#bindAll(addresses);
        this.#wanted = addresses;
        this.#release(without(before, keep), GRACE_MS);
      } catch (error) {
        this.#release(without(this.#bound.keys(), before), 0);
        throw error;
      }
      this.#rescanLater();
    });
  }

  /** Releases all addresses; queries in flight have `graceMs` to be answered. */
  async close(graceMs = 0): Promise<void> {
    this.#isClosed = true;
    this.#rescan?.[Symbol.dispose]();
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
  async #bindAll(addresses: readonly ListenAddress[]): Promise<Set<string>> {
    const keys: string[] = [];
    const absent: ListenerError[] = [];
    for (const wanted of addresses) {
      if (isWildcard(wanted.address)) keys.push(...(await this.#bindNewWildcard(wanted)));
      else {
        const { keys: bound, errors } = await this.#bindWildcard(wanted, [wanted.address]);
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
    const texts = addresses.map(formatListenAddress).join('", "');
    throw new ListenerError(
      'nothing-bound',
      texts,
      `cannot listen anywhere: no address of this host for "${texts}"`,
    );
  }

  async #bind(address: ListenAddress): Promise<string> {
    const asked = formatListenAddress(address);
    if (this.#bound.has(asked)) return asked;
    // wanted again while its old sockets still close: "in use" would blame another program
    await this.#leaving.get(asked)?.close(0);
    const endpoint = await bindAddress(address, this.#context);
    const key = formatListenAddress(endpoint.address);
    if (address.port === 0) this.#freePorts.set(asked, endpoint.address.port);
    this.#bound.set(key, { endpoint, absentSinceMs: undefined });
    this.#skipped.delete(key);
    LISTENER_MESSAGES.listening(this.#context.log, { address: key, udp: endpoint.udpKind });
    return key;
  }

  /** Binds each address of a wildcard; an address that cannot be bound does not stop the others. */
  async #bindWildcard(wildcard: ListenAddress, hostAddresses: readonly string[]): Promise<WildcardBinding> {
    const keys: string[] = [];
    const errors: ListenerError[] = [];
    for (const address of hostAddresses) {
      const { port } = this.#withPort(wildcard);
      try {
        const key = await this.#bind({ address, port });
        keys.push(key);
        if (port === 0) this.#freePorts.set(formatListenAddress(wildcard), this.#portOf(key));
      } catch (error) {
        if (!(error instanceof ListenerError)) throw error;
        errors.push(error);
      }
    }
    return { keys, errors };
  }

  async #bindNewWildcard(wildcard: ListenAddress): Promise<string[]> {
    const text = formatListenAddress(wildcard);
    const hostAddresses = this.#standsFor(wildcard) ?? [wildcard.address];
    if (hostAddresses.length === 0) this.#skip(text, 'this host has no address of that family');
    const { keys, errors } = await this.#bindWildcard(wildcard, hostAddresses);
    // not permitted, or another program has the port on every address: the server would run and answer no query
    const fatal = errors.find(
      ({ code }) => code === 'not-permitted' || (code === 'in-use' && keys.length === 0),
    );
    if (fatal !== undefined) throw fatal;
    for (const error of errors) this.#skip(error.subject, error.message);
    return keys;
  }

  /** Logs an address that is not listened on, once until the reason changes. */
  #skip(address: string, reason: string): void {
    if (this.#skipped.get(address) === reason) return;
    this.#skipped.set(address, reason);
    LISTENER_MESSAGES.skipped(this.#context.log, { address, reason });
  }

  /**
   * The addresses to bind for a configured address: itself, or for a wildcard the addresses that the host has now.
   * Undefined when the host cannot list them, as in a sandbox without AF_NETLINK. Then only the wildcard itself can be
   * bound, and after that no other address on its port.
   */
  #standsFor(wanted: ListenAddress): string[] | undefined {
    const isBoundItself = this.#bound.has(formatListenAddress(this.#withPort(wanted)));
    return isWildcard(wanted.address) && !isBoundItself ? this.#hostAddresses(wanted) : [wanted.address];
  }

  #hostAddresses(wildcard: ListenAddress): string[] | undefined {
    const interfaces = this.#hostInterfaces();
    if (interfaces === undefined) return undefined;
    const all = expandWildcard(wildcard.address, interfaces);
    if (all.length <= MAX_EXPANDED) return all;
    const reason = `this host has more than ${MAX_EXPANDED} addresses: name those to listen on`;
    this.#skip(formatListenAddress(wildcard), reason);
    return all.slice(0, MAX_EXPANDED);
  }

  #hostInterfaces(): HostInterfaces | undefined {
    try {
      const interfaces = this.#context.interfaces();
      this.#isListing = true;
      return interfaces;
    } catch (error) {
      const effect =
        'new addresses of this host are not seen; a reply may leave from another address than the query went to';
      if (this.#isListing) LISTENER_MESSAGES.interfacesFail(this.#context.log, { err: error, effect });
      this.#isListing = false;
      return undefined;
    }
  }

  #withPort(wanted: ListenAddress): ListenAddress {
    if (wanted.port !== 0) return wanted;
    return { ...wanted, port: this.#freePorts.get(formatListenAddress(wanted)) ?? 0 };
  }

  #portOf(key: string): number {
    return this.#bound.get(key)?.endpoint.address.port ?? 0;
  }

  #rescanLater(): void {
    this.#rescan?.[Symbol.dispose]();
    const isComplete = (wanted: ListenAddress) =>
      !isWildcard(wanted.address) && this.#bound.has(formatListenAddress(this.#withPort(wanted)));
    if (this.#isClosed || this.#wanted.every(isComplete)) return;
    this.#rescan = this.#context.timers.after(this.#context.rescanMs ?? RESCAN_MS, () => {
      this.#inTurn(() => this.#followHost())
        .catch((error: unknown) => {
          LISTENER_MESSAGES.followFails(this.#context.log, { err: error });
        })
        .finally(() => this.#rescanLater());
    });
  }

  /** Binds addresses that have come, and releases addresses that have been gone for long. */
  async #followHost(): Promise<void> {
    const present = new Set<string>();
    for (const wanted of this.#wanted) {
      const { port } = this.#withPort(wanted);
      const hostAddresses = this.#standsFor(wanted);
      if (hostAddresses === undefined) return; // not known: everything stays
      const { errors } = await this.#bindWildcard(wanted, hostAddresses);
      for (const error of errors) this.#skip(error.subject, error.message);
      for (const address of hostAddresses) present.add(formatListenAddress({ address, port }));
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

interface WildcardBinding {
  readonly keys: string[];
  readonly errors: ListenerError[];
}
