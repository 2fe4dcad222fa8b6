/**
 * One client's TCP connection: pipelined queries in, replies out in whatever order they are known, those of
 * one turn of the loop in one write (RFC 7766 sections 6.2.1.1 and 7). Everything that a client can make it
 * hold is bounded: frames, queries in flight, octets not yet taken.
 */
import type { Socket } from 'node:net';
import { MAX_MESSAGE_OCTETS, putUint16 } from '../../protocol/wire/header.ts';
import { LENGTH_OCTETS, TcpFramer } from '../../protocol/wire/tcp-framing.ts';
import type { Clock } from '../../runtime/clock.ts';
import { COUNT } from '../counters.ts';
import { PENDING } from '../turn.ts';
import type { ClientAddress } from './clients.ts';
import type { Intake } from './intake.ts';

/** What a connection needs of the server that it belongs to. */
export interface ConnectionHost {
  readonly intake: Intake;
  readonly clock: Clock;
  /** Where the replies of one turn are written; shared, used only within a call. */
  readonly scratch: Uint8Array<ArrayBuffer>;
  /** The scratch is a connection's own from now on: the kernel has not taken all that stands in it. */
  renewScratch(): void;
  /** Queries in flight per connection; beyond, nothing more is read. */
  readonly pipelined: number;
  /** Calls `flush()` once, when this turn of the loop has seen all that was received. */
  flushSoon(connection: TcpConnection): void;
  /** Calls `proceed()` once, in a later turn: other connections, and queries over UDP, come first. */
  proceedLater(connection: TcpConnection): void;
  released(connection: TcpConnection): void;
  /** The client is held back by this limit. */
  noteLimit(limit: string, client: ClientAddress): void;
}

/** Replies that may wait for a slow reader, four of the largest; with 150 connections 37 MiB, where each is at its worst. */
const UNSENT_LIMIT_OCTETS = 256 * 1024;
const MAX_FRAME_OCTETS = LENGTH_OCTETS + MAX_MESSAGE_OCTETS;
/**
 * Replies that a connection is given in one turn of the loop; the rest of its queries wait for the next. A few microseconds
 * for 150 clients that send large questions all at once and never read: together they took the loop 830 ms.
 */
const OCTETS_PER_TURN = 32 * 1024;
const MESSAGES_PER_TURN = 128;
/** What `ConnectionHost.scratch` has to hold: a turn's worth of replies, and one of the largest size after it. */
export const SCRATCH_OCTETS = OCTETS_PER_TURN + MAX_FRAME_OCTETS;

export class TcpConnection {
  readonly client: ClientAddress;
  readonly #host: ConnectionHost;
  readonly #socket: Socket;
  readonly #port: number;
  readonly #isAllowed: boolean;
  readonly #framer = new TcpFramer();
  #outgoing: Uint8Array[] = [];
  #outgoingOctets = 0;
  /** Replies that the kernel has not taken yet stand in these. */
  #held: Uint8Array<ArrayBuffer>[] = [];
  /** It was given its share of this turn, and has more to ask. */
  #isProceeding = false;
  #inFlight = 0;
  #isReading = true;
  /** No more queries are taken: when all is answered and sent, the connection goes. */
  #isEnding = false;
  #endReason: number = COUNT.tcpClosedByClient;
  #isClosed = false;
  #activeMs: number;
  /** When the frame began that is not whole yet; -1: there is none. */
  #frameSinceMs = -1;

