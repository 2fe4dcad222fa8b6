/** What the refresh journey is told about a cluster and about time. The room's own types: config/ is mapped onto them. */

import type { Source } from '../records/observation.ts';
import { perSource, type SourceName } from '../records/sources.ts';
import { admission } from './reconcile/guard.ts';
import type { PlanSettings } from './reconcile/plan.ts';

export interface ClusterSettings {
  readonly name: string;
  readonly region?: string;
  /** A domain name as text; wins over what DescribeCluster says. */
  readonly endpoint?: string;
  /** Wins over what DescribeCluster says. */
  readonly vpcId?: string;
  /** CIDR texts. */
  readonly allowedAddresses: readonly string[];
  /** IPv4 addresses, canonical text; empty for no pin. */
  readonly pin: readonly string[];
  /** At most one of each name. */
  readonly sources: readonly Source[];
  /** Left out: no probes. */
  readonly probe?: ProbeSettings;
}

export interface ProbeSettings {
  readonly port: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export interface RefreshTimes {
  readonly intervalMs: Readonly<Record<SourceName, number>>;
  readonly jitterPercent: number;
  /** The first wait after a failure; doubles up to `retryMaxMs`. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** Around every look, outside whatever its client does. */
  readonly deadlineMs: number;
  /** How much later a held change must be repeated to be adopted, and is looked for. Default 15,000. */
  readonly confirmAfterMs?: number;
}

const DEFAULT_CONFIRM_AFTER_MS = 15_000; // shorter than any interval, longer than EC2 takes to agree with itself
/** So many missed looks, and a view is no view any more. */
const VIEW_LASTS_INTERVALS = 3;

/** The part that decides. */
export function planSettingsOf(settings: ClusterSettings, times: RefreshTimes): PlanSettings {
  const lastsMs = (name: SourceName) => VIEW_LASTS_INTERVALS * times.intervalMs[name] + times.deadlineMs;
  return {
    endpoint: settings.endpoint,
    pin: settings.pin,
    admit: admission(settings.allowedAddresses),
    confirmAfterMs: times.confirmAfterMs ?? DEFAULT_CONFIRM_AFTER_MS,
    maximumAgeMs: perSource(lastsMs),
  };
}
