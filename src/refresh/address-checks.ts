/**
 * Checks the addresses of one cluster from this host. Proves each by TLS where an authority of the cluster is known, and
 * otherwise connects by TCP. reconcile/prove.ts decides what the results mean.
 *
 *     every interval, with jitter ---> check every address, side by side ---> standings -> onChange
 *     a new address -----------------> check it at once
 *     a proven address fails once ---> check it again after some seconds
 *
 * The checks stay on the site, so they go on through a cut, when they matter most.
 */
import { connect } from 'node:net';
import type { CheckRequest } from '../far-side/handshake.ts';
import type { CheckResult, EndpointRecord, KnownAddress } from '../records/endpoint-record.ts';
import { inBackground } from '../runtime/background.ts';
import type { Clock, Timers } from '../runtime/clock.ts';
import { jitter, type Random } from '../runtime/random.ts';
import type { ClusterRefresher } from './cluster-refresher.ts';
import {
  initialStanding,
  isInDoubt,
  isSilent,
  movesAtMs,
  nextStanding,
  type Standing,
} from './reconcile/prove.ts';

/** Resolves to what the check showed; never rejects. */
export type AddressCheck = (request: CheckRequest) => Promise<CheckResult>;

export interface AddressCheckOptions {
  readonly check: AddressCheck;
  /** The request for an address, as the record and the settings are now; undefined where the name is not known yet. */
  readonly requestFor: (address: string) => CheckRequest | undefined;
  readonly intervalMs: number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly random: Random;
  /** Called when a standing has changed. */
  readonly onChange: () => void;
}

const JITTER = 0.1;
/** Waits before a new address, and an address in doubt, is checked. Clusters and servers that hear of one event spread their checks. */
const SOON_MS = 1_000;
const DOUBT_MS = 2_000;
/** The time that a check gets beyond its timeout: handshakes wait for their turn, and a check may ignore its timeout. */
const OVERTIME_MS = 8_000;

export class AddressChecks {
  readonly #options: AddressCheckOptions;
  #standings: ReadonlyMap<string, Standing> = new Map();
  readonly #checking = new Map<string, Promise<void>>();
  /** Single checks before the next interval, by address. */
  readonly #soon = new Map<string, Disposable>();
  #next: Disposable | undefined;
  #isStarted = false;
  #isStopped = false;

  constructor(options: AddressCheckOptions) {
    this.#options = options;
  }

  /** A new object after every change. */
  get standings(): ReadonlyMap<string, Standing> {
    return this.#standings;
  }

