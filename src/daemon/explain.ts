/** Explains an answer to an operator: joins the rehearsal of the question with what the refresh side knows of an endpoint. */
import type { ExplainReport } from '../admin/explain-control.ts';
import { rcodeAt, uint16At, uint32At } from '../protocol/wire/header.ts';
import { nameText, rdataText, recordPlaces } from '../protocol/wire/presentation.ts';
import { indexResponse } from '../protocol/wire/response.ts';
import { rcodeName, typeName } from '../protocol/words/codes.ts';
import type { ClusterSnapshot } from '../refresh/cluster-report.ts';
import { type AddressExplanation, explainAddresses } from '../refresh/explain-addresses.ts';
import { optionalSeconds, seconds } from '../report/report.ts';
import type { Rehearsed } from '../serving/resolver/rehearsal.ts';
import type { Rooms } from './rooms.ts';

export function explainName(rooms: Rooms, name: string, qtype: number): ExplainReport {
  const { rehearsal, plane } = rooms;
  const answer = (as: 'now' | 'cut') => answerReport(rehearsal.answer(name, qtype, as), rooms);
  const cluster = plane.snapshot().clusters.find((one) => namesOf(one).includes(name));
  return {
    name,
    type: typeName(qtype),
    now: answer('now'),
    inCut: answer('cut'),
    ...(cluster === undefined ? {} : { endpoint: endpointReport(cluster) }),
  };
}

function namesOf({ endpoint, describedEndpoint, formerEndpoints = [] }: ClusterSnapshot): readonly string[] {
  return [endpoint, describedEndpoint, ...formerEndpoints].flatMap((name) => name ?? []);
}

function answerReport(
  { step, why, origin, message, route, kept }: Rehearsed,
  { inForce }: Rooms,
): ExplainReport['now'] {
  const group = inForce.routes.groups.find((one) => one.name === route);
  return {
    step,
    why,
    origin,
    ...(message === undefined ? {} : { rcode: rcodeName(rcodeAt(message, 0)) }),
    records: message === undefined ? [] : recordsIn(message),
    upstreams: message === undefined ? (group?.upstreams.map(({ text }) => text) ?? []) : [],
    ...(kept === undefined
      ? {}
      : {
          kept: {
            ageSeconds: seconds(kept.ageMs),
            freshForSeconds: seconds(kept.freshForMs),
            givenForSeconds: optionalSeconds(kept.givenForMs),
          },
        }),
  };
}

/** Lines such as `www.example.com 60 A 192.0.2.1`. */
function recordsIn(message: Uint8Array): readonly string[] {
  const index = indexResponse(message);
  if (index.kind === 'fault') return [];
  return recordPlaces(message, index.questionEnd)
    .filter(({ section }) => section === 'answer')
    .map((place) => {
      const { ownerAt, typeAt } = place;
      const ttlSeconds = uint32At(message, typeAt + 4);
      const type = typeName(uint16At(message, typeAt));
      return `${nameText(message, ownerAt)} ${ttlSeconds} ${type} ${rdataText(message, place)}`;
    });
}

function endpointReport(cluster: ClusterSnapshot): NonNullable<ExplainReport['endpoint']> {
  const { region, basis, sources, warnings } = cluster;
  return {
    cluster: cluster.cluster,
    ...(region === undefined ? {} : { region }),
    basis,
    sources: sources.map(({ source, latest, lastSuccessAgoMs, addresses, lastFailure }) => ({
      source,
      latest,
      ageSeconds: optionalSeconds(lastSuccessAgoMs),
      ...(addresses === undefined ? {} : { addresses }),
      ...(latest === 'failed' && lastFailure !== undefined ? { failure: lastFailure.detail } : {}),
    })),
    agreement: agreementOf(cluster),
    addresses: explainAddresses(cluster).map(addressReport),
    warnings,
  };
}

function agreementOf({ disagreement, basis }: ClusterSnapshot): string {
  if (disagreement !== undefined) {
    const list = (some: readonly string[]) => (some.length === 0 ? 'none' : some.join(', '));
    return `name and interfaces disagree: only by name ${list(disagreement.onlyByName)}, only by interfaces ${list(disagreement.onlyByInterfaces)}`;
  }
  if (basis === 'kept' || basis === 'none') return 'no source is usable now';
  return 'no source contradicts another';
}

function addressReport({ sources, proof, ...one }: AddressExplanation) {
  return {
    ...one,
    sources: sources.map(({ source, isInLastAnswer, firstSeenAgoMs, lastSeenAgoMs }) => ({
      source,
      ...(isInLastAnswer === undefined ? {} : { isInLastAnswer }),
      firstSeenAgeSeconds: optionalSeconds(firstSeenAgoMs),
      lastSeenAgeSeconds: optionalSeconds(lastSeenAgoMs),
    })),
    ...(proof === undefined
      ? {}
      : {
          proof: {
            state: proof.state,
            ...(proof.reason === undefined ? {} : { reason: proof.reason }),
            ageSeconds: seconds(proof.sinceAgoMs),
            provenAgeSeconds: optionalSeconds(proof.provenAgoMs),
          },
        }),
  };
}
