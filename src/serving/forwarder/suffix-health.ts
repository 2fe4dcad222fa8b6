/**
 * What real traffic says about one upstream and one suffix. A resolver on the site stays up when the link is down: it
 * answers for the zones of the site and fails for all others, so its own health says nothing about a name.
 *
 *     evidence against   SERVFAIL, and REFUSED, which forwarders without a way out say; silence until the question was
 *                        given up; a denial, while the link to AWS is down, of a name that is kept
 *     evidence in favour any other answer about the name
 *     a name is cut      after two failures in a row
 *     a suffix is cut    after failures of three different names or zones directly under it, without an answer in between
 *     it ends            with one answer at or under the suffix; 30 s after the last failure; when the link or the
 *                        upstream comes back
 *
 * While the link is known to be down, or three domains fail already, one failure less is enough.
 *
 * A broken zone cuts itself and nothing above it: no suffix above a registered domain ("example.com", "example.co.uk",
 * a reverse zone of 16 bits) is ever cut, so that broken domains never take "com" away. The shape of the name tells
 * what a registered domain is; a list of public suffixes would only move the border by one label.
 *
 * Bounded: one failure makes four entries at most, 512 stay, and names under a suffix that is cut are not asked.
 */
import { hashName } from '../../protocol/wire/name-hash.ts';
import { type Query, suffixEquals } from '../../protocol/wire/query.ts';
import { lower, nameFromWire } from '../../protocol/words/name.ts';

/** A failure that is older proves nothing about this moment: the next question finds out. */
const HOLDS_MS = 30_000;
/** Failures that are further apart do not add up. */
const ADDS_UP_MS = 300_000;
/** Failures in a row of one name: one failure may be an accident of the name's own servers. */
const FAILURES = 2;
/** Different names under a suffix that fail: two names may be hosts of one broken zone. */
const CHILDREN = 3;
/** One real question about a name that is cut goes through in this time. */
const TRIAL_EVERY_MS = 1_500;
/** However many suffixes are cut, trials are this far apart: they are no load. */
const TRIALS_APART_MS = 100;
const MAX_ENTRIES = 512;
/** Levels from the registered domain downwards that have an entry each; so has the whole name. */
const LEVELS = 3;
/** With so many domains cut, the upstream itself is taken to be cut off from the outside. */
const DOMAINS_IN_DOUBT = 3;

interface Entry {
  /** On the wire, in lower case, because hashes collide. */
  readonly suffix: Uint8Array;
  /** Failures in a row of exactly this name. */
  failures: number;
  /** Hashes of what failed directly under it; the name itself counts as one of them. */
  readonly children: Set<number>;
  isNameCut: boolean;
  isSuffixCut: boolean;
  failedAtMs: number;
  triedAtMs: number;
}

export class SuffixHealth {
  readonly #entries = new Map<number, Entry>();
  /** When something was last found to be cut, by the hash of its registered domain. */
  readonly #domains = new Map<number, number>();
  #triedAtMs = Number.NEGATIVE_INFINITY;

  /** Whether the query's name is known to fail here. Makes no object. */
  isCut(query: Query, nowMs: number): boolean {
    return this.#entries.size > 0 && this.#cutEntry(query, nowMs) !== undefined;
  }

