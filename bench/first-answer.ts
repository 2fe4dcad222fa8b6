/** Asks a server on loopback for an A record until it answers, and returns the answer. */
import { createSocket } from 'node:dgram';
import { setTimeout as pause } from 'node:timers/promises';
import { readAddresses } from '../src/protocol/wire/aliases.ts';
import { composeQuery } from '../src/protocol/wire/query.ts';
import { indexResponse } from '../src/protocol/wire/response.ts';
import { CLASS, rcodeName, TYPE } from '../src/protocol/words/codes.ts';
import { nameToWire } from '../src/protocol/words/name.ts';

export interface FirstAnswer {
  /** `performance.now()` when it came. */
  readonly atMs: number;
  readonly rcode: string;
  /** Sorted. */
  readonly addresses: readonly string[];
}

const ASK_EVERY_MS = 1;

/** The first reply from `port`. Rejects when `signal` aborts before there is one, with its reason. */
export async function firstAnswer(port: number, name: string, signal: AbortSignal): Promise<FirstAnswer> {
  signal.throwIfAborted();
  const query = composeQuery({
    id: 0x0b0b,
    name: nameToWire(name),
    qtype: TYPE.A,
    qclass: CLASS.IN,
    recursionDesired: true,
    checkingDisabled: false,
  });
  const socket = createSocket('udp4');
  try {
    const reply = new Promise<FirstAnswer>((resolve, reject) => {
      socket.once('message', (octets) => resolve(read(octets, performance.now())));
      socket.once('error', reject);
    });
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    const over = Promise.race([reply, aborted]);
    let isOver = false;
    const noteOver = () => {
      isOver = true;
    };
    over.then(noteOver, noteOver);
    while (!isOver) {
      socket.send(query, port, '127.0.0.1');
      await pause(ASK_EVERY_MS);
    }
    return await over;
  } finally {
    socket.close();
  }
}

function read(octets: Uint8Array, atMs: number): FirstAnswer {
  const index = indexResponse(octets);
  if (index.kind === 'fault') return { atMs, rcode: `unreadable: ${index.reason}`, addresses: [] };
  return {
    atMs,
    rcode: rcodeName(index.rcode),
    addresses: [...readAddresses(octets, index).addresses].sort(),
  };
}
