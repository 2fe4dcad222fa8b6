/** Which upstreams there are, and which of them each group has; new groups are made ready in steps and put in force at once. */
import type { Query } from '../../protocol/wire/query.ts';
import type { Steps } from '../../runtime/slices.ts';
import type { Route } from '../turn.ts';
import { GroupMember, mayBeLoopProbe } from './group-member.ts';
import { type Upstream, type UpstreamGroup, upstreamKey } from './upstream.ts';
import { type ClientContext, UpstreamClient } from './upstream-client.ts';

/** New groups that are ready: `take` puts them in force, then `leave` lets go of what no group has any more. */
export interface Regrouping {
  readonly take: () => void;
  readonly leave: () => Steps<void>;
}

interface Place {
  readonly group: string;
  readonly member: GroupMember;
}

export class Groups {
  readonly #context: ClientContext;
  /** A client that no group has any more is told to this before it is retired. */
  readonly #onRetire: (client: UpstreamClient) => void;
  readonly #clients = new Map<string, UpstreamClient>();
  #groups: ReadonlyMap<string, readonly GroupMember[]> = new Map();
  /** Those of all groups. */
  #places: readonly Place[] = [];

  constructor(context: ClientContext, onRetire: (client: UpstreamClient) => void) {
    this.#context = context;
    this.#onRetire = onRetire;
  }

  get clients(): Iterable<UpstreamClient> {
    return this.#clients.values();
  }

  /** The upstreams of the group; `undefined` where there is no such group. */
  membersOf({ name }: Route): readonly GroupMember[] | undefined {
    return this.#groups.get(name);
  }

  /** Whose probe this query is. */
  senderOf(query: Query): Place | undefined {
    if (!mayBeLoopProbe(query)) return undefined;
    for (const place of this.#places) if (place.member.hasSent(query)) return place;
    return undefined;
  }

  isLooping(client: UpstreamClient, nowMs: number): boolean {
    for (const { member } of this.#places) {
      if (member.client === client && member.isLooping(nowMs)) return true;
    }
    return false;
  }

  /** Each group that has this upstream looks for a loop. */
  probeSoon(client: UpstreamClient): void {
    for (const { member } of this.#places) if (member.client === client) member.probeSoon();
  }

  *regrouping(groups: readonly UpstreamGroup[]): Steps<Regrouping> {
    const before = this.#groups;
    const regrouped = new Map<string, readonly GroupMember[]>();
    const places: Place[] = [];
    for (const { name, upstreams } of groups) {
      const known = before.get(name);
      const members = upstreams.map((upstream) => {
        const client = this.#client(upstream);
        return known?.find((one) => one.client === client) ?? this.#join(client, name);
      });
      regrouped.set(name, members);
      for (const member of members) places.push({ group: name, member });
      yield;
    }
    const take = (): void => {
      this.#groups = regrouped;
      this.#places = places;
    };
    return { take, leave: () => this.#leaving(before, places) };
  }

  /** Members and upstreams that no group has any more go. */
  *#leaving(before: ReadonlyMap<string, readonly GroupMember[]>, places: readonly Place[]): Steps<void> {
    const staying = new Set<GroupMember>();
    const wanted = new Set<UpstreamClient>();
    for (const { member } of places) {
      staying.add(member);
      wanted.add(member.client);
      yield;
    }
    for (const members of before.values()) {
      for (const member of members) if (!staying.has(member)) member.leave();
      yield;
    }
    for (const [key, client] of this.#clients) {
      yield;
      if (wanted.has(client)) continue;
      this.#clients.delete(key);
      this.#onRetire(client);
      client.retire();
    }
  }

  /** Members that stay keep what is known of loops. */
  #join(client: UpstreamClient, group: string): GroupMember {
    const member = new GroupMember(client, group, this.#context);
    member.probeSoon();
    return member;
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
