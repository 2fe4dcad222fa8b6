/** Which way of receiving over UDP it is to be, decided once at start. */
import type { Log } from '../../log/log.ts';
import type { Libc } from '../../runtime/datagrams.ts';
import { loadDatagramCalls } from '../../runtime/libc.ts';
import { BatchedUdpListener } from './udp-batched.ts';
import type { CreateUdpListener } from './udp-listener.ts';
import { createPlainUdpListener } from './udp-plain.ts';

/** `auto`: batches where this runtime and machine can, one message at a time otherwise. */
export type UdpMode = 'auto' | 'batched' | 'plain';

/** What batches take; `undefined` where it is to be plain. With `batched` asked for and not to be had the log says so. */
export async function chooseDatagramCalls(mode: UdpMode, log: Log): Promise<Libc | undefined> {
  if (mode === 'plain') return undefined;
  const calls = await loadDatagramCalls();
  if (calls.kind === 'available') return calls.libc;
  const fields = { asked: mode, reason: calls.reason };
  if (mode === 'batched') log.warn(fields, 'udp is not received in batches');
  else log.info(fields, 'udp is not received in batches');
  return undefined;
}

/** The maker of UDP listeners. */
export function udpListeners(libc: Libc | undefined): CreateUdpListener {
  if (libc === undefined) return createPlainUdpListener;
  return (address, context) =>
    // a link-local address needs its interface's number, which dgram knows how to find
    address.address.includes('%')
      ? createPlainUdpListener(address, context)
      : new BatchedUdpListener(address, context, libc);
}
