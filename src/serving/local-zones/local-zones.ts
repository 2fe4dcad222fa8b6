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
import { labelCountOf } from '../../protocol/words/name.ts';
import { SPECIAL_NAMES, type SpecialName } from '../../protocol/words/special-names.ts';
import { atOnce, type Steps } from '../../runtime/slices.ts';
import { anyType, type FindingsByType, type LocalFinding, ownFindings } from './finding.ts';
import {
  closestRule,
  type SpecialZone,
  specialZone,
  staticZone,
  validateRules,
  type ZoneRule,
} from './own-zones.ts';

export interface LocalZonesOptions<Route> {
  readonly rules: readonly ZoneRule<Route>[];
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
  readonly #places = new NameMap<Place<Route>>();
  /** Names with records of the operator. */
  readonly #owners = new NameMap<true>();

  /** Throws LocalZonesError, with every fault, where the rules cannot be served. */
  constructor({ rules, siteNames }: LocalZonesOptions<Route>) {
    atOnce(this.#addAll(rules, siteNames));
  }

  /** As the constructor, in steps: there may be thousands of rules. */
  static *building<Route>({ rules, siteNames }: LocalZonesOptions<Route>): Steps<LocalZones<Route>> {
    const zones = new LocalZones<Route>({ rules: [] });
    yield* zones.#addAll(rules, siteNames);
    return zones;
  }

  /** The finding for the question; `undefined` without a rule. The query's class is IN. */
  find(query: Query): LocalFinding<Route> | undefined {
    const place = this.#places.closest(query);
    if (place === undefined) return undefined;
    const isOwn = query.labelCount === place.labels;
    if (isOwn && place.isApex && query.qtype === TYPE.DS) return this.#findInParent(query);
    const findings = isOwn ? place.own : place.under;
    return findings.byType.get(query.qtype) ?? findings.otherTypes;
  }

  /**
   * Finds the answer to a question for DS at the apex of a zone of our own. Clients get this answer if the server cannot ask the
   * servers of the parent zone, or if those servers do not know the name.
   */
  noDs(query: Query): LocalAnswer | undefined {
    const place = query.qtype === TYPE.DS ? this.#places.exact(query) : undefined;
    return place?.isApex ? place.noData : undefined;
  }

  /** Whether the operator has records at the query's name. */
  hasRecordsAt(query: Query): boolean {
    return this.#owners.exact(query) !== undefined;
  }

  /** RFC 4035 section 3.1.4.1: DS belongs to the parent's side of a zone cut, and its servers answer for it. */
  #findInParent(query: Query): LocalFinding<Route> | undefined {
    const parent = this.#places.closestAbove(query);
    if (parent === undefined) return undefined;
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

  *#addAll(given: readonly ZoneRule<Route>[], siteNames?: SiteNames<Route>): Steps<void> {
    const { rules, zones } = yield* validateRules(given);
    const byName = new Map<string, ZoneRule<Route>>();
    for (const rule of rules) {
      byName.set(rule.name, rule);
      yield;
    }
    for (const special of SPECIAL_NAMES) {
      const route = siteNames && special.isOfSite ? siteRoute(special.name, byName, siteNames) : undefined;
      this.#places.set(special.name, new SpecialPlace<Route>(special, route));
    }
    yield;
    for (const rule of rules) {
      yield* this.#addRule(rule, zones);
      yield;
    }
  }

  *#addRule(rule: ZoneRule<Route>, zones: ReadonlySet<string>): Steps<void> {
    const labels = labelCountOf(rule.name);
    if ('forwardTo' in rule) {
      const forward = anyType<Route>({ kind: 'forward', route: rule.forwardTo });
      this.#places.set(rule.name, { labels, own: forward, under: forward, isApex: true, noData: undefined });
    } else if ('answer' in rule) {
      const findings = answerFindings(rule.name, rule.answer);
      const noData = rule.answer === 'nxdomain' ? apexAnswers(rule.name).noData : undefined;
      // the operator's answer holds for every QTYPE
      this.#places.set(rule.name, { labels, own: findings, under: findings, isApex: false, noData });
    } else {
      const { names } = yield* staticZone(rule.name, rule.records, zones);
      for (const [name, own] of names) {
        this.#places.set(name, own);
        yield;
      }
      for (const { owner } of rule.records) {
        this.#owners.set(owner, true);
        yield;
      }
    }
  }
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

/** The route of the nearest zone of the operator above the name, if it is forwarded; without a zone, the site's upstreams. */
function siteRoute<Route>(
  name: string,
  rules: ReadonlyMap<string, ZoneRule<Route>>,
  { route }: SiteNames<Route>,
): Route | undefined {
  const rule = closestRule(name, rules);
  if (rule === undefined) return route;
  return 'forwardTo' in rule ? rule.forwardTo : undefined;
}

function answerFindings(name: string, answer: 'nxdomain' | 'servfail' | 'refused'): FindingsByType<never> {
  if (answer === 'nxdomain') return ownFindings(apexAnswers(name).noName);
  const rcode = answer === 'servfail' ? RCODE.SERVFAIL : RCODE.REFUSED;
  // RFC 8914 section 4.16: blocked by the operator
  return anyType({ kind: 'rcode', rcode, extendedError: EXTENDED_ERROR.BLOCKED });
}
