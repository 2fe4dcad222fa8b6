/**
 * One client's TCP connection: pipelined queries in, replies out in whatever order they are known, those of
 * one turn of the loop in one write (RFC 7766 sections 6.2.1.1 and 7). Everything that a client can make it
 * hold is bounded: frames, queries in flight, octets not yet taken.
 */
import type { Socket } from 'node:net';
import { MAX_MESSAGE_OCTETS, putUint16 } from '../../protocol/wire/header.ts';
import { LENGTH_OCTETS, TcpFramer } from '../../protocol/wire/tcp-framing.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { ClientAddress } from './client-address.ts';
import { COUNT, type CountIndex } from './counters.ts';
import { PENDING } from './handler.ts';
import type { Intake } from './intake.ts';

/** What a connection needs of the server that it belongs to. */
export interface ConnectionHost {
  readonly intake: Intake;
  readonly clock: Clock;
  /** Where the replies of one turn are written before they are copied out; shared, used only within a call. */
  readonly scratch: Uint8Array;
  /** Queries in flight per connection; beyond, nothing more is read. */
  readonly pipelined: number;
  /** Calls `flush()` once, when this turn of the loop has seen all that was received. */
  flushSoon(connection: TcpConnection): void;
  released(connection: TcpConnection): void;
  /** The client is held back by this limit. */
  noteLimit(limit: string, client: ClientAddress): void;
}

/** Replies that may wait for a slow reader; with 150 connections 150 MiB, where each is at its worst. */
const UNSENT_LIMIT_OCTETS = 1024 * 1024;
const MAX_FRAME_OCTETS = LENGTH_OCTETS + MAX_MESSAGE_OCTETS;
/** What `ConnectionHost.scratch` has to hold: one reply of the largest size, and a turn's worth of usual ones. */
export const SCRATCH_OCTETS = 4 * MAX_FRAME_OCTETS;

export class TcpConnection {
  readonly client: ClientAddress;
  readonly #host: ConnectionHost;
  readonly #socket: Socket;
  readonly #port: number;
  readonly #isAllowed: boolean;
  readonly #framer = new TcpFramer();
  #outgoing: Uint8Array[] = [];
  #inFlight = 0;
  #isReading = true;
  /** No more queries are taken: when all is answered and sent, the connection goes. */
  #isEnding = false;
  #endReason: CountIndex = COUNT.tcpClosedByClient;
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
    socket.on('close', () => this.destroy(COUNT.tcpClosedByClient));
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
  finish(reason: CountIndex): void {
    this.#endReason = reason;
    this.#isEnding = true;
    this.#leaveIfDone();
  }

  /** Ends it at once. Not `end()`: that would wait for the client, which may never come back. */
  destroy(reason: CountIndex): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#outgoing = [];
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

  #received(chunk: Buffer): void {
    this.#activeMs = this.#host.clock.monotonicMs();
    if (this.#isEnding) return;
    this.#framer.push(chunk);
    this.#work();
  }

  /** Takes what may be taken of what was received, then settles whether to read on, to wait or to leave. */
  #work(): void {
    if (this.#isClosed) return;
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

  /** Answers messages as long as there are any, and room for their replies. Returns how many there were. */
  #takeMessages(nowMs: number): number {
    const framer = this.#framer;
    const { scratch } = this.#host;
    let messages = 0;
    let used = 0;
    while (this.#hasRoom() && framer.next()) {
      messages += 1;
      const at = used + LENGTH_OCTETS;
      const length = this.#receive(nowMs, scratch, at);
      if (length > 0) {
        putUint16(scratch, used, length);
        used = at + length;
      } else if (length === PENDING) {
        this.#answerLater(framer.octets, framer.start, framer.end);
      }
      if (used + MAX_FRAME_OCTETS > scratch.length) {
        this.#write(Buffer.copyBytesFrom(scratch, 0, used));
        used = 0;
      }
    }
    if (used > 0) this.#write(Buffer.copyBytesFrom(scratch, 0, used));
    return messages;
  }

  #receive(nowMs: number, reply: Uint8Array, replyStart: number): number {
    const { octets, start, end } = this.#framer;
    const { client } = this;
    return this.#host.intake.receive(
      octets,
      start,
      end,
      client.octets,
      0,
      client.family,
      this.#port,
      nowMs,
      'tcp',
      reply,
      replyStart,
    );
  }

  #answerLater(octets: Uint8Array, start: number, end: number): void {
    const { intake, clock } = this.#host;
    this.#inFlight += 1;
    const { octets: client, family } = this.client;
    intake.later(octets, start, end, client, 0, family, clock.monotonicMs(), 'tcp', (reply, length) => {
      this.#inFlight -= 1;
      if (this.#isClosed) return;
      if (length > 0 && length <= MAX_MESSAGE_OCTETS)
        this.#outgoing.push(Buffer.copyBytesFrom(reply, 0, length));
      this.#host.flushSoon(this);
    });
  }

  #hasRoom(): boolean {
    return this.#inFlight < this.#host.pipelined && !this.#socket.writableNeedDrain && !this.#isClosed;
  }

  #settleReading(): void {
    const mayRead = this.#hasRoom();
    if (this.#inFlight >= this.#host.pipelined) this.#host.noteLimit('limits.tcpPipelined', this.client);
    if (mayRead === this.#isReading) return;
    this.#isReading = mayRead;
    if (mayRead) this.#socket.resume();
    else this.#socket.pause();
  }

  #write(frames: Buffer): void {
    if (frames.length === 0 || this.#isClosed) return;
    this.#socket.write(frames, this.#written);
    if (this.#socket.writableLength > UNSENT_LIMIT_OCTETS) this.destroy(COUNT.tcpClosedSlowReader);
  }

  readonly #written = (): void => {
    if (this.#isClosed) return;
    this.#activeMs = this.#host.clock.monotonicMs();
    this.#leaveIfDone();
  };

  #leaveIfDone(): void {
    if (!this.#isEnding || this.#isClosed) return;
    if (this.#inFlight > 0 || this.#outgoing.length > 0 || this.#socket.writableLength > 0) return;
    if (this.#isAllowed && this.#framer.hasUnread && !this.#framer.isBroken) return;
    this.destroy(this.#endReason);
  }
}
