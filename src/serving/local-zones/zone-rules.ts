/** The operator's own zones as data, and the one error that says all that is wrong with them. */
import { NameError, normalizeName } from '../../protocol/words/name.ts';
import type { ResourceRecord } from '../../protocol/words/resource-record.ts';
import type { Steps } from '../../runtime/slices.ts';
import { recordFaults, type ZoneFault } from './zone-faults.ts';

/** What holds for `name` and all names under it. */
export type ZoneRule<Route> = { readonly name: string } & (
  | { readonly forwardTo: Route }
  | { readonly answer: 'nxdomain' | 'servfail' | 'refused' }
  /** A, AAAA, CNAME, TXT, PTR, MX and NS with whole names in normal form; names without any do not exist. */
  | { readonly records: readonly ResourceRecord[] }
);

/** Rules that cannot be served. At start fatal; at a reload the rules before stay. */
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

/** The rules with their names in normal form and no record twice. Throws LocalZonesError with every fault there is. */
export function* soundRules<Route>(rules: Iterable<ZoneRule<Route>>): Steps<readonly ZoneRule<Route>[]> {
  const faults: ZoneFault[] = [];
  const sound: ZoneRule<Route>[] = [];
  const zones = new Set<string>();
  const twins = new Set<string>();
  for (const rule of rules) {
    yield;
    const name = soundName(rule.name, faults);
    if (name === undefined) continue;
    if (zones.has(name)) twins.add(name);
    zones.add(name);
    sound.push('records' in rule ? { name, records: yield* withoutTwins(rule.records) } : { ...rule, name });
  }
  for (const zone of twins)
    faults.push({ zone, record: undefined, reason: 'there is more than one rule for it' });
  for (const rule of sound) {
    if (!('records' in rule)) continue;
    for (const fault of yield* recordFaults(rule.name, rule.records, zones)) faults.push(fault);
  }
  if (faults.length > 0) throw new LocalZonesError(faults);
  return sound;
}

function soundName(text: string, faults: ZoneFault[]): string | undefined {
  try {
    return normalizeName(text);
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    faults.push({ zone: text, record: undefined, reason: error.message });
    return undefined;
  }
}

/** RFC 2181 section 5: a record that is given twice is one record. */
function* withoutTwins(records: readonly ResourceRecord[]): Steps<readonly ResourceRecord[]> {
  const kept = new Map<string, ResourceRecord>();
  for (const record of records) {
    kept.set(JSON.stringify(record), record);
    yield;
  }
  return [...kept.values()];
}
