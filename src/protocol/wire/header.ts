/**
 * The twelve octets that every message starts with (RFC 1035 section 4.1.1) and how to read 16- and 32-bit
 * integers. No reader of octets here throws; each says how it treats octets after the end.
 */
export const HEADER_OCTETS = 12;
/** Of a record, after its owner: TYPE, CLASS, TTL, RDLENGTH (RFC 1035 section 3.2.1). */
export const FIXED_RR_OCTETS = 10;
/** The largest message there is: TCP's length field has 16 bits (RFC 7766 section 8). */
export const MAX_MESSAGE_OCTETS = 65_535;
/** The UDP size that the server offers, and the most octets that it sends: this size fits one unfragmented datagram. */
export const EDNS_UDP_OCTETS = 1232;
/** The most that a client without EDNS can take over UDP (RFC 1035 section 4.2.1). */
export const PLAIN_UDP_OCTETS = 512;

/** Bits of the 16-bit flags field (RFC 1035 section 4.1.1; AD and CD: RFC 4035 section 3.2). */
export const FLAG = {
  QR: 0x8000,
  OPCODE: 0x7800,
  AA: 0x0400,
  TC: 0x0200,
  RD: 0x0100,
  RA: 0x0080,
  Z: 0x0040,
  AD: 0x0020,
  CD: 0x0010,
  RCODE: 0x000f,
} as const;

/** Big-endian 16-bit integer; octets beyond the end read as zero. */
export function uint16At(octets: Uint8Array, at: number): number {
  return ((octets[at] ?? 0) << 8) | (octets[at + 1] ?? 0);
}

/** Big-endian unsigned 32-bit integer; octets beyond the end read as zero. */
export function uint32At(octets: Uint8Array, at: number): number {
  return ((uint16At(octets, at) << 16) | uint16At(octets, at + 2)) >>> 0;
}

/** The four bits of the response code that the header of the message at `start` has (RFC 1035 section 4.1.1). */
export function rcodeAt(message: Uint8Array, start: number): number {
  return (message[start + 3] ?? 0) & FLAG.RCODE;
}

export function putUint16(octets: Uint8Array, at: number, value: number): void {
  octets[at] = value >>> 8;
  octets[at + 1] = value;
}

export function putUint32(octets: Uint8Array, at: number, value: number): void {
  putUint16(octets, at, value >>> 16);
  putUint16(octets, at + 2, value);
}
