/** Whether the DNS side of a server answers at all: any reply to a question that it answers by itself, in every state. */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { FLAG, uint16At } from '../protocol/wire/header.ts';
import { composeQuery } from '../protocol/wire/query.ts';
import { CLASS } from '../protocol/words/classes.ts';
import { nameToWire } from '../protocol/words/name.ts';
import { TYPE } from '../protocol/words/types.ts';
import { systemRandom } from '../runtime/random.ts';
import { readSocketAddress, type SocketAddress } from '../config/kinds/address.ts';

const ASKED_AT_ONCE = 4; // a wildcard stands for many addresses; one that answers is enough
const RESEND_MS = 400;

/** Resolves to whether one of `addresses` (`127.0.0.1:53`, `[::1]:53`) replies within `timeoutMs`. Never rejects. */
export async function isDnsAlive(addresses: readonly string[], timeoutMs: number): Promise<boolean> {
  const servers = addresses.flatMap((text) => {
    const reading = readSocketAddress(text, 53, 1);
    return 'value' in reading ? [reading.value] : [];
  });
  const loopbackFirst = servers.toSorted((a, b) => Number(isLoopback(b)) - Number(isLoopback(a)));
  const asked = loopbackFirst.slice(0, ASKED_AT_ONCE).map((server) => hasReply(server, timeoutMs));
  return Promise.any(asked).then(
    () => true,
    () => false,
  );
}

function isLoopback({ address }: SocketAddress): boolean {
  return address.startsWith('127.') || address === '::1';
}

/** Rejects when nothing came back. */
function hasReply({ address, port }: SocketAddress, timeoutMs: number): Promise<void> {
  const id = systemRandom.uint16();
  const query = composeQuery({
    id,
    // CHAOS: answered or refused on the spot, whatever state AWS and the upstreams are in
    name: nameToWire('version.bind'),
    qtype: TYPE.TXT,
    qclass: CLASS.CH,
    recursionDesired: false,
    checkingDisabled: false,
  });
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const send = () => socket.send(query);
  const deadline = setTimeout(() => reject(new Error('no reply')), timeoutMs);
  const resend = setInterval(send, RESEND_MS);
  socket.on('error', reject);
  socket.on('message', (reply) => {
    if (reply.length >= 12 && uint16At(reply, 0) === id && (uint16At(reply, 2) & FLAG.QR) !== 0) resolve();
  });
  socket.connect(port, address, send);
  return promise.finally(() => {
    clearTimeout(deadline);
    clearInterval(resend);
    socket.close();
  });
}
