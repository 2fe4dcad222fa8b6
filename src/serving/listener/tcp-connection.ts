/**
 * Serves the TCP connection of one client: takes pipelined queries, and sends each reply when it is known (RFC 7766 sections
 * 6.2.1.1 and 7). One write sends all replies of one turn of the loop. Bounds apply to everything that a client can make the
 * connection hold: frames, queries in flight, octets that the client has not read.
 */
import type { Socket } from 'node:net';
import { MAX_MESSAGE_OCTETS, putUint16 } from '../../protocol/wire/message.ts';
import { LENGTH_OCTETS, TcpFramer } from '../../protocol/wire/tcp-framing.ts';
import { type Clock, turnBound } from '../../runtime/clock.ts';
import { PENDING } from '../turn.ts';
import type { ClientAddress } from './clients.ts';
import { COUNT, type Intake } from './intake.ts';

/** The parts of the listener that a connection needs. */
export interface ConnectionHost {
  readonly intake: Intake;
  readonly clock: Clock;
  /** The space for the replies of one turn; shared, used only within a call. */
  readonly scratch: Uint8Array<ArrayBuffer>;
  /** Gives the scratch to one connection, because the kernel has not taken all of it. */
  renewScratch(): void;
  /** Queries in flight per connection; at this number no more is read. */
  readonly pipelined: number;
  /** Calls `flush()` once, at the end of this turn of the loop. */
  flushSoon(connection: TcpConnection): void;
  readonly sharedTurn: SharedTurn;
  released(connection: TcpConnection): void;
  /** Logs that this limit holds the client back. */
  noteLimit(limit: string, client: ClientAddress): void;
}

/** Replies that may wait for a slow reader: four of the largest, and 37 MiB for 150 connections at their worst. */
const UNSENT_LIMIT_OCTETS = 256 * 1024;
const MAX_FRAME_OCTETS = LENGTH_OCTETS + MAX_MESSAGE_OCTETS;
/**
 * Replies that a connection gets in one turn of the loop; the rest of its queries wait for the next turn. Without this
 * bound 150 clients that sent large questions and never read blocked the loop for 830 ms.
 */
const OCTETS_PER_TURN = 32 * 1024;
const MESSAGES_PER_TURN = 128;
/** Size of `ConnectionHost.scratch`: the replies of a turn, and one reply of the largest size after them. */
export const SCRATCH_OCTETS = OCTETS_PER_TURN + MAX_FRAME_OCTETS;

export class TcpConnection {
  readonly client: ClientAddress;
  /** When the client last sent something or read a reply. */
  activeMs: number;
  /** When the incomplete frame began; -1: there is none. */
  incompleteSinceMs = -1;
  readonly #host: ConnectionHost;
  readonly #socket: Socket;
  readonly #port: number;
  readonly #isAllowed: boolean;
  readonly #framer = new TcpFramer();
  #outgoing: Uint8Array[] = [];
  #outgoingOctets = 0;
  /** Buffers with replies that the kernel has not taken yet. */
  #held: Uint8Array<ArrayBuffer>[] = [];
  /** The share of a turn is used, of this connection or of all together, and the connection has more queries. */
  #isProceeding = false;
  #inFlight = 0;
  #isReading = true;
  /** No more queries are taken; the connection ends when all replies are sent. */
  #isEnding = false;
  #endReason: number = COUNT.tcpClosedByClient;
  #isClosed = false;

