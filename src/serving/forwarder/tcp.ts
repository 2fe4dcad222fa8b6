/**
 * Plain TCP, for replies that do not fit a datagram and where datagrams are lost; and the stream that tls.ts is made of.
 * One connection per upstream is made when it is needed, and shared by all exchanges in flight. It is answered out of order, and
 * kept for a while when idle (RFC 7766 sections 6.2 and 7, RFC 7858 section 3.4). Some servers close a connection after one answer
 * or a few: with them, exchanges have more connections, which carry no more than that.
 */
import { connect, Socket } from 'node:net';
import { putUint16 } from '../../protocol/wire/message.ts';
import { LENGTH_OCTETS, TcpFramer } from '../../protocol/wire/tcp-framing.ts';
import { isSix } from '../../protocol/words/address-text.ts';
import { type Libc, peerOf } from '../../runtime/datagrams.ts';
import {
  type Carrier,
  type Exchange,
  ExchangesInFlight,
  type GiveUp,
  matchReply,
  type Transport,
  type TransportContext,
  type TransportKind,
  type Upstream,
} from './exchange.ts';

/** `connectStream` of the C library. */
export type ConnectInC = Libc['connectStream'] | undefined;

/** Node's own `connect` compiles a pattern of all IPv6 addresses, for 10 ms: to such an address C connects, where it can. */
export function tcp(connectInC?: ConnectInC): TransportKind {
  return { open: (upstream, context) => openTcp(upstream, context, connectInC), roundTrips: 2 };
}

export function openTcp(
  upstream: Upstream,
  context: TransportContext,
  connectInC?: ConnectInC,
): StreamTransport {
  const { address, port } = upstream;
  return new StreamTransport(
    context,
    () =>
      dialInC(upstream, connectInC) ?? {
        socket: connect({ host: address, port, noDelay: true }),
        readyEvent: 'connect',
      },
  );
}

/** A stream that is being made: nothing is written before `readyEvent`. */
interface Dialled {
  readonly socket: Socket;
  readonly readyEvent: 'connect' | 'secureConnect';
  /** Another stream on top of this one, once this one is ready. */
  readonly above?: () => Dialled;
}

/** Where C does not connect, nothing. */
export function dialInC(upstream: Upstream, connectInC: ConnectInC): Dialled | undefined {
  // a link-local address needs its interface's number, which node knows how to find
  if (connectInC === undefined || !isSix(upstream.address) || upstream.address.includes('%'))
    return undefined;
  const { family, name } = peerOf(upstream);
  const connected = connectInC(family, name);
  const readyEvent = 'connect';
  if (connected.kind === 'failed') {
    const { call, code } = connected;
    const error = Object.assign(new Error(`${call} ${code}`), { code, syscall: call });
    return { socket: new Socket().destroy(error), readyEvent };
  }
  const socket = new Socket({ fd: connected.fd });
  socket.setNoDelay(true);
  // node takes the socket as connected; a write waits for the connection all the same, and this one puts nothing on it
  socket.write('', (error) => error ?? socket.emit(readyEvent));
  return { socket, readyEvent };
}

/** RFC 7766 section 6.2.3 leaves the time to us. Upstreams close after 10 s and more, so that we usually close first. */
const IDLE_MS = 8_000;
/**
 * Octets of replies to no question, since the last reply to one, at which a connection is given up. A thousand late replies
 * are less. An upstream that sends without end would otherwise keep the loop busy until the deadline of the question.
 */
const MAX_STRAY_OCTETS = 1024 * 1024;

/** An upstream may close a connection this often below one exchange, as long as each has answered others. */
const MAX_REPEATS = 10;
/** Connections that are open at once to an upstream that answers few questions on each. Above this, questions share them. */
const MAX_CONNECTIONS = 16;
/** A server that was restarted, or busy, may answer any number of questions later. */
const FEW_REPLIES_MS = 15 * 60_000;

export class StreamTransport implements Transport {
  readonly #options: TransportContext;
  readonly #dial: () => Dialled;
  /** Takes new exchanges. */
  #current: Connection | undefined;
  readonly #open = new Set<Connection>();
  /** Exchanges that a connection carries, until a time: the upstream has closed one that had others in flight. */
  #few = { exchanges: Number.POSITIVE_INFINITY, untilMs: 0 };
  #isClosed = false;

  constructor(options: TransportContext, dial: () => Dialled) {
    this.#options = options;
    this.#dial = dial;
  }

  get openConnections(): number {
    return this.#open.size;
  }

