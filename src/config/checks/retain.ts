/** Checks of the retained names against each other, the endpoints and the zones. */
import { SPECIAL_NAMES } from '../../protocol/words/special-names.ts';
import { typeName } from '../../protocol/words/types.ts';
import type { Finding, Path } from '../fault.ts';
import { isAtOrBelow } from '../kinds/domain-name.ts';
import { type RetainedName, retainedNameOf } from '../kinds/retained-name.ts';
import type { CheckContext, DraftZone } from './checks.ts';
import { zonesOf } from './zones.ts';

function* retainedOf(
  context: CheckContext,
): Iterable<{ readonly retained: RetainedName; readonly path: Path }> {
  for (const [index, entry] of (context.draft.retain ?? []).entries()) {
    if (entry !== undefined) yield { retained: retainedNameOf(entry), path: ['retain', index] };
  }
}

export function* duplicateRetained(context: CheckContext): Iterable<Finding> {
  const first = new Map<string, string>();
  for (const { retained, path } of retainedOf(context)) {
    for (const qtype of retained.qtypes) {
      const question = `${retained.name} ${typeName(qtype)}`;
      const taken = first.get(question);
      if (taken === undefined) {
        first.set(question, `retain[${path[1]}]`);
      } else {
        yield { path, message: `${question} is already retained by ${taken}`, mend: 'remove one of the two' };
        break;
      }
    }
  }
}

export function* retainedApartFromEndpoints(context: CheckContext): Iterable<Finding> {
  for (const { retained, path } of retainedOf(context)) {
    for (const cluster of context.draft.clusters ?? []) {
      const endpoint = cluster?.endpoint;
      if (endpoint === undefined || !isAtOrBelow(retained.name, endpoint)) continue;
      const relation = endpoint === retained.name ? 'is' : 'is below';
      yield {
        path,
        message: `${relation} the endpoint ${endpoint}, which is kept anyway`,
        mend: 'remove it',
      };
    }
  }
}

export function* retainedForwarded(context: CheckContext): Iterable<Finding> {
  for (const { retained, path } of retainedOf(context)) {
    const found = answeredHere(context, retained.name);
    if (found !== undefined) yield { path, ...found };
  }
}

function answeredHere(context: CheckContext, name: string): Pick<Finding, 'message' | 'mend'> | undefined {
  const zones = [...zonesOf(context)].map(({ zone, path }) => ({ ...zone, at: path[1] }));
  const zone = closest(zones, name);
  const special = closest(SPECIAL_NAMES, name);
  // of two rules for the same name the operator's wins, as in serving/local-zones
  if (special !== undefined && special.name.length > (zone?.name?.length ?? 0)) {
    if (context.isFaulty(['zones'])) return undefined; // the one that forwards it may be among those
    return {
      message: `under ${special.name}, which is answered here (${special.because}), so nobody is asked for it`,
      mend: `add a zone with forwardTo for ${special.name}, or for the part of it that a server of yours has; or remove it`,
    };
  }
  if (zone === undefined || !isAnsweredHere(zone)) return undefined;
  return {
    message: `answered by zones[${zone.at}], ${zone.name}, so nobody is asked for it`,
    mend: 'remove it, or forward the zone',
  };
}

function closest<Rule extends { readonly name?: string | undefined }>(
  rules: readonly Rule[],
  name: string,
): Rule | undefined {
  const above = rules.filter((rule) => rule.name !== undefined && isAtOrBelow(name, rule.name));
  return above.sort((a, b) => (b.name?.length ?? 0) - (a.name?.length ?? 0))[0];
}

function isAnsweredHere({ answer, records }: DraftZone): boolean {
  return answer !== undefined || records !== undefined;
}
