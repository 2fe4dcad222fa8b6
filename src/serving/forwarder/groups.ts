/**
 * The upstreams of each group, and the probes for loops that are on their way. New groups are built in steps and put in force at
 * once.
 */
import type { Query } from '../../protocol/wire/query.ts';
import type { Steps } from '../../runtime/slices.ts';
import { type Upstream, type UpstreamGroup, upstreamKey } from './exchange.ts';
import { type GroupChange, GroupMember, LABEL_OCTETS, type ProbeBook } from './pending-question.ts';
import { type ClientContext, UpstreamClient } from './upstream-client.ts';

/** A loop probe comes back as a query, which only an open listener can receive: the first one waits this long. */
const FIRST_PROBE_MS = 5_000;
/** A probe takes some 40 microseconds, and the sweep comes once in 10 ms: no turn of the loop sends more than some ten. */
const BETWEEN_PROBES_MS = 1;

/** Members by the first label of their last probe, and when the next probe may be sent. There may be thousands of members. */
class LoopProbes implements ProbeBook {
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

  /** For a query that `mayBeProbe`. */
  senderOf(query: Query): GroupMember | undefined {
    const { octets, nameStart } = query;
    const member = this.#senders.get(firstLabel(octets, nameStart));
    return member?.hasSent(query) ? member : undefined;
  }
}

/** In lower case, because a forwarder may change the case. */
function firstLabel(octets: Uint8Array, nameStart: number): string {
  const label = octets.subarray(nameStart + 1, nameStart + 1 + LABEL_OCTETS);
  return String.fromCharCode(...label).toLowerCase();
}

/** New groups that are ready: `take` puts them in force, then `leave` closes the upstreams that no group has any more. */
export interface Regrouping {
  readonly take: () => void;
  readonly leave: () => Steps<void>;
}

/** The members of each group, by its name. */
export type Members = ReadonlyMap<string, readonly GroupMember[]>;

export class Groups {
  /** The members of each group at this moment; replaced whole. A plain field, because every question reads it. */
  current: Members = new Map();
  readonly #context: ClientContext;
  readonly #clients = new Map<string, UpstreamClient>();
  /** Upstreams that a reload took away; attempts of some of them still run. */
  #retired: UpstreamClient[] = [];
  readonly #probes = new LoopProbes();
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

  /** The change of a group since `before`; `undefined` where no upstream left it. */
  changeOf(name: string, before: Members): GroupChange | undefined {
    const members = this.current.get(name) ?? [];
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
    const before = this.current;
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
        this.current = after;
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