  start(exchange: Exchange): void {
    if (this.#current !== undefined && this.#isFull(this.#current)) this.#current = undefined;
    this.#current ??= this.#connect();
    this.#current.start(exchange);
  }

  giveUp(exchange: Exchange, how: GiveUp): void {
    const { carrier } = exchange;
    carrier?.giveUp(exchange, how);
    if (this.#current === carrier && this.#current?.isClosing) this.#current = undefined;
  }

  close(): void {
    this.#isClosed = true;
    for (const connection of this.#open) connection.end('network', 'the forwarder is closing');
  }

  #isFull({ exchanges }: Connection): boolean {
    if (exchanges < this.#few.exchanges || this.#open.size >= MAX_CONNECTIONS) return false;
    return this.#options.clock.monotonicMs() < this.#few.untilMs;
  }

  #connect(): Connection {
    const connection: Connection = new Connection(this.#options, this.#dial(), {
      onClosed: (replies) => {
        this.#open.delete(connection);
        if (this.#current === connection) this.#current = undefined;
        if (replies === 0) return;
        const nowMs = this.#options.clock.monotonicMs();
        const most = nowMs < this.#few.untilMs ? this.#few.exchanges : Number.POSITIVE_INFINITY;
        this.#few = { exchanges: Math.min(most, replies), untilMs: nowMs + FEW_REPLIES_MS };
      },
      sendAgain: (exchange) => {
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
  /** `replies`: how many came before the upstream closed the connection with exchanges in flight; 0 in any other case. */
  onClosed(replies: number): void;
  /** Sends the exchange on another connection; false when there will be none. */
  sendAgain(exchange: Exchange): boolean;
}

class Connection implements Carrier {
  /** The connection takes no further exchange, and closes when no exchange is in flight. */
  isClosing = false;
  readonly #inFlight = new ExchangesInFlight();
  readonly #options: TransportContext;
  readonly #owner: ConnectionOwner;
  #socket: Socket;
  readonly #framer = new TcpFramer();
  #isReady = false;
  #isEnded = false;
  /** Exchanges that were started on it. */
  exchanges = 0;
  #replies = 0;
  #strayOctets = 0;
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #idle: Disposable | undefined;

  constructor(options: TransportContext, dialled: Dialled, owner: ConnectionOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#socket = this.#take(dialled);
  }

  #take({ socket, readyEvent, above }: Dialled): Socket {
    const onClose = (): void => this.end('network', 'the upstream closed the connection');
    let isConnecting = readyEvent === 'connect';
    socket.once(readyEvent, () => {
      isConnecting = false;
      if (above === undefined) return this.#ready();
      socket.off('close', onClose); // the stream above knows why
      this.#socket = this.#take(above());
    });
    if (above === undefined)
      socket.on('data', (chunk) => {
        if (typeof chunk !== 'string') this.#received(chunk); // no encoding is set: it never is a string
      });
    socket.on('error', (error) => {
      const detail = isConnecting ? error.message.replace(/^(read|write) /, 'connect ') : error.message;
      this.end(isTlsFault(error) ? 'tls' : 'network', detail);
    });
    socket.on('close', onClose);
    return socket;
  }

  start(exchange: Exchange): void {
    const { random, clock } = this.#options;
    this.#inFlight.add(exchange, this, random);
    this.exchanges++;
    exchange.startedAtMs = clock.monotonicMs();
    exchange.hadToConnect = !this.#isReady;
    this.#idle?.[Symbol.dispose]();
    this.#idle = undefined;
    if (this.#isReady) this.#socket.write(framed(exchange.message));
  }

  /** If no octet has come back since a late exchange began, the connection sends no new exchange; it still accepts late replies. */
  giveUp(exchange: Exchange, how: GiveUp): void {
    if (how !== 'late') this.#inFlight.remove(exchange);
    else if (this.#heardAtMs <= exchange.startedAtMs) this.isClosing = true;
    this.#rest();
  }

  /** Closes, and fails the exchanges in flight, except those that may be sent once more on a new connection. */
  end(reason: 'network' | 'tls' | 'malformed', detail: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#idle?.[Symbol.dispose]();
    this.#socket.destroy();
    const isByUpstream = reason === 'network' && this.#inFlight.size > 0;
    this.#owner.onClosed(isByUpstream ? this.#replies : 0);
    for (const exchange of this.#inFlight.removeAll()) {
      // RFC 7766 section 6.2.4: an upstream may close an idle connection while our query is on its way
      const mayRepeat = reason === 'network' && this.#replies > 0 && exchange.repeats++ < MAX_REPEATS;
      if (!mayRepeat || !this.#owner.sendAgain(exchange)) exchange.fail(reason, detail);
    }
  }

  /** Nothing is written before: over TLS it could go to a server that is not the upstream (RFC 8310 section 5). */
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
      this.#receivedMessage(octets.subarray(start, end));
    }
    if (this.#framer.isBroken) this.end('malformed', 'a frame without a message');
  }

  #receivedMessage(octets: Uint8Array): void {
    const exchange = this.#inFlight.withIdOf(octets);
    // a copy: it may be kept for a day, and would keep the whole chunk that it came in
    const end = exchange && matchReply(exchange, new Uint8Array(octets), this.#options.clock.monotonicMs());
    if (exchange === undefined || end === undefined) {
      this.#options.onMismatch();
      this.#strayOctets += octets.length;
      if (this.#strayOctets > MAX_STRAY_OCTETS) this.end('malformed', 'replies to no question, without end');
      return;
    }
    this.#replies++;
    this.#strayOctets = 0;
    this.#inFlight.remove(exchange);
    this.#rest();
    exchange.end(end);
  }

  #rest(): void {
    if (this.#inFlight.size > 0 || this.#isEnded || this.#idle !== undefined) return;
    if (this.isClosing) this.end('network', 'closed by us');
    else this.#idle = this.#options.timers.after(IDLE_MS, () => this.end('network', 'idle'));
  }
}

/** RFC 7766 section 8: length and message in one write, so that they do not travel in two segments. */
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
