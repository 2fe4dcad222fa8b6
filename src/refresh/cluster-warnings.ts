/** Says in sentences what a person has to know of a cluster, and what is proven of its addresses. Pure. */
import {
  type AddressProof,
  type EndpointRecord,
  type HeldChange,
  isForeign,
  isProven,
  lastConfirmedAtMs,
  otherEndpointOf,
  type ProofReason,
  type ProofState,
  servedIn,
} from '../records/endpoint-record.ts';
import type { Ending } from '../records/observation.ts';
import { isAddressSource } from '../records/sources.ts';
import { ageText } from '../report/report.ts';
import { ageMs } from '../runtime/clock.ts';
import { ago, type PinSnapshot, type SnapshotParts } from './cluster-snapshot.ts';
import { CAUSE_TEXT, type Comparison, hasSameAddresses } from './reconcile/decision.ts';
import { type Forewarnings, isInTrouble, passedLimitMs } from './source-poller.ts';

const DAY_MS = 86_400_000;
/** Endpoint names never expire. An operator hears of their age after 7 and 30 days. */
export const AGE_WARNINGS_MS = [7 * DAY_MS, 30 * DAY_MS] as const;

const DOUBTFUL =
  'no interface has the exact description of the cluster: interfaces of its VPC and subnets whose description contains its text are used, which is doubtful; compare them in EC2';

export function clusterWarnings(parts: SnapshotParts, pin: PinSnapshot | undefined): readonly string[] {
  const { record, pollers, comparison, refused, nowMs } = parts;
  const { endpoint, addresses, held } = record;
  const warnings: string[] = [];
  if (endpoint === undefined) {
    warnings.push('the endpoint name is unknown: neither configured nor learned from DescribeCluster');
  } else if (addresses.length === 0) warnings.push('no address was ever learned for the endpoint');
  warnings.push(...nameWarnings(record));
  if (pollers.some(({ view }) => view?.isDoubtful)) warnings.push(DOUBTFUL);
  warnings.push(...ageWarnings(parts), ...credentialWarnings(parts));
  warnings.push(...forewarningTexts(parts.forewarnings, parts.wallMs));
  if (pin !== undefined) warnings.push(...pinWarnings(pin, comparison));
  else if (held !== undefined) warnings.push(heldWarning(held));
  for (const { address, lackedSinceMs } of addresses) {
    if (lackedSinceMs === undefined) continue;
    const since = ageText(ageMs(lackedSinceMs, nowMs) / 1000);
    warnings.push(
      `EC2 has not listed ${address} for ${since}: it stays until the listing has lacked it for an hour and the name has dropped it too`,
    );
  }
  warnings.push(...proofWarnings(record));
  for (const { address, reason } of refused) {
    warnings.push(`a source lists ${address}, which is refused: ${reason}`);
  }
  // when every source fails, the refresh compares nothing, and the cause from an earlier comparison would mislead
  if (!record.lastRefreshFailed) warnings.push(...loopWarnings(parts), ...disagreementWarnings(comparison));
  return warnings;
}

function nameWarnings(record: EndpointRecord): readonly string[] {
  const { endpoint, formerEndpoints } = record;
  const described = otherEndpointOf(record);
  const warnings: string[] = [];
  if (described !== undefined) {
    warnings.push(
      `the endpoint is configured as ${endpoint}, while AWS says ${described}: both are answered; correct it in clusters[].endpoint, or remove it`,
    );
  }
  if (formerEndpoints !== undefined) {
    const names = formerEndpoints.join(', ');
    warnings.push(`the endpoint was named ${names} before, which is answered with the same addresses`);
  }
  return warnings;
}

