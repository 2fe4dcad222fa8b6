/** Checks of the retained names against each other, the endpoints and the zones. */
import { typeName } from '../../protocol/words/types.ts';
import type { Finding, Path } from '../fault.ts';
import { isAtOrBelow } from '../kinds/domain-name.ts';
import type { RetainedName } from '../kinds/retained-name.ts';
import type { CheckContext, DraftZone } from './checks.ts';
import { zonesOf } from './zones.ts';

function* retainedOf(
  context: CheckContext,
): Iterable<{ readonly retained: RetainedName; readonly path: Path }> {
  for (const [index, retained] of (context.draft.retain ?? []).entries()) {
    if (retained !== undefined) yield { retained, path: ['retain', index] };
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
    const above = [...zonesOf(context)].filter(
      ({ zone }) => zone.name !== undefined && isAtOrBelow(retained.name, zone.name),
    );
    const [closest] = above.sort((a, b) => (b.zone.name?.length ?? 0) - (a.zone.name?.length ?? 0));
    if (closest === undefined || !isAnsweredHere(closest.zone)) continue;
    yield {
      path,
      message: `answered by zones[${closest.path[1]}], ${closest.zone.name}, so nobody is asked for it`,
      mend: 'remove it, or forward the zone',
    };
  }
}

function isAnsweredHere({ answer, records }: DraftZone): boolean {
  return answer !== undefined || records !== undefined;
}
