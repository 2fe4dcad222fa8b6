/**
 * Which of the served addresses accept a TCP connection from here, so that a dead one can be answered last.
 *
 * It orders and never removes: a probe sees one path from one host, and a client may well have another. The probes
 * stay on the site, so they go on through a cut, which is when they matter most.
 */

import { connect } from 'node:net';
import { inBackground } from '../runtime/background.ts';
import type { Random } from '../runtime/random.ts';
import type { Timers } from '../runtime/timers.ts';
import type { ProbeSettings } from './cluster-settings.ts';

/** Never rejects. */
export type Connect = (address: string, port: number, timeoutMs: number) => Promise<boolean>;

export interface LivenessOptions extends ProbeSettings {
  readonly connect: Connect;
  readonly timers: Timers;
  readonly random: Random;
  /** `dead` differs from what it was. */
  readonly onChange: (dead: ReadonlySet<string>) => void;
}

/** One lost SYN is no death. */
const FAILURES_TO_DIE = 2;
const JITTER = 0.1;
/** For a `connect` that does not keep its own time. */
const OVERTIME_MS = 500;

export class Liveness {
  readonly #options: LivenessOptions;
  #failures = new Map<string, number>();
  #dead: ReadonlySet<string> = new Set();
  #next: Disposable | undefined;
  #isStopped = false;

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  get dead(): ReadonlySet<string> {
    return this.#dead;
  }

  /** Probes these from now on; what was known of addresses that stay is kept, new ones count as alive. */
  watch(addresses: readonly string[]): void {
    this.#failures = new Map(addresses.map((address) => [address, this.#failures.get(address) ?? 0]));
    this.#judge();
  }

  start(): void {
    inBackground('liveness', () => this.#probeAndGoOn());
  }

  stop(): void {
    this.#isStopped = true;
    this.#next?.[Symbol.dispose]();
  }

  /** Probes every address once, side by side. */
  async probeOnce(): Promise<void> {
    const addresses = [...this.#failures.keys()];
    const results = await Promise.all(addresses.map((address) => this.#probe(address)));
    if (this.#isStopped) return;
    for (const [index, address] of addresses.entries()) {
      const failures = this.#failures.get(address);
      if (failures === undefined) continue; // no longer served
      this.#failures.set(address, results[index] === true ? 0 : failures + 1);
    }
    this.#judge();
  }

  async #probeAndGoOn(): Promise<void> {
    await inBackground('liveness', () => this.probeOnce());
    if (this.#isStopped) return;
    const { timers, random, intervalMs } = this.#options;
    const delayMs = intervalMs * (1 - JITTER + 2 * JITTER * random.fraction());
    this.#next = timers.after(delayMs, () => inBackground('liveness', () => this.#probeAndGoOn()));
  }

  #probe(address: string): Promise<boolean> {
    const { connect, port, timeoutMs, timers } = this.#options;
    return new Promise((resolve) => {
      const timer = timers.after(timeoutMs + OVERTIME_MS, () => resolve(false));
      const end = (isAlive: boolean) => {
        timer[Symbol.dispose]();
        resolve(isAlive);
      };
      connect(address, port, timeoutMs).then(end, () => end(false));
    });
  }

  #judge(): void {
    const dead = deadAddresses(this.#failures);
    const isSame = dead.size === this.#dead.size && [...dead].every((address) => this.#dead.has(address));
    if (isSame) return;
    this.#dead = dead;
    this.#options.onChange(dead);
  }
}

/** With all of them dead, none is: the order would say nothing, and the fault is more likely on this side. */
export function deadAddresses(failures: ReadonlyMap<string, number>): ReadonlySet<string> {
  const dead = [...failures].filter(([, count]) => count >= FAILURES_TO_DIE).map(([address]) => address);
  return new Set(dead.length === failures.size ? [] : dead);
}

/** Is somebody listening there? A TCP connection that is opened and closed at once, with no octet sent. */
/** @returns whether the connection was made within `timeoutMs`; never rejects */
export function connectTcp(address: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: timeoutMs });
    const end = (isListening: boolean) => {
      socket.destroy();
      resolve(isListening);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.on('error', () => end(false)); // refused, unreachable, reset: all the same here
  });
}
