/**
 * Composes the answers that all zones of ours share, endpoints included: no such type, no such name, SOA, NS and HINFO. The
 * server composes these answers once, for a stand-in apex. They fit any apex after a change of the length alone: every
 * name of the zone in them is a compression pointer into the question. To compose the answers for each of the hundred zones
 * would take 50 ms before the first answer.
 */

import { RCODE } from '../words/codes.ts';
import { nameToWire } from '../words/name.ts';
import type { ResourceRecord } from '../words/resource-record.ts';
import { putUint32 } from './header.ts';
import { composeLocalAnswer } from './local-answer.ts';
import type { LocalAnswer } from './reply.ts';

/**
 * TTL of what we say of our own accord, and of the belief that something is not there: a rule changed by a reload is seen
 * everywhere a minute later.
 */
export const LOCAL_TTL_SECONDS = 60;

export interface ApexAnswers {
  /** NOERROR without answers, for a name that exists. */
  readonly noData: LocalAnswer;
  /** NXDOMAIN, for the apex and for names under it. */
  readonly noName: LocalAnswer;
  /** The apex's own SOA and NS. */
  readonly soa: LocalAnswer;
  readonly ns: LocalAnswer;
  /** The answer to ANY, for any name (RFC 8482 section 4.2). */
  readonly hinfo: LocalAnswer;
}

const STAND_IN = 'zone'; // shares no label with `nobody.invalid`, so the mailbox is written out

const standIns = new Map<number, ApexAnswers>();

function standInFor(ttlSeconds: number): ApexAnswers {
  const known = standIns.get(ttlSeconds);
  if (known !== undefined) return known;
  const soa = ownSoa(STAND_IN, ttlSeconds);
  const made: ApexAnswers = {
    noData: composed(RCODE.NOERROR, [], [soa]),
    noName: composed(RCODE.NXDOMAIN, [], [soa]),
    soa: composed(RCODE.NOERROR, [soa], []),
    ns: composed(RCODE.NOERROR, [{ owner: STAND_IN, ttlSeconds, type: 'NS', target: STAND_IN }], []),
    hinfo: ownedByQname(
      composed(RCODE.NOERROR, [{ owner: STAND_IN, ttlSeconds, type: 'HINFO', cpu: 'RFC8482', os: '' }], []),
    ),
  };
  standIns.set(ttlSeconds, made);
  return made;
}

function composed(
  rcode: number,
  answers: readonly ResourceRecord[],
  authorities: readonly ResourceRecord[],
): LocalAnswer {
  return composeLocalAnswer({ rcode, name: STAND_IN, answers, authorities });
}

/** Composes the answers of the zone at `apex`, which is in normal form. Each answer has this TTL. */
export function apexAnswers(apex: string, ttlSeconds = LOCAL_TTL_SECONDS, serial = 1): ApexAnswers {
  const standIn = standInFor(ttlSeconds);
  const composedNameOctets = nameToWire(apex).length;
  const withSoa = (answer: LocalAnswer): LocalAnswer => {
    return { ...answer, octets: withSerial(answer.octets, serial), composedNameOctets };
  };
  return {
    noData: withSoa(standIn.noData),
    noName: withSoa(standIn.noName),
    soa: withSoa(standIn.soa),
    ns: { ...standIn.ns, composedNameOctets },
    hinfo: standIn.hinfo,
  };
}

/** RFC 1035 section 3.3.13: SERIAL is the first of the five numbers in which an SOA ends. */
function withSerial(octets: Uint8Array, serial: number): Uint8Array {
  if (serial === 1) return octets;
  const copy = new Uint8Array(octets);
  putUint32(copy, copy.length - 20, serial);
  return copy;
}

/**
 * Makes the QNAME the owner of every record in the answer. The answer may contain no name except owners equal to the composed
 * name: their pointers stay on the question instead of moving to its suffix.
 */
export function ownedByQname(answer: LocalAnswer): LocalAnswer {
  return { ...answer, pointerOffsets: [] };
}

/**
 * The SOA of every zone of ours. Names and numbers as in RFC 6303 section 3: they keep clients from sending updates anywhere, and always fit. Negative
 * answers carry it, and its TTL and MINIMUM bound how long they are kept (RFC 2308 section 3).
 */
export function ownSoa(apex: string, ttlSeconds: number, serial = 1): ResourceRecord {
  return {
    owner: apex,
    ttlSeconds,
    type: 'SOA',
    primary: apex,
    mailbox: 'nobody.invalid',
    serial,
    refreshSeconds: 3600,
    retrySeconds: 1200,
    expireSeconds: 604_800,
    minimumSeconds: ttlSeconds,
  };
}
