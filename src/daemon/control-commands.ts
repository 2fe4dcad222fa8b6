/** The commands of the control socket, each with the rooms that do it. */
import type { ControlRoute } from '../admin/control-route.ts';
import { asIfCutRoutes, drillRoutes } from '../admin/drill-control.ts';
import { type ExplainReport, explainRoutes, type FlushControl, flushRoutes } from '../admin/name-control.ts';
import { type PinControl, type PinReport, pinRoutes } from '../admin/pin-control.ts';
import { rcodeAt, uint16At, uint32At } from '../protocol/wire/message.ts';
import { nameText, rdataText, recordPlaces } from '../protocol/wire/presentation.ts';
import { indexResponse } from '../protocol/wire/response.ts';
import { rcodeName, typeFromText, typeName } from '../protocol/words/codes.ts';
import { isAtOrUnder, normalizeName } from '../protocol/words/name.ts';
import type { Pin } from '../records/endpoint-record.ts';
import { type ClusterSnapshot, pinStatus } from '../refresh/cluster-snapshot.ts';
import { type AddressExplanation, explainAddresses } from '../refresh/explain-addresses.ts';
import { refusalsBy } from '../refresh/reconcile/decision.ts';
import { CLUSTERS_PER_TURN } from '../refresh/refresh-plane.ts';
import { optionalSeconds, seconds } from '../report/report.ts';
import { inSlices } from '../runtime/slices.ts';
import type { Rehearsed } from '../serving/resolver/rehearsal.ts';
import { rehearseCut } from './as-if-cut.ts';
import type { DaemonParts } from './parts.ts';
import type { Rooms } from './rooms.ts';
import { notReady } from './server-report.ts';

export function controlRoutes(
  parts: Pick<DaemonParts, 'pause' | 'clock'>,
  rooms: Rooms,
): readonly ControlRoute[] {
  return [
    ...drillRoutes(rooms.drill, () => notReadyNow(parts, rooms)),
    ...pinRoutes(pinControl(rooms)),
    ...flushRoutes(flushControl(parts, rooms)),
    ...asIfCutRoutes(() => rehearseCut(parts, rooms)),
    ...explainRoutes({
      normalName,
      typeOf: typeFromText,
      explain: (name, qtype) => explainName(rooms, name, qtype),
    }),
  ];
}

async function notReadyNow({ pause }: Pick<DaemonParts, 'pause'>, { plane, serving }: Rooms) {
  const { clusters } = await inSlices(plane.snapshotting(), pause, CLUSTERS_PER_TURN);
  return notReady(clusters, serving.current.records);
}

function pinControl({ plane, store }: Rooms): PinControl {
  /** Waits for the clients' answer first, and then for the disk. */
  const repin = async (
    { cluster, region }: { readonly cluster: string; readonly region?: string | undefined },
    pin: (Pick<Pin, 'addresses' | 'why' | 'by'> & { readonly forMs: number }) | undefined,
  ): Promise<PinReport> => {
    await plane.repin({ name: cluster, region }, pin);
    const saved = await store.flush();
    const snapshot = plane.clusterSnapshot(cluster, region);
    return {
      cluster,
      region,
      endpoint: snapshot?.endpoint,
      served: snapshot?.addresses.map(({ address }) => address) ?? [],
      pin: pinStatus(snapshot?.pin),
      isSaved: saved.kind !== 'failed',
      saveFailure: saved.kind === 'failed' ? saved.detail : undefined,
    };
  };
  return {
    clusters: () => plane.clusters,
    refusalOf: (address, allowedAddresses) => refusalsBy(allowedAddresses)(address),
    pin: (command) => repin(command, command),
    unpin: (command) => repin(command, undefined),
  };
}

/** Names in one turn of the event loop, as in a reload. */
function flushControl({ pause }: Pick<DaemonParts, 'pause'>, rooms: Rooms): FlushControl {
  const { cache, answers, retained, serving, ledger, link, drill, forwarder, inForce } = rooms;
  return {
    normalName,
    cutText: () => {
      if (drill.isRunning) return 'a drill is running';
      if (link.cuts.isFarSideCut) return 'the link to aws is down';
      return forwarder.isDown(inForce.group) ? 'no upstream answers' : undefined;
    },
    async flush({ name, below, by }) {
      const isWanted = (other: string) => other === name || (below && isAtOrUnder(other, name));
      let count = await inSlices(cache.flushing(isWanted), pause);
      // at the start the snapshot is still being loaded, and with it the answers
      await answers.start();
      count += await inSlices(cache.flushing(isWanted), pause);
      const written = await answers.write();
      ledger.record({ kind: 'flush', name, below, answers: count, flushedBy: by });
      return {
        name,
        below,
        answers: count,
        retained: retained.askAgain(isWanted),
        endpoints: serving.current.records.flatMap(({ endpoint }) =>
          endpoint !== undefined && isWanted(endpoint) ? [endpoint] : [],
        ),
        isSaved: written.kind === 'written',
        saveFailure: written.kind === 'failed' ? written.detail : undefined,
      };
    },
  };
}

function normalName(text: string): string | undefined {
  try {
    return text === '' ? undefined : normalizeName(text);
  } catch {
    return undefined;
  }
}

// The command `explain` joins the rehearsal of the question with what the refresh side knows of an endpoint.

function explainName(rooms: Rooms, name: string, qtype: number): ExplainReport {
  const { rehearsal, plane } = rooms;
  const answer = (as: 'now' | 'cut') => answerReport(rehearsal.answer(name, qtype, as), rooms);
  const cluster = plane.snapshot().clusters.find((one) => namesOf(one).includes(name));
  return {
    name,
    type: typeName(qtype),
    now: answer('now'),
    inCut: answer('cut'),
    endpoint: cluster && endpointReport(cluster),
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
    rcode: message && rcodeName(rcodeAt(message, 0)),
    records: message === undefined ? [] : recordsIn(message),
    upstreams: message === undefined ? (group?.upstreams.map(({ text }) => text) ?? []) : [],
    kept: kept && {
      ageSeconds: seconds(kept.ageMs),
      freshForSeconds: seconds(kept.freshForMs),
      givenForSeconds: optionalSeconds(kept.givenForMs),
    },
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
    region,
    basis,
    sources: sources.map(({ source, latest, lastSuccessAgoMs, addresses, lastFailure }) => ({
      source,
      latest,
      ageSeconds: optionalSeconds(lastSuccessAgoMs),
      addresses,
      failure: latest === 'failed' ? lastFailure?.detail : undefined,
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
      isInLastAnswer,
      firstSeenAgeSeconds: optionalSeconds(firstSeenAgoMs),
      lastSeenAgeSeconds: optionalSeconds(lastSeenAgoMs),
    })),
    proof: proof && {
      state: proof.state,
      reason: proof.reason,
      ageSeconds: seconds(proof.sinceAgoMs),
      provenAgeSeconds: optionalSeconds(proof.provenAgoMs),
    },
  };
}
