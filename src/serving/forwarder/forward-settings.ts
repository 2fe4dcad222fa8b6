/** What an operator can set about forwarding; replaced whole at a reload. */

export interface ForwardSettings {
  /** For one question in all, every attempt with every upstream counted in. */
  readonly deadlineMs: number;
  /** Bounds of one attempt's timeout. */
  readonly attemptMinMs: number;
  readonly attemptMaxMs: number;
  /** Questions in flight at once; one more fails at once. */
  readonly inFlight: number;
  /** Random case in the names we send (0x20), and replies must have the same; without it each exchange has a port of its own. */
  readonly caseRandomization: boolean;
  /** AD of the upstreams is believed, so we ask for it. */
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
