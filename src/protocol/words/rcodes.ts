/** Response codes (RFC 1035 section 4.1.1, RFC 2136 section 2.2, RFC 6891 section 9). */
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  YXDOMAIN: 6,
  YXRRSET: 7,
  NXRRSET: 8,
  NOTAUTH: 9,
  NOTZONE: 10,
  BADVERS: 16,
  BADCOOKIE: 23, // RFC 7873 section 8
} as const;

/** Whether a response code is about the name that was asked for; other codes are about the server that was asked. */
export function isAboutName(rcode: number): boolean {
  // RFC 6672 section 2.2: YXDOMAIN says that a DNAME made the name too long
  return rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN || rcode === RCODE.YXDOMAIN;
}

const names = new Map<number, string>(Object.entries(RCODE).map(([name, value]) => [value, name]));

/** The mnemonic, or `RCODE<n>` where there is none. */
export function rcodeName(rcode: number): string {
  return names.get(rcode) ?? `RCODE${rcode}`;
}
