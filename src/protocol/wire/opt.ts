/**
 * The OPT record of a reply (RFC 6891 section 6.1.2): at most one extended error (RFC 8914 section 2), and a COOKIE when
 * the query had one (RFC 7873 section 4). The server cookie stands in the last 16 octets of such a reply; it depends on
 * the client's address, so it is written here as zeros and the listener fills it in.
 */
import { TYPE } from '../words/types.ts';
import { EDNS_UDP_OCTETS, putUint16, uint16At } from './header.ts';
import type { Query } from './query.ts';

const OPT_OCTETS = 11; // root owner, TYPE, CLASS, TTL, RDLENGTH
const EXTENDED_ERROR_OCTETS = 6; // OPTION-CODE, OPTION-LENGTH, INFO-CODE; we send no EXTRA-TEXT
export const OPTION_EXTENDED_ERROR = 15; // RFC 8914 section 2

export const OPTION_COOKIE = 10; // RFC 7873 section 4
export const CLIENT_COOKIE_OCTETS = 8;
export const SERVER_COOKIE_OCTETS = 16; // RFC 9018 section 4
const COOKIE_OCTETS = 4 + CLIENT_COOKIE_OCTETS + SERVER_COOKIE_OCTETS;

/** Octets that `writeOpt` writes: none for a query without EDNS. */
export function optLength(query: Query, extendedError: number | undefined): number {
  if (!query.hasEdns) return 0;
  return (
    OPT_OCTETS +
    (extendedError === undefined ? 0 : EXTENDED_ERROR_OCTETS) +
    (query.cookieAt < 0 ? 0 : COOKIE_OCTETS)
  );
}

/** Writes the record at `at`, for a query with EDNS, and returns the offset after it. `rcode` is the whole 12-bit code. */
export function writeOpt(
  reply: Uint8Array,
  at: number,
  rcode: number,
  query: Query,
  extendedError: number | undefined,
): number {
  reply[at] = 0;
  putUint16(reply, at + 1, TYPE.OPT);
  putUint16(reply, at + 3, EDNS_UDP_OCTETS);
  reply[at + 5] = rcode >>> 4; // RFC 6891 section 6.1.3: the upper eight bits
  reply[at + 6] = 0; // version
  reply[at + 7] = query.dnssecOk ? 0x80 : 0; // RFC 3225 section 3: DO is copied
  reply[at + 8] = 0;
  let end = at + OPT_OCTETS;
  if (extendedError !== undefined) {
    putUint16(reply, end, OPTION_EXTENDED_ERROR);
    putUint16(reply, end + 2, 2);
    putUint16(reply, end + 4, extendedError);
    end += EXTENDED_ERROR_OCTETS;
  }
  if (query.cookieAt >= 0) end = writeCookie(reply, end, query);
  putUint16(reply, at + 9, end - at - OPT_OCTETS);
  return end;
}

/** The client cookie as it came, and the place of the server cookie. */
function writeCookie(reply: Uint8Array, at: number, { octets, cookieAt }: Query): number {
  putUint16(reply, at, OPTION_COOKIE);
  putUint16(reply, at + 2, CLIENT_COOKIE_OCTETS + SERVER_COOKIE_OCTETS);
  let to = at + 4;
  for (let i = 0; i < CLIENT_COOKIE_OCTETS; i++) reply[to++] = octets[cookieAt + i] ?? 0;
  for (let i = 0; i < SERVER_COOKIE_OCTETS; i++) reply[to++] = 0;
  return to;
}

/**
 * Reads the options from `start` to `end` into `query`; false where they are broken. RFC 6891 section 7: half an option
 * header, or an option that overruns the record, is a malformed message. Section 6.1.2: other options are ignored.
 */
export function readOptions(query: Query, start: number, end: number): boolean {
  const { octets } = query;
  let at = start;
  while (at < end) {
    if (at + 4 > end) return false;
    const length = uint16At(octets, at + 2);
    const next = at + 4 + length;
    if (next > end) return false;
    if (uint16At(octets, at) === OPTION_COOKIE && query.cookieAt < 0) {
      if (!isCookieLength(length)) return false;
      query.cookieAt = at + 4;
      query.cookieOctets = length;
    }
    at = next;
  }
  return true;
}

/** RFC 7873 section 5.2.2: a client cookie alone, or with a server cookie of 8 to 32 octets; any other length is FORMERR. */
function isCookieLength(length: number): boolean {
  return length === CLIENT_COOKIE_OCTETS || (length >= 16 && length <= 40);
}

/** The INFO-CODE of the extended error in the OPT that starts at `at`, in a reply of our own; `undefined` without one. */
export function extendedErrorIn(reply: Uint8Array, at: number): number | undefined {
  if (uint16At(reply, at + 1) !== TYPE.OPT || at + OPT_OCTETS > reply.length) return undefined;
  for (let option = at + OPT_OCTETS; option + 4 <= reply.length; option += 4 + uint16At(reply, option + 2)) {
    if (uint16At(reply, option) === OPTION_EXTENDED_ERROR) return uint16At(reply, option + 4);
  }
  return undefined;
}

/**
 * The offset of the value of the first option with this code in the RDATA of an OPT record; 0 where there is none, -1 where
 * an option overruns the record or has half a header (RFC 6891 section 6.1.2). What is in other options does not matter.
 */
export function optionAt(message: Uint8Array, rdata: number, end: number, code: number): number {
  let found = 0;
  let at = rdata;
  while (at + 4 <= end) {
    const value = at + 4;
    const next = value + uint16At(message, at + 2);
    if (next > end) return -1;
    // RFC 8914 section 2: an extended error has at least two octets; shorter, it says nothing
    if (found === 0 && uint16At(message, at) === code && next - value >= 2) found = value;
    at = next;
  }
  return at === end ? found : -1;
}
