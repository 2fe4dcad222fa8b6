/**
 * The numbers of DNS by name: types, classes, response codes and extended errors (IANA DNS parameters registry); and, by type, the
 * records that this server authors itself.
 */

/** RR TYPEs by mnemonic (IANA DNS parameters registry); only those that the code or an operator names. */
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  LOC: 29,
  SRV: 33,
  NAPTR: 35,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  SSHFP: 44,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  NSEC3: 50,
  TLSA: 52,
  SVCB: 64,
  HTTPS: 65,
  SPF: 99,
  NXNAME: 128,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
  URI: 256,
  CAA: 257,
} as const;

const typeNames = new Map<number, string>(Object.entries(TYPE).map(([name, value]) => [value, name]));
const typeValues = new Map<string, number>(Object.entries(TYPE));

/** The mnemonic, or `TYPE<n>` where there is none (RFC 3597 section 5). */
export function typeName(type: number): string {
  return typeNames.get(type) ?? `TYPE${type}`;
}

/** The TYPE a mnemonic or `TYPE<n>` stands for, in any case; `undefined` for anything else. */
export function typeFromText(text: string): number | undefined {
  const upper = text.toUpperCase();
  const known = typeValues.get(upper);
  if (known !== undefined) return known;
  const digits = /^TYPE(\d{1,5})$/.exec(upper)?.[1];
  return digits !== undefined && Number(digits) <= 0xffff ? Number(digits) : undefined;
}

/** RR CLASSes (RFC 1035 section 3.2.4, RFC 2136 for NONE). */
export const CLASS = { IN: 1, CH: 3, HS: 4, NONE: 254, ANY: 255 } as const;

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

const rcodeNames = new Map<number, string>(Object.entries(RCODE).map(([name, value]) => [value, name]));

/** The mnemonic, or `RCODE<n>` where there is none. */
export function rcodeName(rcode: number): string {
  return rcodeNames.get(rcode) ?? `RCODE${rcode}`;
}

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
  INVALID_QUERY_TYPE: 30, // RFC 9824 section 9
} as const;

/**
 * INFO-CODEs of the extended errors of one message, in one number, because a cache hit makes no object: the first has the lowest 16
 * bits. So one code alone is such a number, too.
 */
export type ExtendedErrors = number;

const CODES = 0x1_0000;
/** As BIND sends. Three codes of 16 bits are a whole number without loss. */
const MOST_EXTENDED_ERRORS = 3;

/**
 * Adds a code at the end. Left out are a code that is there already, and OTHER beside another: without its text, which is not
 * passed on, it says nothing more.
 */
export function withExtendedError(errors: ExtendedErrors | undefined, code: number): ExtendedErrors {
  if (errors === undefined) return code;
  const count = extendedErrorCount(errors);
  if (code === EXTENDED_ERROR.OTHER || count === MOST_EXTENDED_ERRORS || hasExtendedError(errors, code))
    return errors;
  return errors + code * CODES ** count;
}

export function extendedErrorCount(errors: ExtendedErrors | undefined): number {
  if (errors === undefined) return 0;
  return errors < CODES ? 1 : 1 + extendedErrorCount(Math.floor(errors / CODES));
}

export function extendedErrorAt(errors: ExtendedErrors, nth: number): number {
  return Math.floor(errors / CODES ** nth) % CODES;
}

/** The first `count` of them. */
export function firstExtendedErrors(
  errors: ExtendedErrors | undefined,
  count: number,
): ExtendedErrors | undefined {
  return errors === undefined || count <= 0 ? undefined : errors % CODES ** count;
}

function hasExtendedError(errors: ExtendedErrors, code: number): boolean {
  for (let nth = extendedErrorCount(errors) - 1; nth >= 0; nth--)
    if (extendedErrorAt(errors, nth) === code) return true;
  return false;
}

/** Whether a code says that an answer has expired and could not be confirmed (RFC 8914 sections 4.4 and 4.20). */
export function isStaleError(errors: ExtendedErrors | undefined): boolean {
  if (errors === undefined) return false;
  return (
    hasExtendedError(errors, EXTENDED_ERROR.STALE_ANSWER) ||
    hasExtendedError(errors, EXTENDED_ERROR.STALE_NXDOMAIN)
  );
}

const purposes = new Map<number, string>([
  [EXTENDED_ERROR.OTHER, 'other error'],
  [EXTENDED_ERROR.STALE_ANSWER, 'stale answer'],
  [EXTENDED_ERROR.NOT_READY, 'not ready'],
  [EXTENDED_ERROR.BLOCKED, 'blocked'],
  [EXTENDED_ERROR.PROHIBITED, 'prohibited'],
  [EXTENDED_ERROR.STALE_NXDOMAIN, 'stale NXDOMAIN answer'],
  [EXTENDED_ERROR.NO_REACHABLE_AUTHORITY, 'no reachable authority'],
  [EXTENDED_ERROR.NETWORK_ERROR, 'network error'],
  [EXTENDED_ERROR.INVALID_QUERY_TYPE, 'invalid query type'],
]);

/** The code's purpose in words, or `extended error <n>`. */
export function extendedErrorName(code: number): string {
  return purposes.get(code) ?? `extended error ${code}`;
}

/** Code of the option in OPT that carries an extended error (RFC 8914 section 2). */
export const OPTION_EXTENDED_ERROR = 15;

/** A resource record that this server authors itself, RDATA by field; forwarded records stay octets. */
export type ResourceRecord = {
  /** Owner name, as text in normal form. */
  readonly owner: string;
  readonly ttlSeconds: number;
} & RecordData;

export type RecordData =
  | { readonly type: 'A' | 'AAAA'; readonly address: string }
  | { readonly type: 'CNAME' | 'PTR' | 'NS'; readonly target: string }
  | { readonly type: 'MX'; readonly preference: number; readonly exchange: string }
  /** Each string is at most 255 octets (RFC 1035 section 3.3). */
  | { readonly type: 'TXT'; readonly strings: readonly string[] }
  | { readonly type: 'HINFO'; readonly cpu: string; readonly os: string }
  | {
      readonly type: 'SOA';
      readonly primary: string;
      readonly mailbox: string;
      readonly serial: number;
      readonly refreshSeconds: number;
      readonly retrySeconds: number;
      readonly expireSeconds: number;
      readonly minimumSeconds: number;
    };

/**
 * The most octets that the records of one owner and type may take. Composing takes time in the square of the records; and a
 * TCP reply of 65,535 octets must hold the set and a CNAME chain.
 */
export const MAX_RECORD_SET_OCTETS = 16_384;

const FIXED_OCTETS = 12; // a compressed owner, TYPE, CLASS, TTL, RDLENGTH: RFC 1035 section 3.2.1

/** How many octets a record takes in a message, as an upper bound: a name in its data counts as the longest there is. */
export function mostOctetsOf(record: RecordData): number {
  switch (record.type) {
    case 'A':
      return FIXED_OCTETS + 4;
    case 'AAAA':
      return FIXED_OCTETS + 16;
    case 'TXT':
      return record.strings.reduce((sum, text) => sum + 1 + Buffer.byteLength(text), FIXED_OCTETS);
    default:
      return FIXED_OCTETS + 2 + 255;
  }
}
