/**
 * Which sockets serve the configured addresses: sockets of the service manager, or our own. Pure: nothing is opened here.
 *
 * A named address cannot be bound beside an open wildcard on the same port. The service manager may have handed over the
 * wildcard, or this process has bound it earlier. Its socket then serves the named addresses alone.
 */

import ipaddr from 'ipaddr.js';
import { isSameFamily, isWildcard, socketText } from '../../protocol/words/address-text.ts';
import type { HandedSocket } from '../../runtime/service-manager.ts';
import { parseClientAddress } from './clients.ts';
import type { ListenAddress } from './listen-address.ts';
import type { WildcardAddress } from './udp.ts';

// Sockets that the service manager handed over, by the address that they are bound to. The configuration says where DNS is
// served; a handed socket only takes the place of a socket that this process would bind itself.

type Transport = HandedSocket['transport'];

interface Handed extends ListenAddress {
  readonly socket: HandedSocket;
}

export class HandedListenSockets {
  readonly #handed: readonly Handed[];
  /** Returns a second descriptor of the same socket, so that a reload can close the first and use the socket again. */
  readonly #duplicate: ((fd: number) => number) | undefined;

  constructor(sockets: readonly HandedSocket[], duplicate?: (fd: number) => number) {
    this.#handed = sockets.map((socket) => ({ socket, address: textOf(socket.address), port: socket.port }));
    this.#duplicate = duplicate;
  }

  get isEmpty(): boolean {
    return this.#handed.length === 0;
  }

  has(transport: Transport, address: ListenAddress): boolean {
    return this.#find(transport, address) !== undefined;
  }

  /** A descriptor of the socket that is bound to this address; the caller closes it. */
  take(transport: Transport, address: ListenAddress): number | undefined {
    const found = this.#find(transport, address);
    return found && (this.#duplicate?.(found.socket.fd) ?? found.socket.fd);
  }

  /** The wildcard with a handed socket that gets what is sent to this address, where no socket has the address to itself. */
  wildcardOver(transport: Transport, { address, port }: ListenAddress): ListenAddress | undefined {
    const isFour = !address.includes(':');
    return this.#handed.find(
      (one) =>
        one.socket.transport === transport &&
        one.port === port &&
        isWildcard(one.address) &&
        (one.address.includes(':') ? !isFour || one.socket.isDual : isFour),
    );
  }

  /** The addresses of handed sockets that satisfy `isWanted`, as text and each once. */
  addresses(isWanted: (address: ListenAddress) => boolean): string[] {
    const found = this.#handed.filter(isWanted);
    return [...new Set(found.map(socketText))];
  }

  #find(transport: Transport, { address, port }: ListenAddress): Handed | undefined {
    const text = textOf(parseClientAddress(address)?.octets ?? new Uint8Array(0));
    return this.#handed.find(
      (one) => one.socket.transport === transport && one.address === text && one.port === port,
    );
  }
}

function textOf(octets: Uint8Array): string {
  if (octets.length !== 4 && octets.length !== 16) return '';
  const address = ipaddr.fromByteArray([...octets]);
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();
}

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
  readonly limits: ReadonlyMap<string, readonly WildcardAddress[]>;
}

export function planSockets(asked: readonly ListenAddress[], facts: PlanFacts): SocketPlan {
  const wanted = new Map<string, ListenAddress>();
  const limits = new Map<string, WildcardAddress[]>();
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

/** Whether to try one socket for the wildcard: not beside sockets of single addresses on its port. */
export function mayBeOneSocket(wildcard: ListenAddress, { handed, hasPacketInfo, open }: PlanFacts): boolean {
  if (handed?.has('udp', wildcard) === true) return true;
  const isBeside = (other: ListenAddress): boolean =>
    !isWildcard(other.address) && other.port === wildcard.port && isSameFamily(other, wildcard);
  return hasPacketInfo === true && !open.some(isBeside) && !(handed?.addresses(isBeside) ?? []).length;
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
