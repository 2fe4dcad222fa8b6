/** Holds the operator's own zones as data, validates them, and reports all their faults in one error. */
import { NameError, normalizeName, parentName } from '../../protocol/words/name.ts';
import type { ResourceRecord } from '../../protocol/words/resource-record.ts';
import { recordFaults } from '../../protocol/words/zone-rules.ts';
import type { Steps } from '../../runtime/slices.ts';

/** The rule for `name` and all names under it. */
export type ZoneRule<Route> = { readonly name: string } & (
  | { readonly forwardTo: Route }
  | { readonly answer: 'nxdomain' | 'servfail' | 'refused' }
  /** A, AAAA, CNAME, TXT, PTR, MX and NS with full names in normal form; names without records do not exist. */
  | { readonly records: readonly ResourceRecord[] }
);

export interface ZoneFault {
  readonly zone: string;
  /** Owner and type of the record at fault; `undefined` where it is the zone as a whole. */
  readonly record: string | undefined;
  readonly reason: string;
}

/** The rule of the longest name that `name` is equal to or lies under. */
export function closestRule<Rule>(name: string, rules: ReadonlyMap<string, Rule>): Rule | undefined {
  for (let at: string | undefined = name; at !== undefined; at = parentName(at)) {
    const rule = rules.get(at);
    if (rule !== undefined) return rule;
  }
  return undefined;
}

/** Rules that cannot be served. Fatal at start; at a reload the earlier rules stay in force. */
export class LocalZonesError extends Error {
  override readonly name = 'LocalZonesError';
  readonly code = 'bad-zones';
  readonly faults: readonly ZoneFault[];

  constructor(faults: readonly ZoneFault[]) {
    super(`cannot build the local zones: ${faults.map(faultText).join('; ')}`);
    this.faults = faults;
  }
}

function faultText({ zone, record, reason }: ZoneFault): string {
  return record === undefined ? `zone "${zone}": ${reason}` : `zone "${zone}": record "${record}": ${reason}`;
}

/** The rules with their names in normal form. Throws LocalZonesError with every fault there is. */
export function* validateRules<Route>(given: Iterable<ZoneRule<Route>>): Steps<readonly ZoneRule<Route>[]> {
  const faults: ZoneFault[] = [];
  const rules: ZoneRule<Route>[] = [];
  const zones = new Set<string>();
  const twice = new Set<string>();
  for (const rule of given) {
    yield;
    const name = normalName(rule.name, faults);
    if (name === undefined) continue;
    if (zones.has(name)) twice.add(name);
    zones.add(name);
    rules.push({ ...rule, name });
  }
  for (const zone of twice)
    faults.push({ zone, record: undefined, reason: 'more than one rule for this zone' });
  for (const rule of rules) {
    if (!('records' in rule)) continue;
    for (const fault of recordFaults(rule.name, rule.records, zones)) {
      yield;
      if (fault === undefined) continue;
      const { owner, type } = rule.records[fault.index] ?? NO_RECORD;
      faults.push({ zone: rule.name, record: `${owner} ${type}`, reason: fault.message });
    }
  }
  if (faults.length > 0) throw new LocalZonesError(faults);
  return rules;
}

const NO_RECORD = { owner: '', type: '' }; // each fault has its record

function normalName(text: string, faults: ZoneFault[]): string | undefined {
  try {
    return normalizeName(text);
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    faults.push({ zone: text, record: undefined, reason: error.message });
    return undefined;
  }
}
