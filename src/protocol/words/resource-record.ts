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
