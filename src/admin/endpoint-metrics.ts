/** Metrics of each endpoint: what is served, how old it is, and what its sources and credentials say. */
import { counter, gauge, type Metric, type Sample } from './metric.ts';
import type { EndpointReport } from './status-report.ts';

const CLUSTER = ['cluster', 'region'] as const;

/** One sample for each endpoint; `undefined` leaves the endpoint out. */
function ofEndpoints(value: (endpoint: EndpointReport) => number | undefined): Metric['read'] {
  return ({ endpoints }) =>
    endpoints.flatMap((endpoint): readonly Sample[] => {
      const found = value(endpoint);
      return found === undefined ? [] : [[found, endpoint.cluster, endpoint.region ?? '']];
    });
}

export const ENDPOINT_METRICS: readonly Metric[] = [
  gauge(
    'endpoint_source_age_seconds',
    'Seconds since the source last confirmed the endpoint; absent when it never has.',
    [...CLUSTER, 'source'],
    ({ endpoints }) =>
      endpoints.flatMap(({ cluster, region = '', sources }) =>
        sources.flatMap(({ source, ageSeconds }): readonly Sample[] =>
          ageSeconds === undefined ? [] : [[ageSeconds, cluster, region, source]],
        ),
      ),
  ),
  gauge(
    'endpoint_age_seconds',
    'Seconds since any source last confirmed the addresses served; warn at 7 and 30 days.',
    CLUSTER,
    ofEndpoints(({ confirmedAgeSeconds }) => confirmedAgeSeconds),
  ),
  gauge(
    'endpoint_addresses',
    'Addresses served for the endpoint.',
    CLUSTER,
    ofEndpoints(({ addresses }) => addresses.length),
  ),
  gauge(
    'endpoint_address_info',
    'Always 1: one series for each address served.',
    [...CLUSTER, 'endpoint', 'address'],
    ({ endpoints }) =>
      endpoints.flatMap(({ cluster, region = '', endpoint = '', addresses }) =>
        addresses.map(({ address }): Sample => [1, cluster, region, endpoint, address]),
      ),
  ),
  gauge(
    'endpoint_dead_addresses',
    'Addresses served last because the last probes of them failed.',
    CLUSTER,
    ofEndpoints(({ addresses }) => addresses.filter(({ isDead }) => isDead).length),
  ),
  gauge(
    'endpoint_basis_info',
    'Always 1: what the addresses were decided from.',
    [...CLUSTER, 'basis'],
    ({ endpoints }) =>
      endpoints.map(({ cluster, region = '', basis }): Sample => [1, cluster, region, basis]),
  ),
  gauge(
    'endpoint_interfaces_doubtful',
    '1 while no interface has the exact description of the cluster, and those that have its text among others are taken.',
    CLUSTER,
    ofEndpoints(({ sources }) => Number(sources.some(({ isDoubtful }) => isDoubtful))),
  ),
  gauge(
    'endpoint_name_differs',
    '1 while the configured endpoint is not the name that DescribeCluster says: both are answered.',
    CLUSTER,
    ofEndpoints(({ describedEndpoint }) => Number(describedEndpoint !== undefined)),
  ),
  gauge(
    'endpoint_change_held',
    '1 while a suspicious change is held back.',
    CLUSTER,
    ofEndpoints(({ held }) => Number(held !== undefined)),
  ),
  gauge(
    'endpoint_sources_disagree',
    '1 while name and interface sources disagree: from the first moment, while the log tells of it once each has looked again.',
    CLUSTER,
    ofEndpoints(({ disagreement }) => Number(disagreement)),
  ),
  gauge(
    'endpoint_likely_cause_info',
    'Always 1: why the sources probably disagree.',
    [...CLUSTER, 'cause'],
    ({ endpoints }) =>
      endpoints.flatMap(({ cluster, region = '', likelyCause }): readonly Sample[] =>
        likelyCause === undefined ? [] : [[1, cluster, region, likelyCause]],
      ),
  ),
  gauge(
    'endpoint_refused_addresses',
    'Addresses that a source lists and that are refused.',
    CLUSTER,
    ofEndpoints(({ refusedAddresses }) => refusedAddresses.length),
  ),
  gauge(
    'credentials_accepted',
    '1 while AWS takes the credentials, 0 while they are missing, expired or refused; absent while unknown.',
    CLUSTER,
    ofEndpoints(({ credentials }) =>
      credentials === undefined || credentials.condition === 'unknown'
        ? undefined
        : Number(credentials.condition === 'accepted'),
    ),
  ),
  gauge(
    'credentials_condition_info',
    'Always 1: unknown, accepted, missing, expired or refused.',
    [...CLUSTER, 'condition'],
    ({ endpoints }) =>
      endpoints.flatMap(({ cluster, region = '', credentials }): readonly Sample[] =>
        credentials === undefined ? [] : [[1, cluster, region, credentials.condition]],
      ),
  ),
  gauge(
    'credentials_condition_age_seconds',
    'Seconds since the credentials took their present condition.',
    CLUSTER,
    ofEndpoints(({ credentials }) => credentials?.ageSeconds),
  ),
  counter('refreshes', 'Refreshes by source and result.', [...CLUSTER, 'source', 'result'], ({ endpoints }) =>
    endpoints.flatMap(({ cluster, region = '', sources }) =>
      sources.flatMap(({ source, refreshes }) =>
        Object.entries(refreshes).map(([result, value]): Sample => [value, cluster, region, source, result]),
      ),
    ),
  ),
  counter('refresh_duration_seconds', 'Time spent in refreshes.', [...CLUSTER, 'source'], ({ endpoints }) =>
    endpoints.flatMap(({ cluster, region = '', sources }) =>
      sources.map(({ source, durationSecondsSum }): Sample => [durationSecondsSum, cluster, region, source]),
    ),
  ),
];
