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
 * Each process has a range of ports by its pid, and goes round in it. So no test beside it checks the same port between the
 * check and the bind of a server.
 */
const STRIPE = 64;
const stripeAt = FIRST + (process.pid % ((LAST - FIRST) / STRIPE)) * STRIPE;
let turn = 0;

export async function freePorts(): Promise<Ports> {
  for (;;) {
    const dnsPort = stripeAt + ((turn++ * 2) % STRIPE);
    const httpPort = dnsPort + 1;
    if ((await isFreeForUdp(dnsPort)) && (await isFreeForTcp(dnsPort)) && (await isFreeForTcp(httpPort))) {
      return { dnsPort, httpPort };
    }
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