  /** Silent addresses. When all are silent, none counts as dead: the fault is probably on this host. */
  get dead(): ReadonlySet<string> {
    const silent = [...this.#standings].filter(([, standing]) => isSilent(standing));
    return new Set(silent.length === this.#standings.size ? [] : silent.map(([address]) => address));
  }

  /** Checks these addresses from now on. Addresses that stay keep their standing; new addresses are checked soon. */
  watch(addresses: readonly KnownAddress[]): void {
    const before = this.#standings;
    const coming = addresses.filter(({ address }) => !before.has(address));
    if (coming.length === 0 && before.size === addresses.length) return;
    this.#standings = new Map(
      addresses.map((one) => [one.address, before.get(one.address) ?? initialStanding(one)]),
    );
    for (const [address, timer] of this.#soon) {
      if (this.#standings.has(address)) continue;
      timer[Symbol.dispose]();
      this.#soon.delete(address);
    }
    for (const { address } of coming) this.#checkSoon(address, 0);
  }

  start(): void {
    this.#isStarted = true;
    this.#goOn();
  }

  /** Checks every address soon, because the name or the authority has changed. */
  again(): void {
    for (const address of this.#standings.keys()) this.#checkSoon(address, 0);
  }

  stop(): void {
    this.#isStopped = true;
    this.#next?.[Symbol.dispose]();
    for (const timer of this.#soon.values()) timer[Symbol.dispose]();
    this.#soon.clear();
  }

  /** Checks every address once, side by side. */
  async checkOnce(): Promise<void> {
    await Promise.all([...this.#standings.keys()].map((address) => this.#check(address)));
  }

  #goOn(): void {
    inBackground('address-checks', async () => {
      await inBackground('address-checks', () => this.checkOnce());
      if (this.#isStopped) return;
      const { timers, random, intervalMs } = this.#options;
      this.#next = timers.after(intervalMs * jitter(random, JITTER), () => this.#goOn());
    });
  }

  #checkSoon(address: string, waitMs: number): void {
    if (!this.#isStarted || this.#isStopped || this.#soon.has(address)) return;
    const { timers, random } = this.#options;
    const timer = timers.after(waitMs + random.fraction() * SOON_MS, () => {
      this.#soon.delete(address);
      inBackground('address-checks', () => this.#check(address));
    });
    this.#soon.set(address, timer);
  }

  /** One check of an address at a time. */
  #check(address: string): Promise<void> {
    const running = this.#checking.get(address);
    if (running !== undefined) return running;
    const request = this.#options.requestFor(address);
    if (request === undefined) return Promise.resolve();
    const check = this.#resultOf(request).then((result) => {
      this.#checking.delete(address);
      this.#take(address, result);
    });
    this.#checking.set(address, check);
    return check;
  }

  /** A check that rejects, or that does not end, says nothing about the address. */
  #resultOf(request: CheckRequest): Promise<CheckResult> {
    const { check, timers } = this.#options;
    return new Promise((resolve) => {
      const timer = timers.after(request.timeoutMs + OVERTIME_MS, () => resolve(NOT_ASKED));
      const end = (result: CheckResult) => {
        timer[Symbol.dispose]();
        resolve(result);
      };
      check(request).then(end, () => end(NOT_ASKED));
    });
  }

  #take(address: string, result: CheckResult): void {
    const before = this.#standings.get(address);
    if (before === undefined || this.#isStopped) return; // no longer watched
    const nowMs = this.#options.clock.monotonicMs();
    const after = nextStanding(before, result, nowMs);
    this.#standings = new Map(this.#standings).set(address, after);
    const waitMs = movesAtMs(after);
    if (isInDoubt(after)) this.#checkSoon(address, DOUBT_MS);
    else if (waitMs !== undefined) this.#checkSoon(address, waitMs - nowMs);
    if (isChanged(before, after)) this.#options.onChange();
  }
}

const NOT_ASKED: CheckResult = { kind: 'untried', reason: 'not-asked' };

/** Whether records or reports show the difference. */
function isChanged(before: Standing, after: Standing): boolean {
  return before.proof !== after.proof || before.place !== after.place || isSilent(before) !== isSilent(after);
}

export interface CheckDeps {
  readonly prove: (request: CheckRequest, signal: AbortSignal) => Promise<CheckResult>;
  readonly connect: (request: CheckRequest) => Promise<boolean>;
  readonly timers: Timers;
}

/**
 * Proves by TLS where an authority may be known, or the way leads through a proxy. Otherwise only connects, without the
 * thread that speaks TLS.
 */
export function addressCheck({ prove, connect, timers }: CheckDeps): AddressCheck {
  return async (request) => {
    const { described, file, access } = request.authorities;
    const mayProve = (described ?? file ?? access ?? request.proxy) !== undefined;
    const connected = async (reason: 'no-authority' | 'not-asked'): Promise<CheckResult> =>
      request.proxy === undefined
        ? { kind: 'untried', reason, isListening: await connect(request) }
        : { kind: 'untried', reason };
    if (!mayProve) return connected('no-authority');
    const enough = new AbortController();
    using _timer = timers.after(request.timeoutMs + OVERTIME_MS / 2, () => enough.abort());
    const outcome = await prove(request, enough.signal);
    if (outcome.kind !== 'untried') return outcome;
    return outcome.reason === 'no-authority' ? { ...outcome, isListening: true } : connected('not-asked');
  };
}

/** Opens a TCP connection and closes it at once, without sending an octet. */
export function connectTcp({
  address,
  port,
  timeoutMs,
}: Pick<CheckRequest, 'address' | 'port' | 'timeoutMs'>): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: timeoutMs });
    const end = (isListening: boolean) => {
      socket.destroy();
      resolve(isListening);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.on('error', () => end(false)); // refused, unreachable or reset: the address does not serve
  });
}

/** All addresses of a record that are checked: those that may be served now or later. */
export function watched({ addresses, leaving = [], unpinned = [] }: EndpointRecord): readonly KnownAddress[] {
  return [...new Map([...unpinned, ...leaving, ...addresses].map((one) => [one.address, one])).values()];
}

export function checkRequest(
  { record: { endpoint, details }, settings: { probe } }: ClusterRefresher,
  address: string,
): CheckRequest | undefined {
  if (probe === undefined) return undefined;
  const { port, timeoutMs, proxy, prove, ca, access } = probe;
  const names = [...new Set([details?.endpoint, endpoint])].flatMap((name) => name ?? []);
  const known = { described: details?.certificateAuthority, file: ca, access };
  const authorities = prove && names.length > 0 ? known : {};
  return { address, port, timeoutMs, proxy, names, authorities };
}
