/** The findings of special-use names: what each rule of the table says at the name itself and under it. */

import { apexAnswers, LOCAL_TTL_SECONDS, ownedByQname } from '../../protocol/wire/apex-answers.ts';
import { composeLocalAnswer, type LocalAnswer } from '../../protocol/wire/local-answer.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { RecordData } from '../../protocol/words/resource-record.ts';
import type { SpecialName } from '../../protocol/words/special-names.ts';
import { TYPE } from '../../protocol/words/types.ts';
import { type FindingsByType, ownFindings } from './finding.ts';

export interface SpecialZone {
  readonly own: FindingsByType<never>;
  readonly under: FindingsByType<never>;
  /**
   * Whether a zone begins at the name. DS is then asked of upstreams, where the parent zone lives: RFC 8375 section 4 makes
   * this one exception, because validators need the proof that the delegation is insecure; so does RFC 6303 section 7.
   */
  readonly isApex: boolean;
  readonly noData: LocalAnswer;
}

export function specialZone({ name, rule }: SpecialName): SpecialZone {
  const { noData, noName, soa, ns, hinfo } = apexAnswers(name);
  const nothing = ownFindings(noName);
  const apex: readonly (readonly [number, LocalAnswer])[] = [
    [TYPE.SOA, soa],
    [TYPE.NS, ns],
    [TYPE.ANY, hinfo],
  ];
  switch (rule) {
    case 'nothing':
      return { own: nothing, under: nothing, isApex: false, noData };
    case 'empty':
      return { own: ownFindings(noData, apex), under: nothing, isApex: true, noData };
    case 'loopback-ptr': {
      const ptr = composed(name, { type: 'PTR', target: 'localhost' });
      return { own: ownFindings(noData, [...apex, [TYPE.PTR, ptr]]), under: nothing, isApex: true, noData };
    }
    case 'loopback': {
      // RFC 6761 section 6.3: whatever stands in front of localhost is localhost too
      const a = ownedByQname(composed(name, { type: 'A', address: '127.0.0.1' }));
      const aaaa = ownedByQname(composed(name, { type: 'AAAA', address: '::1' }));
      const addresses = [[TYPE.A, a] as const, [TYPE.AAAA, aaaa] as const];
      return {
        own: ownFindings(noData, [...apex, ...addresses]),
        under: ownFindings(noData, [[TYPE.ANY, hinfo], ...addresses]),
        isApex: false,
        noData,
      };
    }
  }
}

function composed(name: string, data: RecordData): LocalAnswer {
  const record = { owner: name, ttlSeconds: LOCAL_TTL_SECONDS, ...data };
  return composeLocalAnswer({ rcode: RCODE.NOERROR, name, answers: [record], authorities: [] });
}
