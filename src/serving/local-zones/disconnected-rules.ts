/**
 * What holds for a name while its upstreams are known not to answer: rules of the operator's, EC2's own names, and the
 * names of AWS. Built whole from options and never changed; a reload builds another. The longest name that the
 * question's name is equal to or lies under decides; of two for the same name the operator's wins.
 *
 *     before-cache   the operator's servfail, nxdomain and records
 *                        -> an answer that is still fresh
 *     before-stale   SERVFAIL for services of AWS
 *                        -> an answer whose time is over
 *     after-stale   EC2's own names: computed, or denied
 *                        -> SERVFAIL
 *
 * It is asked only for what would be forwarded, and only while that way is known to be cut. Whether it is, it refuses
 * to know: an upstream on the site that goes on answering is never in question. It is for class IN alone.
 */

import { apexAnswers } from '../../protocol/wire/apex-answers.ts';
import { NameMap } from '../../protocol/wire/name-map.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { labelCountOf, parentName } from '../../protocol/words/name.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { ResourceRecord } from '../../protocol/words/resource-record.ts';
import { SPECIAL_NAMES, type SpecialName } from '../../protocol/words/special-names.ts';
import { TYPE } from '../../protocol/words/types.ts';
import { atOnce, type Steps } from '../../runtime/slices.ts';
import { awsNames } from './aws-names.ts';
import { type DisconnectedRule, ec2NameRules, reverseRules, type VpcNetwork } from './ec2-names.ts';
import type { FindingsByType, LocalFinding } from './finding.ts';
import {
  DISCONNECTED_TTL_SECONDS,
  type DisconnectedFinding,
  type SpokenFinding,
  STALE,
  type Standing,
} from './finding.ts';
import { type OwnName, specialZone, staticZone } from './own-zones.ts';
import { validateRules, type ZoneRule } from './zone-rules.ts';

/** What the operator says of one forwarded zone: the name and all under it. */
export interface ForwardedZone {
  readonly name: string;
  /** Left out: what would hold without this zone, except that no zone of the operator's above it counts. */
  readonly whileDisconnected?: 'stale' | 'servfail' | 'nxdomain' | readonly ResourceRecord[] | undefined;
}

export interface DisconnectedRulesOptions {
  /** Every zone that is forwarded by a rule, those without a word about disconnection included. */
  readonly zones: readonly ForwardedZone[];
  /** Regions whose EC2 names are computed. */
  readonly regions: readonly string[];
  /** Networks in which reverse names are computed, as far as they are known to be VPCs'. */
  readonly vpcs: readonly VpcNetwork[];
  /** Whether names that a site may have for itself are asked for; while nobody on the site can be asked they are denied. */
  readonly areSiteNamesAsked?: boolean;
}

export class DisconnectedRules {
  readonly #rules = new NameMap<DisconnectedRule>();
  /** Those that hold whatever the operator says. */
  readonly #builtIn = new NameMap<DisconnectedRule>();
  readonly #siteNames = new Map<string, DisconnectedRule>();
  /** Of the operator's zones. */
  readonly #apexes = new NameMap<true>();
  /** Names with records of the operator's. */
  readonly #owners = new NameMap<true>();

