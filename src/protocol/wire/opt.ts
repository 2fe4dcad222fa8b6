/** The OPT record of a reply, with at most one extended error (RFC 6891 section 6.1.2, RFC 8914 section 2). */
import { TYPE } from '../words/types.ts';
import { EDNS_UDP_OCTETS, putUint16 } from './header.ts';

const OPT_OCTETS = 11; // root owner, TYPE, CLASS, TTL, RDLENGTH
const EXTENDED_ERROR_OCTETS = 6; // OPTION-CODE, OPTION-LENGTH, INFO-CODE; we send no EXTRA-TEXT
const OPTION_EXTENDED_ERROR = 15; // RFC 8914 section 2

/** Octets that `writeOpt` will write. */
export function optLength(extendedError: number | undefined): number {
  return extendedError === undefined ? OPT_OCTETS : OPT_OCTETS + EXTENDED_ERROR_OCTETS;
}

/** Writes the record at `at` and returns the offset behind it. `rcode` is the whole 12-bit response code. */
export function writeOpt(
  reply: Uint8Array,
  at: number,
  rcode: number,
  dnssecOk: boolean,
  extendedError: number | undefined,
): number {
  reply[at] = 0;
  putUint16(reply, at + 1, TYPE.OPT);
  putUint16(reply, at + 3, EDNS_UDP_OCTETS);
  reply[at + 5] = rcode >>> 4; // RFC 6891 section 6.1.3: the upper eight bits
  reply[at + 6] = 0; // version
  reply[at + 7] = dnssecOk ? 0x80 : 0; // RFC 3225 section 3: DO is copied
  reply[at + 8] = 0;
  if (extendedError === undefined) {
    putUint16(reply, at + 9, 0);
    return at + OPT_OCTETS;
  }
  putUint16(reply, at + 9, EXTENDED_ERROR_OCTETS);
  putUint16(reply, at + 11, OPTION_EXTENDED_ERROR);
  putUint16(reply, at + 13, 2);
  putUint16(reply, at + 15, extendedError);
  return at + OPT_OCTETS + EXTENDED_ERROR_OCTETS;
}
