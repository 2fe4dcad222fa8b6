/**
 * Asks for one name at a steady rate over UDP until it gets a signal to end, and then writes the result of every query.
 *
 *     node load.ts <server> <name> <queries per second> <file>
 *
 * The file is two columns of float64, the second after the first. The first has the time of each query (ms since 1970). The
 * second has the ms until its answer: `NaN` without a reply, infinity where the reply was no answer.
 */
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';

const SOCKETS = 8; // each with its own buffer in the kernel
const LATEST_MS = 5000; // a later answer counts as lost
const LAST_MS = 1000; // for the last answers
const BURST = 50; // after a stall of this process, the queries that are due are sent in portions

const [server = '', name = '', rate = '', file = ''] = process.argv.slice(2);
const sentMs: number[] = [];
const tookMs: number[] = [];
const nowMs = (): number => performance.timeOrigin + performance.now();

const sockets = await Promise.all(
  Array.from({ length: SOCKETS }, async (_, at) => {
    const socket = createSocket({ type: isIPv6(server) ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 });
    // without a running server each query gets an ICMP error
    socket.on('error', () => undefined);
    socket.on('message', (reply) => taken(at, reply));
    await new Promise<void>((resolve) => socket.connect(53, server, resolve));
    return socket;
  }),
);
const query = wireQuery();

/** The queries of one socket are numbered; 65,536 of them last longer than any run of the lab. */
function ask(): void {
  const index = sentMs.length;
  query.writeUInt16BE(Math.floor(index / SOCKETS) & 0xffff, 0);
  sentMs.push(nowMs());
  tookMs.push(Number.NaN);
  sockets[index % SOCKETS]?.send(Uint8Array.from(query), () => undefined);
}

function taken(at: number, reply: Buffer): void {
  if (reply.length < 12) return;
  const index = reply.readUInt16BE(0) * SOCKETS + at;
  const ms = nowMs() - (sentMs[index] ?? Number.NEGATIVE_INFINITY);
  if (ms > LATEST_MS || !Number.isNaN(tookMs[index])) return;
  const isAnswer = (reply.readUInt16BE(2) & 0x800f) === 0x8000 && reply.readUInt16BE(6) > 0;
  tookMs[index] = isAnswer ? ms : Number.POSITIVE_INFINITY;
}

/** For the name's A records, with EDNS; its ID is 0. */
function wireQuery(): Buffer {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  return Buffer.concat([
    Buffer.from([0, 0, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 1]), // RD, one question, one additional record
    ...labels,
    Buffer.from([0, 0, 1, 0, 1]), // root, A, IN
    Buffer.from([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]), // OPT, 1232 octets
  ]);
}

const startedMs = performance.now();
const asking = setInterval(() => {
  const due = Math.floor(((performance.now() - startedMs) * Number(rate)) / 1000);
  for (let left = Math.min(BURST, due - sentMs.length); left > 0; left--) ask();
}, 1);
process.on('SIGTERM', () => {
  clearInterval(asking);
  setTimeout(() => {
    writeFileSync(file, new Float64Array([...sentMs, ...tookMs]));
    process.exit(0);
  }, LAST_MS);
});
console.log('ready');
