/** A proxy on loopback that takes CONNECT and absolute URLs, and misbehaves as it is told; and a TLS end for a plain server. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, request as httpRequest, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';

const fixture = (name: string): URL => new URL(`../fixtures/tls/aws-${name}`, import.meta.url);

/** The authority behind `certificate`. */
export const AUTHORITY_FILE = fixture('ca.crt').pathname;
export const authority = readFileSync(fixture('ca.crt'), 'utf8');
export const certificate = {
  cert: readFileSync(fixture('server.crt'), 'utf8'),
  key: readFileSync(fixture('server.key'), 'utf8'),
};

export type ProxyManner =
  | 'tunnel'
  | 'hang'
  /** The connection ends before an answer to CONNECT. */
  | 'drop'
  /** The connection is reset before an answer to CONNECT. */
  | 'reset'
  /** The tunnel is granted, and ends at once. */
  | 'drop-tunnel'
  /** Half a head, and nothing more. */
  | 'half'
  /** No HTTP. */
  | 'babble'
  /** A refusal with this status and a page of the proxy's own. */
  | number;

export interface ProxyOptions {
  /** Where tunnels lead, whatever the host that was asked for. */
  readonly target: { readonly host: string; readonly port: number };
  readonly manner?: ProxyManner;
  /** `user:password`; others get 407. */
  readonly credentials?: string;
  readonly address?: string;
  /** The proxy itself speaks TLS. */
  readonly isSecure?: boolean;
}

export class ConnectProxy implements AsyncDisposable {
  manner: ProxyManner;
  /** Hosts and ports of CONNECT, and absolute URLs. */
  readonly asked: string[] = [];
  readonly #options: ProxyOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();

  private constructor(options: ProxyOptions) {
    this.#options = options;
    this.manner = options.manner ?? 'tunnel';
    const server = options.isSecure ? createHttpsServer(certificate) : createHttpServer();
    server.on('connection', (socket: Socket) => this.#keep(socket));
    server.on('connect', (request: IncomingMessage, socket: Duplex) => this.#connect(request, socket));
    server.on('request', (request: IncomingMessage, response) => {
      this.asked.push(request.url ?? '');
      const isKnown = this.#isKnown(request);
      if (this.manner !== 'tunnel' || !isKnown) {
        if (this.manner === 'hang') return;
        if (typeof this.manner === 'string' && isKnown) {
          request.socket.destroy();
          return;
        }
        const status = isKnown ? Number(this.manner) : 407;
        response.writeHead(status, { 'content-type': 'text/html', via: '1.1 proxy' }).end(page(status));
        return;
      }
      const { host, port } = options.target;
      const { pathname, search } = new URL(request.url ?? '');
      const { method, headers } = request;
      const onward = httpRequest({ host, port, method, path: pathname + search, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.destroy());
      request.pipe(onward);
    });
    this.#server = server;
  }

  static async start(options: ProxyOptions): Promise<ConnectProxy> {
    const proxy = new ConnectProxy(options);
    proxy.#server.listen(0, options.address ?? '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    // the assertion: it listens on TCP, so its address is no path
    return (this.#server.address() as AddressInfo).port;
  }

  /** `user` as `user:password`. */
  url(user = ''): string {
    const { address = '127.0.0.1', isSecure } = this.#options;
    const host = address.includes(':') ? `[${address}]` : address;
    return `${isSecure ? 'https' : 'http'}://${user === '' ? '' : `${user}@`}${host}:${this.port}`;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Behaves so from now on, for what came through it before as well. */
  become(manner: ProxyManner): void {
    this.manner = manner;
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #keep(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
  }

  #isKnown({ headers }: IncomingMessage): boolean {
    const { credentials } = this.#options;
    const expected = `Basic ${Buffer.from(credentials ?? '').toString('base64')}`;
    return credentials === undefined || headers['proxy-authorization'] === expected;
  }

  #connect(request: IncomingMessage, socket: Duplex): void {
    this.asked.push(request.url ?? '');
    this.#keep(socket);
    const manner = this.#isKnown(request) ? this.manner : 407;
    switch (manner) {
      case 'hang':
        endsWithClient(socket);
        return;
      case 'drop':
        socket.end();
        return;
      case 'reset':
        // the assertion: a CONNECT comes over TCP
        (socket as Socket).resetAndDestroy();
        return;
      case 'drop-tunnel':
        socket.end('HTTP/1.1 200 Connection established\r\n\r\n');
        return;
      case 'half':
        socket.write('HTTP/1.1 200 Conn');
        endsWithClient(socket);
        return;
      case 'babble':
        socket.end('220 mail.example ESMTP\r\n\r\n');
        return;
      case 'tunnel': {
        const { host, port } = this.#options.target;
        const onward = connect(port, host, () => {
          socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
          onward.pipe(socket);
          socket.pipe(onward);
        });
        this.#keep(onward);
        onward.on('error', () => socket.destroy());
        onward.on('close', () => socket.destroy());
        socket.on('close', () => onward.destroy());
        return;
      }
      default:
        socket.end(`HTTP/1.1 ${manner} Refused\r\ncontent-type: text/html\r\n\r\n${page(manner)}`);
    }
  }
}

/** Node leaves the connection of a CONNECT half open, and unread. */
function endsWithClient(socket: Duplex): void {
  socket.on('end', () => socket.destroy());
  socket.resume();
}

function page(status: number): string {
  return `<!DOCTYPE html><html><body><h1>${status}</h1>the proxy's own page</body></html>\n`;
}

/** HTTPS in front of a plain HTTP server, with the certificate of the fixtures. */
export async function tlsBefore(url: string): Promise<AsyncDisposable & { readonly port: number }> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Duplex>();
  const server = createTlsServer(certificate, (socket) => {
    const onward = connect(Number(port), hostname);
    for (const one of [socket, onward]) {
      sockets.add(one);
      one.on('error', () => {});
    }
    socket.on('close', () => onward.destroy());
    onward.on('close', () => socket.destroy());
    socket.pipe(onward).pipe(socket);
  });
  server.on('tlsClientError', () => {}); // a client that does not know the authority
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    // the assertion: it listens on TCP, so its address is no path
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
