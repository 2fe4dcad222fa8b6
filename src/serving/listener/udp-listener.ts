/** What the listeners ask of whoever receives queries over UDP on one address, one message at a time or in batches. */
import type { Log } from '../../log/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Timers } from '../../runtime/timers.ts';
import type { ClientAddressBook } from './client-address.ts';
import type { Intake } from './intake.ts';
import type { ListenAddress } from './listen-address.ts';

export interface UdpListener {
  /** Which way of receiving it is, for log and metric. */
  readonly kind: 'plain' | 'batched';
  /** Where it listens; the port is the real one once it has started. */
  readonly address: ListenAddress;
  /** Resolves when queries are received; rejects with the system's error when the address cannot be bound. */
  start(): Promise<void>;
  /** Takes no more queries; leaves once those that wait are answered, or after `graceMs`. Called again with 0: at once. */
  close(graceMs: number): Promise<void>;
}

export interface UdpListenerContext {
  readonly intake: Intake;
  readonly clients: ClientAddressBook;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
}

export type CreateUdpListener = (address: ListenAddress, context: UdpListenerContext) => UdpListener;

/** Receive and send buffer asked of the kernel: a burst of some 5,000 queries survives a busy turn of the loop. */
export const SOCKET_BUFFER_OCTETS = 4 * 1024 * 1024;
