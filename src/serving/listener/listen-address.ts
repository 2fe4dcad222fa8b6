/**
 * An address and port to listen on, and which addresses of the host a wildcard stands for. A reply has to leave from the
 * address that was asked. Where a datagram does not bring that address, a wildcard becomes every address of the host, each
 * with its own socket. With one socket for all addresses the routing table would choose. Also: why an address cannot be served,
 * and the host's addresses, followed as they come and go. listeners.ts decides which addresses are bound.
 */
import { isIPv4 } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import type { Log } from '../../log/log.ts';
import { isIpv6LinkLocal, isLoopbackText } from '../../protocol/words/address-text.ts';
import { inBackground } from '../../runtime/background.ts';
import type { Clock, Timers } from '../../runtime/clock.ts';
import { systemCode } from '../../runtime/system-errors.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';

export interface ListenAddress {
  /** An IP address as text; link-local IPv6 with its zone (`fe80::1%eth0`); `0.0.0.0` or `::` for all. */
  readonly address: string;
  /** 0: any free port, the same for UDP and TCP. */
  readonly port: number;
}

/** The result of `os.networkInterfaces()`. */
export type HostInterfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/**
 * The addresses of the wildcard's family that the host has now, each once, in the order of the interfaces. Of 127.0.0.0/8
 * only the address of the loopback interface is listed and served.
 */
export function expandWildcard(wildcard: string, interfaces: HostInterfaces): string[] {
  const family = isIPv4(wildcard) ? 'IPv4' : 'IPv6';
  const addresses = Object.entries(interfaces).flatMap(([name, infos = []]) =>
    infos.filter((info) => info.family === family).map((info) => withZone(info.address, name)),
  );
  return [...new Set(addresses)];
}

/** RFC 4007 section 11: a link-local address is ambiguous without its interface. */
function withZone(address: string, interfaceName: string): string {
  return isIpv6LinkLocal(address) && !address.includes('%') ? `${address}%${interfaceName}` : address;
}

/** Tells the person who starts the server why the server cannot listen. Fatal at start; a reload then changes nothing. */
type ListenerErrorCode =
  | 'in-use'
  | 'not-permitted'
  | 'no-such-address'
  | 'bind-failed'
  | 'nothing-bound'
  | 'bad-prefix';

export class ListenerError extends Error {
  readonly code: ListenerErrorCode;
  /** The address, the address and port, or the prefix with the fault. */
  readonly subject: string;

  constructor(code: ListenerErrorCode, subject: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ListenerError';
    this.code = code;
    this.subject = subject;
  }
}

/** The error's `code`, such as `EADDRINUSE`, or its name if it has no code. */
export function codeOrName(error: unknown): string {
  return systemCode(error) ?? (error instanceof Error ? error.name : 'unknown');
}

/** Turns the error of `bind` into a sentence with the fix. `address` is as the operator wrote it, with port. */
export function bindError(error: unknown, address: string, transport: string): ListenerError {
  const failed = `cannot listen on "${address}" (${transport})`;
  const code = codeOrName(error);
  const isBareLinkLocal = code === 'EINVAL' && address.startsWith('[fe80') && !address.includes('%');
  const [kind, detail] = isBareLinkLocal ? BARE_LINK_LOCAL : (KNOWN_ERRORS[code] ?? unknownError(error));
  const holder = kind === 'in-use' ? likelyHolder(address) : '';
  return new ListenerError(kind, address, `${failed}: ${detail}${holder}`, { cause: error });
}

const BARE_LINK_LOCAL = [
  'no-such-address',
  'a link-local address needs its interface, as in "fe80::1%eth0"',
] as const;
const NOT_PERMITTED = [
  'not-permitted',
  'not permitted: a port below 1024 needs CAP_NET_BIND_SERVICE',
] as const;

const KNOWN_ERRORS: Readonly<Record<string, readonly [ListenerErrorCode, string]>> = {
  EADDRINUSE: ['in-use', 'in use by '],
  EACCES: NOT_PERMITTED,
  EPERM: NOT_PERMITTED,
  EADDRNOTAVAIL: ['no-such-address', 'no interface of this host has that address (yet)'],
};

function unknownError(error: unknown): readonly [ListenerErrorCode, string] {
  return ['bind-failed', error instanceof Error ? error.message : String(error)];
}

function likelyHolder(address: string): string {
  const port = address.slice(address.lastIndexOf(':') + 1);
  const find = `"ss -lntup sport = :${port}" shows which`;
  if (port !== '53') return `another program: ${find}`;
  // systemd-resolved's stub listens on these two
  if (/^127\.0\.0\.5[34]:/.test(address))
    return `systemd-resolved, most likely (DNSStubListener=no frees it): ${find}`;
  return `another DNS server (dnsmasq, systemd-resolved, named or a second outpost-dns): ${find}`;
}

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

/** Follows the host's addresses: by the kernel's events where C can be called, by polls elsewhere. */
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