  constructor(host: ConnectionHost, socket: Socket, client: ClientAddress, isAllowed: boolean) {
    this.#host = host;
    this.#socket = socket;
    this.client = client;
    this.#port = socket.remotePort ?? 0;
    this.#isAllowed = isAllowed;
    this.#activeMs = host.clock.monotonicMs();
    socket.on('data', (chunk) => {
      if (typeof chunk !== 'string') this.#received(chunk); // no encoding is set: it never is one
    });
    socket.on('drain', () => this.#work());
    socket.on('end', () => this.finish(COUNT.tcpClosedByClient));
    socket.on('error', () => this.destroy(COUNT.tcpClosedReset));
    socket.on('close', () => {
      this.destroy(COUNT.tcpClosedByClient);
      this.#release();
    });
  }

  /** When the frame began that is not whole yet; -1: there is none. */
  get incompleteSinceMs(): number {
    return this.#frameSinceMs;
  }

  /** When something was last received or taken by the client. */
  get activeMs(): number {
    return this.#activeMs;
  }

  /** Whether it is the client that waits: a query of its own is on the way, and no reply lies unread. */
  get isWaiting(): boolean {
    return this.#inFlight > 0 && this.#socket.writableLength === 0;
  }

  /** Reads nothing more; goes when what was asked is answered and taken by the kernel. */
  finish(reason: number): void {
    this.#endReason = reason;
    this.#isEnding = true;
    this.#leaveIfDone();
  }

  /** Ends it at once. Not `end()`: that would wait for the client, which may never come back. */
  destroy(reason: number): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#outgoing = [];
    this.#framer.forget();
    this.#host.intake.counters.add(reason);
    this.#socket.destroy();
    this.#host.released(this);
  }

  /** Destroys it where it has been idle, or busy with one frame, for too long. */
  expire(nowMs: number, idleMs: number, frameMs: number): void {
    if (this.#frameSinceMs >= 0 && nowMs - this.#frameSinceMs > frameMs) {
      this.destroy(COUNT.tcpClosedSlowFrame);
      return;
    }
    if (this.isWaiting || nowMs - this.#activeMs <= idleMs) return;
    this.destroy(this.#socket.writableLength > 0 ? COUNT.tcpClosedSlowReader : COUNT.tcpClosedIdle);
  }

  /** Writes the replies that became known in this turn, then takes up what waited for room. */
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

  /** Takes up what was left when its share of a turn was used. */
  proceed(): void {
    this.#isProceeding = false;
    this.#work();
  }

  #received(chunk: Buffer): void {
    this.#activeMs = this.#host.clock.monotonicMs();
    if (this.#isEnding) return;
    this.#framer.push(chunk);
    this.#work();
  }

  /** Takes what may be taken of what was received, then settles whether to read on, to wait or to leave. */
  #work(): void {
    if (this.#isClosed || this.#isProceeding) return;
    const framer = this.#framer;
    const nowMs = this.#host.clock.monotonicMs();
    const messages = this.#takeMessages(nowMs);
    if (framer.isBroken) {
      this.destroy(COUNT.tcpClosedBadFrame);
      return;
    }
    if (!framer.isMidFrame) this.#frameSinceMs = -1;
    else if (messages > 0 || this.#frameSinceMs < 0) this.#frameSinceMs = nowMs;
    this.#settleReading();
    if (!this.#isAllowed && messages > 0) this.finish(COUNT.tcpClosedByServer);
    else this.#leaveIfDone();
  }

  /** Answers messages while there are any, room for their replies, and some of this turn's share. Returns how many there were. */
  #takeMessages(nowMs: number): number {
    const framer = this.#framer;
    const { scratch } = this.#host;
    let messages = 0;
    let used = 0;
    while (this.#hasRoom()) {
      if (used >= OCTETS_PER_TURN || messages >= MESSAGES_PER_TURN) {
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
    if (this.#isProceeding) this.#host.proceedLater(this);
    return messages;
  }

  #receive(nowMs: number, space: Uint8Array, spaceStart: number): number {
    const { octets, start, end } = this.#framer;
    const { turn } = this.#host.intake;
    turn.client = this.client.octets;
    turn.clientAt = 0;
    turn.family = this.client.family;
    turn.port = this.#port;
    turn.transport = 'tcp';
    turn.nowMs = nowMs;
    turn.space = space;
    turn.spaceStart = spaceStart;
    return this.#host.intake.receive(octets, start, end);
  }

  #answerLater(): void {
    this.#inFlight += 1;
    this.#host.intake.later((reply, hasMore) => {
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

  /** What the kernel takes at once needs no copy: of megabytes that it takes from 150 clients none become garbage. */
  #writeScratch(frames: Uint8Array): void {
    const { scratch } = this.#host;
    this.#write(frames);
    if (!this.#isClosed && this.#socket.writableLength === 0) return;
    this.#held.push(scratch);
    this.#host.renewScratch();
  }

  /** Nothing waits for the kernel any more: memory is given back now, and not when the collector comes by, minutes later. */
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
    this.#activeMs = this.#host.clock.monotonicMs();
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
