/** What no single key can know: the checks that look at several, as one list. They read what is valid and skip the rest. */
import type { DraftOf } from '../draft.ts';
import type { Finding, Path } from '../fault.ts';
import type { schema } from '../schema.ts';
import { adminApart, listenersApart, upstreamsElsewhere } from './addresses.ts';
import {
  addressSources,
  duplicateEndpoints,
  duplicateNames,
  keyedSources,
  kubernetesIdentity,
  pinsAllowed,
  probeTimes,
  whereToLook,
  zoneChoice,
} from './clusters.ts';
import { duplicateItems } from './duplicates.ts';
import { bounds } from './order.ts';
import { duplicateRetained, retainedApartFromEndpoints, retainedForwarded } from './retain.ts';
import { aliasLoops, recordsInTheirZone, recordsRead, recordsTogether } from './zone-records.ts';
import { duplicateZones, oneRule, zonesApartFromEndpoints } from './zones.ts';

export type Draft = DraftOf<typeof schema>;
export type DraftCluster = NonNullable<NonNullable<Draft['clusters']>[number]>;
export type DraftZone = NonNullable<NonNullable<Draft['zones']>[number]>;

export interface CheckContext {
  readonly draft: Draft;
  /** Whether a value at, above or below a path has a fault of its own, so that nothing follows from its absence. */
  isFaulty(path: Path): boolean;
  /** Whether a path was written, by file or variable; otherwise its value is the default. */
  isWritten(path: Path): boolean;
  /** Addresses of this machine's interfaces, in canonical text. */
  readonly ownAddresses: ReadonlySet<string>;
}

export type Check = (context: CheckContext) => Iterable<Finding>;

const CHECKS: readonly Check[] = [
  duplicateNames, // Region and name are a cluster's key in the state, the metrics and the log
  duplicateEndpoints, // a name is answered from one record
  whereToLook, // nothing can be looked up without a Region or a name
  keyedSources, // a source without its key, or a key without its source, would silently do nothing
  zoneChoice,
  kubernetesIdentity,
  addressSources, // a cluster that never gets an address is answered SERVFAIL for ever
  pinsAllowed, // a pin is an address like any other
  probeTimes,
  duplicateItems,
  duplicateZones, // which of the two rules holds?
  oneRule,
  recordsRead,
  recordsTogether,
  recordsInTheirZone,
  aliasLoops, // a question that has no answer
  zonesApartFromEndpoints, // promise 1: nothing takes an endpoint away
  duplicateRetained,
  retainedApartFromEndpoints, // two would keep one name, each in its own way
  retainedForwarded, // it would be asked for, and never given
  listenersApart, // the second would fail to bind
  adminApart,
  upstreamsElsewhere, // a loop
  bounds,
];

export function check(context: CheckContext): Finding[] {
  return CHECKS.flatMap((one) => [...one(context)]);
}
