import type { DnsRecord, HostedZone, RecordSet } from './facts.ts';
import type { RegionState } from './region-state.ts';
import { plainName } from './region-state.ts';

/** The records that a name resolves to, before a message is composed of them. */
export interface DnsAnswer {
  readonly rcode: 'NOERROR' | 'NXDOMAIN';
  readonly answers: readonly DnsRecord[];
  /** The SOA of the zone, where there is nothing to answer with (RFC 2308 section 3). */
  readonly authorities: readonly DnsRecord[];
}

const CHAIN_LIMIT = 16; // CNAMEs and aliases followed for one question

/**
 * The names that the sandbox's DNS knows: the state's records and the hosted zones that are public, as a resolver
 * on the site would see them. Weighted sets take turns by their weights, aliases are followed.
 */
export class DnsAnswers {
  readonly #state: RegionState;
  #builtFrom: readonly [readonly DnsRecord[], readonly HostedZone[]] | undefined;
  #records = new Map<string, DnsRecord[]>();
  #sets = new Map<string, RecordSet[]>();
  #names = new Set<string>();
  #turn = 0;

  constructor(state: RegionState) {
    this.#state = state;
  }

  /** `name` in any case; `type` a mnemonic or `TYPE<n>`; `ANY` gives every record of the name. */
  resolve(name: string, type: string): DnsAnswer {
    this.#refresh();
    const answers: DnsRecord[] = [];
    let owner = plainName(name);
    for (let hop = 0; hop < CHAIN_LIMIT; hop++) {
      const found = this.#find(owner, type);
      answers.push(...found);
      if (found.length === 0) break;
      const target = found.find((record) => record.type === 'CNAME')?.value;
      if (target === undefined || type === 'CNAME' || type === 'ANY') {
        return { rcode: 'NOERROR', answers, authorities: [] };
      }
      owner = plainName(target);
    }
    const rcode = this.#exists(owner) ? 'NOERROR' : 'NXDOMAIN';
    return { rcode, answers, authorities: this.#zoneStart(owner) };
  }

  /** Rebuilt when the facts have been replaced. */
  #refresh(): void {
    const { records, hostedZones } = this.#state;
    if (this.#builtFrom?.[0] === records && this.#builtFrom[1] === hostedZones) return;
    this.#builtFrom = [records, hostedZones];
    this.#records = Map.groupBy(unique(records), ({ name }) => plainName(name));
    const sets = hostedZones
      .filter(({ privateZone }) => !privateZone)
      .flatMap(({ recordSets }) => recordSets);
    this.#sets = Map.groupBy(sets, ({ name }) => plainName(name));
    this.#names = new Set(['.']);
    for (const name of [...this.#records.keys(), ...this.#sets.keys()]) {
      // a name exists when something exists below it (RFC 8020)
      for (const each of withAncestors(name)) this.#names.add(each);
    }
  }

  #find(owner: string, type: string): readonly DnsRecord[] {
    const exact = this.#ofType(owner, type, 0);
    if (exact.length > 0 || this.#names.has(owner)) return exact;
    const source = this.#wildcard(owner);
    if (source === undefined) return [];
    return this.#ofType(source, type, 0).map((record) => ({ ...record, name: owner }));
  }

  #ofType(owner: string, type: string, depth: number): readonly DnsRecord[] {
    const own = this.#records.get(owner) ?? [];
    const sets = this.#sets.get(owner) ?? [];
    const wanted = (each: { readonly type: string }): boolean =>
      type === 'ANY' || each.type === type || each.type === 'CNAME';
    return [
      ...own.filter(wanted),
      ...this.#drawn(sets.filter(wanted)).flatMap((set) => this.#expand(set, depth)),
    ];
  }

  /** All sets without a weight, and one of the weighted sets: each has as many turns as its weight. */
  #drawn(sets: readonly RecordSet[]): readonly RecordSet[] {
    const turns = sets.flatMap((set) => Array.from({ length: set.weight ?? 0 }, () => set));
    const rest = sets.filter(({ weight }) => weight === undefined);
    const drawn = turns.length === 0 ? undefined : turns[this.#turn++ % turns.length];
    return drawn === undefined ? rest : [...rest, drawn];
  }

  #expand(set: RecordSet, depth: number): readonly DnsRecord[] {
    const name = plainName(set.name);
    if (set.alias !== undefined && depth < CHAIN_LIMIT) {
      return this.#ofType(plainName(set.alias.name), set.type, depth + 1).map((record) => ({
        ...record,
        name,
      }));
    }
    const ttlSeconds = set.ttlSeconds ?? 60;
    return (set.values ?? []).map((value) => ({ name, type: set.type, ttlSeconds, value }));
  }

  /** The wildcard that covers a name that does not exist: one at its closest encloser (RFC 4592 section 3.3.1). */
  #wildcard(owner: string): string | undefined {
    const encloser = withAncestors(owner).find((name) => this.#names.has(name));
    const source = encloser === '.' ? '*' : `*.${encloser}`;
    return this.#names.has(source) ? source : undefined;
  }

  #exists(owner: string): boolean {
    return this.#names.has(owner) || this.#wildcard(owner) !== undefined;
  }

  #zoneStart(owner: string): readonly DnsRecord[] {
    for (const apex of withAncestors(owner)) {
      const start = this.#ofType(apex, 'SOA', 0).find(({ type }) => type === 'SOA');
      if (start !== undefined) return [start];
    }
    return [];
  }
}

/** The name and everything above it, the root last. */
function withAncestors(name: string): string[] {
  if (name === '.') return ['.'];
  const labels = name.split('.');
  return [...labels.map((_, index) => labels.slice(index).join('.')), '.'];
}

/** Two clusters of one Region bring the same SOA. */
function unique(records: readonly DnsRecord[]): DnsRecord[] {
  return [
    ...new Map(
      records.map((record) => [Object.values({ ...record, name: plainName(record.name) }).join(' '), record]),
    ).values(),
  ];
}
