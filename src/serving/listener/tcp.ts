/** TCP on one address: accepts connections into the slots that all addresses share. */
import { createServer, isIPv6, type Server } from 'node:net';
import type { Log } from '../../log/log.ts';
import type { Timers } from '../../runtime/timers.ts';
import { COUNT } from './counters.ts';
import type { ListenAddress } from './listen-address.ts';
import type { TcpConnection } from './tcp-connection.ts';
import type { TcpSlots } from './tcp-slots.ts';

export interface TcpListenerContext {
  readonly slots: TcpSlots;
  readonly timers: Timers;
  readonly log: Log;
}

const BACKLOG = 511;

export class TcpListener {
  readonly #context: TcpListenerContext;
  readonly #server: Server;
  readonly #own = new Set<TcpConnection>();
  #address: ListenAddress;
  #closed: Promise<void> | undefined;

  constructor(address: ListenAddress, context: TcpListenerContext) {
    this.#address = address;
    this.#context = context;
    // half open: a client that has sent all it will send still waits for its replies
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const connection = context.slots.accept(socket);
      if (connection === undefined) return;
      this.#own.add(connection);
      socket.on('close', () => this.#own.delete(connection));
    });
  }

  get address(): ListenAddress {
    return this.#address;
  }

  /** Resolves when connections are accepted; rejects with the system's error when the address cannot be bound. */
  async start(): Promise<void> {
    const server = this.#server;
    const { address, port } = this.#address;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      const options = { host: address, port, backlog: BACKLOG, ipv6Only: isIPv6(address), exclusive: true };
      server.listen(options, () => {
        server.off('error', reject);
        resolve();
      });
    });
    const bound = server.address();
    if (bound !== null && typeof bound === 'object') this.#address = { address, port: bound.port };
    server.on('error', (error) => {
      // out of descriptors, most likely: those who are connected are served on
      this.#context.slots.intake.counters.add(COUNT.tcpAcceptErrors);
      this.#context.log.debug({ err: error, address }, 'accepting a tcp connection failed');
    });
  }

  /** Accepts no more; its connections leave once they are answered, or after `graceMs`. Called again with 0: at once. */
  close(graceMs: number): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      const deadline = this.#context.timers.after(graceMs, () => this.#destroyAll());
      this.#server.close(() => {
        deadline[Symbol.dispose]();
        resolve();
      });
      for (const connection of this.#own) connection.finish(COUNT.tcpClosedByServer);
    });
    if (graceMs === 0) this.#destroyAll();
    return this.#closed;
  }

  #destroyAll(): void {
    for (const connection of this.#own) connection.destroy(COUNT.tcpClosedByServer);
  }
}
