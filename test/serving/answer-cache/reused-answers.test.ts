/**
 * The cache reads every answer into one object and one space. Here it stands beside a plain Map of objects: an answer that is
 * read after another call, written to a slot of another answer, or lost in a move to new slabs differs from the Map.
 */
import fc from 'fast-check';
import t from 'tap';
import { AnswerCache } from '../../../src/serving/answer-cache/answer-cache.ts';
import type { CachedAnswer } from '../../../src/serving/answer-cache/cached-answer.ts';
import { sizeOf } from '../../../src/serving/answer-cache/cached-answer.ts';
import type { AnswerEntry } from '../../../src/serving/answer-cache/entries.ts';
import { message, rawRecord } from '../../helpers/zone-text.ts';
import { asked, indexed, nodata, nxdomain, settings } from './asked.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 150);
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

const NAMES = 40;

interface Known {
  readonly octets: Buffer;
  readonly kind: string;
  readonly storedAtMs: number;
  readonly earlier: Known | undefined;
  hits: number;
  usedAtMs: number;
}

interface Held {
  readonly answer: CachedAnswer;
  readonly known: Known;
}

const step = fc.record({
  what: fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom('positive', 'alias', 'nxdomain', 'nodata') },
    { weight: 5, arbitrary: fc.constantFrom('find', 'hold', 'go on') },
    { weight: 1, arbitrary: fc.constantFrom('failure', 'resize', 'snapshot', 'flush', 'order', 'empty') },
  ),
  name: fc.nat(NAMES - 1),
  dnssecOk: fc.boolean(),
  value: fc.nat(255),
  passedMs: fc.oneof(fc.nat(500), fc.nat(70_000)),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function octetsOf(answer: CachedAnswer): Buffer {
  return Buffer.from(answer.octets.subarray(0, answer.index.end));
}

function isSame(answer: CachedAnswer, known: Known): boolean {
  const isOfThen = answer.kind === known.kind && answer.storedAtMs === known.storedAtMs;
  return isOfThen && octetsOf(answer).equals(known.octets);
}

function same(answer: CachedAnswer, known: Known, where: string): void {
  if (!isSame(answer, known))
    throw new Error(`${where}: another answer\n${octetsOf(answer).toString('latin1')}`);
}

class Beside {
  readonly cache = new AnswerCache({ ...settings, sizeOctets: 16_000, staleForMs: Number.POSITIVE_INFINITY });
  readonly known = new Map<string, Known>();
  readonly held: Held[] = [];
  /** Work that takes many steps; other steps come between. */
  readonly working: Generator<void>[] = [];
  nowMs = 0;
  /** Which names are being forgotten. */
  readonly flushing: ((name: string) => boolean)[] = [];

  take(each: Step): void {
    this.nowMs += each.passedMs;
    const { cache, nowMs } = this;
    const name = `n${each.name}.example`;
    const query = asked(name, 'A', { dnssecOk: each.dnssecOk });
    const key = `${name} ${each.dnssecOk}`;
    switch (each.what) {
      case 'find':
        this.#find(key, query);
        break;
      case 'hold': {
        const given = cache.peekAny(query, nowMs, true);
        const known = given && this.#givenBy(given.answer, name);
        if (given !== undefined && known !== undefined) this.held.push({ answer: given.answer, known });
        break;
      }
      case 'go on':
        for (let left = each.value % 16; left > 0; left--) {
          if (this.working[0]?.next().done) this.working.shift();
        }
        break;
      case 'failure':
        cache.noteFailure(query, nowMs);
        break;
      case 'resize':
        this.working.push(this.#resize(3_000 + 100 * each.value));
        break;
      case 'snapshot':
        this.working.push(this.#snapshot());
        break;
      case 'flush':
        this.working.push(this.#flush(each.value % 7));
        break;
      case 'order':
        this.working.push(cache.restoreOrder(nowMs) as Generator<void>);
        break;
      case 'empty':
        if (each.value < 200) break;
        cache.flush();
        this.known.clear();
        break;
      default:
        this.#store(each, key, name);
    }
  }

  #store({ what, value, dnssecOk }: Step, key: string, name: string): void {
    const { cache, nowMs } = this;
    const octets =
      what === 'nxdomain'
        ? nxdomain(name, 10 + (value % 50))
        : what === 'nodata'
          ? nodata(name, 10 + (value % 50))
          : message({
              question: [name, 'A'],
              answers: [
                ...(what === 'alias' ? [rawRecord(name, 'CNAME', 60, [1, 97, 0])] : []),
                // from one chunk to many
                ...Array.from({ length: 1 + (value % 20) }, (_, at) =>
                  rawRecord(what === 'alias' ? 'a' : name, 'A', 60 + value, [10, value, nowMs & 255, at]),
                ),
              ],
            });
    const query = asked(name, 'A', { dnssecOk });
    const before = cache.withoutTrace().find(query, nowMs)?.serial ? this.known.get(key) : undefined;
    const good = before?.kind === 'nxdomain' ? before.earlier : before;
    const kept = cache.store(query, octets, indexed(octets), nowMs);
    if (this.flushing.some((isWanted) => isWanted(name))) {
      if (kept !== undefined) throw new Error(`stored while answers about ${name} are forgotten`);
      this.known.delete(key);
      return;
    }
    if (kept === undefined) throw new Error(`not stored: ${what}`);
    const known: Known = {
      octets: Buffer.from(kept.octets.subarray(0, kept.index.end)),
      kind: kept.kind,
      storedAtMs: nowMs,
      earlier: kept.kind === 'nxdomain' ? good : undefined,
      hits: 0,
      usedAtMs: nowMs,
    };
    // all but the TTLs, which may be cut
    if (
      !known.octets.subarray(12, kept.index.questionEnd).equals(octets.subarray(12, kept.index.questionEnd))
    )
      throw new Error('another question');
    this.known.set(key, known);
    same(kept, known, 'stored');
  }

  #find(key: string, query: ReturnType<typeof asked>): boolean {
    const { cache, nowMs } = this;
    const known = this.known.get(key);
    const found = cache.find(query, nowMs);
    if (found === undefined || found.kind === 'failure') return false;
    if (known === undefined) throw new Error('an answer that was forgotten');
    const { earlier } = found;
    same(found, known, 'found');
    if ((earlier === undefined) !== (known.earlier === undefined))
      throw new Error(`earlier: ${earlier?.kind}`);
    if (earlier !== undefined && known.earlier !== undefined) same(earlier, known.earlier, 'earlier');
    same(found, known, 'found, after its earlier answer was read');
    if (nowMs < found.storedAtMs + found.lifetimeMs) known.hits++;
    known.usedAtMs = nowMs;
    if (found.hits !== known.hits || found.usedAtMs !== nowMs) throw new Error('counters of another answer');
    return true;
  }

  /** What is known of an answer to this name, with any DO. */
  #givenBy(answer: CachedAnswer, name: string): Known {
    for (const dnssecOk of [false, true]) {
      const own = this.known.get(`${name} ${dnssecOk}`);
      // both may be of one moment
      for (const known of [own, own?.earlier]) if (known && isSame(answer, known)) return known;
    }
    throw new Error(`an answer to ${name} that was never stored`);
  }

