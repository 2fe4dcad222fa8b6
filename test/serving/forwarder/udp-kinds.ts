/** Transports with sockets, and the ways of opening those of UDP: the same tests hold for both. */
import { systemTimers } from '../../../src/runtime/clock.ts';
import { loadDatagramCalls } from '../../../src/runtime/libc.ts';
import type { Transports } from '../../../src/serving/forwarder/exchange.ts';
import { tcp } from '../../../src/serving/forwarder/tcp.ts';
import { tls } from '../../../src/serving/forwarder/tls.ts';
import {
  BatchedUdpSockets,
  type OpenUdpSocket,
  openUdpSocket,
  udp,
} from '../../../src/serving/forwarder/udp.ts';

export function socketTransports(openUdp?: OpenUdpSocket, ca?: readonly string[]) {
  return { udp: udp(openUdp), tcp: tcp(), tls: tls(systemTimers, ca) } satisfies Transports;
}

const calls = await loadDatagramCalls();

export const UDP_KINDS: readonly (readonly [kind: string, open: OpenUdpSocket])[] = [
  ['plain', openUdpSocket],
  ...(calls.kind === 'available' ? [['batched', new BatchedUdpSockets(calls.libc).open] as const] : []),
];

/** Why there is no batched kind, where there is none. */
export const noBatches = calls.kind === 'available' ? undefined : calls.reason;
