/** Sockets that are held and never read, as a service manager holds them between two processes. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import type { Test } from 'tap';
import type { Libc } from '../../../src/runtime/datagrams.ts';
import type { HandedSocket } from '../../../src/runtime/service-manager.ts';

export interface HeldSockets {
  readonly port: number;
  /** UDP, then TCP. */
  readonly sockets: readonly HandedSocket[];
}

/** UDP and TCP on one port of the address, a free port unless `wanted` is given; `isDual`: with IPv4 clients on an IPv6 address. */
export async function holdSockets(
  t: Test,
  libc: Libc,
  address: string,
  { wanted, isDual = false }: { readonly wanted?: number; readonly isDual?: boolean } = {},
): Promise<HeldSockets> {
  for (;;) {
    // outside the kernel's range of ephemeral ports, so that no other program gets it meanwhile
    const port = wanted ?? 20_000 + Math.floor(Math.random() * 12_000);
    const isSix = address.includes(':');
    const ipv6Only = isSix && !isDual;
    const tcp = createServer().listen({ port, host: address, ipv6Only });
    // systemd sets SO_REUSEADDR too
    const udp = createSocket({ type: isSix ? 'udp6' : 'udp4', ipv6Only, reuseAddr: true });
    const isOpen = await Promise.all([isListening(tcp), isListening(udp.bind(port, address))]);
    // copies stay when Node closes its own
    const copies = isOpen.every(Boolean) ? [descriptorOf(udp), descriptorOf(tcp)].map(libc.duplicate) : [];
    const isUsed = tcp.address() as AddressInfo | null;
    if (isOpen[0] === true) tcp.close();
    udp.close();
    if (copies.length === 0 || isUsed === null) continue;
    t.teardown(() => {
      for (const fd of copies) libc.close(fd);
    });
    return { port, sockets: copies.map((fd) => ({ ...libc.describe(fd)!, fd })) };
  }
}

async function isListening(one: Server | Socket): Promise<boolean> {
  return Promise.race([
    once(one, 'listening').then(() => true),
    new Promise<boolean>((resolve) => one.once('error', () => resolve(false))),
  ]);
}

function descriptorOf(one: Server | Socket): number {
  const { _handle: handle } = one as { _handle?: { readonly fd: number } };
  if (handle !== undefined) return handle.fd;
  const state = Object.getOwnPropertySymbols(one).find(({ description }) => description === 'state symbol');
  return (one as unknown as Record<symbol, { readonly handle: { readonly fd: number } }>)[state!]!.handle.fd;
}