  *#resize(sizeOctets: number): Generator<void> {
    const { cache } = this;
    yield* cache.reconfiguring({ ...cache.settings, sizeOctets });
    if (cache.stats().octets > sizeOctets) throw new Error('more than the bound');
  }

  *#flush(rest: number): Generator<void> {
    const isWanted = (name: string) => Number(name.slice(1, name.indexOf('.'))) % 7 === rest;
    this.flushing.push(isWanted);
    yield* this.cache.flushing(isWanted);
    this.flushing.splice(this.flushing.indexOf(isWanted), 1);
    for (const key of this.known.keys()) if (isWanted(key)) this.known.delete(key);
  }

  *#snapshot(): Generator<void> {
    const startedMs = this.nowMs;
    for (const entry of this.cache.entries(startedMs)) {
      if (entry !== undefined) this.#checkEntry(entry, startedMs);
      yield;
    }
  }

  #checkEntry(entry: AnswerEntry, startedMs: number): void {
    const index = indexed(entry.octets);
    const question = Buffer.from(entry.octets.subarray(13, index.questionEnd)).toString('latin1');
    const key = `${question.slice(0, question.indexOf('\x07'))}.example ${entry.dnssecOk}`;
    const known = this.known.get(key);
    if (known === undefined) throw new Error(`an entry for ${key}, which was forgotten`);
    if (!known.octets.equals(entry.octets)) throw new Error(`another entry for ${key}`);
    if (entry.hits !== known.hits && entry.hits !== Math.max(1, known.hits)) throw new Error('other hits');
    if (entry.idleMs !== Math.max(0, startedMs - known.usedAtMs)) throw new Error('another time of use');
    const { earlier } = entry;
    if (earlier !== undefined && !known.earlier?.octets.equals(earlier.octets))
      throw new Error('another earlier');
  }

  /** Ends all work, and counts what is there. Returns the number of answers. */
  end(): number {
    for (const work of this.working) for (const _ of work);
    for (const { answer, known } of this.held) same(answer, known, 'held');
    const { cache } = this;
    const { octets, entries } = cache.stats();
    let [found, foundOctets] = [0, 0];
    for (let n = 0; n < NAMES; n++) {
      for (const dnssecOk of [false, true]) {
        const query = asked(`n${n}.example`, 'A', { dnssecOk });
        if (!this.#find(`n${n}.example ${dnssecOk}`, query)) continue;
        found++;
        const answer = cache.withoutTrace().find(query, this.nowMs);
        if (answer !== undefined) foundOctets += sizeOf(answer);
      }
    }
    if (found !== entries) throw new Error(`${found} found of ${entries}`);
    if (foundOctets !== octets) throw new Error(`${foundOctets} octets found of ${octets}`);
    this.#reload(entries);
    return found;
  }

  /** Another process gets every answer, also where it loads while the first one writes. */
  #reload(entries: number): void {
    const { cache, nowMs } = this;
    const next = new AnswerCache({ ...cache.settings, sizeOctets: 1_000_000 });
    let loaded = 0;
    for (const entry of cache.entries(nowMs))
      if (entry !== undefined && next.load(entry, 0) === 'kept') loaded++;
    for (const _ of next.restoreOrder(0));
    if (loaded !== entries || next.stats().octets !== cache.stats().octets)
      throw new Error(`${loaded} loaded`);
  }
}

t.test(
  'every answer that is found, held, given to the disk or renewed is the latest one to its question',
  async (t) => {
    let [answers, evictions, held] = [0, 0, 0];
    fc.assert(
      fc.property(fc.array(step, { minLength: 50, maxLength: 400, size: 'max' }), (steps) => {
        const beside = new Beside();
        for (const each of steps) beside.take(each);
        answers += beside.end();
        evictions += beside.cache.stats().evictions;
        held += beside.held.length;
      }),
      { seed, numRuns },
    );
    t.ok(
      answers > 0 && evictions > 0 && held > 0,
      `${answers} answers, ${evictions} evictions, ${held} held`,
    );
  },
);
