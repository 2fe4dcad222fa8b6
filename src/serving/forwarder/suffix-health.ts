/**
 * Learns from real traffic whether one upstream can answer for a name or suffix. When the link is down, a resolver on the
 * site stays up. It answers for the zones of the site and fails for all other zones. So the health of the upstream says
 * nothing about a name. `NameHealth` of upstream-client.ts hears the replies and the silence. While no name fails nobody asks here.
 *
 *     evidence against   SERVFAIL, and REFUSED, which forwarders without a way out say; silence until the question was
 *                        given up; a denial, while the link to AWS is down, of a name that is kept
 *     evidence in favour any other answer about the name
 *     a name is cut      after two failures in a row
 *     a suffix is cut    after failures of three different names or zones directly under it, without an answer in between
 *     a cut ends         with one answer at or under the suffix, of the type that failed, or of any type where A did; 30 s
 *                        after the last failure; when the link or the upstream comes back
 *
 * While the link is known to be down, or three domains fail already, one failure less is enough. Clients then wait a shorter
 * time for a name without any evidence; while the link is down one domain that fails is enough for this.
 *
 * A cut has two effects. The rules for an outage hold for the suffix, and no client waits for an upstream. Failures that come
 * at once while the link is up have the first effect alone: they cost no client a wait, and broken or bogus names of a healthy
 * domain fail in the same way. So a name under such a suffix is asked, unless a rule or a kept answer speaks for it.
 *
 * Failures for A count against every type, failures for another type against this type alone: some firewalls drop HTTPS or
 * AAAA, and their names still have addresses. Those that come at once while the link is up count for their name alone: some
 * load balancers fail for AAAA of each of their names, and other names of the domain have AAAA.
 *
 * A broken zone cuts itself and nothing above it. No suffix above a registered domain is ever cut, so that broken domains
 * never take "com" away.
 *
 * Bounded: one failure makes four entries at most, 512 stay, and names under a suffix that is cut are not asked.
 */

import { hashName, suffixEquals } from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { TYPE, typeName } from '../../protocol/words/codes.ts';
import { LOWER_CASE, nameFromWire } from '../../protocol/words/name.ts';
import { domainDepth, queryDomainDepth } from './exchange.ts';

/** An older failure proves nothing about this moment: the next question finds out. */
const HOLDS_MS = 30_000;
/** Failures that are further apart do not add up. */
const ADDS_UP_MS = 300_000;
/** Failures in a row of one name: one failure may be an accident of the name's own servers. */
const FAILURES = 2;
/** Different names under a suffix that fail: two names may be hosts of one broken zone. */
const CHILDREN = 3;
/** One real question about a name that is cut goes through in this time. */
const TRIAL_EVERY_MS = 1_500;
/** Trials are at least this far apart for any number of cut suffixes, so that trials are no load. */
const TRIALS_APART_MS = 100;
/** A failure within this time is no wait for a client. */
const AT_ONCE_MS = 200;
const MAX_ENTRIES = 512;
/** Each of this many levels, from the registered domain downwards, has an entry. The whole name has an entry too. */
const LEVELS = 3;
/** When at least this many domains are cut, the upstream itself is probably cut off from the outside. */
const DOMAINS_IN_DOUBT = 3;

/** The failure of an upstream that knows the name: it counts for the name alone. */
export const TRUNCATED = 'truncated, and no reply over TCP';

interface Entry {
  /** On the wire, in lower case, because hashes collide. */
  readonly suffix: Uint8Array;
  /** The QTYPE of the failures. */
  readonly qtype: number;
  /** Failures in a row of exactly this name. */
  failures: number;
  /** Hashes of what failed directly under it; the name itself counts as one of them. */
  readonly children: Set<number>;
  /** The children among them for whose failure clients had to wait, or whose failure was expected. */
  readonly waitedFor: Set<number>;
  isNameCut: boolean;
  isSuffixCut: boolean;
  /** It is cut, and its names are not asked for. */
  isSuffixLeftOut: boolean;
  /** The last one, in a word or two. */
  failure: string;
  failedAtMs: number;
  triedAtMs: number;
}