  /** Whether it is time for a real question about this name, which is cut. Claims that time. */
  claimTrial(query: Query, nowMs: number): boolean {
    const entry = this.#cutEntry(query, nowMs);
    if (entry === undefined || nowMs < entry.triedAtMs + TRIAL_EVERY_MS) return false;
    if (nowMs < this.#triedAtMs + TRIALS_APART_MS) return false;
    entry.triedAtMs = nowMs;
    this.#triedAtMs = nowMs;
    return true;
  }

  /** Whether so many domains fail that a name of which nothing is known is not waited for as long as usual. */
  isInDoubt(nowMs: number): boolean {
    if (this.#domains.size < DOMAINS_IN_DOUBT) return false;
    for (const atMs of this.#domains.values()) if (nowMs >= atMs + HOLDS_MS) return false;
    return true;
  }

  /** The upstream said something about the name, which is given as on the wire. */
  noteAnswer(name: Uint8Array): void {
    if (this.#entries.size === 0) return;
    for (const suffix of suffixesOf(name)) {
      const hash = hashName(suffix);
      this.#entries.delete(hash);
      this.#domains.delete(hash);
    }
  }

  /**
   * The upstream failed for the name, which is given as on the wire. `isExpected`: the link is down, so that less
   * evidence is enough. Returns whether it was the name's first failure, which a second question has to confirm.
   */
  noteFailure(name: Uint8Array, nowMs: number, isExpected: boolean): boolean {
    const less = isExpected || this.isInDoubt(nowMs) ? 1 : 0;
    const [whole, ...above] = suffixesOf(name);
    if (whole === undefined) return false;
    let child = hashName(whole);
    const own = this.#entry(child, whole, nowMs);
    const isFirst = own.failures === 0;
    own.failures = Math.min(own.failures + 1, FAILURES);
    own.isNameCut ||= own.failures >= FAILURES - less;
    addChild(own, child, less);
    own.failedAtMs = nowMs;
    let hasCut = isCut(own, true, nowMs);
    for (const suffix of above) {
      const hash = hashName(suffix);
      // what failed before is no more evidence against its suffix than it was then
      const entry = isFirst ? this.#entry(hash, suffix, nowMs) : this.#entries.get(hash);
      if (entry !== undefined) {
        if (isFirst) addChild(entry, child, less);
        entry.failedAtMs = nowMs;
        hasCut ||= entry.isSuffixCut;
      }
      child = hash;
    }
    if (hasCut) this.#noteDomain(hashName(above.at(-1) ?? whole), nowMs);
    return isFirst;
  }

  /** The link or the upstream is back. */
  clear(): void {
    this.#entries.clear();
    this.#domains.clear();
  }

  /** The names and suffixes that are cut at this moment, as text. */
  cut(nowMs: number): string[] {
    const cut = [...this.#entries.values()].filter((entry) => isCut(entry, true, nowMs));
    return cut.map(({ suffix }) => nameFromWire(suffix, 0));
  }

  #cutEntry(query: Query, nowMs: number): Entry | undefined {
    const { octets, nameStart, labelStarts, labelCount } = query;
    const first = nameStart + (labelStarts[1] ?? 0);
    const second = nameStart + (labelStarts[2] ?? 0);
    const domain = domainDepth(octets, first, second, labelCount);
    for (let depth = labelCount; depth >= domain; depth = nextDepth(depth, labelCount, domain)) {
      const entry = this.#entries.get(query.suffixHashes[depth] ?? 0);
      if (entry === undefined || !isCut(entry, depth === labelCount, nowMs)) continue;
      if (suffixEquals(query, depth, entry.suffix)) return entry;
    }
    return undefined;
  }

  /** The entry of a suffix that has failed, now the one that failed last. */
  #entry(hash: number, suffix: Uint8Array, nowMs: number): Entry {
    const known = this.#entries.get(hash);
    const isKnown =
      known !== undefined &&
      nowMs < known.failedAtMs + ADDS_UP_MS &&
      Buffer.compare(known.suffix, suffix) === 0;
    const entry = isKnown ? known : newEntry(suffix, nowMs);
    this.#entries.delete(hash);
    this.#entries.set(hash, entry);
    if (this.#entries.size > MAX_ENTRIES) deleteOldest(this.#entries);
    return entry;
  }

  #noteDomain(hash: number, nowMs: number): void {
    this.#domains.delete(hash);
    this.#domains.set(hash, nowMs);
    if (this.#domains.size > DOMAINS_IN_DOUBT) deleteOldest(this.#domains);
  }
}

function newEntry(suffix: Uint8Array, nowMs: number): Entry {
  const entry = { failures: 0, children: new Set<number>(), isNameCut: false, isSuffixCut: false };
  return { suffix, ...entry, failedAtMs: nowMs, triedAtMs: nowMs };
}

function addChild(entry: Entry, child: number, less: number): void {
  if (entry.children.size < CHILDREN) entry.children.add(child);
  entry.isSuffixCut ||= entry.children.size >= CHILDREN - less;
}

function isCut(entry: Entry, isWholeName: boolean, nowMs: number): boolean {
  return nowMs < entry.failedAtMs + HOLDS_MS && (entry.isSuffixCut || (isWholeName && entry.isNameCut));
}

function deleteOldest(map: Map<number, unknown>): void {
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}

/** The whole name, then the levels just below the registered domain, down to the domain itself. */
function nextDepth(depth: number, labelCount: number, domain: number): number {
  return depth === labelCount ? Math.min(depth - 1, domain + LEVELS - 1) : depth - 1;
}

/** The suffixes of a name that have an entry each, the whole name first, in lower case. */
function suffixesOf(name: Uint8Array): Uint8Array[] {
  const wire = new Uint8Array(name.length);
  for (let at = 0; at < wire.length; at++) wire[at] = lower(name[at] ?? 0);
  const starts = [wire.length - 1];
  const labels: number[] = [];
  for (let at = 0; (wire[at] ?? 0) !== 0; at += (wire[at] ?? 0) + 1) labels.push(at);
  starts.push(...labels.toReversed());
  const labelCount = labels.length;
  const domain = domainDepth(wire, starts[1] ?? 0, starts[2] ?? 0, labelCount);
  const suffixes: Uint8Array[] = [];
  for (let depth = labelCount; depth >= domain; depth = nextDepth(depth, labelCount, domain))
    suffixes.push(wire.subarray(starts[depth] ?? 0));
  return suffixes;
}

const IN_ADDR_LABELS = 4; // 16 bits of an IPv4 address under in-addr.arpa
const IP6_LABELS = 10; // 32 bits of an IPv6 address under ip6.arpa
const COUNTRY_OCTETS = 2;
/** Registries below a country's: "co", "ac", "com", "gov". */
const REGISTRY_OCTETS = 3;

/** Labels of the registered domain of a name; `first` and `second` are the offsets of its last two labels. */
function domainDepth(octets: Uint8Array, first: number, second: number, labelCount: number): number {
  return Math.min(labelCount, usualDepth(octets, first, second, labelCount));
}

/** Hash of the registered domain of the query's name. */
export function domainHash({ octets, nameStart, labelStarts, labelCount, suffixHashes }: Query): number {
  const first = nameStart + (labelStarts[1] ?? 0);
  const second = nameStart + (labelStarts[2] ?? 0);
  return suffixHashes[domainDepth(octets, first, second, labelCount)] ?? 0;
}

function usualDepth(octets: Uint8Array, first: number, second: number, labelCount: number): number {
  if (labelCount < 3) return 2;
  if (isLabel(octets, first, ARPA)) {
    if (isLabel(octets, second, IN_ADDR)) return IN_ADDR_LABELS;
    return isLabel(octets, second, IP6) ? IP6_LABELS : 2;
  }
  const isBelowCountry = octets[first] === COUNTRY_OCTETS && (octets[second] ?? 0) <= REGISTRY_OCTETS;
  return isBelowCountry ? 3 : 2;
}

const ARPA = Buffer.from('arpa');
const IN_ADDR = Buffer.from('in-addr');
const IP6 = Buffer.from('ip6');

function isLabel(octets: Uint8Array, at: number, label: Uint8Array): boolean {
  if (octets[at] !== label.length) return false;
  for (let i = 0; i < label.length; i++) if (lower(octets[at + 1 + i] ?? 0) !== label[i]) return false;
  return true;
}
