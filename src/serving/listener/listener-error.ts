/** Why listening is impossible, as a sentence for the person who starts the server. Fatal at start; a reload changes nothing then. */
export type ListenerErrorCode =
  | 'in-use'
  | 'not-permitted'
  | 'no-such-address'
  | 'bind-failed'
  | 'nothing-bound'
  | 'bad-prefix';

export class ListenerError extends Error {
  readonly code: ListenerErrorCode;
  /** The address, the address and port, or the prefix with the fault. */
  readonly subject: string;

  constructor(code: ListenerErrorCode, subject: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ListenerError';
    this.code = code;
    this.subject = subject;
  }
}

/** The error's `code`, such as `EADDRINUSE`, or its name if it has no code. */
export function systemCode(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

/** Turns the error of `bind` into a sentence with the fix. `address` is as the operator wrote it, with port. */
export function bindError(error: unknown, address: string, transport: string): ListenerError {
  const failed = `cannot listen on "${address}" (${transport})`;
  const options = { cause: error };
  switch (systemCode(error)) {
    case 'EADDRINUSE':
      return new ListenerError('in-use', address, `${failed}: in use by ${likelyHolder(address)}`, options);
    case 'EACCES':
    case 'EPERM':
      return new ListenerError(
        'not-permitted',
        address,
        `${failed}: not permitted: a port below 1024 needs CAP_NET_BIND_SERVICE`,
        options,
      );
    case 'EADDRNOTAVAIL':
      return new ListenerError(
        'no-such-address',
        address,
        `${failed}: no interface of this host has that address (yet)`,
        options,
      );
    case 'EINVAL':
      if (!address.startsWith('[fe80') || address.includes('%')) break;
      return new ListenerError(
        'no-such-address',
        address,
        `${failed}: a link-local address needs its interface, as in "fe80::1%eth0"`,
        options,
      );
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new ListenerError('bind-failed', address, `${failed}: ${detail}`, options);
}

function likelyHolder(address: string): string {
  const port = address.slice(address.lastIndexOf(':') + 1);
  const find = `"ss -lntup sport = :${port}" shows which`;
  if (port !== '53') return `another program: ${find}`;
  // systemd-resolved's stub listens on these two
  if (/^127\.0\.0\.5[34]:/.test(address))
    return `systemd-resolved, most likely (DNSStubListener=no frees it): ${find}`;
  return `another DNS server (dnsmasq, systemd-resolved, named or a second outpost-dns): ${find}`;
}
