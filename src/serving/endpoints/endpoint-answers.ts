/** Composes the answers of one endpoint name and of one reverse name. */
import { type ApexAnswers, apexAnswers, composeLocalAnswer } from '../../protocol/wire/local-answer.ts';
import type { LocalAnswer } from '../../protocol/wire/reply.ts';
import { RCODE } from '../../protocol/words/codes.ts';
import type { ResourceRecord } from '../../protocol/words/resource-record.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';

/** The label under an endpoint's name where TXT tells how fresh the answer is. */
export const STATUS_LABEL = '_status';
/** The text at `_status` changes every second; a resolver in between may keep it for this long. */
const STATUS_TTL_SECONDS = 5;

/** The answers of a zone's apex, and the addresses. AAAA and the like are NODATA: musl takes NXDOMAIN as "no such name". */
export interface EndpointAnswers extends ApexAnswers {
  readonly a: LocalAnswer;
}

/** A reverse name of ours is the apex of a zone without other names. */
export interface ReverseAnswers extends ApexAnswers {
  readonly ptr: LocalAnswer;
}

export function composeEndpointAnswers(record: EndpointRecord, endpoint: string): EndpointAnswers {
  const { ttlSeconds } = record;
  // seconds since 1970 of the last change: grows with every change as long as the clock does
  const serial = Math.floor((record.changedAtMs ?? 0) / 1000) >>> 0;
  const first = record.addresses.filter(({ isLast }) => isLast !== true);
  const last = record.addresses.filter(({ isLast }) => isLast === true);
  return {
    ...apexAnswers(endpoint, ttlSeconds, serial),
    a: composeLocalAnswer({
      rcode: RCODE.NOERROR,
      name: endpoint,
      answers: [...first, ...last].map(({ address }) => ({
        owner: endpoint,
        ttlSeconds,
        type: 'A',
        address,
      })),
      authorities: [],
      // Go dials in this order and divides its time among the addresses: a dead address in front costs seconds
      rotated: first.length === 0 ? last.length : first.length,
    }),
  };
}

export function composeReverseAnswers(
  name: string,
  targets: readonly string[],
  ttlSeconds: number,
): ReverseAnswers {
  return {
    ...apexAnswers(name, ttlSeconds),
    ptr: composeLocalAnswer({
      rcode: RCODE.NOERROR,
      name,
      answers: targets.map((target) => ({ owner: name, ttlSeconds, type: 'PTR', target })),
      authorities: [],
    }),
  };
}

/** The TXT at `_status.<endpoint>`; each of `strings` is at most 255 octets. */
export function composeStatusAnswer(endpoint: string, strings: readonly string[]): LocalAnswer {
  const owner = `${STATUS_LABEL}.${endpoint}`;
  const answer: ResourceRecord = { owner, ttlSeconds: STATUS_TTL_SECONDS, type: 'TXT', strings };
  return composeLocalAnswer({ rcode: RCODE.NOERROR, name: owner, answers: [answer], authorities: [] });
}
