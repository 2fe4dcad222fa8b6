/** Transports that a test makes up, in place of those with sockets. */
import type {
  Exchange,
  GiveUp,
  Transport,
  TransportKind,
  Transports,
  Upstream,
} from '../../../src/serving/forwarder/exchange.ts';
import { socketTransports } from './udp-kinds.ts';

/** Gives each exchange in flight its own ID, and leaves it to `onStart` to end it. */
export class MadeUpTransport implements Transport {
  readonly #inFlight = new Set<Exchange>();
  readonly #onStart: (exchange: Exchange) => void;
  readonly #onClose: () => void;
  #nextId = 0;

  constructor(onStart: (exchange: Exchange) => void, onClose: () => void = () => undefined) {
    this.#onStart = onStart;
    this.#onClose = onClose;
  }

  start(exchange: Exchange): void {
    exchange.id = this.#nextId++ & 0xffff;
    exchange.message[0] = exchange.id >> 8;
    exchange.message[1] = exchange.id & 0xff;
    this.#inFlight.add(exchange);
    this.#onStart(exchange);
  }

  /** Whether the exchange was still in flight: no longer. */
  take(exchange: Exchange): boolean {
    return this.#inFlight.delete(exchange);
  }

  giveUp(exchange: Exchange, how: GiveUp): void {
    if (how !== 'late') this.#inFlight.delete(exchange);
  }

  close(): void {
    this.#inFlight.clear();
    this.#onClose();
  }
}

/** A test adds the traits of transports of its own. */
export const MADE_UP: Record<string, Omit<TransportKind, 'open'>> = {};

/** The transports as they are, and those that were made up, except that `open` opens them. */
export function transportsOf(
  open: (name: string, upstream: Upstream, onMismatch: () => void) => Transport,
): Transports {
  return Object.fromEntries(
    Object.entries({ ...socketTransports(), ...MADE_UP }).map(([name, kind]) => [
      name,
      { ...kind, open: (upstream: Upstream, { onMismatch }) => open(name, upstream, onMismatch) },
    ]),
  );
}
