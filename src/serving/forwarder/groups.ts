/**
 * The upstreams of each group, and which of them are asked about a name. New groups are built in steps and put in force at once.
 *
 * A group knows of each upstream whether it sends the group's questions back to us. A forwarder may change the ID, and any
 * client can send a question that we are asking, so neither shows a loop. A name that nobody can guess shows it. The server
 * sends such a name as a probe under the group's own apex; where it comes in as a query, there is a loop. Another group may
 * use the same upstream without a loop.
 */
import { suffixEquals } from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { TYPE } from '../../protocol/words/codes.ts';
import { MAX_NAME_OCTETS, nameToWire } from '../../protocol/words/name.ts';
import type { Deadline } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import type { Steps } from '../../runtime/slices.ts';
import type { Route } from '../turn.ts';
import type { AttemptListener } from './attempt.ts';
import { type Upstream, type UpstreamGroup, upstreamKey } from './exchange.ts';
import { type ForwardFailure, forwardFailure, notAsked, ownQuestion } from './question.ts';
import { type ClientContext, UpstreamClient } from './upstream-client.ts';

/**
 * - `usual`    one upstream after the other, within the deadline
 * - `doubted`  as usual, with less patience: other domains fail already, and most answers do not take as long
 * - `trial`    the question is about a name that seems to be cut. Every upstream is asked at once and only once, no client
 *              waits longer than for one attempt, and silence does not count against an upstream as a whole
 */
export type QuestionKind = 'usual' | 'doubted' | 'trial';

/**
 * Which upstreams are asked, and how; or the outcome, where none is. The server asks a question of its own (`isOwn`) even if its
 * suffix is cut and the upstreams are down.
 */
export function chooseMembers(
  members: readonly GroupMember[],
  query: Query,
  isOwn: boolean,
  nowMs: number,
): { readonly kind: QuestionKind; readonly members: readonly GroupMember[] } | ForwardFailure {
  // upstreams that fail for this suffix are left out while others do not
  const willing = where(members, (member) => member.isWilling(query, nowMs));
  if (willing.length > 0) {
    const isDoubted = !isOwn && willing.every(({ client }) => client.names.isInDoubt(nowMs));
    return { kind: isDoubted ? 'doubted' : 'usual', members: willing };
  }
  const usable = where(members, (member) => member.isUsable(nowMs));
  if (isOwn && usable.length > 0) return { kind: 'usual', members: usable };
  if (isOwn || claimTrial(members, query, nowMs)) {
    const tried = triable(members, nowMs);
    if (tried.length > 0) return { kind: 'trial', members: tried };
  }
  if (usable.length === 0) return noUpstream(members, nowMs);
  const texts = usable.map(({ client }) => `"${client.upstream.text}"`).join(', ');
  return notAsked('timeout', `no upstream answers for this suffix: ${texts}`);
}

/** The array itself where all are wanted, as nearly always. */
function where(
  members: readonly GroupMember[],
  isWanted: (member: GroupMember) => boolean,
): readonly GroupMember[] {
  return members.every(isWanted) ? members : members.filter(isWanted);
}

/** The outcome where no upstream may be asked, and why. */
export function noUpstream(upstreams: readonly GroupMember[], nowMs: number): ForwardFailure {
  const reasons = upstreams.map((asked) => {
    const { upstream, lastFailure } = asked.client;
    return `"${upstream.text}": ${asked.isLooping(nowMs) ? 'loop' : (lastFailure?.detail ?? 'down')}`;
  });
  const detail = `no upstream to ask: ${reasons.join(', ')}`;
  if (upstreams.some((asked) => asked.isLooping(nowMs))) return forwardFailure('loop', detail);
  const failures = upstreams.map(({ client }) => client.lastFailure?.reason);
  const isNetwork =
    failures.length > 0 && failures.every((reason) => reason === 'network' || reason === 'tls');
  return notAsked('all-down', detail, isNetwork ? 'network' : 'all-down');
}

