/** The ways of opening UDP sockets to an upstream: the same tests hold for both. */
import { loadDatagramCalls } from '../../../src/runtime/libc.ts';
import { type OpenUdpSocket, openUdpSocket } from '../../../src/serving/forwarder/udp.ts';
import { BatchedUdpSockets } from '../../../src/serving/forwarder/udp-batched.ts';

const calls = await loadDatagramCalls();

export const UDP_KINDS: readonly (readonly [kind: string, open: OpenUdpSocket])[] = [
  ['plain', openUdpSocket],
  ...(calls.kind === 'available' ? [['batched', new BatchedUdpSockets(calls.libc).open] as const] : []),
];

/** Why there is no batched kind, where there is none. */
export const noBatches = calls.kind === 'available' ? undefined : calls.reason;
