/** Checks of the operator's own zones, against each other and against the endpoints. */
import type { Finding, Path } from '../fault.ts';
import { isAtOrBelow } from '../kinds/domain-name.ts';
import type { CheckContext, DraftZone } from './checks.ts';

export interface NumberedZone {
  readonly zone: DraftZone;
  readonly path: Path;
}

export function* zonesOf(context: CheckContext): Iterable<NumberedZone> {
  for (const [index, zone] of (context.draft.zones ?? []).entries()) {
    if (zone !== undefined) yield { zone, path: ['zones', index] };
  }
}

export function* duplicateZones(context: CheckContext): Iterable<Finding> {
  const first = new Map<string, string>();
  for (const { zone, path } of zonesOf(context)) {
    if (zone.name === undefined) continue;
    const taken = first.get(zone.name);
    if (taken === undefined) first.set(zone.name, `zones[${path[1]}]`);
    else
      yield {
        path: [...path, 'name'],
        message: `already the name of ${taken}`,
        mend: 'keep one rule for each zone',
      };
  }
}

const RULES = ['forwardTo', 'answer', 'records'] as const;
const WHILE_DISCONNECTED = 'whileDisconnected';

export function* oneRule(context: CheckContext): Iterable<Finding> {
  for (const { path } of zonesOf(context)) {
    const given = RULES.filter((rule) => context.isWritten([...path, rule]));
    if (given.length > 1)
      yield { path, message: `more than one rule: ${given.join(', ')}`, mend: 'keep one of them' };
    const mayBeMeant = [...RULES, WHILE_DISCONNECTED].some((rule) => context.isFaulty([...path, rule]));
    const isForwarded = context.isWritten([...path, WHILE_DISCONNECTED]);
    if (given.length === 0 && !isForwarded && !mayBeMeant) {
      const mend = `add one of ${[...RULES, WHILE_DISCONNECTED].join(', ')}`;
      yield { path, message: 'no rule for the zone', mend };
    }
    const [own] = given;
    if (isForwarded && given.length === 1 && own !== 'forwardTo') {
      yield {
        path: [...path, WHILE_DISCONNECTED],
        message: `beside ${own}, which holds whether or not anything is connected`,
        mend: `remove it, or forward the zone in place of ${own}`,
      };
    }
  }
}

export function* zonesApartFromEndpoints(context: CheckContext): Iterable<Finding> {
  for (const { zone, path } of zonesOf(context)) {
    // forwarded to where it would go anyway: the endpoint is answered before
    if (!RULES.some((rule) => context.isWritten([...path, rule]))) continue;
    for (const cluster of context.draft.clusters ?? []) {
      const endpoint = cluster?.endpoint;
      if (zone.name === undefined || endpoint === undefined || !isAtOrBelow(endpoint, zone.name)) continue;
      const relation = endpoint === zone.name ? 'is' : 'contains';
      yield {
        path: [...path, 'name'],
        message: `${relation} the endpoint ${endpoint}, which no zone may override`,
        mend: 'name a zone that leaves the endpoint out',
      };
    }
  }
}