  constructor(host: ConnectionHost, socket: Socket, client: ClientAddress, isAllowed: boolean) {
    this.#host = host;
    this.#socket = socket;
    this.client = client;
    this.#port = socket.remotePort ?? 0;
    this.#isAllowed = isAllowed;
    this.activeMs = host.clock.monotonicMs();
    socket.on('data', (chunk) => {
      if (typeof chunk !== 'string') this.#received(chunk); // never a string, because no encoding is set
    });
    socket.on('drain', () => this.#work());
    socket.on('end', () => this.finish(COUNT.tcpClosedByClient));
    socket.on('error', () => this.destroy(COUNT.tcpClosedReset));
    socket.on('close', () => {
      this.destroy(COUNT.tcpClosedByClient);
      this.#release();
    });
  }

  /** Whether the client waits for us: a query is in flight or waits for its turn, and no reply is unread. */
  get isWaiting(): boolean {
    return (this.#inFlight > 0 || this.#isProceeding) && this.#socket.writableLength === 0;
  }

  /** Whether octets of the client wait for their turn: the frame that was incomplete may be whole by now. */
  get isDelayed(): boolean {
    return this.#isProceeding;
  }

  /** Reads nothing more; ends when every query is answered and the kernel has taken the replies. */
  finish(reason: number): void {
    this.#endReason = reason;
    this.#isEnding = true;
    this.#leaveIfDone();
  }

  /** Ends the connection at once. Not `end()`: that would wait for the client, which may never come back. */
  destroy(reason: number): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#outgoing = [];
    this.#framer.forget();
    this.#host.intake.counters.add(reason);
    this.#socket.destroy();
    this.#host.released(this);
  }

  /** Ends the connection if it has been idle, or busy with one frame, for too long. */
  expire(nowMs: number, idleMs: number, frameMs: number): void {
    if (!this.isDelayed && this.incompleteSinceMs >= 0 && nowMs - this.incompleteSinceMs > frameMs) {
      this.destroy(COUNT.tcpClosedSlowFrame);
      return;
    }
    if (this.isWaiting || nowMs - this.activeMs <= idleMs) return;
    this.destroy(this.#socket.writableLength > 0 ? COUNT.tcpClosedSlowReader : COUNT.tcpClosedIdle);
  }

  /** Writes the replies that became known in this turn, then takes queries that waited for room. */
  flush(): void {
    if (this.#isClosed) return;
    const replies = this.#outgoing;
    this.#outgoing = [];
    this.#outgoingOctets = 0;
    const frames = Buffer.allocUnsafe(replies.reduce((sum, reply) => sum + LENGTH_OCTETS + reply.length, 0));
    let at = 0;
    for (const reply of replies) {
      putUint16(frames, at, reply.length);
      frames.set(reply, at + LENGTH_OCTETS);
      at += LENGTH_OCTETS + reply.length;
    }
    this.#write(frames);
    this.#work();
  }

  /** Takes the queries that were left when the share of a turn was used. */
  proceed(): void {
    this.#isProceeding = false;
    this.#work();
  }

  #received(chunk: Buffer): void {
    this.activeMs = this.#host.clock.monotonicMs();
    if (this.#isEnding) return;
    this.#framer.push(chunk);
    this.#work();
  }

  /** Takes received queries within the limits, and then decides whether to read on, to wait or to end. */
  #work(): void {
    if (this.#isClosed || this.#isProceeding) return;
    const framer = this.#framer;
    const nowMs = this.#host.clock.monotonicMs();
    const messages = this.#takeMessages(nowMs);
    if (framer.isBroken) {
      this.destroy(COUNT.tcpClosedBadFrame);
      return;
    }
    if (!framer.isMidFrame) this.incompleteSinceMs = -1;
    else if (messages > 0 || this.incompleteSinceMs < 0) this.incompleteSinceMs = nowMs;
    this.#settleReading();
    if (!this.#isAllowed && messages > 0) this.finish(COUNT.tcpClosedByServer);
    else this.#leaveIfDone();
  }

  /** Answers messages while there are any, room for replies, and a rest of this turn's share. Returns their number. */
  #takeMessages(nowMs: number): number {
    const framer = this.#framer;
    const { scratch } = this.#host;
    let messages = 0;
    let used = 0;
    while (this.#hasRoom()) {
      if (used >= OCTETS_PER_TURN || messages >= MESSAGES_PER_TURN || this.#host.sharedTurn.isOver()) {
        this.#isProceeding = framer.hasUnread;
        break;
      }
      if (!framer.next()) break;
      messages += 1;
      const at = used + LENGTH_OCTETS;
      const length = this.#receive(nowMs, scratch, at);
      if (length > 0) {
        putUint16(scratch, used, length);
        used = at + length;
      } else if (length === PENDING) {
        this.#answerLater();
      }
    }
    if (used > 0) this.#writeScratch(scratch.subarray(0, used));
    if (this.#isProceeding) this.#host.sharedTurn.proceedLater(this);
    return messages;
  }

  #receive(nowMs: number, space: Uint8Array, spaceStart: number): number {
    const { octets, start, end } = this.#framer;
    const { turn } = this.#host.intake;
    turn.from('tcp', this.client.octets, 0, this.client.family, this.#port, nowMs);
    turn.into(space, spaceStart);
    return this.#host.intake.receive(octets, start, end);
  }

  #answerLater(): void {
    this.#inFlight += 1;
    this.#host.intake.answerLater((reply, hasMore) => {
      if (hasMore !== true) this.#inFlight -= 1;
      if (this.#isClosed) return;
      if (reply.length > 0 && reply.length <= MAX_MESSAGE_OCTETS) {
        this.#outgoing.push(Buffer.copyBytesFrom(reply));
        this.#outgoingOctets += reply.length;
      }
      if (this.#outgoingOctets + this.#socket.writableLength > UNSENT_LIMIT_OCTETS)
        this.destroy(COUNT.tcpClosedSlowReader);
      else this.#host.flushSoon(this);
    });
  }

  #hasRoom(): boolean {
    return this.#inFlight < this.#host.pipelined && !this.#socket.writableNeedDrain && !this.#isClosed;
  }

  #settleReading(): void {
    const mayRead = this.#hasRoom() && !this.#isProceeding;
    if (this.#inFlight >= this.#host.pipelined) this.#host.noteLimit('limits.tcpPipelined', this.client);
    if (mayRead === this.#isReading) return;
    this.#isReading = mayRead;
    if (mayRead) this.#socket.resume();
    else this.#socket.pause();
  }

  /** Writes from the scratch without a copy; the scratch is used again if the kernel takes all of it at once. */
  #writeScratch(frames: Uint8Array): void {
    const { scratch } = this.#host;
    this.#write(frames);
    if (!this.#isClosed && this.#socket.writableLength === 0) return;
    this.#held.push(scratch);
    this.#host.renewScratch();
  }

  /** Frees the buffers that the kernel has taken, instead of waiting minutes for the garbage collector. */
  #release(): void {
    for (const { buffer } of this.#held) buffer.transfer(0);
    this.#held = [];
  }

  #write(frames: Uint8Array): void {
    if (frames.length === 0 || this.#isClosed) return;
    this.#socket.write(frames, this.#written);
    if (this.#socket.writableLength > UNSENT_LIMIT_OCTETS) this.destroy(COUNT.tcpClosedSlowReader);
  }

  readonly #written = (): void => {
    if (this.#isClosed) return;
    this.activeMs = this.#host.clock.monotonicMs();
    if (this.#socket.writableLength === 0) this.#release();
    this.#leaveIfDone();
  };

  #leaveIfDone(): void {
    if (!this.#isEnding || this.#isClosed) return;
    if (this.#inFlight > 0 || this.#outgoing.length > 0 || this.#socket.writableLength > 0) return;
    if (this.#isProceeding) return;
    if (this.#isAllowed && this.#framer.hasUnread && !this.#framer.isBroken) return;
    this.destroy(this.#endReason);
  }
}

/** Connections that proceed in one turn of the loop, each with some tens of KiB at most. */
const PROCEEDING_PER_TURN = 16;

/**
 * The share that all connections together have of a turn of the loop: a millisecond for queries that have just come, and as much
 * for those that have waited. The rest waits: queries over UDP come first.
 */
export class SharedTurn {
  /** Connections with queries that wait, in the order in which they proceed. */
  #waiting: TcpConnection[] = [];
  #isDue = false;
  /** `undefined` until a query has come in this turn. */
  #isOver: (() => boolean) | undefined;
  readonly #begin = (): void => {
    this.#isOver = undefined;
  };

  isOver(): boolean {
    if (this.#isOver === undefined) {
      this.#isOver = turnBound();
      setImmediate(this.#begin);
    }
    return this.#isOver();
  }

  /** Calls `proceed()` once, in a later turn. */
  proceedLater(connection: TcpConnection): void {
    this.#waiting.push(connection);
    this.#proceedSoon();
  }

  #proceedSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => this.#proceed());
  }

  #proceed(): void {
    this.#isDue = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#begin();
    let at = 0;
    while (at < waiting.length && at < PROCEEDING_PER_TURN && !this.isOver()) waiting[at++]?.proceed();
    this.#begin();
    this.#waiting = [...waiting.slice(at), ...this.#waiting];
    if (this.#waiting.length > 0) this.#proceedSoon();
  }
}