/** Whether an upstream is known to answer for the suffixes of this name, as far as its failures tell. */
export function hasAnswers(members: readonly GroupMember[], query: Query, nowMs: number): boolean {
  for (const member of members)
    if (member.isUsable(nowMs) && !member.client.suffixes.isCut(query, nowMs)) return true;
  return false;
}

/** Whether it is time for a real question to any of the members about a name that is cut. Claims this time. */
export function claimTrial(members: readonly GroupMember[], query: Query, nowMs: number): boolean {
  let isTime = false;
  for (const member of members) {
    if (!member.mayBeTried(nowMs)) continue;
    const { client } = member;
    if (client.isUp ? client.suffixes.claimTrial(query, nowMs) : client.claimTrial(nowMs)) isTime = true;
  }
  return isTime;
}

/** The members that may be asked although they are down. */
export function triable(members: readonly GroupMember[], nowMs: number): readonly GroupMember[] {
  return where(members, (member) => member.mayBeTried(nowMs));
}

/** A loop probe comes back as a query, which only an open listener can receive: the first one waits this long. */
const FIRST_PROBE_MS = 5_000;
/** A probe takes some 40 microseconds, and the sweep comes once in 10 ms: no turn of the loop sends more than some ten. */
const BETWEEN_PROBES_MS = 1;
/** The longest time after which a probe that this server sent may still return to it. */
const RETURN_MS = 5_000;
const AVOIDED_MS = 30_000;
/** At most one probe goes out in this time, because clients can raise suspicion at any rate. */
const PROBE_EVERY_MS = 20_000;

/** An upstream in one group. */
export class GroupMember implements Deadline {
  readonly client: UpstreamClient;
  readonly group: string;
  dueAtMs = 0;
  readonly #apex: Uint8Array;
  readonly #context: ClientContext;
  readonly #probes: LoopProbes;
  #probe: { readonly name: Uint8Array; readonly sentAtMs: number } | undefined;
  #loopedUntilMs = Number.NEGATIVE_INFINITY;
  #hasLeft = false;
  #isSoon = false;

  /** `group`: its name, the apex of the names that it is asked for. */
  constructor(client: UpstreamClient, group: string, context: ClientContext, probes: LoopProbes) {
    this.client = client;
    this.group = group;
    this.#apex = nameToWire(group);
    this.#context = context;
    this.#probes = probes;
    this.probeSoon();
  }

  /** Whether it may be asked, and is up. */
  isUsable(nowMs: number): boolean {
    return this.client.isUp && this.mayBeTried(nowMs);
  }

  /** Whether it is usable, and no client would wait for nothing. */
  isWilling(query: Query, nowMs: number): boolean {
    return this.isUsable(nowMs) && !this.client.suffixes.isLeftOut(query, nowMs);
  }

  /** Whether it may be asked although it is down, to find out whether it still is. */
  mayBeTried(nowMs: number): boolean {
    const { link, isDrilled } = this.#context;
    return !this.isLooping(nowMs) && !(link.isAnyCut && isDrilled(this.client.upstream));
  }

  isLooping(nowMs: number): boolean {
    return nowMs < this.#loopedUntilMs;
  }

