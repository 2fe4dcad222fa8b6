/**
 * The answers that every zone of ours has in common: no such type, no such name, SOA, NS and HINFO. They are composed
 * once against a stand-in for the apex and fitted to any other apex by its length alone, since every name in them
 * that belongs to the zone is a compression pointer into the question. Composing them for each of the hundred zones
 * would put 50 ms in front of the first answer.
 */
import { composeLocalAnswer, type LocalAnswer } from '../../protocol/wire/local-answer.ts';
import { nameToWire } from '../../protocol/words/name.ts';
import { ownSoa } from '../../protocol/words/own-soa.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { ResourceRecord } from '../../protocol/words/resource-record.ts';

/**
 * TTL of what we say of our own accord, and of the belief that something is not there: a rule changed by a reload is seen
 * everywhere a minute later.
 */
export const LOCAL_TTL_SECONDS = 60;

export interface SharedAnswers {
  /** NOERROR without answers, for a name that exists. */
  readonly noData: LocalAnswer;
  /** NXDOMAIN, for the apex and for names under it. */
  readonly noName: LocalAnswer;
  /** The apex's own SOA and NS. */
  readonly soa: LocalAnswer;
  readonly ns: LocalAnswer;
  /** To ANY, for whatever name is asked for (RFC 8482 section 4.2). */
  readonly hinfo: LocalAnswer;
}

const STAND_IN = 'zone'; // shares no label with `nobody.invalid`, so the mailbox is written out

const standIns = new Map<number, SharedAnswers>();

function standInFor(ttlSeconds: number): SharedAnswers {
  const known = standIns.get(ttlSeconds);
  if (known !== undefined) return known;
  const soa = ownSoa(STAND_IN, ttlSeconds);
  const made: SharedAnswers = {
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

/** The answers of the zone at `apex`, in normal form, each with this TTL. */
export function sharedAnswers(apex: string, ttlSeconds = LOCAL_TTL_SECONDS): SharedAnswers {
  const standIn = standInFor(ttlSeconds);
  const composedNameOctets = nameToWire(apex).length;
  return {
    noData: { ...standIn.noData, composedNameOctets },
    noName: { ...standIn.noName, composedNameOctets },
    soa: { ...standIn.soa, composedNameOctets },
    ns: { ...standIn.ns, composedNameOctets },
    hinfo: standIn.hinfo,
  };
}

/**
 * Makes the owner of every answer the name that was asked for, whatever it is. For answers whose only names are owners
 * equal to the composed name: their pointers stay on the question instead of moving to its suffix.
 */
export function ownedByQname(answer: LocalAnswer): LocalAnswer {
  return { ...answer, pointerOffsets: [] };
}
