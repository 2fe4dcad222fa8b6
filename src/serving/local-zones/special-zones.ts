/** The findings of special-use names: what each rule of the table says at the name itself and under it. */
import { composeLocalAnswer, type LocalAnswer } from '../../protocol/wire/local-answer.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { RecordData } from '../../protocol/words/resource-record.ts';
import type { SpecialName } from '../../protocol/words/special-names.ts';
import { TYPE } from '../../protocol/words/types.ts';
import { type FindingsByType, ownFindings } from './finding.ts';
import { LOCAL_TTL_SECONDS, ownedByQname, sharedAnswers } from './shared-answers.ts';

export interface SpecialZone {
  readonly own: FindingsByType<never>;
  readonly under: FindingsByType<never>;
  /**
   * Whether DS of the name itself is asked of upstreams, where the parent zone lives: RFC 8375 section 4 makes this one
   * exception, since validators need the proof that the delegation is insecure; RFC 6303 section 7 counts on the same.
   */
  readonly isDsElsewhere: boolean;
}

export function specialZone({ name, rule }: SpecialName): SpecialZone {
  const { noData, noName, soa, ns, hinfo } = sharedAnswers(name);
  const nothing = ownFindings(noName);
  const apex: readonly (readonly [number, LocalAnswer])[] = [
    [TYPE.SOA, soa],
    [TYPE.NS, ns],
    [TYPE.ANY, hinfo],
  ];
  switch (rule) {
    case 'nothing':
      return { own: nothing, under: nothing, isDsElsewhere: false };
    case 'empty':
      return { own: ownFindings(noData, apex), under: nothing, isDsElsewhere: true };
    case 'loopback-ptr': {
      const ptr = composed(name, { type: 'PTR', target: 'localhost' });
      return { own: ownFindings(noData, [...apex, [TYPE.PTR, ptr]]), under: nothing, isDsElsewhere: true };
    }
    case 'loopback': {
      // RFC 6761 section 6.3: whatever stands in front of localhost is localhost too
      const a = ownedByQname(composed(name, { type: 'A', address: '127.0.0.1' }));
      const aaaa = ownedByQname(composed(name, { type: 'AAAA', address: '::1' }));
      const addresses = [[TYPE.A, a] as const, [TYPE.AAAA, aaaa] as const];
      return {
        own: ownFindings(noData, [...apex, ...addresses]),
        under: ownFindings(noData, [[TYPE.ANY, hinfo], ...addresses]),
        isDsElsewhere: false,
      };
    }
  }
}

function composed(name: string, data: RecordData): LocalAnswer {
  const record = { owner: name, ttlSeconds: LOCAL_TTL_SECONDS, ...data };
  return composeLocalAnswer({ rcode: RCODE.NOERROR, name, answers: [record], authorities: [] });
}
