import type { Query } from '../../../src/protocol/wire/query.ts';
import {
  DisconnectedRules,
  type DisconnectedRulesOptions,
  type ForwardedZone,
} from '../../../src/serving/local-zones/disconnected-rules.ts';
import {
  type DisconnectedFinding,
  writeDisconnectedReply,
} from '../../../src/serving/local-zones/finding.ts';
import { Turn } from '../../../src/serving/turn.ts';

export function build(zones: readonly ForwardedZone[] = [], more: Partial<DisconnectedRulesOptions> = {}) {
  return new DisconnectedRules({ zones, regions: [], vpcs: [], ...more });
}

/** A reply in as little space as any client has (RFC 1035 section 4.2.1). */
export function written(query: Query, found: DisconnectedFinding, first = 0): Buffer {
  if (found.kind === 'stale') throw new Error('nothing to write');
  const space = Buffer.alloc(600, 0xff);
  const turn = Object.assign(new Turn(query), { limit: 512, space, spaceStart: 40 });
  return space.subarray(40, 40 + writeDisconnectedReply(turn, found, first));
}
