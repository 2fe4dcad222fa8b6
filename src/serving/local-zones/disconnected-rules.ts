/**
 * Rules for names whose upstreams are known not to answer: the operator's rules, EC2's own names, and the names of AWS.
 * Built whole from options and never changed; a reload builds new rules. The longest name that the question's name is equal
 * to or lies under decides; of two rules for the same name the operator's rule wins.
 *
 *     before-cache   the operator's servfail, nxdomain and records
 *                        -> an answer that is still fresh
 *     before-stale   SERVFAIL for services of AWS
 *                        -> an expired answer
 *     after-stale    EC2's own names: computed, or denied
 *                        -> SERVFAIL
 *
 * The resolver asks these rules only about questions that it would forward, while it knows that their upstreams cannot be
 * reached. This file does not know whether they can be reached. It is for class IN alone.
 */
import { apexAnswers } from '../../protocol/wire/local-answer.ts';
import { NameMap } from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import {
  AWS_PARTITIONS,
  PUBLIC_REGISTRY,
  partitionOf,
  suffixesOf,
} from '../../protocol/words/aws-partitions.ts';
import { EXTENDED_ERROR, RCODE, type ResourceRecord, TYPE } from '../../protocol/words/codes.ts';
import { labelCountOf, nameToWire, parentName } from '../../protocol/words/name.ts';
import { SPECIAL_NAMES, type SpecialName } from '../../protocol/words/special-names.ts';
import { atOnce, type Steps } from '../../runtime/slices.ts';
import { type DisconnectedRule, ec2NameRules, reverseRules, type VpcNetwork } from './ec2-names.ts';
import {
  DISCONNECTED_TTL_SECONDS,
  type DisconnectedFinding,
  type FindingsByType,
  type LocalFinding,
  type RuleFinding,
  STALE,
  type Standing,
} from './finding.ts';
import { closestRule, OwnNames, RuleCheck, specialZone, type ZoneRule } from './own-zones.ts';

/** The operator's rule for a forwarded zone: the name and all names under it. */
export interface ForwardedZone {
  readonly name: string;
  /** Without this field the built-in rules hold, and no zone of the operator above this name counts. */
  readonly whileDisconnected?: 'stale' | 'servfail' | 'nxdomain' | Iterable<ResourceRecord> | undefined;
}

export interface DisconnectedRulesOptions {
  /** Every zone that is forwarded by a rule, with or without a rule for disconnection. */
  readonly zones: readonly ForwardedZone[];
  /** Regions whose EC2 names are computed. */
  readonly regions: readonly string[];
  /** Networks of VPCs: reverse names in them are computed. */
  readonly vpcs: readonly VpcNetwork[];
  /** Whether names of the site itself are forwarded; while no upstream on the site can be asked they are denied. */
  readonly areSiteNamesAsked?: boolean;
}