  /** Throws LocalZonesError, with every fault, where the zones cannot be served. */
  constructor({ zones, regions, vpcs, areSiteNamesAsked = false }: DisconnectedRulesOptions) {
    const builtIn = builtInRules(regions, vpcs);
    if (areSiteNamesAsked)
      for (const special of SPECIAL_NAMES) if (special.isOfSite) this.#addSiteName(special);
    for (const [name, rule] of builtIn) {
      this.#rules.set(name, orRule(rule, this.#siteNameAbove(name)));
      this.#builtIn.set(name, rule);
    }
    atOnce(this.#addAll(zones, builtIn));
  }

  /** As the constructor, in steps: there may be thousands of zones. */
  static *building({ zones, ...options }: DisconnectedRulesOptions): Steps<DisconnectedRules> {
    const rules = new DisconnectedRules({ zones: [], ...options });
    yield* rules.#addAll(zones, builtInRules(options.regions, options.vpcs));
    return rules;
  }

  /** What holds for the question. Makes no object and no string. The query's class is IN. */
  find(query: Query): DisconnectedFinding {
    // RFC 4035 section 3.1.4.1: the parent's servers answer for DS, and the rule is about those of the zone
    if (query.qtype === TYPE.DS && this.#apexes.exact(query) !== undefined) return STALE;
    return this.#rules.closest(query)?.(query) ?? STALE;
  }

  /**
   * Whether only AWS knows the query's name: its services, and EC2's own names. What a resolver on the site says of them
   * while the link is down is out of date, or made up.
   */
  isBeyondLink(query: Query): boolean {
    const rule = this.#builtIn.closest(query);
    return rule !== undefined && rule(query).kind !== 'stale';
  }

  /** Whether records of the operator's stand at the query's name. */
  hasRecordsAt(query: Query): boolean {
    return this.#owners.exact(query) !== undefined;
  }

  *#addAll(zones: readonly ForwardedZone[], builtIn: ReadonlyMap<string, DisconnectedRule>): Steps<void> {
    const sound = yield* validateRules(zones.map(zoneRule));
    const names = new Set(sound.map(({ name }) => name));
    for (const zone of sound) {
      yield* this.#addZone(zone, names, builtIn);
      yield;
    }
  }

  #addSiteName(special: SpecialName): void {
    const rule = siteNameRule(special);
    this.#siteNames.set(special.name, rule);
    this.#rules.set(special.name, rule);
  }

  #siteNameAbove(name: string): DisconnectedRule | undefined {
    for (let at: string | undefined = name; at !== undefined; at = parentName(at)) {
      const rule = this.#siteNames.get(at);
      if (rule !== undefined) return rule;
    }
    return undefined;
  }

  *#addZone(
    zone: ZoneRule<Silence>,
    zones: ReadonlySet<string>,
    builtIn: ReadonlyMap<string, DisconnectedRule>,
  ): Steps<void> {
    const { name } = zone;
    this.#apexes.set(name, true);
    if ('forwardTo' in zone) {
      this.#rules.set(name, zone.forwardTo === 'stale' ? always(STALE) : closestRule(name, builtIn));
    } else if ('answer' in zone) {
      this.#rules.set(name, always(zone.answer === 'nxdomain' ? denial(name) : failure('before-cache')));
    } else {
      const all = yield* staticZone(name, zone.records, zones, DISCONNECTED_TTL_SECONDS);
      const otherNames = byType(all.otherNames);
      for (const [owner, own] of all.names) {
        this.#rules.set(owner, ownOr(owner, whenAsked(own), otherNames));
        yield;
      }
      for (const { owner } of zone.records) {
        this.#owners.set(owner, true);
        yield;
      }
    }
  }
}

/** A zone that gives no words of its own: `undefined` where nothing was said about disconnection. */
type Silence = 'stale' | undefined;

/** In the words of the room's other rules, so that one judge finds their faults. */
function zoneRule({ name, whileDisconnected: said }: ForwardedZone): ZoneRule<Silence> {
  if (said === undefined || said === 'stale') return { name, forwardTo: said };
  return said === 'servfail' || said === 'nxdomain' ? { name, answer: said } : { name, records: said };
}

function builtInRules(
  regions: readonly string[],
  vpcs: readonly VpcNetwork[],
): ReadonlyMap<string, DisconnectedRule> {
  const rules = new Map<string, DisconnectedRule>();
  for (const { name, says } of awsNames(regions)) {
    rules.set(name, always(says === 'stale' ? STALE : failure('before-stale')));
  }
  for (const { name, rule } of [...ec2NameRules(regions, vpcs), ...reverseRules(vpcs)]) rules.set(name, rule);
  return rules;
}

