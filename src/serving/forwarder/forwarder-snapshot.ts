/** The forwarder as plain data, for metrics and status. */
import type { Overload } from './in-flight-shares.ts';
import type { Difference } from './second-opinion.ts';
import type { UpstreamSnapshot } from './upstream-client.ts';

export interface ForwarderSnapshot {
  readonly upstreams: readonly UpstreamSnapshot[];
  /** Questions on their way now. */
  readonly inFlight: number;
  /** Questions that joined one on its way. */
  readonly coalesced: number;
  /** Questions that failed because too many were on their way: new ones (`limit`), and those that gave way to others'. */
  readonly overloaded: Readonly<Record<Overload, number>>;
  /** Questions that failed at once because no upstream was worth asking. */
  readonly failedFast: number;
  /** Names of endpoints that two upstreams answer differently. */
  readonly differences: readonly Difference[];
}