function ageWarnings({ record, pollers, nowMs, stateAheadMs }: SnapshotParts): readonly string[] {
  const age = ago(lastConfirmedAtMs(record), nowMs);
  const ahead =
    stateAheadMs > 0
      ? [`the state is ${ageText(stateAheadMs / 1000)} ahead of this clock: ages count from the start`]
      : [];
  if (record.lastRefreshFailed) {
    const since =
      age === undefined
        ? 'no source has ever confirmed anything'
        : `no source has confirmed anything for ${ageText(age / 1000)}`;
    const first = pollers.find(({ name, latest }) => isAddressSource(name) && latest === 'failed');
    return [first?.lastFailure === undefined ? since : `${since}: ${first.lastFailure.detail}`, ...ahead];
  }
  const passedMs = AGE_WARNINGS_MS.findLast((limitMs) => (age ?? 0) > limitMs);
  if (passedMs === undefined) return ahead;
  return [`no source has confirmed the addresses for ${ageText(passedMs / 1000)}`, ...ahead];
}

function credentialWarnings({ credentials, nowMs }: SnapshotParts): readonly string[] {
  if (!isInTrouble(credentials)) return [];
  const { condition, detail, sinceMs } = credentials;
  return [
    `the credentials for aws are ${condition}, for ${ageText(ageMs(sinceMs, nowMs) / 1000)}: ${detail}`,
  ];
}

function heldWarning({ addresses, reason, awaits }: HeldChange): string {
  const change = addresses.join(', ');
  if (awaits === undefined) return `a change to ${change} is held back until it is repeated: ${reason}`;
  return `a change to ${change}, which names alone give, is held back until an interface source answers the same, the addresses are pinned, or that source is removed from the sources of the cluster: ${reason}`;
}

/** A source whose upstream asks us gets our own answer, which agrees with everything: only its failure shows the loop. */
function loopWarnings({ pollers }: SnapshotParts): readonly string[] {
  return pollers.flatMap(({ latest, lastFailure }) =>
    latest === 'failed' && lastFailure?.reason === 'looping' ? [lastFailure.detail] : [],
  );
}

function disagreementWarnings(comparison: Comparison | undefined): readonly string[] {
  const { likelyCause, disagreement } = comparison ?? {};
  if (likelyCause !== undefined) return [CAUSE_TEXT[likelyCause]];
  if (disagreement === undefined) return [];
  const { onlyByName, onlyByInterfaces } = disagreement;
  return [
    `the sources disagree: only by name ${list(onlyByName)}, only by interfaces ${list(onlyByInterfaces)}`,
  ];
}

function pinWarnings(pin: PinSnapshot, comparison: Comparison | undefined): readonly string[] {
  const { addresses, refused, overruled } = pin;
  const effective = addresses.filter((address) => !refused.includes(address));
  const pinned = `${pinText(pin)} the addresses to ${addresses.join(', ')}${pinEndText(pin)}`;
  const doubt =
    comparison === undefined || hasSameAddresses(comparison.candidate, addresses)
      ? ''
      : `, while the sources say ${list(comparison.candidate)}`;
  const without = effective.length === 0 ? 'the pin has no effect' : 'these are not served';
  return [
    `${pinned}${doubt}`,
    ...(refused.length === 0
      ? []
      : [`allowedAddresses refuses ${refused.join(', ')} of the pin: ${without}; add the network, or unpin`]),
    ...(overruled === undefined
      ? []
      : [
          `the configuration pins the addresses, and that pin wins over the pin of ${overruled.by} to ${overruled.addresses.join(', ')}`,
        ]),
  ];
}

function pinText({ origin, by }: PinSnapshot): string {
  return origin === 'command' ? `${by} has pinned` : 'the operator has pinned';
}

function pinEndText({ why, endsInMs }: PinSnapshot): string {
  return endsInMs === undefined ? '' : ` for ${ageText(endsInMs / 1000)} more ("${why}")`;
}

function list(addresses: readonly string[]): string {
  return addresses.length === 0 ? 'none' : addresses.join(', ');
}

