/** What a source is told of its cluster, and whether that is enough for it to look at all. */
import { otherEndpointOf } from '../records/cluster-identity.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { SourceContext } from '../records/observation.ts';
import { type SourceName, traitsOf } from '../records/sources.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import { addressesOf } from './reconcile/changes.ts';

export function contextFor(record: EndpointRecord, settings: ClusterSettings): SourceContext {
  const { endpoint, details } = record;
  const { name, region, vpcId = details?.vpcId } = settings;
  const described = otherEndpointOf(record);
  const certificateAuthority = details?.certificateAuthority;
  return {
    cluster: name,
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(endpoint !== undefined && endpoint === details?.endpoint ? { isEndpointOfEks: true } : {}),
    ...(described === undefined ? {} : { describedEndpoint: described }),
    ...(vpcId === undefined ? {} : { vpcId }),
    subnetIds: details?.subnetIds ?? [],
    ...(details?.generation === undefined ? {} : { generation: details.generation }),
    knownAddresses: addressesOf(record),
    ...(certificateAuthority === undefined ? {} : { certificateAuthority }),
  };
}

/** A source that has nobody to ask, or nothing to ask for, is left alone until it has: that is no failure. */
export function mayLook(name: SourceName, { endpoint, addresses }: EndpointRecord): boolean {
  const { asksFor } = traitsOf(name);
  if (asksFor === 'cluster') return true;
  return endpoint !== undefined && (asksFor === 'name' || addresses.length > 0);
}
