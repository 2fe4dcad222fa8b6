/** Takes a reply of a server apart for a person: its code, its flags, where it came from, its records. */
import { FLAG, uint16At, uint32At } from '../protocol/wire/header.ts';
import { nameText, type RecordPlace, rdataText, recordPlaces } from '../protocol/wire/presentation.ts';
import { indexResponse } from '../protocol/wire/response.ts';
import type { ResponseIndex } from '../protocol/wire/response-records.ts';
import {
  CLASS,
  extendedErrorName,
  isStaleError,
  RCODE,
  rcodeName,
  TYPE,
  typeName,
} from '../protocol/words/codes.ts';

export interface LookupReply {
  readonly rcode: string;
  readonly flags: readonly string[];
  readonly from: string;
  readonly extendedErrors: readonly ExtendedError[];
  readonly records: readonly LookupRecord[];
}

export interface ExtendedError {
  readonly code: number;
  readonly meaning: string;
  /** EXTRA-TEXT of the server; may be empty. */
  readonly text: string;
}

export interface LookupRecord {
  readonly section: 'answer' | 'authority' | 'additional';
  readonly name: string;
  readonly ttlSeconds: number;
  readonly type: string;
  /** In presentation format (RFC 1035 section 5.1, RFC 3597). */
  readonly data: string;
}

/** Takes a reply apart, or says why that cannot be done. */
export function readReply(octets: Uint8Array): LookupReply | { readonly fault: string } {
  const index = indexResponse(octets); // proves that every record lies inside the message
  if (index.kind === 'fault') return { fault: index.reason };
  const extendedErrors = readExtendedErrors(octets, index);
  return {
    rcode: rcodeName(index.rcode),
    flags: flagNames(index.flags),
    from: origin(index, extendedErrors),
    extendedErrors,
    records: recordPlaces(octets, index.questionEnd)
      .filter(({ typeAt }) => uint16At(octets, typeAt) !== TYPE.OPT)
      .map((place) => shown(octets, place)),
  };
}

const SHOWN_FLAGS = ['AA', 'TC', 'RD', 'RA', 'AD', 'CD'] as const;

function flagNames(flags: number): string[] {
  return SHOWN_FLAGS.filter((name) => (flags & FLAG[name]) !== 0).map((name) => name.toLowerCase());
}

function origin({ flags, rcode }: ResponseIndex, errors: readonly ExtendedError[]): string {
  if ((flags & FLAG.AA) !== 0) return 'kept by the server itself (authoritative)';
  const isStale = errors.some(({ code }) => isStaleError(code));
  if (isStale) return 'stale: kept from before, because no upstream answers now';
  return rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN ? 'forwarded or cached' : 'nowhere: no answer';
}

const OPTION_EXTENDED_ERROR = 15; // RFC 8914 section 2
const OPT_FIXED_OCTETS = 11; // root owner, TYPE, CLASS, TTL, RDLENGTH

/** The extended errors in the OPT record, which starts where the kept records end; a broken option is left out. */
export function readExtendedErrors(octets: Uint8Array, { hasEdns, end }: ResponseIndex): ExtendedError[] {
  if (!hasEdns) return [];
  const found: ExtendedError[] = [];
  const optEnd = end + OPT_FIXED_OCTETS + uint16At(octets, end + 9);
  for (let at = end + OPT_FIXED_OCTETS; at + 4 <= optEnd; ) {
    const data = at + 4;
    const next = data + uint16At(octets, at + 2);
    if (next > optEnd) break;
    if (uint16At(octets, at) === OPTION_EXTENDED_ERROR && next >= data + 2) {
      const code = uint16At(octets, data);
      // RFC 8914 section 2: EXTRA-TEXT is UTF-8, and may or may not end in a NUL
      const text = new TextDecoder().decode(octets.subarray(data + 2, next)).replace(/\0+$/, '');
      found.push({ code, meaning: extendedErrorName(code), text });
    }
    at = next;
  }
  return found;
}

function shown(octets: Uint8Array, place: RecordPlace): LookupRecord {
  const { section, ownerAt, typeAt } = place;
  const type = typeName(uint16At(octets, typeAt));
  const rrclass = uint16At(octets, typeAt + 2);
  return {
    section,
    name: nameText(octets, ownerAt),
    ttlSeconds: uint32At(octets, typeAt + 4),
    type: rrclass === CLASS.IN ? type : `CLASS${rrclass} ${type}`,
    data: rdataText(octets, place),
  };
}