export const REASON_TEXT: Readonly<Record<ProofReason, string>> = {
  'other-authority': 'its certificate is not signed by an authority of the cluster',
  'other-name': 'its certificate is not for the name of the endpoint',
  'no-tls': 'a server answers there that completes no handshake by TLS',
  timeout: 'it does not answer in time',
  network: 'this host cannot connect to it',
  'no-authority': 'no authority of the cluster is known here',
  'not-asked': 'this host could not try it',
  expired: 'its certificate has ended by the clock of this host',
  'not-yet-valid': 'its certificate begins later by the clock of this host',
};

/** `proven`, or `refused: its certificate is not for the name of the endpoint`. */
export function proofText({
  state,
  reason,
}: {
  readonly state: ProofState;
  readonly reason?: ProofReason;
}): string {
  return reason === undefined ? state : `${state}: ${REASON_TEXT[reason]}`;
}

/** Sentences for a person; empty where all is well, or where nothing can be proven. */
export function proofWarnings(record: EndpointRecord): readonly string[] {
  const { addresses, leaving = [] } = record;
  const { withheld } = servedIn(record);
  const all = [...addresses, ...leaving];
  const warnings: string[] = [];
  for (const { address, proof } of all) {
    if (proof === undefined) continue;
    const isWithheld = withheld.some((one) => one.address === address);
    const warning = proofWarning(address, proof, isWithheld);
    if (warning !== undefined) warnings.push(warning);
  }
  if (leaving.length > 0) {
    const names = leaving.map(({ address }) => address).join(', ');
    warnings.push(
      `${names} stays, although the sources have dropped it: it is proven, and no address of the sources is`,
    );
  }
  const isAllRefused = addresses.length > 0 && addresses.every(({ proof }) => proof?.state === 'refused');
  if (isAllRefused && !all.some(isProven)) {
    warnings.push(
      'every address is refused, so all of them are served: either other hosts have all of them now (pin the right ones), or probe.ca or the kubeconfig has the authority of another cluster',
    );
  }
  return warnings;
}

function proofWarning(address: string, proof: AddressProof, isWithheld: boolean): string | undefined {
  const { state, reason, provenAtMs } = proof;
  const why = reason === undefined ? '' : `: ${REASON_TEXT[reason]}`;
  const rest = isWithheld ? ', and is not served while proven addresses exist' : '';
  if (state === 'refused') return `${address} is refused${rest}${why}`;
  if (state === 'proven') {
    return reason === undefined
      ? undefined
      : `${address} is proven, but ${REASON_TEXT[reason]}: is the clock right, or must the certificate be renewed?`;
  }
  if (isWithheld) return `${address} is new and not proven yet${rest}${why}`;
  if (provenAtMs === undefined) return undefined;
  const lost = `${address} has lost its proof and is answered last${why}`;
  return isForeign(proof) ? `${lost}; a second check decides` : lost;
}

const ENDING_TEXT: Readonly<Record<Ending['what'], string>> = {
  'kubernetes-certificate': 'the client certificate for the API servers',
  'roles-anywhere-certificate': 'the certificate of IAM Roles Anywhere',
  session: 'the session of the AWS credentials',
};

/** Sentences for a person. */
export function forewarningTexts({ endings, silent }: Forewarnings, wallMs: number): readonly string[] {
  const ends = endings.flatMap((ending) => {
    if (passedLimitMs(ending, wallMs) === undefined) return [];
    const { what, endsAtMs } = ending;
    const when = new Date(endsAtMs).toISOString().slice(0, 16).replace('T', ' ');
    return endsAtMs <= wallMs
      ? [`${ENDING_TEXT[what]} ended at ${when} UTC: renew it`]
      : [`${ENDING_TEXT[what]} ends at ${when} UTC: renew it now, because an outage can outlast it`];
  });
  const silences = silent.map(({ source, silentMs, detail }) => {
    const minutes = Math.floor(silentMs / 60_000);
    const since = minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
    return `the source ${source} has given no answer for ${since}, while others answer: ${detail}`;
  });
  return [...ends, ...silences];
}
