/**
 * Checks of the served addresses from this host, so that an address that fails is answered last.
 *
 * A check orders addresses and never removes one: this host sees one path, and a client may have another. The checks stay on
 * the site, so they go on through a cut, when they matter most. Another check, such as a proof by TLS, is another
 * `AddressCheck` beside `connectTcp`; `daemon/refresh-rooms.ts` hands it in.
 */
import { connect } from 'node:net';
import { inBackground } from '../runtime/background.ts';
import type { Random } from '../runtime/random.ts';
import type { Timers } from '../runtime/timers.ts';
import type { ProbeSettings } from './cluster-settings.ts';
import { hasSameAddresses } from './reconcile/guard.ts';

/** Resolves to whether the address passed; never rejects. */
export type AddressCheck = (address: string, port: number, timeoutMs: number) => Promise<boolean>;

export interface AddressCheckOptions extends ProbeSettings {
  readonly check: AddressCheck;
  readonly timers: Timers;
  readonly random: Random;
  /** Called when the set of dead addresses has changed. */
  readonly onChange: (dead: ReadonlySet<string>) => void;
}

/** One lost SYN is no death. */
const FAILURES_TO_DIE = 2;
const JITTER = 0.1;
/** For a check that ignores its timeout. */
const OVERTIME_MS = 500;

export class AddressChecks {
  readonly #options: AddressCheckOptions;
  /** Failures in a row by address. */
  #failures = new Map<string, number>();
  #dead: ReadonlySet<string> = new Set();
  #next: Disposable | undefined;
  #isStopped = false;

  constructor(options: AddressCheckOptions) {
    this.#options = options;
  }

  get dead(): ReadonlySet<string> {
    return this.#dead;
  }

  /** Checks these addresses from now on. Addresses that stay keep their failures; new ones count as alive. */
  watch(addresses: readonly string[]): void {
    this.#failures = new Map(addresses.map((address) => [address, this.#failures.get(address) ?? 0]));
    this.#update();
  }

  start(): void {
    inBackground('liveness', () => this.#checkAndGoOn());
  }

  stop(): void {
    this.#isStopped = true;
    this.#next?.[Symbol.dispose]();
  }

  /** Checks every address once, side by side. */
  async checkOnce(): Promise<void> {
    const addresses = [...this.#failures.keys()];
    const results = await Promise.all(addresses.map((address) => this.#check(address)));
    if (this.#isStopped) return;
    for (const [index, address] of addresses.entries()) {
      const failures = this.#failures.get(address);
      if (failures === undefined) continue; // no longer served
      this.#failures.set(address, results[index] === true ? 0 : failures + 1);
    }
    this.#update();
  }

  async #checkAndGoOn(): Promise<void> {
    await inBackground('liveness', () => this.checkOnce());
    if (this.#isStopped) return;
    const { timers, random, intervalMs } = this.#options;
    const delayMs = intervalMs * (1 - JITTER + 2 * JITTER * random.fraction());
    this.#next = timers.after(delayMs, () => this.start());
  }

  #check(address: string): Promise<boolean> {
    const { check, port, timeoutMs, timers } = this.#options;
    return new Promise((resolve) => {
      const timer = timers.after(timeoutMs + OVERTIME_MS, () => resolve(false));
      const end = (isAlive: boolean) => {
        timer[Symbol.dispose]();
        resolve(isAlive);
      };
      check(address, port, timeoutMs).then(end, () => end(false));
    });
  }

  #update(): void {
    const dead = deadAddresses(this.#failures);
    if (hasSameAddresses([...dead], [...this.#dead])) return;
    this.#dead = dead;
    this.#options.onChange(dead);
  }
}

/** When all addresses are dead, none counts as dead: the order would say nothing, and the fault is probably on this host. */
export function deadAddresses(failures: ReadonlyMap<string, number>): ReadonlySet<string> {
  const dead = [...failures].filter(([, count]) => count >= FAILURES_TO_DIE).map(([address]) => address);
  return new Set(dead.length === failures.size ? [] : dead);
}

/** Opens a TCP connection and closes it at once, without sending an octet. */
export const connectTcp: AddressCheck = (address, port, timeoutMs) =>
  new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: timeoutMs });
    const end = (isListening: boolean) => {
      socket.destroy();
      resolve(isListening);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.on('error', () => end(false)); // refused, unreachable or reset: the address does not serve
  });
