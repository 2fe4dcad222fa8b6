/** The configuration as the rest of the program gets it: plain data, checked, frozen, with units in the names. */
import type { SourceName } from '../records/sources.ts';
import type { SocketAddress } from './kinds/address.ts';
import type { RetainedName } from './kinds/retained-name.ts';
import type { Upstream } from './kinds/upstream.ts';
import type { ZoneRecord } from './zone-record.ts';

export type { SocketAddress } from './kinds/address.ts';
export type { RetainedName } from './kinds/retained-name.ts';
export type { Upstream } from './kinds/upstream.ts';
export type { ZoneRecord } from './zone-record.ts';

export interface Config {
  readonly clusters: readonly ClusterConfig[];
  readonly upstreams: readonly Upstream[];
  readonly listen: {
    readonly dns: readonly SocketAddress[];
    readonly udp: 'auto' | 'batched' | 'plain';
  };
  /** Networks in CIDR form. */
  readonly clients: { readonly allow: readonly string[] };
  readonly zones: readonly ZoneConfig[];
  /** No question twice, none about an endpoint. */
  readonly retain: readonly RetainedName[];
  readonly refresh: RefreshConfig;
  readonly forward: ForwardConfig;
  readonly cache: CacheConfig;
  readonly limits: LimitsConfig;
  readonly identity: { readonly version?: string; readonly id?: string };
  readonly admin: {
    readonly listen: SocketAddress;
    /** Networks in CIDR form. */
    readonly allow: readonly string[];
    /** Names in lower case. */
    readonly hosts: readonly string[];
  };
  /** Networks in CIDR form. */
  readonly drill: { readonly onSite: readonly string[] };
  readonly state: { readonly directory: string };
  /** From the environment alone. */
  readonly outbound: OutboundConfig;
  readonly log: {
    readonly level: 'debug' | 'info' | 'warn' | 'error';
    readonly format: 'auto' | 'json' | 'pretty';
  };
}

/** The way out to AWS. */
export interface OutboundConfig {
  /** The URL of the proxy for `https:` URLs; it may hold user and password. */
  readonly httpsProxy?: string;
  /** The same for `http:` URLs, which an endpoint of one's own may have. */
  readonly httpProxy?: string;
  /** Hosts that are asked without a proxy: names, suffixes, addresses, networks, `*`; lower case. */
  readonly noProxy: readonly string[];
  /** The file of certificate authorities that count in place of the public ones. */
  readonly caBundle?: string;
  readonly profile?: string;
  readonly configFile?: string;
  readonly credentialsFile?: string;
  /** The file of certificate authorities that Node adds by itself. */
  readonly extraCertificates?: string;
}

export interface ClusterConfig {
  readonly name: string;
  readonly region?: string;
  readonly endpoint?: string;
  readonly vpcId?: string;
  /** IPv4 networks in CIDR form. */
  readonly vpcNetworks: readonly string[];
  /** With the defaults filled in; never empty, none twice. */
  readonly sources: readonly SourceName[];
  readonly route53?: { readonly kind: 'zone'; readonly zoneId: string } | { readonly kind: 'find' };
  /** Paths of files. */
  readonly kubernetes?:
    | { readonly kind: 'kubeconfig'; readonly kubeconfig: string }
    | {
        readonly kind: 'certificate';
        readonly certificate: string;
        readonly key: string;
        readonly ca?: string;
      };
  /** IPv4 networks in CIDR form. */
  readonly allowedAddresses: readonly string[];
  /** IPv4 addresses, each inside `allowedAddresses`. */
  readonly pin: readonly string[];
  readonly probe: {
    readonly enabled: boolean;
    readonly port: number;
    readonly intervalMs: number;
    readonly timeoutMs: number;
  };
  readonly profile?: string;
}

export type ZoneConfig =
  | {
      readonly kind: 'forward';
      readonly name: string;
      /** Where the zone names none: those of the nearest zone above it, else the default upstreams. */
      readonly forwardTo: readonly Upstream[];
      readonly whileDisconnected?: WhileDisconnected;
    }
  | { readonly kind: 'answer'; readonly name: string; readonly answer: 'nxdomain' | 'servfail' | 'refused' }
  | { readonly kind: 'records'; readonly name: string; readonly records: readonly ZoneRecord[] };

export type WhileDisconnected = 'stale' | 'servfail' | 'nxdomain' | readonly ZoneRecord[];

export interface RefreshConfig {
  readonly intervalMs: Readonly<Record<SourceName, number>>;
  readonly jitterPercent: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  readonly deadlineMs: number;
}

export interface ForwardConfig {
  readonly deadlineMs: number;
  readonly attemptMinMs: number;
  readonly attemptMaxMs: number;
  readonly inFlight: number;
  readonly caseRandomization: boolean;
  /** Who is asked about names that a site may have for itself. */
  readonly siteNames: 'auto' | 'always' | 'never';
  readonly trustAuthenticatedData: boolean;
}

export interface CacheConfig {
  readonly sizeOctets: number;
  readonly maxTtlSeconds: number;
  readonly negativeTtlSeconds: number;
  /** Infinity for `unlimited`. */
  readonly staleForMs: number;
  readonly staleTtlSeconds: number;
  readonly prefetch: boolean;
}

export interface LimitsConfig {
  readonly tcpConnections: number;
  readonly tcpConnectionsPerClient: number;
  readonly tcpIdleMs: number;
  readonly tcpFrameMs: number;
  readonly tcpPipelined: number;
  /** 0 for no limit; so is the next. */
  readonly responsesPerSecond: number;
  readonly refusalsPerSecond: number;
  /** 0 for never. */
  readonly slip: number;
}
