/** The few octets of DNS that the load of the restart scenario needs: queries, a verdict on replies, an upstream. No other file is imported: it runs in a booted machine. */
import { createSocket, type Socket } from 'node:dgram';

/** For the A records of `name`. */
export function composeQuery(id: number, name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const query = Buffer.concat([
    Buffer.from([0, 0, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]), // RD, one question
    ...labels,
    Buffer.from([0, 0, 1, 0, 1]), // root, A, IN
  ]);
  query.writeUInt16BE(id, 0);
  return query;
}

/** Whether a reply is NOERROR with a record. */
export function isAnswer(reply: Buffer): boolean {
  return (reply.readUInt16BE(2) & 0x800f) === 0x8000 && reply.readUInt16BE(6) > 0;
}

const TTL_SECONDS = 3600;

/** Answers each query, `afterMs` later as a distant server does, with one A record. */
export async function startUpstream(port: number, afterMs: number): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
  socket.on('message', (query, { port: clientPort, address }) => {
    const reply = composeReply(query);
    if (reply !== undefined) setTimeout(() => socket.send(reply, clientPort, address), afterMs);
  });
  await new Promise<void>((resolve) => socket.bind(port, '127.0.0.1', resolve));
  return socket;
}

/** Undefined for what is no query with a question. */
function composeReply(query: Buffer): Buffer | undefined {
  let end = 12;
  while (end < query.length && query[end] !== 0) end += 1 + (query[end] ?? 0);
  end += 5;
  if (query.length < end || query.readUInt16BE(4) !== 1) return undefined;
  const isAddress = query.readUInt16BE(end - 4) === 1;
  const head = Buffer.from(query.subarray(0, end));
  head.writeUInt16BE(0x8180, 2); // QR, RD, RA
  head.writeUInt16BE(isAddress ? 1 : 0, 6);
  head.fill(0, 8, 12);
  if (!isAddress) return head;
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 9, 8, 7]);
  record.writeUInt32BE(TTL_SECONDS, 6);
  return Buffer.concat([head, record]);
}
