/** Explains for each address that is known of an endpoint why clients get it, or why not. Pure: plain data in, sentences out. */
import type { SourceName } from '../records/sources.ts';
import type { AddressSnapshot, ClusterSnapshot } from './cluster-snapshot.ts';
import { proofText, REASON_TEXT } from './cluster-warnings.ts';
import type { RefusalReason } from './reconcile/decision.ts';

export interface AddressExplanation {
  readonly address: string;
  /** `first`: among the addresses that clients get first. `last`: after the others. `no`: clients do not get it. */
  readonly served: 'first' | 'last' | 'no';
  /** Sentences, the deciding one first. */
  readonly why: readonly string[];
  /** The sources that have ever named it, with the times of their answers. */
  readonly sources: readonly {
    readonly source: SourceName | 'pin';
    /** Whether it is in the last answer of the source; absent for a pin. */
    readonly isInLastAnswer?: boolean;
    readonly firstSeenAgoMs?: number;
    readonly lastSeenAgoMs?: number;
  }[];
  readonly proof?: AddressSnapshot['proof'];
  readonly isDead: boolean;
}

/** Served addresses first, in their order; then every other address that a source, a held change or a pin names. */
export function explainAddresses(cluster: ClusterSnapshot): readonly AddressExplanation[] {
  const { addresses, withheld, sources, held, refused, pin } = cluster;
  const known = new Map([...withheld, ...addresses].map((one) => [one.address, one]));
  const named = [
    ...[...addresses, ...withheld].map(({ address }) => address),
    ...sources.flatMap((source) => source.addresses ?? []),
    ...(held?.addresses ?? []),
    ...refused.map(({ address }) => address),
    ...(pin?.unpinned ?? []),
    ...(pin?.addresses ?? []),
  ];
  return [...new Set(named)].map((address) => explain(address, known.get(address), cluster));
}

function explain(
  address: string,
  one: AddressSnapshot | undefined,
  cluster: ClusterSnapshot,
): AddressExplanation {
  const isServed = cluster.addresses.some((served) => served.address === address);
  const isLast = one?.isLast === true || one?.isDead === true;
  return {
    address,
    served: isServed ? (isLast ? 'last' : 'first') : 'no',
    why: isServed && one !== undefined ? whyServed(one, cluster) : whyNot(address, one, cluster),
    sources: sourcesOf(address, one, cluster),
    ...(one?.proof === undefined ? {} : { proof: one.proof }),
    isDead: one?.isDead ?? false,
  };
}

const BASIS_WHY: Readonly<Record<ClusterSnapshot['basis'], string>> = {
  name: 'the name resolves to it',
  overlap: 'the name resolves to it, and its interface exists',
  interfaces: 'an interface source lists it',
  kept: 'it was served before, and no source is usable now',
  pin: 'it is pinned',
  none: 'nothing is known',
};

function whyServed(one: AddressSnapshot, cluster: ClusterSnapshot): readonly string[] {
  const { isLeaving, lackedAgoMs, interfaceStatus, proof, isDead, isLast } = one;
  const why = [isLeaving === true ? LEAVING : basisOf(one, cluster)];
  if (lackedAgoMs !== undefined)
    why.push('EC2 does not list it, and it stays while the name has it, or for an hour');
  if (interfaceStatus !== undefined) why.push(`its interface is ${interfaceStatus}, and exists`);
  if (proof !== undefined) why.push(proofText(proof));
  if (isDead) why.push('it is answered last: its last checks had no answer');
  else if (isLast === true) why.push('it is answered last: other addresses are better proven');
  return why;
}

const LEAVING =
  'the sources have dropped it; it stays because it is proven, and no address of the sources is';

function basisOf({ provenance }: AddressSnapshot, { basis, pin, held }: ClusterSnapshot): string {
  if (basis === 'kept' && held !== undefined)
    return `it was served before, and the guard holds back a change: ${held.reason}`;
  if (basis !== 'pin' || pin === undefined) return BASIS_WHY[basis];
  const isFound = Object.keys(provenance).some((source) => source !== 'pin');
  const by = pin.origin === 'command' ? `a command of ${pin.by}: ${pin.why}` : 'the configuration';
  return `it is pinned by ${by}${isFound ? '' : '; no source has named it'}`;
}

const REFUSAL_WHY: Readonly<Record<RefusalReason, string>> = {
  'not-ipv4': 'it is no IPv4 address',
  public: 'it is public, and no network of allowedAddresses holds it',
  loopback: 'it is a loopback address',
  multicast: 'it is a multicast address',
  unspecified: 'it is an unspecified address',
  broadcast: 'it is a broadcast address',
  'link-local': 'it is a link-local address',
  'not-allowed': 'no network of allowedAddresses holds it',
};

/** The first reason that holds decides; the others are left out, because they would change nothing. */
function whyNot(
  address: string,
  one: AddressSnapshot | undefined,
  cluster: ClusterSnapshot,
): readonly string[] {
  const { refused, pin, held, disagreement, basis } = cluster;
  const refusal = refused.find((each) => each.address === address);
  if (refusal !== undefined) return [`the guard refuses it: ${REFUSAL_WHY[refusal.reason]}`];
  if (one?.proof?.state === 'refused')
    return ['another server answers there, and proven addresses exist', reasonOf(one)];
  if (one !== undefined)
    return ['it is new, and is served once it is proven, because proven addresses exist', reasonOf(one)];
  if (pin !== undefined && basis === 'pin') return ['a pin hides it'];
  if (held?.addresses.includes(address))
    return [`it is part of a change that the guard holds back: ${held.reason}`];
  if (disagreement?.onlyByName.includes(address))
    return ['only the name has it, and no interface source lists it: the sources disagree'];
  if (disagreement?.onlyByInterfaces.includes(address))
    return ['only an interface source lists it, and the name does not have it: the sources disagree'];
  return ['an interface source lists it, and the name, which decides, does not have it'];
}

function reasonOf({ proof }: AddressSnapshot): string {
  if (proof === undefined) return 'it was not checked yet';
  return proof.reason === undefined ? proof.state : REASON_TEXT[proof.reason];
}

function sourcesOf(
  address: string,
  one: AddressSnapshot | undefined,
  { sources }: ClusterSnapshot,
): AddressExplanation['sources'] {
  const listing = sources.flatMap(({ source, addresses }) =>
    addresses === undefined ? [] : [{ source, isInLastAnswer: addresses.includes(address) }],
  );
  const provenance = Object.entries(one?.provenance ?? {}).map(([source, seen]) => ({
    source: source as SourceName | 'pin', // the keys of a provenance are sources, or the pin
    ...seen,
  }));
  const names = new Set(
    [...provenance, ...listing.filter((each) => each.isInLastAnswer)].map((each) => each.source),
  );
  return [...names].map((source) => ({
    source,
    ...listing.find((each) => each.source === source),
    ...provenance.find((each) => each.source === source),
  }));
}
