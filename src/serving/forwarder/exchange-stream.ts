/**
 * Exchanges over a stream, TCP or TLS alike: one connection per upstream, made when it is needed, shared by all
 * exchanges in flight, answered out of order, kept while idle for a while (RFC 7766 sections 6.2 and 7, RFC 7858
 * section 3.4). How the stream comes to be is the business of exchange-tcp.ts and exchange-tls.ts.
 */
import type { Socket } from 'node:net';
import { putUint16 } from '../../protocol/wire/header.ts';
import { LENGTH_OCTETS, TcpFramer } from '../../protocol/wire/tcp-framing.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import type { Timers } from '../../runtime/timers.ts';
import {
  type Carrier,
  type Exchange,
  type ExchangeTransport,
  endBy,
  InFlight,
  judgeReply,
  type TransportHooks,
} from './exchange.ts';

export interface StreamExchangeOptions extends TransportHooks {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
}

/** A stream that is being made: written to at once, `readyEvent` comes when it carries octets. */
export interface Dialled {
  readonly socket: Socket;
  readonly readyEvent: 'connect' | 'secureConnect';
}

/** RFC 7766 section 6.2.3 leaves the time to us; upstreams close at 10 s and more, so that we are seldom second. */
const IDLE_MS = 8_000;

export class StreamExchanges implements ExchangeTransport {
  readonly #options: StreamExchangeOptions;
  readonly #dial: () => Dialled;
  /** The one that takes new exchanges. */
  #current: Connection | undefined;
  readonly #open = new Set<Connection>();
  #isClosed = false;

  constructor(options: StreamExchangeOptions, dial: () => Dialled) {
    this.#options = options;
    this.#dial = dial;
  }

  get openConnections(): number {
    return this.#open.size;
  }

  start(exchange: Exchange): void {
    this.#current ??= this.#connect();
    this.#current.start(exchange);
  }

  doubt(exchange: Exchange): void {
    for (const connection of this.#open) {
      if (exchange.carrier !== connection || connection.heardSince(exchange.startedAtMs)) continue;
      // late replies are still taken from it, but nothing new is sent where nothing comes back
      connection.closeWhenDone();
      if (this.#current === connection) this.#current = undefined;
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const connection of this.#open) connection.end('network', 'the forwarder is closing');
  }

  #connect(): Connection {
    const connection: Connection = new Connection(this.#options, this.#dial(), {
      closed: () => {
        this.#open.delete(connection);
        if (this.#current === connection) this.#current = undefined;
      },
      again: (exchange) => {
        if (this.#isClosed) return false;
        this.start(exchange);
        return true;
      },
    });
    this.#open.add(connection);
    return connection;
  }
}

interface ConnectionOwner {
  closed(): void;
  /** Sends it on another connection; false when there will be none. */
  again(exchange: Exchange): boolean;
}

class Connection implements Carrier {
  readonly #inFlight = new InFlight();
  readonly #options: StreamExchangeOptions;
  readonly #owner: ConnectionOwner;
  readonly #socket: Socket;
  readonly #framer = new TcpFramer();
  #isReady = false;
  #isEnded = false;
  #closesWhenDone = false;
  #replies = 0;
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #idle: Disposable | undefined;

  constructor(options: StreamExchangeOptions, dialled: Dialled, owner: ConnectionOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#socket = dialled.socket;
    this.#socket.once(dialled.readyEvent, () => this.#ready());
    this.#socket.on('data', (chunk) => {
      if (typeof chunk !== 'string') this.#received(chunk); // no encoding is set: it never is one
    });
    this.#socket.on('error', (error) => this.end(isTlsFault(error) ? 'tls' : 'network', error.message));
    this.#socket.on('close', () => this.end('network', 'the upstream closed the connection'));
  }

  start(exchange: Exchange): void {
    const { random, clock } = this.#options;
    this.#inFlight.add(exchange, this, random);
    exchange.startedAtMs = clock.monotonicMs();
    exchange.hadToConnect = !this.#isReady;
    this.#idle?.[Symbol.dispose]();
    this.#idle = undefined;
    if (this.#isReady) this.#socket.write(framed(exchange.message));
  }

  drop(exchange: Exchange): void {
    this.#inFlight.remove(exchange);
    this.#rest();
  }

  heardSince(atMs: number): boolean {
    return this.#heardAtMs > atMs;
  }

  closeWhenDone(): void {
    this.#closesWhenDone = true;
    this.#rest();
  }

  /** Closes, and ends what is in flight: once more on a new connection where only this one is to blame. */
  end(reason: 'network' | 'tls' | 'malformed', detail: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#idle?.[Symbol.dispose]();
    this.#socket.destroy();
    this.#owner.closed();
    for (const exchange of this.#inFlight.removeAll()) {
      // RFC 7766 section 6.2.4: an upstream may close an idle connection while our query is on its way
      const mayRepeat = reason === 'network' && this.#replies > 0 && !exchange.isSecondTry;
      exchange.isSecondTry = true;
      if (!mayRepeat || !this.#owner.again(exchange)) {
        exchange.onEnd({ kind: 'failed', reason, detail });
      }
    }
  }

  /** Nothing is written before: over TLS it could go to somebody who is not the upstream (RFC 8310 section 5). */
  #ready(): void {
    this.#isReady = true;
    this.#heardAtMs = this.#options.clock.monotonicMs();
    const waiting = this.#inFlight.all();
    if (waiting.length > 0) this.#socket.write(Buffer.concat(waiting.map(({ message }) => framed(message))));
  }

  #received(chunk: Uint8Array): void {
    this.#heardAtMs = this.#options.clock.monotonicMs();
    this.#framer.push(chunk);
    while (!this.#isEnded && this.#framer.next()) {
      const { octets, start, end } = this.#framer;
      this.#reply(octets.subarray(start, end));
    }
    if (this.#framer.isBroken) this.end('malformed', 'a frame without a message');
  }

  #reply(octets: Uint8Array): void {
    const exchange = this.#inFlight.askedBy(octets);
    // a copy: it may be kept for a day, and would keep the whole chunk that it came in
    const verdict = exchange === undefined ? undefined : judgeReply(exchange, new Uint8Array(octets));
    if (exchange === undefined || verdict === undefined || verdict.kind === 'mismatched') {
      this.#options.onMismatch();
      return;
    }
    this.#replies++;
    this.#inFlight.remove(exchange);
    this.#rest();
    exchange.onEnd(endBy(exchange, verdict, this.#options.clock.monotonicMs()));
  }

  #rest(): void {
    if (this.#inFlight.size > 0 || this.#isEnded || this.#idle !== undefined) return;
    if (this.#closesWhenDone) this.end('network', 'closed by us');
    else this.#idle = this.#options.timers.after(IDLE_MS, () => this.end('network', 'idle'));
  }
}

/** RFC 7766 section 8: length and message in one write, lest they travel in two segments. */
function framed(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(LENGTH_OCTETS + message.length);
  putUint16(frame, 0, message.length);
  frame.set(message, LENGTH_OCTETS);
  return frame;
}

/** Node gives certificate faults the codes of OpenSSL's verifier and its own; none of them is a system error. */
function isTlsFault(error: Error): boolean {
  return !('syscall' in error) && 'code' in error && error.code !== 'ECONNRESET';
}