export class DisconnectedRules {
  /** Whether any rule has its place before the cache: a cache hit asks for a rule only then. */
  hasOperatorRules = false;
  readonly #check = new RuleCheck();
  /** A number is that of a name in `#names`. */
  readonly #rules = new NameMap<DisconnectedRule | number>();
  readonly #names = new OwnNames<DisconnectedRule>({
    zones: this.#check.zones,
    numberOf: (name) => {
      const rule = this.#rules.get(name);
      return typeof rule === 'number' ? rule : undefined;
    },
    found: byType,
    ttlSeconds: DISCONNECTED_TTL_SECONDS,
  });
  /** By the octets of the name of the zone, which is all that they differ in. */
  readonly #denials = new Map<number, DisconnectedRule>();
  /** Rules that hold without the operator. */
  readonly #builtIn = new NameMap<DisconnectedRule>();
  readonly #builtInByName: ReadonlyMap<string, DisconnectedRule>;

  /** Throws LocalZonesError, with every fault, where the zones cannot be served. */
  constructor({ zones, regions, vpcs, areSiteNamesAsked = false }: DisconnectedRulesOptions) {
    const builtIn = builtInRules(regions, vpcs);
    this.#builtInByName = builtIn;
    const siteNames = new Map<string, DisconnectedRule>();
    for (const special of areSiteNamesAsked ? SPECIAL_NAMES.filter(({ isOfSite }) => isOfSite) : [])
      siteNames.set(special.name, siteNameRule(special));
    for (const [name, rule] of siteNames) this.#rules.set(name, rule);
    for (const [name, rule] of builtIn) {
      this.#rules.set(name, orRule(rule, closestRule(name, siteNames)));
      this.#builtIn.set(name, rule);
    }
    atOnce(this.#addAll(zones));
  }

  /** Builds the rules as the constructor does, but in steps, because the configuration may have thousands of zones. */
  static *building({ zones, ...options }: DisconnectedRulesOptions): Steps<DisconnectedRules> {
    const rules = new DisconnectedRules({ zones: [], ...options });
    yield* rules.#addAll(zones);
    return rules;
  }

  /** The finding for the question. Makes no object and no string. The query's class is IN. */
  find(query: Query): DisconnectedFinding {
    // RFC 4035 section 3.1.4.1: the parent's servers answer for DS, and the rule is about the zone's servers
    if (query.qtype === TYPE.DS && this.#check.zones.exact(query) !== undefined) return STALE;
    const rule = this.#rules.closest(query);
    if (rule === undefined) return STALE;
    if (typeof rule !== 'number') return rule(query);
    const { labels, under } = this.#names.kind(rule);
    return query.labelCount === labels ? this.#names.own(rule)(query) : under(query);
  }

  /**
   * Whether only AWS knows the query's name: a name of a service, or of EC2. While the link is down, answers of a resolver on
   * the site for such names are out of date or made up.
   */
  isBeyondLink(query: Query): boolean {
    const rule = this.#builtIn.closest(query);
    return rule !== undefined && rule(query).kind !== 'stale';
  }

  /** Whether the operator has records at the query's name. */
  hasRecordsAt(query: Query): boolean {
    const rule = this.#rules.exact(query);
    return typeof rule === 'number' && this.#names.kind(rule).hasRecords;
  }

  *#addAll(zones: Iterable<ForwardedZone>): Steps<void> {
    yield* this.#check.names(zones);
    for (const zone of zones) {
      const rule = yield* this.#check.rule(zoneRule(zone));
      if (rule !== undefined) yield* this.#addZone(rule);
      yield;
    }
    this.#check.end();
  }

  *#addZone(zone: ZoneRule<NoAnswer>): Steps<void> {
    const { name } = zone;
    if (!('forwardTo' in zone)) this.hasOperatorRules = true;
    if ('forwardTo' in zone) {
      // a zone of the operator without an answer does not hide a built-in rule
      const rule = zone.forwardTo === 'stale' ? undefined : closestRule(name, this.#builtInByName);
      this.#rules.set(name, rule ?? ALWAYS_STALE);
    } else if ('answer' in zone) {
      this.#rules.set(name, zone.answer === 'nxdomain' ? this.#denialOf(name) : ALWAYS_FAILURE);
    } else {
      yield* this.#names.add(name, zone.records, (owner, number) => this.#rules.set(owner, number));
    }
  }

  #denialOf(name: string): DisconnectedRule {
    const octets = nameToWire(name).length;
    const rule = this.#denials.get(octets) ?? always(denial(name));
    this.#denials.set(octets, rule);
    return rule;
  }
}

/** The rule of a zone without an answer of its own: `undefined` if the operator gave none. */
type NoAnswer = 'stale' | undefined;

