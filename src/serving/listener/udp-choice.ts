/** Which way of receiving over UDP it is to be, decided once at start. */
import type { Log } from '../../log/log.ts';
import { loadDatagramCalls } from './datagram-calls.ts';
import { BatchedUdpListener } from './udp-batched.ts';
import type { CreateUdpListener } from './udp-listener.ts';
import { createPlainUdpListener } from './udp-plain.ts';

/** `auto`: batches where this runtime and machine can, one message at a time otherwise. */
export type UdpMode = 'auto' | 'batched' | 'plain';

/** The maker of UDP listeners. With `batched` asked for and not to be had, plain serves all the same and the log says so. */
export async function chooseUdpListener(mode: UdpMode, log: Log): Promise<CreateUdpListener> {
  if (mode === 'plain') return createPlainUdpListener;
  const calls = await loadDatagramCalls();
  if (calls.kind === 'unavailable') {
    const fields = { asked: mode, reason: calls.reason };
    if (mode === 'batched') log.warn(fields, 'udp is not received in batches');
    else log.info(fields, 'udp is not received in batches');
    return createPlainUdpListener;
  }
  const { libc } = calls;
  return (address, context) =>
    // a link-local address needs its interface's number, which dgram knows how to find
    address.address.includes('%')
      ? createPlainUdpListener(address, context)
      : new BatchedUdpListener(address, context, libc);
}
