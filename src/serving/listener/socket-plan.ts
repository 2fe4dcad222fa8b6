/**
 * Which sockets serve the configured addresses. Pure: nothing is opened here.
 *
 * A named address cannot be bound beside an open wildcard on the same port. The service manager may have handed over the
 * wildcard, or this process has bound it earlier. Its socket then serves the named addresses alone.
 */

import { isSameFamily, isWildcard, socketText } from '../../protocol/words/address-text.ts';
import { parseClientAddress } from './clients.ts';
import type { HandedListenSockets } from './handed.ts';
import type { ListenAddress } from './listen-address.ts';
import type { ServedAddress } from './udp-listener.ts';

export interface PlanFacts {
  readonly handed?: HandedListenSockets;
  /** Whether datagrams bring the address that they were sent to, so that one socket can serve a wildcard. */
  readonly hasPacketInfo?: boolean;
  /** Addresses of the sockets that are open already. */
  readonly open: readonly ListenAddress[];
}

export interface SocketPlan {
  /** The addresses of the sockets, each once. */
  readonly wanted: readonly ListenAddress[];
  /** The addresses that a wildcard serves, by its text; a wildcard that is absent serves all. */
  readonly limits: ReadonlyMap<string, readonly ServedAddress[]>;
}

export function planSockets(asked: readonly ListenAddress[], facts: PlanFacts): SocketPlan {
  const wanted = new Map<string, ListenAddress>();
  const limits = new Map<string, ServedAddress[]>();
  const whole = new Set(asked.filter(({ address }) => isWildcard(address)).map(socketText));
  for (const one of asked) {
    const over = wildcardOver(one, asked, facts);
    // plain: a datagram on a wildcard does not say where it was sent to, so a named address needs its own socket
    if (over === undefined || facts.hasPacketInfo !== true) wanted.set(socketText(one), one);
    if (over === undefined) continue;
    const key = socketText(over);
    wanted.set(key, over);
    const octets = parseClientAddress(one.address)?.octets;
    if (whole.has(key) || octets === undefined || isWildcard(one.address)) continue;
    limits.set(key, [...(limits.get(key) ?? []), { ...one, octets }]);
  }
  return { wanted: [...wanted.values()], limits };
}

/** The wildcard whose socket gets what is sent to this address: handed over, open already, or about to be opened. */
function wildcardOver(
  one: ListenAddress,
  asked: readonly ListenAddress[],
  { handed, hasPacketInfo, open }: PlanFacts,
): ListenAddress | undefined {
  if (one.port === 0 || handed?.has('udp', one) === true || handed?.has('tcp', one) === true)
    return undefined;
  const over = handed?.wildcardOver('udp', one);
  if (over !== undefined || isWildcard(one.address) || hasPacketInfo !== true) return over;
  return [...open, ...asked].find(
    (other) => isWildcard(other.address) && other.port === one.port && isSameFamily(other, one),
  );
}

export type Difference = 'handedUnnamed' | 'handedWider' | 'handedMissing';

/** Where the sockets of the service manager and the configured addresses differ, with the addresses. */
export function differences(
  asked: readonly ListenAddress[],
  { handed, open }: PlanFacts,
  limits: SocketPlan['limits'],
): ReadonlyMap<Difference, readonly string[]> {
  if (handed === undefined || handed.isEmpty) return new Map();
  const isOpen = new Set(open.map(socketText));
  const lacks = (one: ListenAddress): boolean =>
    (['udp', 'tcp'] as const).some(
      (transport) => !handed.has(transport, one) && handed.wildcardOver(transport, one) === undefined,
    );
  const found = new Map<Difference, readonly string[]>([
    ['handedUnnamed', handed.addresses((one) => !isOpen.has(socketText(one)))],
    ['handedWider', [...limits.values()].flat().map(socketText)],
    ['handedMissing', asked.filter(lacks).map(socketText)],
  ]);
  return new Map([...found].filter(([, addresses]) => addresses.length > 0));
}
