/**
 * Questions that a search list made: a name that this server knows, and a suffix after it. musl with `ndots:5` asks for
 * `registry.example.<suffix>` first and goes on to the next suffix, and to the name itself, only after NXDOMAIN; a
 * SERVFAIL ends its look-up. So such a name is denied while nobody can be asked whether it exists. It is no match for a
 * name that is kept: those are answered before.
 */
import { composeQuery, parseQuery, Query } from '../../protocol/wire/query.ts';
import { CLASS } from '../../protocol/words/classes.ts';
import type { AnswerCache } from '../answer-cache/answer-cache.ts';
import type { ServingTable } from '../endpoints/serving-table.ts';
import type { DisconnectedRules } from '../local-zones/disconnected-rules.ts';
import type { LocalZones } from '../local-zones/local-zones.ts';

export interface KnownNames {
  readonly endpoints: ServingTable;
  readonly cache: Pick<AnswerCache, 'hasRetainedRecordsOf'>;
}

export interface SearchLeakRules {
  readonly localZones: Pick<LocalZones<unknown>, 'hasRecordsAt'>;
  readonly disconnected: Pick<DisconnectedRules, 'hasRecordsAt'>;
}

/** Labels of a known name at most, so that a name of 127 labels costs no more than one of 17. */
const MAX_LABELS = 16;

const known = new Query();

/** Whether the query's name begins with a whole name that is an endpoint, retained, or an own record's. Not for the path of an answer. */
export function isSearchLeak(
  query: Query,
  { endpoints, cache }: KnownNames,
  rules: SearchLeakRules,
): boolean {
  for (let suffix = Math.max(1, query.labelCount - MAX_LABELS); suffix < query.labelCount; suffix++) {
    parsePrefix(query, suffix);
    if (endpoints.current.hasName(known) || cache.hasRetainedRecordsOf(known)) return true;
    if (rules.localZones.hasRecordsAt(known) || rules.disconnected.hasRecordsAt(known)) return true;
  }
  return false;
}

/** The query's name without its last labels, into `known`. */
function parsePrefix(query: Query, labels: number): void {
  const octets = query.labelStarts[labels] ?? 0;
  const name = new Uint8Array(octets + 1);
  for (let at = 0; at < octets; at++) name[at] = query.octets[query.nameStart + at] ?? 0;
  const message = composeQuery({
    id: 0,
    name,
    qtype: query.qtype,
    qclass: CLASS.IN,
    recursionDesired: true,
    checkingDisabled: false,
  });
  parseQuery(known, message, 0, message.length);
}
