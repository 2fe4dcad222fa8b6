/**
 * Compares the answers of the sources: decides which addresses to serve, and where the sources disagree.
 *
 *     name sources                    interface sources   served
 *     agree, or are a subset          available           the addresses of the name
 *     overlap in part                 available           the overlap; the rest is reported
 *     disjoint                        available           the addresses of the interfaces; disagreement reported
 *     unavailable or empty            available           the addresses of the interfaces
 *     available                       unavailable         the addresses of the name
 *     nothing usable                  nothing usable      the addresses that were served before, for ever
 *
 * The room reconcile/ is the pure middle of the refresh journey: plan [ compare -> guard ]. It refuses to
 * know sockets, clients, clocks and files: time comes in as a number, chance as a fraction. The name sources speak DNS (RFC
 * 1035, TTLs by RFC 2181 section 8); nothing here does.
 */
import type { FailureReason } from '../../records/observation.ts';
import {
  type AddressSource,
  isInterfaceSource,
  isListing,
  isNameSource,
  traitsOf,
} from '../../records/sources.ts';
import type { NameEvidence, RefusalOf, SeenByKind } from './guard.ts';

/** The answer of one source at this moment. An empty answer counts as unavailable: the plan doubts it and never believes it. */
export type SourceView =
  | { readonly kind: 'addresses'; readonly addresses: readonly string[] }
  | { readonly kind: 'unavailable'; readonly reason?: FailureReason };

/** Why the sources may differ, as far as their answers show it. Bounded: a metric label. */
export type LikelyCause =
  | 'dns-rebinding-filter'
  | 'name-reply-dropped'
  | 'name-not-found'
  | 'public-access'
  | 'interface-listing-empty';

export interface Disagreement {
  readonly onlyByName: readonly string[];
  readonly onlyByInterfaces: readonly string[];
}

export interface Comparison {
  /** Empty when no source says anything usable. */
  readonly candidate: readonly string[];
  readonly basis: 'name' | 'overlap' | 'interfaces' | 'none';
  /** Both kinds of source answered: without a disagreement they agree. */
  readonly isTwoSided: boolean;
  readonly disagreement?: Disagreement;
  readonly likelyCause?: LikelyCause;
}

/** One sentence for each cause, for the log, the status and a person. */
export const CAUSE_TEXT: Readonly<Record<LikelyCause, string>> = {
  'dns-rebinding-filter':
    'the upstream answers the name without addresses: a filter against DNS rebinding drops private addresses (dnsmasq stop-dns-rebind, Unbound private-address, pfSense by default, BIND deny-answer-addresses)',
  'name-reply-dropped':
    'the upstream does not reply about the name while AWS answers: the upstream is down, or its filter against DNS rebinding drops the reply',
  'name-not-found':
    'the name does not exist for the upstream: a wrong endpoint name, or a filter that answers so',
  'public-access':
    'the name resolves to public addresses: public access to the endpoint is on, so the addresses of the interfaces are right for this site',
  'interface-listing-empty':
    'no interface of the cluster is listed: a wrong cluster name, region or VPC, or a proxy that answers in place of AWS',
};

/**
 * Sources of one kind count as one source, which saw every address that any of them saw. For the interface sources:
 *
 *     EC2's listing   API server's view   exists
 *     available       not asked, or down  what EC2 lists
 *     available       the same            the same
 *     available       different           what either lists
 *     down, or empty  available           what the API server lists: the row of a cut
 *     down, or empty  not asked, or down  nothing is known
 *
 * Different answers are united because neither source is certainly the fresher one. EC2 is eventually consistent, and an API
 * server that has just gone is still listed for some seconds. Before the union is served, the name must have it or be
 * unavailable. It ends with the next poll of the source that was late.
 *
 * @param isPublic whether an address is public and outside the ranges of the operator
 */
export function compare(
  names: readonly SourceView[],
  interfaces: readonly SourceView[],
  isPublic: (address: string) => boolean,
): Comparison {
  const byName = union(names);
  const byInterfaces = union(interfaces);
  // row 6, "nothing usable | nothing usable": the caller keeps what was served before
  if (byName.size === 0 && byInterfaces.size === 0)
    return { candidate: [], basis: 'none', isTwoSided: false };
  // row 5, "available | unavailable": the name's addresses
  if (byInterfaces.size === 0) {
    const doubt = doubtAboutInterfaces(byName, interfaces);
    return { candidate: [...byName], basis: 'name', isTwoSided: false, ...doubt };
  }
  // row 4, "unavailable, or empty | available": the interfaces' addresses
  if (byName.size === 0) {
    const doubt = doubtAboutNames(names, byInterfaces);
    return { candidate: [...byInterfaces], basis: 'interfaces', isTwoSided: false, ...doubt };
  }
  const both = [...byName].filter((address) => byInterfaces.has(address));
  // row 1, "agree with, or are a subset of, the interfaces | available": the name's addresses
  if (both.length === byName.size) return { candidate: [...byName], basis: 'name', isTwoSided: true };
  const onlyByName = [...byName].filter((address) => !byInterfaces.has(address));
  const onlyByInterfaces = [...byInterfaces].filter((address) => !byName.has(address));
  const disagreement = { onlyByName, onlyByInterfaces };
  const cause = onlyByName.some(isPublic) ? ({ likelyCause: 'public-access' } as const) : {};
  // row 3, "disjoint | available": the interfaces' addresses, disagreement reported
  if (both.length === 0) {
    return { candidate: [...byInterfaces], basis: 'interfaces', isTwoSided: true, disagreement, ...cause };
  }
  // row 2, "overlap in part | available": the overlap; the rest is reported
  return { candidate: both, basis: 'overlap', isTwoSided: true, disagreement, ...cause };
}

