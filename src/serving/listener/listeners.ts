/**
 * The room of the listeners: from received octets to octets sent. It knows sockets, frames, clients' addresses and
 * limits; of DNS it knows the twelve header octets, and of answers nothing: those come from a `QueryHandler`.
 *
 *     udp-plain --+                                                          +-- answerNow: octets at once
 *                 +--> intake: header, access, rate --> QueryHandler --------+
 *     tcp --------+                                                          +-- PENDING -> answerLater
 *
 * RFC 1035 section 4.2 (transports), RFC 7766 (TCP, in section 5 as good as UDP), RFC 8914 (REFUSED says why).
 *
 * This file keeps all of them together: which addresses are listened on, now and after a reload, and as the host's
 * own addresses come and go.
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
/** An interface that loses its carrier loses its addresses too; their sockets work on when it comes back. */
const FORGET_ABSENT_MS = 600_000;
/** What is in flight when an address is given up may take as long as the forwarder's whole deadline. */
const GRACE_MS = 5_000;

interface Bound {
  readonly endpoint: BoundAddress;
  /** Since when the host no longer has the address that a wildcard brought here. */
  absentSinceMs: number | undefined;
}

export class Listeners {
  readonly #context: ListenersContext;
  /** By `formatListenAddress` of the address with its real port. */
  readonly #bound = new Map<string, Bound>();
  /** The port that an address with port 0 was given, so that a reload finds it again. */
  readonly #freePorts = new Map<string, number>();
  /** Addresses of a wildcard that could not be bound, with the reason that was logged. */
  readonly #skipped = new Map<string, string>();
  /** What is no longer listened on, but has queries in flight. */
  readonly #leaving = new Map<string, BoundAddress>();
  #wanted: readonly ListenAddress[] = [];
  #rescan: Disposable | undefined;
  /** Changes are made one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #isClosed = false;
  /** Whether the host told its interfaces when last asked: said once when it does no more. */
  #isListing = true;

  constructor(context: ListenersContext) {
    this.#context = context;
  }

  /** Where queries are taken at this moment. */
  get addresses(): ListeningOn[] {
    return [...this.#bound.values()].map(({ endpoint }) => ({ ...endpoint.address, udp: endpoint.udpKind }));
  }

  /**
   * Listens on all of them. Throws a ListenerError, with nothing left open, when an address that is named cannot
   * be bound, or nothing can; an address that a wildcard stands for, or that is not here yet, is skipped with a warning.
   */
  start(addresses: readonly ListenAddress[]): Promise<void> {
    return this.reconfigure(addresses);
  }

  /**
   * Changes to other addresses: binds what is new, then lets go of what is old; what stays is not touched.
   * Throws a ListenerError with everything as it was.
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

  /** Lets go of everything; queries in flight have `graceMs` to be answered. */
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

  /** Binds what is not bound yet; returns the keys of all that the addresses stand for. */
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
    // an address that comes later (DHCP, a VLAN, keepalived) must not keep those that are here from serving
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
    // taken back while it was still on its way out: nobody else is to be blamed for it
    await this.#leaving.get(asked)?.close(0);
    const endpoint = await bindAddress(address, this.#context);
    const key = formatListenAddress(endpoint.address);
    if (address.port === 0) this.#freePorts.set(asked, endpoint.address.port);
    this.#bound.set(key, { endpoint, absentSinceMs: undefined });
    this.#skipped.delete(key);
    this.#context.log.info({ address: key, udp: endpoint.udpKind }, 'listening');
    return key;
  }

  /** Binds what a wildcard stands for; an address that cannot be bound does not keep the others from it. */
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
    // not permitted, or somebody else has the port everywhere: to go on would be to serve nobody and say nothing
    const fatal = errors.find(
      ({ code }) => code === 'not-permitted' || (code === 'in-use' && keys.length === 0),
    );
    if (fatal !== undefined) throw fatal;
    for (const error of errors) this.#skip(error.subject, error.message);
    return keys;
  }

  /** Says once what is not listened on, until it changes. */
  #skip(address: string, reason: string): void {
    if (this.#skipped.get(address) === reason) return;
    this.#skipped.set(address, reason);
    this.#context.log.warn({ address, reason }, 'listen address skipped');
  }

  /**
   * The addresses to bind for a configured one: itself, or for a wildcard those that the host has now. Undefined
   * when the host does not tell, as in a sandbox without AF_NETLINK: then only the wildcard itself can be bound, and
   * once it is there is no room beside it.
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
      const effect = 'addresses that come later are not seen, replies may leave from another than was asked';
      if (this.#isListing)
        this.#context.log.warn({ err: error, effect }, 'listing network interfaces failed');
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
          this.#context.log.error({ err: error }, 'following the addresses of the host failed');
        })
        .finally(() => this.#rescanLater());
    });
  }

  /** Takes up addresses that have come, and lets go of those that have been gone for long. */
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

  /** Lets go of them without waiting for their last replies. */
  #release(keys: readonly string[], graceMs: number): void {
    for (const key of keys) {
      const endpoint = this.#bound.get(key)?.endpoint;
      this.#bound.delete(key);
      if (endpoint === undefined) continue;
      this.#leaving.set(key, endpoint);
      endpoint.close(graceMs).then(() => {
        if (this.#leaving.get(key) === endpoint) this.#leaving.delete(key);
        this.#context.log.info({ address: key }, 'stopped listening');
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