/** The built-in rule that would hold for `name`; one of the operator's that says nothing must not hide it. */
function closestRule(name: string, builtIn: ReadonlyMap<string, DisconnectedRule>): DisconnectedRule {
  for (let at: string | undefined = name; at !== undefined; at = parentName(at)) {
    const rule = builtIn.get(at);
    if (rule !== undefined) return rule;
  }
  return always(STALE);
}

/** The second where the first has nothing to say: a network need not end at a dot. */
function orRule(first: DisconnectedRule, second: DisconnectedRule | undefined): DisconnectedRule {
  if (second === undefined) return first;
  return (query) => {
    const found = first(query);
    return found.kind === 'stale' ? second(query) : found;
  };
}

/** Composed when it is first asked for, as in local-zones.ts. RFC 6303 section 3: what nobody can be asked for is denied. */
function siteNameRule(special: SpecialName): DisconnectedRule {
  const labels = labelCountOf(special.name);
  let composed: { readonly own: DisconnectedRule; readonly under: DisconnectedRule } | undefined;
  return (query) => {
    if (composed === undefined) {
      const { own, under } = specialZone(special);
      composed = { own: byType(own, 'after-stale'), under: byType(under, 'after-stale') };
    }
    return query.labelCount === labels ? composed.own(query) : composed.under(query);
  };
}

function always(finding: DisconnectedFinding): DisconnectedRule {
  return () => finding;
}

/** RFC 8914 section 4.23: the authority is there, but cannot be reached. */
function failure(standing: Standing): SpokenFinding {
  return {
    kind: 'rcode',
    standing,
    rcode: RCODE.SERVFAIL,
    extendedError: EXTENDED_ERROR.NO_REACHABLE_AUTHORITY,
  };
}

function denial(apex: string): SpokenFinding {
  const { noName } = apexAnswers(apex, DISCONNECTED_TTL_SECONDS);
  return { kind: 'answer', standing: 'before-cache', answer: noName };
}

/** What a zone of records says at a name, or at all others. */
function byType(
  { byType: types, otherTypes }: FindingsByType<never>,
  standing: Standing = 'before-cache',
): DisconnectedRule {
  const findings = new Map([...types].map(([type, finding]) => [type, spoken(finding, standing)]));
  const others = spoken(otherTypes, standing);
  return (query) => findings.get(query.qtype) ?? others;
}

/** The rule of a name whose answers are composed when it is first asked for. */
function whenAsked(own: OwnName): DisconnectedRule {
  let rule: DisconnectedRule | undefined;
  return (query) => {
    rule ??= byType(own.findings);
    return rule(query);
  };
}

function spoken(finding: LocalFinding<never>, standing: Standing): DisconnectedFinding {
  return finding.kind === 'forward' ? STALE : { ...finding, standing };
}

function ownOr(owner: string, own: DisconnectedRule, under: DisconnectedRule): DisconnectedRule {
  const labels = labelCountOf(owner);
  return (query) => (query.labelCount === labels ? own : under)(query);
}

/** EC2's own names, of whatever Region: worked out in a cut, or denied. */
const EC2_SUFFIXES = ['compute.internal', 'ec2.internal'];

/** Tells names that are meant to fail in a cut: nobody has to retain them. The same names decide as in `DisconnectedRules`. */
export function failsInCut({
  zones,
  regions,
}: Pick<DisconnectedRulesOptions, 'zones' | 'regions'>): (name: string) => boolean {
  const builtIn = new Map(EC2_SUFFIXES.map((name) => [name, true]));
  for (const { name, says } of awsNames(regions)) builtIn.set(name, says === 'servfail');
  const rules = new Map(builtIn);
  for (const { name, whileDisconnected: said } of zones) {
    rules.set(name, said === undefined ? fails(name, builtIn) : said === 'servfail' || said === 'nxdomain');
  }
  return (name) => fails(name, rules);
}

/** The longest name that has a rule decides; what has none is worth keeping. */
function fails(name: string, rules: ReadonlyMap<string, boolean>): boolean {
  for (let at: string | undefined = name; at !== undefined; at = parentName(at)) {
    const rule = rules.get(at);
    if (rule !== undefined) return rule;
  }
  return false;
}
