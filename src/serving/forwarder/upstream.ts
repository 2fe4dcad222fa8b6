/** The address of an upstream and the groups that zones forward to, as plain data; texts are parsed by config. */

export interface Upstream {
  /** As the operator wrote it: for logs, metrics and outcomes. */
  readonly text: string;
  /** An IPv4 or IPv6 address in canonical text (a link-local one with its scope: `fe80::1%eth0`), never a name. */
  readonly address: string;
  readonly port: number;
  /** DNS over TLS (RFC 7858); the certificate must be valid for `serverName` (a name or an address). */
  readonly tls?: { readonly serverName: string };
}

/** Upstreams that stand in for each other, in the order of preference. */
export interface UpstreamGroup {
  /** The apex of the names that are forwarded to it, `.` for all others; unique among the groups. */
  readonly name: string;
  readonly upstreams: readonly Upstream[];
}

/** Two upstreams with one key are the same server, however they are written; they share health and sockets. */
export function upstreamKey(upstream: Upstream): string {
  return `${upstream.address} ${upstream.port} ${upstream.tls?.serverName ?? ''}`;
}
