/** Reports each endpoint in metrics and on the page: its addresses, their age, and the state of the sources and credentials. */
import { PROOF_STATES, type ProofState } from '../records/endpoint-record.ts';
import {
  ageText,
  agoText,
  type Cell,
  inText,
  type Metric,
  metricsOf,
  type Panel,
  type RoomReport,
  type Toned,
  toned,
} from '../report/report.ts';
import type {
  AddressStatus,
  EndpointStatus,
  EndpointsStatus,
  PinStatus,
  SourceStatus,
} from './cluster-snapshot.ts';
import { proofText } from './cluster-warnings.ts';

const { gauge, counter } = metricsOf<EndpointsStatus>();

const CLUSTER = ['cluster', 'region'];

type Values = (endpoint: EndpointStatus) => readonly (readonly [value: number, ...labels: string[]])[];

/** The samples of each endpoint; cluster and Region are their first labels. */
function ofEndpoints(values: Values): Metric<EndpointsStatus>['read'] {
  return function* ({ endpoints }) {
    for (const one of endpoints) {
      for (const [value, ...labels] of values(one)) yield [value, one.cluster, one.region ?? '', ...labels];
    }
  };
}

type Value = (endpoint: EndpointStatus) => number | boolean | undefined;

/** One sample for each endpoint; `undefined` leaves the endpoint out. */
function each(name: string, help: string, value: Value): Metric<EndpointsStatus> {
  const samples = (found: ReturnType<Value>) => (found === undefined ? [] : [[Number(found)] as const]);
  return gauge(
    name,
    help,
    CLUSTER,
    ofEndpoints((one) => samples(value(one))),
  );
}

/** Samples with one label more. */
function labelled(name: string, help: string, label: string, values: Values): Metric<EndpointsStatus> {
  return gauge(name, help, [...CLUSTER, label], ofEndpoints(values));
}

