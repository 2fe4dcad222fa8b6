/** A query that waits for its answer: what it was, so that a fault can be answered too, and where its reply goes. */
import { type ClientAddress, networkOf } from './client-address.ts';
import type { Asker, Transport } from './handler.ts';

/** Takes the reply in the first `length` octets, which may be overwritten as soon as it returns; NO_REPLY: there is none. */
export type Deliver = (reply: Uint8Array, length: number) => void;

export interface WaitingHost {
  /** It waits no more, and this is its reply; returns the octets to send, after the limits and the cookie had their part. */
  over(waiting: Waiting, octets: Uint8Array, length: number): number;
  /** Writes what a fault is answered with, and returns it. */
  refuse(error: unknown, waiting: Waiting): Uint8Array;
}

export class Waiting implements Asker {
  readonly message: Uint8Array;
  readonly client: ClientAddress;
  readonly transport: Transport;
  /** When it began to wait, monotonic. */
  readonly sinceMs: number;
  readonly #host: WaitingHost;
  readonly #deliver: Deliver;
  #isOver = false;

  constructor(
    host: WaitingHost,
    message: Uint8Array,
    client: ClientAddress,
    transport: Transport,
    sinceMs: number,
    deliver: Deliver,
  ) {
    this.#host = host;
    this.message = message;
    this.client = client;
    this.transport = transport;
    this.sinceMs = sinceMs;
    this.#deliver = deliver;
  }

  get network(): number {
    return networkOf(this.client);
  }

  reply(octets: Uint8Array, length: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#deliver(octets, this.#host.over(this, octets, length));
  }

  fail(error: unknown): void {
    const refusal = this.#host.refuse(error, this);
    this.reply(refusal, refusal.length);
  }
}
