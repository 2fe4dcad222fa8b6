/** Free ports: tests run side by side, and on machines with other programs. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

export interface Ports {
  readonly dnsPort: number;
  readonly httpPort: number;
}

/** Below the range from which the kernel gives ports to clients: there, an exchange could take a port meanwhile. */
const FIRST = 10_240;
const LAST = 32_000;
/**
 * Each process has a range of ports, and goes round in it. So no test beside it checks the same port between the check and the bind
 * of a server. Its first port, which the process holds until it ends, says that the range is taken: two processes that run side by
 * side have had the same one by their pids.
 */
const STRIPE = 64;
const STRIPES = Math.floor((LAST - FIRST) / STRIPE);
let claimed: Promise<number> | undefined;
let turn = 0;

export async function freePorts(): Promise<Ports> {
  claimed ??= claimStripe();
  const stripeAt = await claimed;
  for (;;) {
    const dnsPort = stripeAt + 2 + ((turn++ * 2) % (STRIPE - 2));
    const httpPort = dnsPort + 1;
    if ((await isFreeForUdp(dnsPort)) && (await isFreeForTcp(dnsPort)) && (await isFreeForTcp(httpPort))) {
      return { dnsPort, httpPort };
    }
  }
}

async function claimStripe(): Promise<number> {
  for (let at = process.pid; ; at++) {
    const first = FIRST + (at % STRIPES) * STRIPE;
    const holder = createServer().listen(first, '127.0.0.1');
    holder.unref();
    const isOurs = await once(holder, 'listening').then(
      () => true,
      () => false,
    );
    if (isOurs) return first;
  }
}

async function isFreeForUdp(port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  socket.bind(port, '127.0.0.1');
  const isFree = await once(socket, 'listening').then(
    () => true,
    () => false,
  );
  socket.close();
  return isFree;
}

export async function isFreeForTcp(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  const isFree = await once(server, 'listening').then(
    () => true,
    () => false,
  );
  server.close();
  return isFree;
}
