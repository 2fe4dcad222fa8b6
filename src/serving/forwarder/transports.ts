/**
 * The transports that an upstream can be asked by. A new transport is a row here and a file beside udp.ts, tcp.ts and tls.ts;
 * config/kinds/upstream.ts says how an operator writes it.
 */
import type { Transport } from './exchange.ts';
import { openTcp } from './tcp.ts';
import { openTls, type TlsOptions } from './tls.ts';
import { openUdp, type UdpOptions } from './udp.ts';
import type { Upstream } from './upstream.ts';

export type TransportOptions = UdpOptions & TlsOptions;

export interface TransportKind {
  open(upstream: Upstream, options: TransportOptions): Transport;
  /** Round trips until a reply can be there, a connection included. An attempt waits this number of times as long. */
  readonly roundTrips: number;
  /** Easy to forge, and replies may be truncated: names get a random case, and TCP is used where that fails. */
  readonly isDatagram?: true;
  /** Hides the content of a message but not its length: queries are padded (RFC 8467). */
  readonly isEncrypted?: true;
}

/** By the name that logs, metrics and `Upstream.transport` use. */
export type Transports = Readonly<Record<string, TransportKind>>;

export const TRANSPORTS = {
  udp: { open: openUdp, roundTrips: 1, isDatagram: true },
  tcp: { open: openTcp, roundTrips: 2 },
  tls: { open: openTls, roundTrips: 3, isEncrypted: true },
} as const satisfies Transports;