  /** Called when the upstream is up again, and once at first. */
  probeSoon(): void {
    // one that is planned keeps its time: an upstream that comes and goes must not push the probes of all others away
    if (this.#isSoon) return;
    this.#probeAt(this.#probes.nextAtMs(this.client.nowMs()));
    this.#isSoon = true;
  }

  onDue(): void {
    this.#isSoon = false;
    this.suspectLoop();
  }

  /** Sends a probe, unless the last probe is too recent. */
  suspectLoop(): void {
    // a question that was asked before it left may still fail
    if (this.#hasLeft) return;
    const nowMs = this.client.nowMs();
    if (this.#probe !== undefined && nowMs < this.#probe.sentAtMs + PROBE_EVERY_MS) return;
    if (!this.client.isUp || PREFIX_OCTETS + this.#apex.length > MAX_NAME_OCTETS) return;
    const name = probeName(this.#context.random, this.#apex);
    this.#probes.replace(this, this.#probe?.name, name);
    this.#probe = { name, sentAtMs: nowMs };
    this.client.ask(ownQuestion(name, TYPE.A, 'loop'), 0, IGNORED);
  }

  /** Whether this query is our probe that has come back. */
  hasSent(query: Query): boolean {
    const probe = this.#probe;
    if (probe === undefined || this.client.nowMs() > probe.sentAtMs + RETURN_MS) return false;
    return suffixEquals(query, query.labelCount, probe.name);
  }

  /** The probe has come back. Returns whether that is news. */
  noteLoop(): boolean {
    const nowMs = this.client.nowMs();
    const isNews = !this.isLooping(nowMs);
    this.#loopedUntilMs = nowMs + AVOIDED_MS;
    // in time for its return: while the loop lasts no question goes into it
    this.#probeAt(this.#loopedUntilMs - RETURN_MS);
    this.client.noteLoop();
    return isNews;
  }

  /** Called when the upstream no longer belongs to the group. */
  leave(): void {
    this.#hasLeft = true;
    this.#context.sweep.delete(this);
    this.#probes.replace(this, this.#probe?.name, undefined);
  }

  #probeAt(dueAtMs: number): void {
    this.#isSoon = false;
    this.dueAtMs = dueAtMs;
    this.#context.sweep.add(this);
  }
}

/** The answer to a probe does not matter. */
const IGNORED: AttemptListener = { onAnswer() {}, onFailure() {}, onOverdue() {} };

/** Two labels, because forwarders commonly do not pass on names of a single label. */
const PROBE_LABELS = 2;
const LABEL_OCTETS = 32;
const PREFIX_OCTETS = PROBE_LABELS * (1 + LABEL_OCTETS);

/** Members by the first label of their last probe, and when the next probe may be sent. There may be thousands of members. */
class LoopProbes {
  readonly #senders = new Map<string, GroupMember>();
  #lastAtMs = Number.NEGATIVE_INFINITY;

  /** When a member that is new sends its first probe: thousands that are new together send theirs one after the other. */
  nextAtMs(nowMs: number): number {
    this.#lastAtMs = Math.max(nowMs + FIRST_PROBE_MS, this.#lastAtMs + BETWEEN_PROBES_MS);
    return this.#lastAtMs;
  }

  /** The member has sent the probe `now` after the probe `before`. */
  replace(member: GroupMember, before: Uint8Array | undefined, now: Uint8Array | undefined): void {
    if (before !== undefined) this.#senders.delete(firstLabel(before, 0));
    if (now !== undefined) this.#senders.set(firstLabel(now, 0), member);
  }

  senderOf(query: Query): GroupMember | undefined {
    const { octets, nameStart, labelCount } = query;
    // the shape of a probe: a cheap test that sorts out nearly every query
    if (labelCount < PROBE_LABELS || octets[nameStart] !== LABEL_OCTETS) return undefined;
    if (octets[nameStart + 1 + LABEL_OCTETS] !== LABEL_OCTETS) return undefined;
    const member = this.#senders.get(firstLabel(octets, nameStart));
    return member?.hasSent(query) ? member : undefined;
  }
}

/** In lower case, because a forwarder may change the case. */
function firstLabel(octets: Uint8Array, nameStart: number): string {
  const label = octets.subarray(nameStart + 1, nameStart + 1 + LABEL_OCTETS);
  return String.fromCharCode(...label).toLowerCase();
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

/** New groups that are ready: `take` puts them in force, then `leave` closes the upstreams that no group has any more. */
export interface Regrouping {
  readonly take: () => void;
  readonly leave: () => Steps<void>;
}

/** What a reload changed in a group. */
export interface GroupChange {
  readonly left: ReadonlySet<GroupMember>;
  /** In the operator's order. */
  readonly added: readonly GroupMember[];
}

/** The members of each group, by its name. */
export type Members = ReadonlyMap<string, readonly GroupMember[]>;

export class Groups {
  readonly #context: ClientContext;
  readonly #clients = new Map<string, UpstreamClient>();
  /** Upstreams that a reload took away; attempts of some of them still run. */
  #retired: UpstreamClient[] = [];
  readonly #probes = new LoopProbes();
  #groups: Members = new Map();
  /** The members of all groups, by upstream. */
  #members: ReadonlyMap<UpstreamClient, readonly GroupMember[]> = new Map();

  constructor(context: ClientContext) {
    this.#context = context;
  }

  get clients(): Iterable<UpstreamClient> {
    return this.#clients.values();
  }

  close(): void {
    for (const client of [...this.#clients.values(), ...this.#retired]) client.close();
  }

  /** The upstreams of the group; `undefined` where there is no such group. */
  membersOf({ name }: Route): readonly GroupMember[] | undefined {
    return this.#groups.get(name);
  }

  /** All groups at this moment: `changeOf` compares them with those of later. */
  get current(): Members {
    return this.#groups;
  }

  /** The change of a group since `before`; `undefined` where no upstream left it. */
  changeOf(name: string, before: Members): GroupChange | undefined {
    const members = this.#groups.get(name) ?? [];
    const membersBefore = before.get(name) ?? [];
    const [had, has] = [new Set(membersBefore), new Set(members)];
    const left = membersBefore.filter((member) => !has.has(member));
    if (left.length === 0) return undefined;
    return { left: new Set(left), added: members.filter((member) => !had.has(member)) };
  }

  /** The member that sent this query as a probe. */
  senderOf(query: Query): GroupMember | undefined {
    return this.#probes.senderOf(query);
  }

  isLooping(client: UpstreamClient, nowMs: number): boolean {
    return this.#members.get(client)?.some((member) => member.isLooping(nowMs)) ?? false;
  }

  /** Each group that has this upstream looks for a loop. */
  probeSoon(client: UpstreamClient): void {
    for (const member of this.#members.get(client) ?? []) member.probeSoon();
  }

  *regrouping(groups: readonly UpstreamGroup[]): Steps<Regrouping> {
    const before = this.#groups;
    const after = new Map<string, readonly GroupMember[]>();
    const all = new Map<UpstreamClient, GroupMember[]>();
    for (const { name, upstreams } of groups) {
      const known = before.get(name);
      const members = upstreams.map((upstream) => {
        const client = this.#client(upstream);
        // a member that stays still knows its loops
        const staying = known?.find((member) => member.client === client);
        return staying ?? new GroupMember(client, name, this.#context, this.#probes);
      });
      after.set(name, members);
      for (const member of members) {
        const ofClient = all.get(member.client);
        if (ofClient === undefined) all.set(member.client, [member]);
        else ofClient.push(member);
      }
      yield;
    }
    return {
      take: () => {
        this.#groups = after;
        this.#members = all;
      },
      leave: () => this.#leaving(before, after, all),
    };
  }

  /** Removes members and upstreams that no group has any more. */
  *#leaving(before: Members, after: Members, wanted: ReadonlyMap<UpstreamClient, unknown>): Steps<void> {
    for (const [name, members] of before) {
      const staying = after.get(name);
      for (const member of members) if (!staying?.includes(member)) member.leave();
      yield;
    }
    this.#retired = this.#retired.filter((client) => client.isBusy);
    for (const [key, client] of this.#clients) {
      yield;
      if (wanted.has(client)) continue;
      this.#clients.delete(key);
      client.retire();
      if (client.isBusy) this.#retired.push(client);
    }
  }

  #client(upstream: Upstream): UpstreamClient {
    const key = upstreamKey(upstream);
    let client = this.#clients.get(key);
    if (client === undefined) {
      client = new UpstreamClient(upstream, this.#context);
      this.#clients.set(key, client);
    }
    return client;
  }
}
