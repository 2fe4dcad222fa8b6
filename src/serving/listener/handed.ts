/**
 * Sockets that the service manager handed over, by the address that they are bound to. The configuration says where DNS is
 * served; a handed socket only takes the place of a socket that this process would bind itself.
 */
import ipaddr from 'ipaddr.js';
import { isWildcard, socketText } from '../../protocol/words/address-text.ts';
import type { HandedSocket } from '../../runtime/handed-sockets.ts';
import { parseClientAddress } from './clients.ts';
import type { ListenAddress } from './listen-address.ts';

export type Transport = HandedSocket['transport'];

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
