/** The settings of the refresh journey, for a cluster and for times. The types are the room's own; config/ is mapped onto them. */
import type { AuthorityPlaces } from '../far-side/handshake.ts';
import type { Source } from '../records/observation.ts';
import { perSource, type SourceName } from '../records/sources.ts';
import { refusalsBy } from './reconcile/guard.ts';
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
  /** Without it, addresses are not checked. */
  readonly probe?: ProbeSettings;
}

export interface ProbeSettings {
  readonly port: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Proves addresses by TLS where an authority is known. */
  readonly prove: boolean;
  /** A file with authorities of the cluster, in PEM. */
  readonly ca?: string;
  /** How the API server is asked: its files may name the authority as well. */
  readonly access?: AuthorityPlaces['access'];
  /** The HTTP proxy through which this host reaches the addresses. */
  readonly proxy?: { readonly address: string; readonly port: number };
}

export interface RefreshTimes {
  readonly intervalMs: Readonly<Record<SourceName, number>>;
  readonly jitterPercent: number;
  /** The wait after the first failure; each further failure doubles the wait, up to `retryMaxMs`. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** Bounds every poll, even if the client of the poll ignores the deadline. */
  readonly deadlineMs: number;
  /** A held change is adopted when it is repeated this much later. Default 15,000. */
  readonly confirmAfterMs?: number;
}

/** Shorter than any interval, and longer than EC2 takes to agree with itself. */
const DEFAULT_CONFIRM_AFTER_MS = 15_000;
/** An answer counts for this many intervals, and for the poll that should have replaced it. */
const VIEW_LASTS_INTERVALS = 3;

export function planSettingsOf(settings: ClusterSettings, times: RefreshTimes): PlanSettings {
  return {
    endpoint: settings.endpoint,
    pin: settings.pin,
    isProving: settings.probe?.prove ?? false,
    refusalOf: refusalsBy(settings.allowedAddresses),
    confirmAfterMs: times.confirmAfterMs ?? DEFAULT_CONFIRM_AFTER_MS,
    maximumAgeMs: perSource((name) => VIEW_LASTS_INTERVALS * times.intervalMs[name] + times.deadlineMs),
  };
}
