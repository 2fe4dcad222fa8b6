/**
 * An upstream in one group: whether it sends the group's questions back to us. Whoever forwards back may change the ID,
 * and any client can send a question that we are asking, so neither tells. A name that nobody can guess does: it goes
 * out as a probe under the group's own apex, and where it comes in as a query there is a loop. Another group may use
 * the same upstream without one, so each member has a verdict of its own.
 */
import { type Query, suffixEquals } from '../../protocol/wire/query.ts';
import { CLASS } from '../../protocol/words/classes.ts';
import { MAX_NAME_OCTETS, nameToWire } from '../../protocol/words/name.ts';
import { TYPE } from '../../protocol/words/types.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import type { Answer, Attempt, AttemptFailure, AttemptListener } from './attempt.ts';
import type { Deadline, DeadlineSweep } from './deadline-sweep.ts';
import type { Askable } from './flight.ts';
import type { Question } from './question.ts';
import type { Upstream } from './upstream.ts';
import type { UpstreamClient } from './upstream-client.ts';

export interface MemberContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly sweep: DeadlineSweep;
  readonly isCutOff: (upstream: Upstream) => boolean;
}

/** Our listeners are open by then, without which the probe could not come back. */
const FIRST_PROBE_MS = 5_000;
/** How long a probe may take on its way back. */
const RETURN_MS = 5_000;
const AVOIDED_MS = 30_000;
/** Clients can raise suspicion as often as they like: no more than one probe in this time follows. */
const PROBE_EVERY_MS = 20_000;

/** Two labels, because forwarders commonly keep names of a single one to themselves. */
const PROBE_LABELS = 2;
const LABEL_OCTETS = 32;
const PREFIX_OCTETS = PROBE_LABELS * (1 + LABEL_OCTETS);

export class GroupMember implements Askable, Deadline {
  readonly client: UpstreamClient;
  dueAtMs = 0;
  readonly #apex: Uint8Array;
  readonly #context: MemberContext;
  #probe: { readonly name: Uint8Array; readonly sentAtMs: number } | undefined;
  #loopedUntilMs = Number.NEGATIVE_INFINITY;

  /** `apex` is that of the names which the group is asked for. */
  constructor(client: UpstreamClient, apex: string, context: MemberContext) {
    this.client = client;
    this.#apex = nameToWire(apex);
    this.#context = context;
  }

  get upstream(): Upstream {
    return this.client.upstream;
  }

  get lastFailure(): AttemptFailure | undefined {
    return this.client.lastFailure;
  }

  /** Whether it is worth asking, and may be: up, and not known to send the group's questions back to us. */
  isUsable(nowMs: number): boolean {
    return this.client.isUp && this.mayBeTried(nowMs);
  }

  /** Whether it may be asked although it is down, to find out whether it still is. */
  mayBeTried(nowMs: number): boolean {
    return !this.isLooping(nowMs) && !this.#context.isCutOff(this.upstream);
  }

  isLooping(nowMs: number): boolean {
    return nowMs < this.#loopedUntilMs;
  }

  ask(question: Question, doublings: number, listener: AttemptListener): Attempt | undefined {
    return this.client.ask(question, doublings, listener);
  }

  noteAnswer(question: Question, answer: Answer): void {
    this.client.noteAnswer(question, answer);
  }

  noteFailure(question: Question): void {
    this.client.noteSuffixFailure(question);
  }

  /** It is new, or has come up. */
  probeSoon(): void {
    this.#probeAt(this.#context.clock.monotonicMs() + FIRST_PROBE_MS);
  }

  onDue(): void {
    this.suspect();
  }

  /** Something looks like a loop, or it is time to see whether there is one: a probe will tell. */
  suspect(): void {
    const nowMs = this.#context.clock.monotonicMs();
    if (this.#probe !== undefined && nowMs < this.#probe.sentAtMs + PROBE_EVERY_MS) return;
    if (!this.client.isUp || PREFIX_OCTETS + this.#apex.length > MAX_NAME_OCTETS) return;
    const name = probeName(this.#context.random, this.#apex);
    this.#probe = { name, sentAtMs: nowMs };
    // what it answers is of no interest
    this.client.ask(loopQuestion(name), 0, { onAnswer() {}, onFailure() {}, onOverdue() {} });
  }

  /** Whether this query is our probe that has come back. */
  hasSent(query: Query): boolean {
    const probe = this.#probe;
    if (probe === undefined || this.#context.clock.monotonicMs() > probe.sentAtMs + RETURN_MS) return false;
    return suffixEquals(query, query.labelCount, probe.name);
  }

  /** The probe has come back. Returns whether that is news. */
  noteLoop(): boolean {
    const nowMs = this.#context.clock.monotonicMs();
    const isNews = !this.isLooping(nowMs);
    this.#loopedUntilMs = nowMs + AVOIDED_MS;
    // in time for its return: while the loop lasts no question goes into it
    this.#probeAt(this.#loopedUntilMs - RETURN_MS);
    this.client.noteLoop();
    return isNews;
  }

  /** It belongs to the group no more. */
  leave(): void {
    this.#context.sweep.delete(this);
  }

  #probeAt(dueAtMs: number): void {
    this.dueAtMs = dueAtMs;
    this.#context.sweep.add(this);
  }
}

/** Whether the name has the shape of a probe: there may be thousands of members, and nearly no query has it. */
export function mayBeLoopProbe({ octets, nameStart, labelCount }: Query): boolean {
  return (
    labelCount >= PROBE_LABELS &&
    octets[nameStart] === LABEL_OCTETS &&
    octets[nameStart + 1 + LABEL_OCTETS] === LABEL_OCTETS
  );
}

function probeName(random: Random, apex: Uint8Array): Uint8Array {
  const name = new Uint8Array(PREFIX_OCTETS + apex.length);
  for (let label = 0; label < PROBE_LABELS; label++) {
    let at = label * (1 + LABEL_OCTETS);
    name[at++] = LABEL_OCTETS;
    for (let digits = 0; digits < LABEL_OCTETS; digits += 8) {
      for (const digit of random.uint32().toString(16).padStart(8, '0')) name[at++] = digit.charCodeAt(0);
    }
  }
  name.set(apex, PREFIX_OCTETS);
  return name;
}

function loopQuestion(name: Uint8Array): Question {
  return {
    name,
    qtype: TYPE.A,
    qclass: CLASS.IN,
    dnssecOk: false,
    checkingDisabled: false,
    domain: 0,
    probes: 'loop',
  };
}
