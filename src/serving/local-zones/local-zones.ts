/**
 * Names that are answered or routed here by rule: special-use names, and the operator's own zones. Built whole from options
 * and never changed; a reload builds new zones. The longest name that the question's name is equal to or lies under decides;
 * of two rules for the same name the operator's rule wins. The answers of a name are composed when it is first asked for;
 * after that a lookup makes no object and no string.
 *
 * The room does not know forwarding: a route is a value that it returns. It does not know the cache, the client, or whether
 * the link is up. It is for class IN alone. RFC 6761, RFC 6303, RFC 7793, RFC 7686, RFC 8375, RFC 9462,
 * RFC 9476, RFC 8482, RFC 2308.
 */

import { apexAnswers } from '../../protocol/wire/local-answer.ts';
import { NameMap } from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import type { LocalAnswer } from '../../protocol/wire/reply.ts';
import { EXTENDED_ERROR, RCODE, TYPE } from '../../protocol/words/codes.ts';
import { labelCountOf, nameToWire, parentName } from '../../protocol/words/name.ts';
import { SPECIAL_NAMES, type SpecialName } from '../../protocol/words/special-names.ts';
import { atOnce, type Steps } from '../../runtime/slices.ts';
import { anyType, type FindingsByType, type LocalFinding, ownFindings } from './finding.ts';
import { OwnNames, RuleCheck, type SpecialZone, specialZone, type ZoneRule } from './own-zones.ts';

export interface LocalZonesOptions<Route> {
  readonly rules: Iterable<ZoneRule<Route>>;
  /** Given if names of the site itself are forwarded. */
  readonly siteNames?: SiteNames<Route> | undefined;
}

export interface SiteNames<Route> {
  /** Upstreams on the site; without them, only zones of the operator above a name have upstreams. */
  readonly route: Route | undefined;
}

interface Place<Route> {
  /** Labels of the name. */
  readonly labels: number;
  readonly own: FindingsByType<Route>;
  readonly under: FindingsByType<Route>;
  /** Whether a zone begins at the name. */
  readonly isApex: boolean;
  /** For a zone of our own: the answer without a record of the type, for a name that exists. */
  readonly noData: LocalAnswer | undefined;
}

