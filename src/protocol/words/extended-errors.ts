/** INFO-CODEs of extended errors that this server sends (RFC 8914 section 4). */
export const EXTENDED_ERROR = {
  OTHER: 0,
  STALE_ANSWER: 3,
  NOT_READY: 14,
  BLOCKED: 15,
  PROHIBITED: 18,
  STALE_NXDOMAIN: 19,
  NO_REACHABLE_AUTHORITY: 22,
  NETWORK_ERROR: 23,
} as const;

const purposes = new Map<number, string>([
  [EXTENDED_ERROR.OTHER, 'other error'],
  [EXTENDED_ERROR.STALE_ANSWER, 'stale answer'],
  [EXTENDED_ERROR.NOT_READY, 'not ready'],
  [EXTENDED_ERROR.BLOCKED, 'blocked'],
  [EXTENDED_ERROR.PROHIBITED, 'prohibited'],
  [EXTENDED_ERROR.STALE_NXDOMAIN, 'stale NXDOMAIN answer'],
  [EXTENDED_ERROR.NO_REACHABLE_AUTHORITY, 'no reachable authority'],
  [EXTENDED_ERROR.NETWORK_ERROR, 'network error'],
]);

/** The code's purpose in words, or `extended error <n>`. */
export function extendedErrorName(code: number): string {
  return purposes.get(code) ?? `extended error ${code}`;
}

/** Code of the option in OPT that carries an extended error (RFC 8914 section 2). */
export const OPTION_EXTENDED_ERROR = 15;
