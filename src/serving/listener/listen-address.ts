/** An address and port to listen on, and its text. */
import { isIPv6 } from 'node:net';

export interface ListenAddress {
  /** An IP address as text; link-local IPv6 with its zone (`fe80::1%eth0`); `0.0.0.0` or `::` for all. */
  readonly address: string;
  /** 0: any free port, the same for UDP and TCP. */
  readonly port: number;
}

/** `127.0.0.1:53`, `[::1]:53`. */
export function formatListenAddress({ address, port }: ListenAddress): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}
