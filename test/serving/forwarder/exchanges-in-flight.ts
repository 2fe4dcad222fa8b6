import type { Carrier, Exchange } from '../../../src/serving/forwarder/exchange.ts';

/** What a made-up transport has in flight, each exchange under an ID of its own. */
export class ExchangesInFlight implements Carrier {
  readonly #exchanges = new Set<Exchange>();
  #nextId = 0;

  add(exchange: Exchange): void {
    exchange.id = this.#nextId++ & 0xffff;
    exchange.message[0] = exchange.id >> 8;
    exchange.message[1] = exchange.id & 0xff;
    exchange.carrier = this;
    this.#exchanges.add(exchange);
  }

  /** Whether it was still in flight: it is so no more. */
  take(exchange: Exchange): boolean {
    return this.#exchanges.delete(exchange);
  }

  drop(exchange: Exchange): void {
    this.#exchanges.delete(exchange);
  }

  clear(): void {
    this.#exchanges.clear();
  }
}
