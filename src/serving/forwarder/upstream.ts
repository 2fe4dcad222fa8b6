/** The operator's configuration of forwarding as plain data: upstreams, groups of upstreams, and settings. */

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
