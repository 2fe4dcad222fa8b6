/** What real traffic says about one upstream: its round-trip time, and whether it is up. Pure: the time is an argument. */

export interface AttemptLimits {
  readonly attemptMinMs: number;
  readonly attemptMaxMs: number;
}

export type HealthChange = 'went-down' | 'came-up' | undefined;

const STRIKES_TO_DOWN = 3;
const SUCCESSES_TO_UP = 2;
const PROBE_FIRST_MS = 500;
const PROBE_AGAIN_MS = 100; // heard once: when the link is back, clients and sources ask within the second
const PROBE_LAST_MS = 2_000; // with the time that an answer may take, its return is noticed within 3 s
/** For an upstream that was never heard: half of the second of RFC 6298 section 2, because late replies count too. */
const UNMEASURED_TIMEOUT_MS = 500;
const CLOCK_GRANULARITY_MS = 10; // G in RFC 6298 section 2: the sweep's

export class UpstreamHealth {
  #isUp = true;
  #strikes = 0;
  #struckAtMs = Number.NEGATIVE_INFINITY;
  #successes = 0;
  #probeDelayMs = PROBE_FIRST_MS;
  #smoothedMs: number | undefined;
  #variationMs = 0;

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Failures in a row, while up. */
  get strikes(): number {
    return this.#strikes;
  }

  /** Smoothed round-trip time; `undefined` before the first reply. */
  get roundTripMs(): number | undefined {
    return this.#smoothedMs;
  }

  /**
   * A reply of any RCODE came: the upstream can be reached. `roundTripMs` where it was measured, late ones included:
   * each exchange has an ID and a port of its own, so there is no doubt which question was answered (Karn's problem).
   */
  noteReply(roundTripMs: number | undefined, limits: AttemptLimits): HealthChange {
    if (roundTripMs !== undefined) this.#measure(Math.min(roundTripMs, limits.attemptMaxMs));
    this.#strikes = 0;
    this.#struckAtMs = Number.NEGATIVE_INFINITY;
    if (this.#isUp) return undefined;
    this.#probeDelayMs = PROBE_AGAIN_MS;
    this.#successes++;
    if (this.#successes < SUCCESSES_TO_UP) return undefined;
    this.#isUp = true;
    return 'came-up';
  }

  /**
   * An exchange that started at `startedAtMs` got no reply in time, or failed. An exchange that was under way when the last
   * failure was counted says nothing new: a hundred queries lost in one short break are one strike, not a hundred.
   * Real traffic takes an upstream down; a probe that fails only keeps it down.
   */
  noteFailure(nowMs: number, startedAtMs: number, isProbe: boolean): HealthChange {
    if (startedAtMs < this.#struckAtMs) return undefined;
    this.#successes = 0;
    if (!this.#isUp || isProbe) return undefined;
    this.#struckAtMs = nowMs;
    this.#strikes++;
    if (this.#strikes < STRIKES_TO_DOWN) return undefined;
    this.#isUp = false;
    this.#strikes = 0;
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
      this.#smoothedMs === undefined
        ? UNMEASURED_TIMEOUT_MS
        : this.#smoothedMs + Math.max(CLOCK_GRANULARITY_MS, 4 * this.#variationMs);
    return Math.min(Math.max(wantedMs, limits.attemptMinMs), limits.attemptMaxMs);
  }

  /** RFC 6298 sections 2.2 and 2.3: alpha is 1/8, beta 1/4. */
  #measure(roundTripMs: number): void {
    if (this.#smoothedMs === undefined) {
      this.#smoothedMs = roundTripMs;
      this.#variationMs = roundTripMs / 2;
      return;
    }
    this.#variationMs = 0.75 * this.#variationMs + 0.25 * Math.abs(this.#smoothedMs - roundTripMs);
    this.#smoothedMs = 0.875 * this.#smoothedMs + 0.125 * roundTripMs;
  }
}