const METRICS: readonly Metric<EndpointsStatus>[] = [
  labelled(
    'endpoint_source_age_seconds',
    'Seconds since the source last confirmed the endpoint; absent when it never has.',
    'source',
    ({ sources }) =>
      sources.flatMap(({ source, ageSeconds }) =>
        ageSeconds === undefined ? [] : [[ageSeconds, source] as const],
      ),
  ),
  each(
    'endpoint_age_seconds',
    'Seconds since any source last confirmed the addresses served; warn at 7 and 30 days.',
    ({ confirmedAgeSeconds }) => confirmedAgeSeconds,
  ),
  each('endpoint_addresses', 'Addresses served for the endpoint.', ({ addresses }) => addresses.length),
  gauge(
    'endpoint_address_info',
    'Always 1: one series for each address served.',
    [...CLUSTER, 'endpoint', 'address'],
    ofEndpoints(({ endpoint = '', addresses }) =>
      addresses.map(({ address }) => [1, endpoint, address] as const),
    ),
  ),
  each(
    'endpoint_dead_addresses',
    'Addresses served last because the last checks of them failed.',
    ({ addresses }) => addresses.filter(({ isDead }) => isDead).length,
  ),
  labelled(
    'endpoint_address_proof',
    'Addresses by the state of their proof by TLS: proven, unproven or refused. Withheld addresses count too.',
    'state',
    ({ addresses, withheld }) => {
      const all = [...addresses, ...withheld];
      return PROOF_STATES.map((state) => [all.filter((one) => proofState(one) === state).length, state]);
    },
  ),
  labelled(
    'endpoint_addresses_without_proof',
    'Addresses that were proven once and are not proven now, by reason.',
    'reason',
    ({ addresses, withheld }) => {
      const lost = [...addresses, ...withheld].flatMap(({ proof }) =>
        proof === undefined || proof.state === 'proven' || proof.provenAgeSeconds === undefined
          ? []
          : [proof.reason ?? ''],
      );
      return [...new Set(lost)].map((reason) => [lost.filter((one) => one === reason).length, reason]);
    },
  ),
  each(
    'endpoint_withheld_addresses',
    'Addresses that are known and not served, because they are refused or not proven yet while proven addresses exist.',
    ({ withheld }) => withheld.length,
  ),
  labelled('endpoint_basis_info', 'Always 1: what the addresses were decided from.', 'basis', ({ basis }) => [
    [1, basis],
  ]),
  each(
    'endpoint_interfaces_doubtful',
    '1 while no interface has the exact description of the cluster, and those that have its text among others are taken.',
    ({ sources }) => sources.some(({ isDoubtful }) => isDoubtful),
  ),
  each(
    'endpoint_name_differs',
    '1 while the configured endpoint is not the name that DescribeCluster says: both are answered.',
    ({ describedEndpoint }) => describedEndpoint !== undefined,
  ),
  each('endpoint_change_held', '1 while a suspicious change is held back.', ({ held }) => held !== undefined),
  labelled(
    'endpoint_pinned',
    '1 while the operator pins the addresses, by where the pin comes from: configuration or command.',
    'origin',
    ({ pin }) => (pin === undefined ? [] : [[1, pin.origin]]),
  ),
  each(
    'endpoint_pin_left_seconds',
    'Seconds until the pin of a command ends; absent without such a pin.',
    ({ pin }) => pin?.endsInSeconds ?? pin?.overruled?.endsInSeconds,
  ),
  each(
    'endpoint_sources_disagree',
    '1 while name and interface sources disagree: from the first moment, while the log says it once each source was polled again.',
    ({ disagreement }) => disagreement,
  ),
  labelled(
    'endpoint_likely_cause_info',
    'Always 1: why the sources probably disagree.',
    'cause',
    ({ likelyCause }) => (likelyCause === undefined ? [] : [[1, likelyCause]]),
  ),
  each(
    'endpoint_refused_addresses',
    'Addresses that a source lists and that are refused.',
    ({ refusedAddresses }) => refusedAddresses.length,
  ),
  each(
    'credentials_accepted',
    '1 while AWS accepts the credentials, 0 while they are missing, expired or refused; absent while unknown.',
    ({ credentials }) =>
      credentials === undefined || credentials.condition === 'unknown'
        ? undefined
        : credentials.condition === 'accepted',
  ),
  labelled(
    'credentials_condition_info',
    'Always 1: unknown, accepted, missing, expired or refused.',
    'condition',
    ({ credentials }) => (credentials === undefined ? [] : [[1, credentials.condition]]),
  ),
  each(
    'credentials_condition_age_seconds',
    'Seconds since the credentials took their present condition.',
    ({ credentials }) => credentials?.ageSeconds,
  ),
  labelled(
    'credentials_left_seconds',
    'Seconds until the client certificate for the API servers, the certificate of IAM Roles Anywhere or the session ends, which an outage can outlast; negative after it. Warn at 30, 7 and 1 days, except for a session, which a provider renews.',
    'what',
    ({ endings }) => endings.map(({ what, leftSeconds }) => [leftSeconds, what] as const),
  ),
  labelled(
    'endpoint_source_silent',
    '1 for a source that has given no answer for ten of its intervals and 15 minutes, while others answer; absent otherwise.',
    'source',
    ({ silentSources }) => silentSources.map(({ source }) => [1, source] as const),
  ),
  counter(
    'refreshes',
    'Refreshes by source and result.',
    [...CLUSTER, 'source', 'result'],
    ofEndpoints(({ sources }) =>
      sources.flatMap(({ source, refreshes }) =>
        Object.entries(refreshes).map(([result, value]) => [value, source, result] as const),
      ),
    ),
  ),
  counter(
    'refresh_late_answers',
    'Polls that ended after their deadline, or after they were given up. An answer of such a poll was ignored.',
    [...CLUSTER, 'source'],
    ofEndpoints(({ sources }) => sources.map(({ source, lateResults }) => [lateResults, source] as const)),
  ),
  counter(
    'refresh_duration_seconds',
    'Time spent in refreshes.',
    [...CLUSTER, 'source'],
    ofEndpoints(({ sources }) =>
      sources.map(({ source, durationSecondsSum }) => [durationSecondsSum, source] as const),
    ),
  ),
];

/** Texts for the evidence that decided the addresses. */
const BASIS_TEXT: Readonly<Record<string, string>> = {
  name: 'what the name resolves to',
  overlap: 'what name and interfaces have in common',
  interfaces: "the cluster's network interfaces",
  kept: 'kept from before: no source is usable now',
  pin: "the operator's pin",
  none: 'nothing: no address was ever known',
};

function basisText({ basis, held }: EndpointStatus): string {
  if (basis === 'kept' && held !== undefined) return 'kept from before: a change is held back';
  return BASIS_TEXT[basis] ?? basis;
}

export const ENDPOINT_REPORT: RoomReport<EndpointsStatus> = {
  metrics: METRICS,
  *panels({ endpoints }) {
    for (const endpoint of endpoints) yield endpointPanel(endpoint);
  },
};

