/**
 * The addresses of the host, followed as they come and go: by the kernel's events where C can be called, by polls elsewhere.
 * listeners.ts decides which addresses are bound.
 */
import type { Log } from '../../log/log.ts';
import { isIpv6LinkLocal, isLoopbackText } from '../../protocol/words/address-text.ts';
import { inBackground } from '../../runtime/background.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Timers } from '../../runtime/timers.ts';
import type { HostInterfaces } from './listen-address.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';

export interface HostAddressesContext {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  /** `os.networkInterfaces`. */
  readonly interfaces: () => HostInterfaces;
  /** Calls after every change of an address or a carrier; throws where the kernel does not tell. Absent where C cannot be called. */
  readonly watchHostAddresses?: (onChange: () => void) => Disposable;
}

/** With events: to try again a port that another program held. */
const RETRY_MS = 30_000;
/** Without events. To list a few interfaces takes 0.1 ms. */
const POLL_MS = 1_000;
/** A poll on a host with thousands of addresses takes milliseconds: polls get a thousandth of the time. */
const POLL_SHARE = 1_000;
/** Many changes at one moment are followed together. */
const SETTLE_MS = 10;
/** Changes that never end, on a host with thousands of addresses, get a twentieth of the time; this is the longest wait. */
const EVENT_SHARE = 20;
const LONGEST_SETTLE_MS = 500;

export class HostAddresses {
  readonly #context: HostAddressesContext;
  readonly #follow: () => Promise<void>;
  #watch: Disposable | undefined;
  /** Whether the kernel tells; undefined until it was asked. */
  #hasEvents: boolean | undefined;
  #next: Disposable | undefined;
  #nextMs = 0;
  #tookMs = 0;
  #isFollowing = false;
  /** Whether the host listed its interfaces the last time; a failure is logged once. */
  #isListing = true;

  /** `follow` is called after the addresses may have changed; it never rejects. */
  constructor(context: HostAddressesContext, follow: () => Promise<void>) {
    this.#context = context;
    this.#follow = follow;
  }

  /** Undefined where the host cannot list them, as in a sandbox without AF_NETLINK. */
  list(): HostInterfaces | undefined {
    const { interfaces, log } = this.#context;
    try {
      const listed = interfaces();
      this.#isListing = true;
      return listed;
    } catch (error) {
      const effect = 'new addresses of this host are not seen';
      if (this.#isListing) LISTENER_MESSAGES.interfacesFail(log, { err: error, effect });
      this.#isListing = false;
      return undefined;
    }
  }

  /** Whether the host has an address, other than loopback and link-local, that satisfies `isServed`. */
  hasReachable(isServed: (address: string) => boolean): boolean {
    const listed = this.list();
    if (listed === undefined) return true; // not known
    return Object.values(listed).some((infos = []) =>
      infos.some(({ address }) => !isLoopbackText(address) && !isIpv6LinkLocal(address) && isServed(address)),
    );
  }

  start(): void {
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    this.#watch ??= this.#openWatch();
    this.#later(this.#hasEvents === true ? RETRY_MS : POLL_MS);
  }

  stop(): void {
    this.#isFollowing = false;
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    this.#next?.[Symbol.dispose]();
    this.#next = undefined;
  }

  #openWatch(): Disposable | undefined {
    if (this.#hasEvents === false) return undefined;
    try {
      const watch = this.#context.watchHostAddresses?.(() =>
        this.#later(Math.min(LONGEST_SETTLE_MS, Math.max(SETTLE_MS, this.#tookMs * EVENT_SHARE))),
      );
      this.#hasEvents = watch !== undefined;
      return watch;
    } catch (error) {
      this.#hasEvents = false;
      LISTENER_MESSAGES.addressesPolled(this.#context.log, { err: error });
      return undefined;
    }
  }

  /** Follows after `ms`, or sooner: a change that comes meanwhile puts nothing off. */
  #later(ms: number): void {
    if (!this.#isFollowing) return;
    const dueMs = this.#context.clock.monotonicMs() + ms;
    if (this.#next !== undefined && this.#nextMs <= dueMs) return;
    this.#next?.[Symbol.dispose]();
    this.#nextMs = dueMs;
    this.#next = this.#context.timers.after(ms, () => {
      inBackground('listeners', () => this.#run());
    });
  }

  async #run(): Promise<void> {
    const { clock } = this.#context;
    const startedMs = clock.monotonicMs();
    this.#next = undefined;
    await this.#follow();
    this.#tookMs = clock.monotonicMs() - startedMs;
    // an event came meanwhile, or nothing is followed any more
    if (this.#next !== undefined) return;
    const pollMs = Math.min(RETRY_MS, Math.max(POLL_MS, this.#tookMs * POLL_SHARE));
    this.#later(this.#hasEvents === true ? RETRY_MS : pollMs);
  }
}
