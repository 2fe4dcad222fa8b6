/** The composed answers of one endpoint name and of one reverse name. */
import { composeLocalAnswer, type LocalAnswer } from '../../protocol/wire/local-answer.ts';
import { ownSoa } from '../../protocol/words/own-soa.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { ResourceRecord } from '../../protocol/words/resource-record.ts';
import type { EndpointRecord } from '../../store/endpoint-record.ts';

/** The label under an endpoint's name where TXT tells how fresh the answer is. */
export const STATUS_LABEL = '_status';
/** What `_status` says changes by the second; a resolver in between may keep it for so long. */
const STATUS_TTL_SECONDS = 5;

export interface EndpointAnswers {
  readonly a: LocalAnswer;
  /** Any other type: the name exists, the type does not (musl takes NXDOMAIN here as "no such name"). */
  readonly noData: LocalAnswer;
  /** Names under the endpoint: nothing lives there. */
  readonly nxDomain: LocalAnswer;
  readonly any: LocalAnswer;
}

export interface ReverseAnswers {
  readonly ptr: LocalAnswer;
  readonly noData: LocalAnswer;
  readonly any: LocalAnswer;
}

export function composeEndpointAnswers(record: EndpointRecord, endpoint: string): EndpointAnswers {
  const { ttlSeconds } = record;
  // seconds since 1970 of the last change: grows with every change for as long as the clock does
  const serial = Math.floor((record.changedAtMs ?? 0) / 1000) >>> 0;
  const soa = ownSoa(endpoint, ttlSeconds, serial);
  const alive = record.addresses.filter(({ dead }) => dead !== true);
  const dead = record.addresses.filter((address) => address.dead === true);
  return {
    a: composeLocalAnswer({
      rcode: RCODE.NOERROR,
      name: endpoint,
      answers: [...alive, ...dead].map(({ address }) => ({
        owner: endpoint,
        ttlSeconds,
        type: 'A',
        address,
      })),
      authorities: [],
      // Go dials in the order given and splits its time over them: a dead address in front costs seconds
      rotated: alive.length === 0 ? dead.length : alive.length,
    }),
    noData: composeLocalAnswer({ rcode: RCODE.NOERROR, name: endpoint, answers: [], authorities: [soa] }),
    nxDomain: composeLocalAnswer({ rcode: RCODE.NXDOMAIN, name: endpoint, answers: [], authorities: [soa] }),
    any: composeAny(endpoint, ttlSeconds),
  };
}

export function composeReverseAnswers(
  name: string,
  targets: readonly string[],
  ttlSeconds: number,
): ReverseAnswers {
  const soa = ownSoa(name, ttlSeconds);
  return {
    ptr: composeLocalAnswer({
      rcode: RCODE.NOERROR,
      name,
      answers: targets.map((target) => ({ owner: name, ttlSeconds, type: 'PTR', target })),
      authorities: [],
    }),
    noData: composeLocalAnswer({ rcode: RCODE.NOERROR, name, answers: [], authorities: [soa] }),
    any: composeAny(name, ttlSeconds),
  };
}

/** The TXT at `_status.<endpoint>`; each of `strings` is at most 255 octets. */
export function composeStatusAnswer(endpoint: string, strings: readonly string[]): LocalAnswer {
  const owner = `${STATUS_LABEL}.${endpoint}`;
  const answer: ResourceRecord = { owner, ttlSeconds: STATUS_TTL_SECONDS, type: 'TXT', strings };
  return composeLocalAnswer({ rcode: RCODE.NOERROR, name: owner, answers: [answer], authorities: [] });
}

/** RFC 8482 section 4.2: one HINFO with CPU "RFC8482" instead of everything there is. */
function composeAny(name: string, ttlSeconds: number): LocalAnswer {
  const hinfo: ResourceRecord = { owner: name, ttlSeconds, type: 'HINFO', cpu: 'RFC8482', os: '' };
  return composeLocalAnswer({ rcode: RCODE.NOERROR, name, answers: [hinfo], authorities: [] });
}