/** A name or suffix for which the upstream fails, and how it failed last: what it said, or its silence. */
export interface CutName {
  readonly name: string;
  readonly failure: string;
}

export class SuffixHealth {
  /** No name has failed lately. A plain field, because every question reads it. */
  isClear = true;
  readonly #entries = new Map<number, Entry>();
  /** When a name was last found to be cut, by the hash of its registered domain. */
  readonly #domains = new Map<number, number>();
  #triedAtMs = Number.NEGATIVE_INFINITY;

  /** Whether the query's name is known to fail here, so that the rules for an outage hold. Makes no object. */
  isCut(query: Query, nowMs: number): boolean {
    return this.#cutEntry(query, nowMs) !== undefined;
  }

  /** Whether a question about the name would make its client wait for nothing. Makes no object. */
  isLeftOut(query: Query, nowMs: number): boolean {
    return this.#cutEntry(query, nowMs, true) !== undefined;
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

  /** Whether so many domains fail that the upstream is probably cut off. `isExpected`: the link is down, and one is enough. */
  isInDoubt(nowMs: number, isExpected: boolean): boolean {
    let failing = 0;
    for (const atMs of this.#domains.values()) if (nowMs < atMs + HOLDS_MS) failing++;
    return failing >= (isExpected ? 1 : DOMAINS_IN_DOUBT);
  }

  /** The upstream answered about the name, which is given as on the wire. */
  noteAnswer(name: Uint8Array, qtype: number): void {
    for (const suffix of suffixesOf(name)) {
      const hash = hashName(suffix);
      this.#entries.delete(hash);
      this.#entries.delete(keyOf(hash, qtype));
      this.#domains.delete(hash);
    }
    this.isClear = this.#entries.size === 0 && this.#domains.size === 0;
  }

  /**
   * The upstream failed for the name, which is given as on the wire. `isExpected`: the link is down, so that less
   * evidence is enough. `afterMs`: how long the failure took. `failure`: what it was, for people. Returns whether the
   * name had no failure before. A second question then has to show whether it fails again.
   */
  noteFailure(
    name: Uint8Array,
    qtype: number,
    nowMs: number,
    isExpected: boolean,
    afterMs: number,
    failure: string,
  ): boolean {
    const isWaitedFor = isExpected || afterMs > AT_ONCE_MS;
    const less = isExpected || this.isInDoubt(nowMs, false) ? 1 : 0;
    const [whole, ...suffixes] = suffixesOf(name);
    const isOfName = failure === TRUNCATED || (qtype !== TYPE.A && !isWaitedFor);
    const above = isOfName ? [] : suffixes;
    if (whole === undefined) return false;
    this.isClear = false;
    let child = hashName(whole);
    const own = this.#entry(child, whole, qtype, nowMs);
    const isFirst = own.failures === 0;
    own.failures = Math.min(own.failures + 1, FAILURES);
    own.isNameCut ||= own.failures >= FAILURES - less;
    addChild(own, child, less, isWaitedFor);
    own.failure = failure;
    own.failedAtMs = nowMs;
    let hasCut = isWaitedFor && isCut(own, true, nowMs);
    for (const suffix of above) {
      const hash = hashName(suffix);
      // a name that failed before is no further evidence against its suffix
      const entry = isFirst ? this.#entry(hash, suffix, qtype, nowMs) : this.#entries.get(keyOf(hash, qtype));
      if (entry !== undefined) {
        if (isFirst) addChild(entry, child, less, isWaitedFor);
        entry.failure = failure;
        entry.failedAtMs = nowMs;
        hasCut ||= entry.isSuffixLeftOut;
      }
      child = hash;
    }
    const isOfDomain = hasCut && !isOfName && (isExpected || qtype === TYPE.A);
    if (isOfDomain) this.#noteDomain(hashName(above.at(-1) ?? whole), nowMs);
    return isFirst;
  }

  /** The link or the upstream is back. */
  clear(): void {
    this.#entries.clear();
    this.#domains.clear();
    this.isClear = true;
  }

  /** The names and suffixes that are cut at this moment. */
  cut(nowMs: number): CutName[] {
    const cut = [...this.#entries.values()].filter((entry) => isCut(entry, true, nowMs));
    return cut.map(({ suffix, qtype, failure }) => {
      const what = qtype === TYPE.A ? failure : `${typeName(qtype)}: ${failure}`;
      return { name: nameFromWire(suffix, 0), failure: what };
    });
  }

  #cutEntry(query: Query, nowMs: number, isLeftOut = false): Entry | undefined {
    const { labelCount } = query;
    const domain = queryDomainDepth(query);
    for (let depth = labelCount; depth >= domain; depth = nextDepth(depth, labelCount, domain)) {
      const isWholeName = depth === labelCount;
      for (let pass = query.qtype === TYPE.A ? 1 : 0; pass < 2; pass++) {
        const qtype = pass === 0 ? query.qtype : TYPE.A;
        const entry = this.#entries.get(keyOf(query.suffixHashes[depth] ?? 0, qtype));
        if (entry?.qtype !== qtype || !isCut(entry, isWholeName, nowMs, isLeftOut)) continue;
        if (suffixEquals(query, depth, entry.suffix)) return entry;
      }
    }
    return undefined;
  }

  /** The entry of a suffix that has failed, now the entry that failed last. */
  #entry(hash: number, suffix: Uint8Array, qtype: number, nowMs: number): Entry {
    const key = keyOf(hash, qtype);
    const known = this.#entries.get(key);
    const isKnown =
      known?.qtype === qtype &&
      nowMs < known.failedAtMs + ADDS_UP_MS &&
      Buffer.compare(known.suffix, suffix) === 0;
    const entry = isKnown ? known : newEntry(suffix, qtype, nowMs);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > MAX_ENTRIES) deleteOldest(this.#entries);
    return entry;
  }

  #noteDomain(hash: number, nowMs: number): void {
    this.#domains.delete(hash);
    this.#domains.set(hash, nowMs);
    if (this.#domains.size > DOMAINS_IN_DOUBT) deleteOldest(this.#domains);
  }
}

/** The key of a suffix's entry, from its hash. */
function keyOf(hash: number, qtype: number): number {
  return qtype === TYPE.A ? hash : (hash ^ Math.imul(qtype, 0x9e37_79b1)) >>> 0;
}

function newEntry(suffix: Uint8Array, qtype: number, nowMs: number): Entry {
  return {
    suffix,
    qtype,
    failures: 0,
    children: new Set(),
    waitedFor: new Set(),
    isNameCut: false,
    isSuffixCut: false,
    isSuffixLeftOut: false,
    failure: '',
    failedAtMs: nowMs,
    triedAtMs: nowMs,
  };
}

function addChild(entry: Entry, child: number, less: number, isWaitedFor: boolean): void {
  const { children, waitedFor } = entry;
  if (children.size < CHILDREN) children.add(child);
  entry.isSuffixCut ||= children.size >= CHILDREN - less;
  if (isWaitedFor && waitedFor.size < CHILDREN) waitedFor.add(child);
  entry.isSuffixLeftOut ||= waitedFor.size >= CHILDREN - less;
}

/** `isLeftOut`: whether its names are not even asked for. */
function isCut(entry: Entry, isWholeName: boolean, nowMs: number, isLeftOut = false): boolean {
  if (nowMs >= entry.failedAtMs + HOLDS_MS) return false;
  return (isLeftOut ? entry.isSuffixLeftOut : entry.isSuffixCut) || (isWholeName && entry.isNameCut);
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
  for (let at = 0; at < wire.length; at++) wire[at] = LOWER_CASE[name[at] ?? 0] ?? 0;
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
