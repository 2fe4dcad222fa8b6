/**
 * UDP and TCP on one address and one port: both are bound or neither is (RFC 7766 section 5). Also chooses, once at start,
 * how UDP is received.
 */
import type { Log } from '../../log/log.ts';
import { socketText } from '../../protocol/words/address-text.ts';
import type { Libc } from '../../runtime/datagrams.ts';
import { loadDatagramCalls } from '../../runtime/libc.ts';
import { bindError, codeOrName, type ListenAddress, type ListenerError } from './listen-address.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';
import type { HandedListenSockets } from './socket-plan.ts';
import { TcpListener, type TcpListenerContext } from './tcp.ts';
import {
  type CreateUdpListener,
  createPlainUdpListener,
  Served,
  type UdpListener,
  type UdpListenerContext,
} from './udp.ts';
import { BatchedUdpListener, SharedBatches } from './udp-batched.ts';

export interface BindContext extends UdpListenerContext, TcpListenerContext {
  readonly createUdp: CreateUdpListener;
  readonly handed?: HandedListenSockets;
}

export interface BoundAddress {
  /** The address with the port that the system chose for port 0. */
  readonly address: ListenAddress;
  readonly udpKind: UdpListener['kind'];
  readonly served: Served;
  /** Whether the service manager handed over a socket for it. */
  readonly isHanded: boolean;
  close(graceMs: number): Promise<void>;
}

const FREE_PORT_ATTEMPTS = 20;

/**
 * Binds UDP and TCP, or throws a ListenerError and leaves nothing open. With port 0 both get the same free port. A socket that
 * was handed over takes the place of a socket that is bound here.
 */
export async function bindAddress(wanted: ListenAddress, context: BindContext): Promise<BoundAddress> {
  const { handed } = context;
  const served = new Served();
  for (let attempt = 1; ; attempt++) {
    const tcp = await listenTcp();
    // UDP last: from here on clients may wait for every further step
    const fd = handed?.take('udp', wanted);
    const isShared = fd === undefined && handed?.wildcardOver('udp', wanted) !== undefined;
    const udp = context.createUdp(tcp?.address ?? wanted, context, {
      served,
      isShared,
      ...(fd === undefined ? {} : { fd }),
    });
    try {
      await udp.start();
    } catch (error) {
      await tcp?.close(0);
      // a port that was free for TCP may be taken for UDP
      const mayTryAnother = wanted.port === 0 && codeOrName(error) === 'EADDRINUSE';
      if (!mayTryAnother || attempt === FREE_PORT_ATTEMPTS) fail(error, 'udp');
      continue;
    }
    return {
      address: udp.address,
      udpKind: udp.kind,
      served,
      isHanded: fd !== undefined,
      close: async (graceMs) => {
        await Promise.all([udp.close(graceMs), tcp?.close(graceMs)]);
      },
    };
  }

  /** None where a handed socket on the wildcard gets the connections to this address. */
  async function listenTcp(): Promise<TcpListener | undefined> {
    const fd = handed?.take('tcp', wanted);
    if (fd === undefined && handed?.wildcardOver('tcp', wanted) !== undefined) return undefined;
    const tcp = new TcpListener(wanted, context, { served, ...(fd === undefined ? {} : { fd }) });
    await tcp.start().catch((error: unknown) => fail(error, 'tcp'));
    return tcp;
  }

  function fail(error: unknown, transport: string): never {
    throw bindError(error, socketText(wanted), transport) satisfies ListenerError;
  }
}

/** `auto`: in batches where this runtime and machine can, one message at a time otherwise. */
export type UdpMode = 'auto' | 'batched' | 'plain';

export interface ChosenCalls {
  /** Undefined where C cannot be called. */
  readonly libc: Libc | undefined;
  /** The calls for batches; undefined where UDP is received plain. */
  readonly datagrams: Libc | undefined;
}

/** The log warns if the operator asked for batches and there are none. */
export async function chooseDatagramCalls(mode: UdpMode, log: Log): Promise<ChosenCalls> {
  const calls = await loadDatagramCalls();
  if (calls.kind === 'available') {
    const { libc } = calls;
    return { libc, datagrams: mode === 'plain' ? undefined : libc };
  }
  const fields = { asked: mode, reason: calls.reason };
  if (mode === 'batched') LISTENER_MESSAGES.plainAsked(log, fields);
  else if (mode === 'auto') LISTENER_MESSAGES.plain(log, fields);
  return { libc: undefined, datagrams: undefined };
}

export function udpListeners(libc: Libc | undefined): CreateUdpListener {
  if (libc === undefined) return createPlainUdpListener;
  const batches = new SharedBatches(libc);
  return (address, context, socket) =>
    // a link-local address needs its interface's number, which dgram knows how to find
    address.address.includes('%')
      ? createPlainUdpListener(address, context, socket)
      : new BatchedUdpListener(address, context, batches, socket);
}
