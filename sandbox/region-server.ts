import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { pipeline, Readable } from 'node:stream';
import type { Faults, LinkState, LinkSwitch } from './faults.ts';
import type { Delivery, SeenRequest } from './region-answers.ts';
import { RegionAnswers } from './region-answers.ts';
import type { RegionState } from './region-state.ts';
import { listening } from './sandbox-error.ts';

export interface RegionServerOptions {
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
  readonly state: RegionState;
  readonly faults: Faults;
  readonly link: LinkSwitch;
}

const BODY_LIMIT = 1024 * 1024; // octets; the services' own limits are lower

/** All services of the Region on one HTTP port, at the far end of a link that can be cut. */
export class RegionServer implements AsyncDisposable {
  readonly #answers: RegionAnswers;
  readonly #state: RegionState;
  readonly #link: LinkSwitch;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Connections that lost octets while the link was down: they are closed when it is up again. */
  readonly #stranded = new Set<Socket>();

  constructor({ state, faults, link }: RegionServerOptions) {
    this.#answers = new RegionAnswers(state, faults);
    this.#state = state;
    this.#link = link;
    this.#server = createServer((request, response) => this.#take(request, response));
    this.#server.on('connection', (socket) => this.#connected(socket));
    link.onChange((state) => this.#linkChanged(state));
  }

  /** Throws SandboxError `port-taken`. */
  static async listen(options: RegionServerOptions): Promise<RegionServer> {
    const region = new RegionServer(options);
    await listening(region.#server, { host: options.address, port: options.port }, 'the simulated Region');
    return region;
  }

  get url(): string {
    // a server that listens on TCP has an AddressInfo; node's type also covers pipes and closed servers
    const { address, port } = this.#server.address() as AddressInfo;
    return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
  }

  /** The latest requests that arrived, oldest first. */
  get requests(): readonly SeenRequest[] {
    return this.#answers.seen;
  }

  countOf(operation: string): number {
    return this.#answers.seen.filter((seen) => seen.operation === operation).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #connected(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#stranded.delete(socket);
    });
    if (this.#link.state === 'refused') socket.resetAndDestroy();
    if (this.#link.state === 'down') this.#stranded.add(socket);
  }

  #linkChanged(state: LinkState): void {
    if (state === 'refused') for (const socket of this.#sockets) socket.resetAndDestroy();
    if (state === 'up') for (const socket of this.#stranded) socket.destroy();
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      chunks.push(chunk);
      if (size > BODY_LIMIT) request.socket.destroy();
    });
    request.on('end', () => {
      if (this.#isCut(request.socket)) return;
      const { method = '', url: target = '/', headers } = request;
      try {
        this.#deliver(
          this.#answers.decide({ method, target, headers, body: Buffer.concat(chunks) }),
          response,
        );
      } catch (error) {
        // a request that no SDK would send; the simulation must outlive it
        response.writeHead(500, { 'content-type': 'text/plain' }).end(`${String(error)}\n`);
      }
    });
    request.on('error', () => request.socket.destroy());
  }

  #isCut(socket: Socket): boolean {
    if (this.#link.state === 'up') return false;
    this.#stranded.add(socket);
    return true;
  }

  #deliver(delivery: Delivery, response: ServerResponse): void {
    if (delivery.manner === 'hang') return;
    if (delivery.manner === 'reset') {
      response.socket?.resetAndDestroy();
      return;
    }
    // the SDK sets its own clock by this header, so it has to tell the Region's time
    response.setHeader('date', new Date(this.#state.nowMs()).toUTCString());
    if (delivery.manner === 'endless') {
      response.writeHead(delivery.status, { ...delivery.headers });
      pipeline(Readable.from(endlessly(Buffer.from(delivery.body))), response, () => undefined);
      return;
    }
    const whole = Buffer.from(delivery.body);
    const body = delivery.manner === 'half' ? whole.subarray(0, whole.length >> 1) : whole;
    if (delivery.manner === 'half') response.setHeader('connection', 'close');
    response.writeHead(delivery.status, { ...delivery.headers, 'content-length': body.length });
    if (delivery.manner === 'drip') this.#drip(body, delivery.intervalMs, response);
    else response.end(body);
  }

  #drip(body: Buffer, intervalMs: number, response: ServerResponse): void {
    let sent = 0;
    response.flushHeaders();
    const timer = setInterval(() => {
      if (response.socket !== null && this.#isCut(response.socket)) return;
      response.write(body.subarray(sent, sent + 1));
      if (++sent >= body.length) response.end();
    }, intervalMs);
    response.on('close', () => clearInterval(timer));
    response.on('finish', () => clearInterval(timer));
  }
}

function* endlessly(body: Buffer): Iterable<Buffer> {
  const chunk = Buffer.concat(Array.from({ length: 100 }, () => body));
  for (;;) yield chunk;
}
