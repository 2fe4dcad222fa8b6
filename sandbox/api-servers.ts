/**
 * The API servers of the simulated clusters: real TLS, reached through an HTTP proxy (CONNECT) on loopback, because the host
 * has none of the simulated addresses. The API server of a cluster answers at the addresses of its interfaces. At an address
 * that was given to another host, that host answers. At any other address nobody answers. They stand on the site: a cut does
 * not touch them.
 */
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type Server } from 'node:http';
import { createServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { API_SERVER, OTHER_HOST } from './certificates.ts';
import type { RegionState } from './region-state.ts';

/** What answers at an address in place of what the interfaces say. */
export type Host = 'api' | 'other' | 'none';

export class ApiServers implements AsyncDisposable {
  /** By address. */
  readonly hosts = new Map<string, Host>();
  readonly #state: RegionState;
  readonly #proxy: Server;
  readonly #servers: Readonly<Record<Exclude<Host, 'none'>, HttpsServer>>;
  readonly #sockets = new Set<Duplex>();

  private constructor(state: RegionState) {
    this.#state = state;
    this.#servers = { api: httpsServer(API_SERVER), other: httpsServer(OTHER_HOST) };
    this.#proxy = createHttpServer((_, response) => response.writeHead(405).end());
    this.#proxy.on('connection', (socket) => this.#keep(socket));
    this.#proxy.on('connect', (request: IncomingMessage, socket: Duplex) => this.#connect(request, socket));
  }

  /** @param address a loopback address */
  static async listen(address: string, state: RegionState): Promise<ApiServers> {
    const servers = new ApiServers(state);
    servers.#proxy.listen(0, address);
    await once(servers.#proxy, 'listening');
    return servers;
  }

  /** `host:port` of the proxy. */
  get proxy(): string {
    // the assertion: it listens on TCP, so its address is no path
    const { address, port } = this.#proxy.address() as AddressInfo;
    return `${address}:${port}`;
  }

  #hostAt(address: string): Host {
    const isOfCluster = ({ name, region }: { readonly name: string; readonly region: string }) =>
      this.#state.interfacesOf(name, region).some((face) => face.address === address);
    return this.hosts.get(address) ?? (this.#state.clusters.some(isOfCluster) ? 'api' : 'none');
  }

  #connect({ url = '' }: IncomingMessage, socket: Duplex): void {
    this.#keep(socket);
    const host = this.#hostAt(url.split(':')[0] ?? '');
    if (host === 'none') {
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
      return;
    }
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    this.#servers[host].emit('connection', socket);
  }

  #keep(socket: Duplex): void {
    if (this.#sockets.has(socket)) return;
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#proxy, 'close');
    this.#proxy.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** It never listens: connections are handed to it. */
function httpsServer(certificate: { readonly cert: string; readonly key: string }): HttpsServer {
  const version = JSON.stringify({ major: '1', minor: '33', gitVersion: 'v1.33.4-eks-sandbox' });
  return createServer(certificate, (request, response) => {
    const isVersion = request.url === '/version';
    const body = isVersion ? version : JSON.stringify({ kind: 'Status', status: 'Failure', code: 401 });
    response.writeHead(isVersion ? 200 : 401, { 'content-type': 'application/json' }).end(body);
  });
}