/** As a rule of local zones, which are validated by the same function. */
function zoneRule({ name, whileDisconnected }: ForwardedZone): ZoneRule<NoAnswer> {
  if (typeof whileDisconnected === 'object') return { name, records: whileDisconnected };
  return whileDisconnected === undefined || whileDisconnected === 'stale'
    ? { name, forwardTo: whileDisconnected }
    : { name, answer: whileDisconnected };
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

/** The second rule where the first has no finding: a network need not end at a dot. */
function orRule(first: DisconnectedRule, second: DisconnectedRule | undefined): DisconnectedRule {
  if (second === undefined) return first;
  return (query) => {
    const found = first(query);
    return found.kind === 'stale' ? second(query) : found;
  };
}

/** Composed when it is first asked for, as in local-zones.ts. RFC 6303 section 3: a name is denied if no upstream can be asked for it. */
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

const ALWAYS_STALE = always(STALE);
const ALWAYS_FAILURE = always(failure('before-cache'));

/** RFC 8914 section 4.23: the authority is there, but cannot be reached. */
function failure(standing: Standing): RuleFinding {
  return {
    kind: 'rcode',
    standing,
    rcode: RCODE.SERVFAIL,
    extendedError: EXTENDED_ERROR.NO_REACHABLE_AUTHORITY,
  };
}

function denial(apex: string): RuleFinding {
  const { noName } = apexAnswers(apex, DISCONNECTED_TTL_SECONDS);
  return { kind: 'answer', standing: 'before-cache', answer: noName };
}

/** The rule of a zone of records at a name, or at all other names. */
function byType(
  { byType: types, otherTypes }: FindingsByType<never>,
  standing: Standing = 'before-cache',
): DisconnectedRule {
  const findings = new Map([...types].map(([type, finding]) => [type, withStanding(finding, standing)]));
  const others = withStanding(otherTypes, standing);
  return (query) => findings.get(query.qtype) ?? others;
}

function withStanding(finding: LocalFinding<never>, standing: Standing): DisconnectedFinding {
  return finding.kind === 'forward' ? STALE : { ...finding, standing };
}

/** Suffixes of EC2's own names in all Regions: computed while disconnected, or denied. */
const EC2_SUFFIXES = ['compute.internal', 'ec2.internal'];

/**
 * Returns a test for names that are meant to fail while disconnected, and need not be retained. The same names decide as in
 * `DisconnectedRules`. `names`: the only ones that will be tested, so that of thousands of zones few are looked at.
 */
export function* failsWhileDisconnected(
  { zones, regions }: Pick<DisconnectedRulesOptions, 'zones' | 'regions'>,
  names?: readonly string[],
): Steps<(name: string) => boolean> {
  const wanted = names === undefined ? undefined : new Set<string>();
  for (const name of names ?? [])
    for (let at: string | undefined = name; at !== undefined; at = parentName(at)) wanted?.add(at);
  const builtIn = new Map(EC2_SUFFIXES.map((name) => [name, true]));
  for (const { name, says } of awsNames(regions)) builtIn.set(name, says === 'servfail');
  const rules = new Map(builtIn);
  for (const { name, whileDisconnected } of zones) {
    if (wanted?.has(name) === false) continue;
    const isFailure = whileDisconnected === 'servfail' || whileDisconnected === 'nxdomain';
    const builtInFails = closestRule(name, builtIn) ?? false;
    rules.set(name, whileDisconnected === undefined ? builtInFails : isFailure);
    yield;
  }
  return (name) => closestRule(name, rules) ?? false;
}

// Names of AWS while it cannot be reached: one table, each row with its reason. A stale address of a service on the far side
// of the link costs its clients a connect timeout. SERVFAIL costs them nothing, and they may try again later. Names of things
// that may stand on the Outpost are answered with a stale answer if there is one. protocol/words/aws-partitions.ts has the suffixes.

export interface AwsName {
  /** The row is about this name and all names under it. The longest name counts. */
  readonly name: string;
  readonly says: 'servfail' | 'stale';
  readonly because: string;
}

const SERVICES = 'ECR, STS, S3 and all other services are in the Region';

const REGISTRY: AwsName = {
  name: PUBLIC_REGISTRY,
  says: 'servfail',
  because: "Amazon ECR's public registry is in a Region",
};

/** Labels before the suffix of a partition, for things that may stand on the site. */
const ON_SITE: readonly Pick<AwsName, 'name' | 'because'>[] = [
  { name: 'eks', because: 'endpoints of local clusters outside of this configuration' },
  { name: 'elb', because: 'Application Load Balancers on the Outpost: <name>.<region>.elb' },
  { name: 'rds', because: 'RDS on Outposts: <name>.<id>.<region>.rds; the API is rds.<region>' },
  { name: 'cache', because: 'ElastiCache on Outposts' },
  { name: 'compute', because: 'EC2 instances by public name: <ip>.<region>.compute' },
  { name: 'compute-1', because: 'EC2 instances by public name in us-east-1' },
];

/** The same before `<region>.` and a suffix. */
const ON_SITE_IN_REGION: readonly Pick<AwsName, 'name' | 'because'>[] = [
  { name: 'elb', because: 'Network Load Balancers on the Outpost: <name>.elb.<region>' },
  { name: 's3-outposts', because: 'S3 on Outposts keeps its objects on the site' },
  { name: 'eks-cluster', because: 'endpoints of clusters in their documented form: eks-cluster.<region>' },
];

/** The table for these Regions. */
export function awsNames(regions: readonly string[]): readonly AwsName[] {
  const all = new Map(
    AWS_PARTITIONS.flatMap((partition) => suffixesOf(partition).map((suffix) => [suffix, partition])),
  );
  const suffixes = [...all].map(([name, { id }]): AwsName => {
    return { name, says: 'servfail', because: `${SERVICES}: partition ${id}` };
  });
  const onSite = [...all.keys()].flatMap((suffix) =>
    ON_SITE.map(({ name, because }): AwsName => ({ name: `${name}.${suffix}`, says: 'stale', because })),
  );
  const inRegions = [...new Set(regions)].flatMap((region) =>
    suffixesOf(partitionOf(region)).flatMap((suffix) =>
      ON_SITE_IN_REGION.map(({ name, because }): AwsName => {
        return { name: `${name}.${region}.${suffix}`, says: 'stale', because };
      }),
    ),
  );
  return [...suffixes, REGISTRY, ...onSite, ...inRegions];
}
