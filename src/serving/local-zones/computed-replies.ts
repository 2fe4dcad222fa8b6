/** Replies with the one record that the question's own octets imply: written octet by octet, without composing. */
import { writeHeaderAndQuestion } from '../../protocol/wire/error-reply.ts';
import { HEADER_OCTETS, putUint16, putUint32 } from '../../protocol/wire/header.ts';
import { writeOpt } from '../../protocol/wire/opt.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { CLASS } from '../../protocol/words/classes.ts';
import { nameToWire } from '../../protocol/words/name.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import { TYPE } from '../../protocol/words/types.ts';
import { DISCONNECTED_TTL_SECONDS, type WriteComputed } from './disconnected-finding.ts';
import { addressOfLabel, labelAt, octetOfLabel } from './ec2-name-parser.ts';

const POINTER_TO_QNAME = 0xc000 | HEADER_OCTETS; // RFC 1035 section 4.1.4
const FIXED_OCTETS = 12; // owner as a pointer, TYPE, CLASS, TTL, RDLENGTH
const A_OCTETS = 4;

/** A of the address in the first label of the query's name. */
export const writeAddressReply: WriteComputed = (query, reply, replyStart) => {
  const at = writeHeaderAndQuestion(query, RCODE.NOERROR, reply, replyStart);
  putUint32(reply, at + FIXED_OCTETS, addressOfLabel(query.octets, query.nameStart));
  return finish(query, TYPE.A, A_OCTETS, at, reply, replyStart);
};

const PREFIX = Uint8Array.from('ip', (letter) => letter.charCodeAt(0));
const REVERSE_LABELS = 2; // in-addr.arpa
const HYPHEN = 0x2d;
const ZERO = 0x30;

/** PTR of the reverse name's address to EC2's name for it under `suffix`, which is in normal form. */
export function pointerWriter(suffix: string): WriteComputed {
  const suffixWire = nameToWire(suffix);
  return (query, reply, replyStart) => {
    const at = writeHeaderAndQuestion(query, RCODE.NOERROR, reply, replyStart);
    const label = at + FIXED_OCTETS;
    reply.set(PREFIX, label + 1);
    let next = label + 1 + PREFIX.length;
    for (let depth = REVERSE_LABELS + 1; depth <= query.labelCount; depth++) {
      reply[next++] = HYPHEN;
      next = writeDecimal(octetOfLabel(query.octets, labelAt(query, depth)), reply, next);
    }
    reply[label] = next - label - 1;
    reply.set(suffixWire, next);
    return finish(query, TYPE.PTR, next + suffixWire.length - label, at, reply, replyStart);
  };
}

function writeDecimal(octet: number, reply: Uint8Array, start: number): number {
  let at = start;
  if (octet >= 100) reply[at++] = ZERO + Math.floor(octet / 100);
  if (octet >= 10) reply[at++] = ZERO + (Math.floor(octet / 10) % 10);
  reply[at++] = ZERO + (octet % 10);
  return at;
}

/** The record's head at `at`, the counts, and OPT where the query had one; RDATA stands already. */
function finish(
  query: Query,
  type: number,
  dataOctets: number,
  at: number,
  reply: Uint8Array,
  replyStart: number,
): number {
  putUint16(reply, at, POINTER_TO_QNAME);
  putUint16(reply, at + 2, type);
  putUint16(reply, at + 4, CLASS.IN);
  putUint32(reply, at + 6, DISCONNECTED_TTL_SECONDS);
  putUint16(reply, at + 10, dataOctets);
  putUint16(reply, replyStart + 6, 1);
  putUint16(reply, replyStart + 8, 0);
  putUint16(reply, replyStart + 10, query.hasEdns ? 1 : 0);
  const end = at + FIXED_OCTETS + dataOctets;
  const replyEnd = query.hasEdns ? writeOpt(reply, end, RCODE.NOERROR, query, undefined) : end;
  return replyEnd - replyStart;
}