export class LocalZones<Route> {
  readonly #check = new RuleCheck();
  /** A number is that of a name in `#names`. */
  readonly #places = new NameMap<Place<Route> | number>();
  readonly #names = new OwnNames<FindingsByType<Route>>({
    zones: this.#check.zones,
    numberOf: (name) => ownNumber(this.#places.get(name)),
    found: (findings) => findings,
  });
  /** Of rules that answer with a response code, which many zones share. */
  readonly #denials = new Map<string, Place<Route>>();

  /** Throws LocalZonesError, with every fault, where the rules cannot be served. Without options there are no zones at all. */
  constructor(options?: LocalZonesOptions<Route>) {
    if (options !== undefined) atOnce(this.#addAll(options.rules, options.siteNames));
  }

  /** As the constructor, in steps: there may be thousands of rules. */
  static *building<Route>({ rules, siteNames }: LocalZonesOptions<Route>): Steps<LocalZones<Route>> {
    const zones = new LocalZones<Route>();
    yield* zones.#addAll(rules, siteNames);
    return zones;
  }

  /** The finding for the question; `undefined` without a rule. The query's class is IN. */
  find(query: Query): LocalFinding<Route> | undefined {
    const found = this.#places.closest(query);
    if (found === undefined) return undefined;
    const place = this.#placeOf(found);
    const isOwn = query.labelCount === place.labels;
    if (isOwn && place.isApex && query.qtype === TYPE.DS) return this.#findInParent(query);
    const findings = isOwn ? this.#own(found) : place.under;
    return findings.byType.get(query.qtype) ?? findings.otherTypes;
  }

  /**
   * Finds the answer to a question for DS at the apex of a zone of our own. Clients get this answer if the server cannot ask the
   * servers of the parent zone, or if those servers do not know the name.
   */
  noDs(query: Query): LocalAnswer | undefined {
    const found = query.qtype === TYPE.DS ? this.#places.exact(query) : undefined;
    const place = found === undefined ? undefined : this.#placeOf(found);
    return place?.isApex ? place.noData : undefined;
  }

  /** Whether the operator has records at the query's name. */
  hasRecordsAt(query: Query): boolean {
    const number = ownNumber(this.#places.exact(query));
    return number !== undefined && this.#names.kind(number).hasRecords;
  }

  /** RFC 4035 section 3.1.4.1: DS belongs to the parent's side of a zone cut, and its servers answer for it. */
  #findInParent(query: Query): LocalFinding<Route> | undefined {
    const above = this.#places.closestAbove(query);
    if (above === undefined) return undefined;
    const parent = this.#placeOf(above);
    const finding = parent.under.byType.get(query.qtype) ?? parent.under.otherTypes;
    // the name exists, because a rule is there for it
    if (finding.kind === 'answer' && parent.noData !== undefined)
      return { kind: 'answer', answer: parent.noData };
    return finding;
  }

  /** Returns the finding of the operator's rule; `undefined` without a rule, or if a special-use rule matches the name more closely. */
  findRule(query: Query): LocalFinding<Route> | undefined {
    return this.#places.closest(query) instanceof SpecialPlace ? undefined : this.find(query);
  }

  #placeOf(found: Place<Route> | number): Omit<Place<Route>, 'own'> {
    return typeof found === 'number' ? this.#names.kind(found) : found;
  }

  #own(found: Place<Route> | number): FindingsByType<Route> {
    return typeof found === 'number' ? this.#names.own(found) : found.own;
  }

  *#addAll(rules: Iterable<ZoneRule<Route>>, siteNames?: SiteNames<Route>): Steps<void> {
    yield* this.#check.names(rules);
    for (const given of rules) {
      const rule = yield* this.#check.rule(given);
      if (rule !== undefined) yield* this.#addRule(rule);
      yield;
    }
    this.#check.end();
    for (const special of SPECIAL_NAMES) {
      if (this.#places.has(special.name)) continue; // the operator's
      const route = siteNames && special.isOfSite ? this.#siteRoute(special.name, siteNames) : undefined;
      this.#places.set(special.name, new SpecialPlace<Route>(special, route));
      yield;
    }
  }

  *#addRule(rule: ZoneRule<Route>): Steps<void> {
    const { name } = rule;
    if ('records' in rule) {
      yield* this.#names.add(name, rule.records, (owner, number) => this.#places.set(owner, number));
    } else if ('answer' in rule) {
      this.#places.set(name, this.#denialOf(name, rule.answer));
    } else {
      const forward = anyType<Route>({ kind: 'forward', route: rule.forwardTo });
      const labels = labelCountOf(name);
      this.#places.set(name, { labels, own: forward, under: forward, isApex: true, noData: undefined });
    }
  }

  #denialOf(name: string, answer: Denial): Place<Route> {
    const labels = labelCountOf(name);
    const key = `${answer} ${labels} ${nameToWire(name).length}`;
    const known = this.#denials.get(key);
    if (known !== undefined) return known;
    const findings = answerFindings(name, answer);
    const noData = answer === 'nxdomain' ? apexAnswers(name).noData : undefined;
    // the operator's answer holds for every QTYPE
    const place = { labels, own: findings, under: findings, isApex: false, noData };
    this.#denials.set(key, place);
    return place;
  }

  /** The route of the nearest zone of the operator above the name, if it is forwarded; without a zone, the site's upstreams. */
  #siteRoute(name: string, { route }: SiteNames<Route>): Route | undefined {
    for (let at: string | undefined = name; at !== undefined; at = parentName(at)) {
      if (!this.#check.zones.has(at)) continue;
      const place = this.#places.get(at);
      const found = typeof place === 'object' ? place.own.otherTypes : undefined;
      return found?.kind === 'forward' ? found.route : undefined;
    }
    return route;
  }
}

type Denial = 'nxdomain' | 'servfail' | 'refused';

function ownNumber(found: unknown): number | undefined {
  return typeof found === 'number' ? found : undefined;
}

/** Composes its answers at the first query: to compose the answers of a hundred zones at the start would delay the first answer. */
class SpecialPlace<Route> implements Place<Route> {
  readonly labels: number;
  readonly #special: SpecialName;
  readonly #forward: FindingsByType<Route> | undefined;
  #zone: SpecialZone | undefined;

  /** With `route` the name is forwarded. */
  constructor(special: SpecialName, route: Route | undefined) {
    this.labels = labelCountOf(special.name);
    this.#special = special;
    this.#forward = route === undefined ? undefined : anyType({ kind: 'forward', route });
  }

  get own(): FindingsByType<Route> {
    return this.#forward ?? this.#composed().own;
  }

  get under(): FindingsByType<Route> {
    return this.#forward ?? this.#composed().under;
  }

  get isApex(): boolean {
    return this.#composed().isApex;
  }

  get noData(): LocalAnswer {
    return this.#composed().noData;
  }

  #composed(): SpecialZone {
    this.#zone ??= specialZone(this.#special);
    return this.#zone;
  }
}

function answerFindings(name: string, answer: Denial): FindingsByType<never> {
  if (answer === 'nxdomain') return ownFindings(apexAnswers(name).noName);
  const rcode = answer === 'servfail' ? RCODE.SERVFAIL : RCODE.REFUSED;
  // RFC 8914 section 4.16: blocked by the operator
  return anyType({ kind: 'rcode', rcode, extendedError: EXTENDED_ERROR.BLOCKED });
}
