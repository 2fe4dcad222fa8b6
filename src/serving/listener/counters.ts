/** What the listeners count: one integer per event in one array, raised on the path, read at scrape time. */

/** Place of each count in `Counters.values`. */
export const COUNT = {
  receivedUdp: 0,
  receivedTcp: 1,
  repliesUdp: 2,
  repliesTcp: 3,
  droppedShort: 4,
  droppedResponse: 5,
  droppedPortZero: 6,
  droppedRateLimited: 7,
  droppedProhibited: 8,
  droppedClosing: 9,
  refusedProhibited: 10,
  refusedOpcode: 11,
  truncatedRateLimited: 12,
  overloaded: 13,
  handlerFaults: 14,
  sendTooLarge: 15,
  sendUnreachable: 16,
  sendRefused: 17,
  sendNoBuffers: 18,
  sendOther: 19,
  receiveErrors: 20,
  tcpAccepted: 21,
  tcpAcceptErrors: 22,
  tcpOverLimit: 23,
  tcpOverClientLimit: 24,
  tcpProhibited: 25,
  tcpClosedByClient: 26,
  tcpClosedReset: 27,
  tcpClosedIdle: 28,
  tcpClosedSlowFrame: 29,
  tcpClosedSlowReader: 30,
  tcpClosedBadFrame: 31,
  tcpClosedByServer: 32,
  refusedBadCookie: 33,
  tcpMadeRoom: 34,
} as const;

export type CountName = keyof typeof COUNT;
export type CountIndex = (typeof COUNT)[CountName];

/** The metric that a count belongs to, and its label's value there. */
export interface CountMeaning {
  readonly metric: 'received' | 'replies' | 'dropped' | 'limited' | 'faults' | 'sendErrors' | 'connections';
  readonly label: string;
}

export const COUNT_MEANINGS: Readonly<Record<CountName, CountMeaning>> = {
  receivedUdp: { metric: 'received', label: 'udp' },
  receivedTcp: { metric: 'received', label: 'tcp' },
  repliesUdp: { metric: 'replies', label: 'udp' },
  repliesTcp: { metric: 'replies', label: 'tcp' },
  droppedShort: { metric: 'dropped', label: 'short' },
  droppedResponse: { metric: 'dropped', label: 'response' },
  droppedPortZero: { metric: 'dropped', label: 'port_zero' },
  droppedRateLimited: { metric: 'dropped', label: 'rate_limited' },
  droppedProhibited: { metric: 'dropped', label: 'prohibited' },
  droppedClosing: { metric: 'dropped', label: 'closing' },
  refusedProhibited: { metric: 'limited', label: 'prohibited' },
  refusedOpcode: { metric: 'limited', label: 'opcode' },
  truncatedRateLimited: { metric: 'limited', label: 'rate_limited' },
  refusedBadCookie: { metric: 'limited', label: 'bad_cookie' },
  overloaded: { metric: 'limited', label: 'overloaded' },
  handlerFaults: { metric: 'faults', label: 'handler' },
  receiveErrors: { metric: 'faults', label: 'receive' },
  tcpAcceptErrors: { metric: 'faults', label: 'accept' },
  sendTooLarge: { metric: 'sendErrors', label: 'too_large' },
  sendUnreachable: { metric: 'sendErrors', label: 'unreachable' },
  sendRefused: { metric: 'sendErrors', label: 'refused' },
  sendNoBuffers: { metric: 'sendErrors', label: 'no_buffers' },
  sendOther: { metric: 'sendErrors', label: 'other' },
  tcpAccepted: { metric: 'connections', label: 'accepted' },
  tcpOverLimit: { metric: 'connections', label: 'over_limit' },
  tcpOverClientLimit: { metric: 'connections', label: 'over_client_limit' },
  tcpProhibited: { metric: 'connections', label: 'prohibited' },
  tcpClosedByClient: { metric: 'connections', label: 'closed_by_client' },
  tcpClosedReset: { metric: 'connections', label: 'reset' },
  tcpClosedIdle: { metric: 'connections', label: 'idle' },
  tcpClosedSlowFrame: { metric: 'connections', label: 'slow_frame' },
  tcpClosedSlowReader: { metric: 'connections', label: 'slow_reader' },
  tcpClosedBadFrame: { metric: 'connections', label: 'bad_frame' },
  tcpMadeRoom: { metric: 'connections', label: 'made_room' },
  tcpClosedByServer: { metric: 'connections', label: 'closed_by_server' },
};

export class Counters {
  /** By place as in COUNT. Floating point only because integers stay exact in it far beyond 32 bits. */
  readonly values = new Float64Array(Object.keys(COUNT).length);

  add(index: CountIndex): void {
    this.values[index] = (this.values[index] ?? 0) + 1;
  }

  get(name: CountName): number {
    return this.values[COUNT[name]] ?? 0;
  }

  /** Counts what a failed send failed with; the reply is lost, and the client asks again. */
  addSendError(code: string): void {
    this.add(SEND_ERRORS.get(code) ?? COUNT.sendOther);
  }
}

const SEND_ERRORS: ReadonlyMap<string, CountIndex> = new Map([
  ['EMSGSIZE', COUNT.sendTooLarge],
  ['ENETUNREACH', COUNT.sendUnreachable],
  ['EHOSTUNREACH', COUNT.sendUnreachable],
  ['ENETDOWN', COUNT.sendUnreachable],
  ['ECONNREFUSED', COUNT.sendRefused],
  ['EPERM', COUNT.sendRefused], // a local packet filter
  ['EACCES', COUNT.sendRefused], // a broadcast address as sender
  ['ENOBUFS', COUNT.sendNoBuffers],
  ['ENOMEM', COUNT.sendNoBuffers],
  ['EAGAIN', COUNT.sendNoBuffers],
]);