function union(views: readonly SourceView[]): Set<string> {
  return new Set(views.flatMap((view) => (view.kind === 'addresses' ? view.addresses : [])));
}

function doubtAboutInterfaces(byName: Set<string>, interfaces: readonly SourceView[]): Partial<Comparison> {
  if (!interfaces.some((view) => view.kind === 'unavailable' && view.reason === 'empty')) return {};
  return {
    disagreement: { onlyByName: [...byName], onlyByInterfaces: [] },
    likelyCause: 'interface-listing-empty',
  };
}

function doubtAboutNames(names: readonly SourceView[], byInterfaces: Set<string>): Partial<Comparison> {
  const disagreement = { onlyByName: [], onlyByInterfaces: [...byInterfaces] };
  for (const view of names) {
    if (view.kind !== 'unavailable') continue;
    switch (view.reason) {
      case 'empty':
      case 'filtered':
        return { disagreement, likelyCause: 'dns-rebinding-filter' };
      case 'not-found':
        return { disagreement, likelyCause: 'name-not-found' };
      case 'timeout':
        return { likelyCause: 'name-reply-dropped' }; // silence contradicts nothing
      default: // the other failures say nothing about the name
    }
  }
  return {};
}

/** The facts about one address source at the moment of a plan. */
export interface SourceState {
  readonly source: AddressSource;
  readonly latest: 'untried' | 'succeeded' | 'failed';
  /** The reason why the latest poll failed. */
  readonly failure?: FailureReason | undefined;
  /** The last answer, even if a failure came after it. */
  readonly view?: AddressView | undefined;
}

export interface AddressView {
  readonly addresses: readonly string[];
  readonly ttlSeconds?: number | undefined;
  readonly observedAtMs: number;
  /** The upstream that answered; name sources only. */
  readonly upstream?: string | undefined;
  /** EC2's status of those interfaces that are not `in-use`, by address. */
  readonly statuses?: Readonly<Record<string, string>> | undefined;
  /** The descriptions of the listed interfaces are not exactly that of the cluster. */
  readonly isDoubtful?: true | undefined;
}

export interface ViewSettings {
  readonly refusalOf: RefusalOf;
  /** An older answer counts as unavailable, because its source has stopped polling. */
  readonly maximumAgeMs: Readonly<Record<AddressSource, number>>;
}

/** Compares the states of the sources at this moment; the decision rests on the result. */
export function compareStates(
  sources: readonly SourceState[],
  settings: ViewSettings,
  nowMs: number,
): Comparison {
  const viewsOf = (isKind: (source: AddressSource) => boolean) =>
    sources.filter(({ source }) => isKind(source)).map((state) => viewOf(state, settings, nowMs));
  const isPublic = (address: string) => settings.refusalOf(address) === 'public';
  return compare(viewsOf(isNameSource), viewsOf(isInterfaceSource), isPublic);
}

function viewOf(state: SourceState, settings: ViewSettings, nowMs: number): SourceView {
  const { source, latest, view, failure } = state;
  if (latest === 'failed') {
    // causes are inferred from DNS and EC2; a source on the site fails for reasons of its own
    return { kind: 'unavailable', ...(traitsOf(source).crossesLink ? { reason: failure } : {}) };
  }
  const isRecent = view !== undefined && nowMs - view.observedAtMs <= settings.maximumAgeMs[source];
  if (latest === 'untried' || !isRecent) return { kind: 'unavailable' };
  return { kind: 'addresses', addresses: view.addresses };
}

/** Whether the source names an address at this moment that may be served. */
export function isUsable(state: SourceState, settings: ViewSettings, nowMs: number): boolean {
  const view = viewOf(state, settings, nowMs);
  return view.kind === 'addresses' && view.addresses.some((it) => settings.refusalOf(it) === undefined);
}

/** Which addresses each kind of source names that may be served. */
export function seenByKind(
  sources: readonly SourceState[],
  settings: ViewSettings,
  nowMs: number,
): SeenByKind {
  const usable = sources.filter((state) => isUsable(state, settings, nowMs));
  const addressesBy = (isKind: (source: AddressSource) => boolean) => {
    const views = usable.filter(({ source }) => isKind(source)).flatMap(({ view }) => view ?? []);
    const addresses = views.flatMap((view) => view.addresses);
    return new Set(addresses.filter((address) => settings.refusalOf(address) === undefined));
  };
  return {
    byName: addressesBy(isNameSource),
    byInterfaces: addressesBy(isInterfaceSource),
    listedAtMs: usable.find(({ source }) => isListing(source))?.view?.observedAtMs,
  };
}

/** Reads from the answers of the name sources the evidence that `guard` needs to recognise a repeated answer. */
export function evidenceOfNames(sources: readonly SourceState[]): NameEvidence {
  const names = sources.filter(({ source, latest }) => isNameSource(source) && latest === 'succeeded');
  const views = names.flatMap(({ view }) => view ?? []);
  return {
    ttlSeconds: Math.max(0, ...views.map(({ ttlSeconds }) => ttlSeconds ?? 0).filter(Number.isFinite)),
    upstreams: views.flatMap(({ upstream }) => upstream ?? []),
    observedAtMs: Math.max(0, ...views.map(({ observedAtMs }) => observedAtMs)),
  };
}
