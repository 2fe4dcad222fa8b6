/**
 * UDP and TCP on one address and one port: both are bound or neither is (RFC 7766 section 5). Also chooses, once at start,
 * how UDP is received.
 */
import type { Log } from '../../log/log.ts';
import type { Libc } from '../../runtime/datagrams.ts';
import { loadDatagramCalls } from '../../runtime/libc.ts';
import { formatListenAddress, type ListenAddress } from './listen-address.ts';
import { bindError, type ListenerError, systemCode } from './listener-error.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';
import { TcpListener, type TcpSlots } from './tcp.ts';
import { BatchedUdpListener } from './udp-batched.ts';
import type { CreateUdpListener, UdpListener, UdpListenerContext } from './udp-listener.ts';
import { createPlainUdpListener } from './udp-plain.ts';

export interface BindContext extends UdpListenerContext {
  readonly createUdp: CreateUdpListener;
  readonly slots: TcpSlots;
}

export interface BoundAddress {
  /** The address with the port that the system chose for port 0. */
  readonly address: ListenAddress;
  readonly udpKind: UdpListener['kind'];
  close(graceMs: number): Promise<void>;
}

const FREE_PORT_ATTEMPTS = 20;

/** Binds both, or throws a ListenerError and leaves nothing open. With port 0 both get the same free port. */
export async function bindAddress(wanted: ListenAddress, context: BindContext): Promise<BoundAddress> {
  for (let attempt = 1; ; attempt++) {
    const tcp = new TcpListener(wanted, context);
    await tcp.start().catch((error: unknown) => fail(error, 'tcp'));
    // UDP last: from here on clients may wait for every further step
    const udp = context.createUdp(tcp.address, context);
    try {
      await udp.start();
    } catch (error) {
      await tcp.close(0);
      // a port that was free for TCP may be taken for UDP
      const mayTryAnother = wanted.port === 0 && systemCode(error) === 'EADDRINUSE';
      if (!mayTryAnother || attempt === FREE_PORT_ATTEMPTS) fail(error, 'udp');
      continue;
    }
    return {
      address: udp.address,
      udpKind: udp.kind,
      close: async (graceMs) => {
        await Promise.all([udp.close(graceMs), tcp.close(graceMs)]);
      },
    };
  }

  function fail(error: unknown, transport: string): never {
    throw bindError(error, formatListenAddress(wanted), transport) satisfies ListenerError;
  }
}

/** `auto`: in batches where this runtime and machine can, one message at a time otherwise. */
export type UdpMode = 'auto' | 'batched' | 'plain';

/** The system calls for batches; `undefined` where UDP is received plain. The log warns if the operator asked for batches. */
export async function chooseDatagramCalls(mode: UdpMode, log: Log): Promise<Libc | undefined> {
  if (mode === 'plain') return undefined;
  const calls = await loadDatagramCalls();
  if (calls.kind === 'available') return calls.libc;
  const fields = { asked: mode, reason: calls.reason };
  const message = mode === 'batched' ? LISTENER_MESSAGES.plainAsked : LISTENER_MESSAGES.plain;
  message(log, fields);
  return undefined;
}

export function udpListeners(libc: Libc | undefined): CreateUdpListener {
  if (libc === undefined) return createPlainUdpListener;
  return (address, context) =>
    // a link-local address needs its interface's number, which dgram knows how to find
    address.address.includes('%')
      ? createPlainUdpListener(address, context)
      : new BatchedUdpListener(address, context, libc);
}