function endpointPanel(endpoint: EndpointStatus): Panel {
  const { cluster, region, basis, confirmedAgeSeconds, changedAgeSeconds, ttlSeconds, clusterId, held } =
    endpoint;
  const isDoubtful = basis === 'kept' || basis === 'none' || basis === 'pin';
  const changed = changedAgeSeconds === undefined ? '' : `, changed ${agoText(changedAgeSeconds)}`;
  const facts: (readonly [string, Cell])[] = [
    ['addresses', addressCell(endpoint.addresses)],
    ...(endpoint.withheld.length === 0 ? [] : [['not served', addressCell(endpoint.withheld)] as const]),
    ['from', toned(isDoubtful ? 'doubtful' : 'plain', basisText(endpoint))],
    ['confirmed', `${agoText(confirmedAgeSeconds)}${changed}, TTL ${ttlSeconds} s`],
  ];
  if (clusterId !== undefined) facts.push(['cluster id', clusterId]);
  if (held !== undefined) {
    const text = `${held.addresses.join(', ')} for ${ageText(held.ageSeconds)}: ${held.reason}`;
    facts.push(['held back', toned('doubtful', text)]);
  }
  if (endpoint.pin !== undefined) facts.push(['pinned', toned('doubtful', pinFact(endpoint.pin))]);
  if (endpoint.endings.length > 0) facts.push(['credentials end', endingCell(endpoint)]);
  for (const warning of endpoint.warnings) facts.push(['warning', toned('doubtful', warning)]);
  return {
    title: endpoint.endpoint ?? 'endpoint name not known',
    about: region === undefined ? cluster : `${cluster}, ${region}`,
    facts,
    head: ['source', 'confirmed', 'next', 'sees', 'latest'],
    rows: endpoint.sources.map((source) => [
      source.source,
      agoText(source.ageSeconds),
      inText(source.nextAttemptInSeconds),
      source.addresses?.join(', ') || '-',
      source.latest === 'failed' ? toned('bad', failureText(source.lastFailure)) : source.latest,
    ]),
  };
}

function pinFact({
  origin,
  addresses,
  why,
  by,
  ageSeconds,
  endsInSeconds,
  unpinned = [],
}: PinStatus): string {
  const instead = `in place of ${unpinned.length === 0 ? 'no address' : unpinned.join(', ')}`;
  if (origin === 'configuration') return `to ${addresses.join(', ')} by the configuration, ${instead}`;
  const ends = `ends ${inText(endsInSeconds)}`;
  return `to ${addresses.join(', ')} by ${by} ${agoText(ageSeconds)}, ${ends}, ${instead}: ${why}`;
}

const PROOF_TONE: Readonly<Record<ProofState, Toned['tone']>> = {
  proven: 'good',
  unproven: 'plain',
  refused: 'bad',
};

/** The proof says why an address does not answer. */
function lastRemark(isDead: boolean, isLast: boolean, hasProof: boolean): readonly string[] {
  if (isDead && !hasProof) return ['does not answer, given last'];
  return isDead || isLast ? ['given last'] : [];
}

function proofState({ proof }: AddressStatus): ProofState {
  return proof?.state ?? 'unproven';
}

function addressCell(addresses: readonly AddressStatus[]): Cell {
  if (addresses.length === 0) return toned('bad', 'no address');
  return addresses.map((one): Toned => {
    const { address, isDead, isLast, interfaceStatus, lackedAgeSeconds, proof } = one;
    const remarks = [
      ...(proof === undefined ? [] : [proofText(proof)]),
      ...lastRemark(isDead, isLast === true, proof !== undefined),
      ...(interfaceStatus === undefined ? [] : [`interface ${interfaceStatus}`]),
      ...(lackedAgeSeconds === undefined ? [] : [`not listed by EC2 for ${ageText(lackedAgeSeconds)}`]),
    ];
    const text = remarks.length === 0 ? address : `${address} (${remarks.join('; ')})`;
    return toned(isDead ? 'bad' : proof === undefined ? 'plain' : PROOF_TONE[proof.state], text);
  });
}

/** Amber within 30 days, red within one. */
function endingCell({ endings }: EndpointStatus): Cell {
  return endings.map(({ what, leftSeconds, isRenewed }): Toned => {
    const text = leftSeconds < 0 ? `${what} ended` : `${what} in ${ageText(leftSeconds)}`;
    if (isRenewed) return toned('plain', `${text} (renewed by its provider)`);
    const days = leftSeconds / 86_400;
    return toned(days <= 1 ? 'bad' : days <= 30 ? 'doubtful' : 'plain', text);
  });
}

function failureText(failure: SourceStatus['lastFailure']): string {
  if (failure === undefined) return 'failed';
  return `failed ${agoText(failure.ageSeconds)}: ${failure.reason}: ${failure.detail}`;
}
