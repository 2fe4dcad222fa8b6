/**
 * The operator's configuration of forwarding as plain data: upstreams, groups of upstreams, and settings. Below: the health of
 * one upstream, learned from its replies and its silence.
 */

export interface Upstream {
  /** As the operator wrote it: for logs, metrics and outcomes. */
  readonly text: string;
  /** An IPv4 or IPv6 address in canonical text (a link-local one with its scope: `fe80::1%eth0`), never a name. */
  readonly address: string;
  readonly port: number;
  /** The only transport that may be used, such as `tls`. Without it: UDP, and TCP where UDP fails. */
  readonly transport?: string;
  /** The name or address that the upstream's certificate must be valid for. */
  readonly serverName?: string;
}

/** Upstreams that stand in for each other, in the order of preference. */
export interface UpstreamGroup {
  /** The apex of the names that go to this group, `.` for all other names; unique among the groups. */
  readonly name: string;
  readonly upstreams: readonly Upstream[];
}

/** Returns the same key for two spellings of one server; both spellings then share health and sockets. */
export function upstreamKey({ address, port, transport = '', serverName = '' }: Upstream): string {
  return `${address} ${port} ${transport} ${serverName}`;
}

/** Replaced whole at a reload. */
export interface ForwardSettings {
  /** For one question in all, every attempt with every upstream included. */
  readonly deadlineMs: number;
  /** Bounds of one attempt's timeout. */
  readonly attemptMinMs: number;
  readonly attemptMaxMs: number;
  /** Clients' questions in flight at a time. */
  readonly inFlight: number;
  /** Names are sent in a random case (0x20), and replies must bring it back. Without it each exchange has its own port. */
  readonly caseRandomization: boolean;
  /** AD of the upstreams is believed, so queries ask for it. */
  readonly trustAuthenticatedData: boolean;
}

export const DEFAULT_SETTINGS: ForwardSettings = {
  deadlineMs: 5_000,
  attemptMinMs: 200,
  attemptMaxMs: 2_000,
  inFlight: 1_000,
  caseRandomization: true,
  trustAuthenticatedData: false,
};

type AttemptLimits = Pick<ForwardSettings, 'attemptMinMs' | 'attemptMaxMs'>;

type HealthChange = 'went-down' | 'came-up' | undefined;

const STRIKES_TO_DOWN = 3;
const SUCCESSES_TO_UP = 2;
const PROBE_FIRST_MS = 500;
const PROBE_AGAIN_MS = 100; // heard once: when the link is back, clients and sources ask within the second
const PROBE_LAST_MS = 2_000; // with the time that an answer may take, its return is noticed within 3 s
/** For an upstream that was never heard: half of the second of RFC 6298 section 2, because late replies count too. */
const UNMEASURED_TIMEOUT_MS = 500;
const CLOCK_GRANULARITY_MS = 10; // G in RFC 6298 section 2: the sweep's

/** Learns from real traffic the round-trip time of one upstream, and whether the upstream is up. Pure: the time is an argument. */
export class UpstreamHealth {
  isUp = true;
  /** Failures in a row, while up. */
  strikes = 0;
  /** Smoothed; `undefined` before the first reply. */
  roundTripMs: number | undefined;
  #struckAtMs = Number.NEGATIVE_INFINITY;
  #successes = 0;
  #probeDelayMs = PROBE_FIRST_MS;
  #variationMs = 0;

  /**
   * A reply of any RCODE came: the upstream can be reached. `roundTripMs` where it was measured, late replies included. Each
   * exchange has an ID and a port of its own, so there is no doubt which question was answered (Karn's problem).
   */
  noteReply(roundTripMs: number | undefined, limits: AttemptLimits): HealthChange {
    if (roundTripMs !== undefined) this.#measure(Math.min(roundTripMs, limits.attemptMaxMs));
    this.strikes = 0;
    this.#struckAtMs = Number.NEGATIVE_INFINITY;
    if (this.isUp) return undefined;
    this.#probeDelayMs = PROBE_AGAIN_MS;
    this.#successes++;
    if (this.#successes < SUCCESSES_TO_UP) return undefined;
    this.isUp = true;
    return 'came-up';
  }

  /**
   * An exchange that started at `startedAtMs` got no reply in time, or failed. An exchange that was under way when the last
   * failure was counted says nothing new. A hundred queries lost in one short break are one strike, not a hundred. Real
   * traffic takes an upstream down; a probe that fails only keeps it down.
   */
  noteFailure(nowMs: number, startedAtMs: number, isProbe: boolean): HealthChange {
    if (startedAtMs < this.#struckAtMs) return undefined;
    this.#successes = 0;
    if (!this.isUp || isProbe) return undefined;
    this.#struckAtMs = nowMs;
    this.strikes++;
    if (this.strikes < STRIKES_TO_DOWN) return undefined;
    this.isUp = false;
    this.strikes = 0;
    this.#probeDelayMs = PROBE_FIRST_MS;
    return 'went-down';
  }

  /** How long to wait before the next probe of an upstream that is down: longer each time, until it is heard. */
  nextProbeDelayMs(): number {
    const delayMs = this.#probeDelayMs;
    this.#probeDelayMs = Math.min(delayMs * 2, PROBE_LAST_MS);
    return delayMs;
  }

  /** How long a reply may take before the next attempt starts (RFC 6298 section 2.3, with our own bounds). */
  attemptTimeoutMs(limits: AttemptLimits): number {
    const wantedMs =
      this.roundTripMs === undefined
        ? UNMEASURED_TIMEOUT_MS
        : this.roundTripMs + Math.max(CLOCK_GRANULARITY_MS, 4 * this.#variationMs);
    return Math.min(Math.max(wantedMs, limits.attemptMinMs), limits.attemptMaxMs);
  }

  /** RFC 6298 sections 2.2 and 2.3: alpha is 1/8, beta 1/4. */
  #measure(roundTripMs: number): void {
    if (this.roundTripMs === undefined) {
      this.roundTripMs = roundTripMs;
      this.#variationMs = roundTripMs / 2;
      return;
    }
    this.#variationMs = 0.75 * this.#variationMs + 0.25 * Math.abs(this.roundTripMs - roundTripMs);
    this.roundTripMs = 0.875 * this.roundTripMs + 0.125 * roundTripMs;
  }
}
