/** API servers of one cluster, simulated on loopback: HTTPS with a throwaway authority, lists in pages, and faults. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** What the server's certificate is for: see test/fixtures/tls/README.md. */
export const API_NAME = 'abc0123456789.gr7.us-west-2.eks.amazonaws.com';

const fixture = (name: string): URL => new URL(`../fixtures/tls/kubernetes-${name}`, import.meta.url);
const textOf = (name: string): string => readFileSync(fixture(name), 'utf8');

export const pem = {
  ca: textOf('ca.crt'),
  certificate: textOf('client.crt'),
  expiredCertificate: textOf('client-expired.crt'),
  key: textOf('client.key'),
};

export const fileOf = (name: string): string => fixture(name).pathname;

export interface Slice {
  readonly addressType: string;
  readonly endpoints: readonly unknown[] | null;
  readonly ports: readonly unknown[] | null;
}

export function slice(addresses: readonly string[], more: Partial<Slice> = {}): Slice {
  const endpoints = addresses.map((address) => ({ addresses: [address], conditions: { ready: true } }));
  return { addressType: 'IPv4', endpoints, ports: [{ name: 'https', port: 443, protocol: 'TCP' }], ...more };
}

export interface Asked {
  /** The address of the server that was asked. */
  readonly at: string;
  readonly path: string;
  readonly serverName: string | false | null;
  readonly authorization: string | undefined;
}

/** One cluster: every server tells the same, unless a fault or a view of its own is set. */
export class ApiServers {
  slices: readonly Slice[] = [];
  /** undefined: 404. */
  endpoints: unknown;
  /** Instead of slices: this status. */
  slicesStatus = 200;
  endpointsStatus = 200;
  itemsPerPage = Number.POSITIVE_INFINITY;
  /** Whether the client is accepted; a certificate of the authority or the token, by default. */
  accepts: (request: IncomingMessage) => boolean;
  token = 'the-token';
  /** Does something else than answer, at this address. */
  readonly faults = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>();
  readonly views = new Map<string, readonly Slice[]>();
  readonly asked: Asked[] = [];
  readonly #servers: Server[] = [];
  port = 0;

  private constructor() {
    this.accepts = (request) =>
      // the assertion: the server's sockets are TLS ones
      (request.socket as TLSSocket).authorized || request.headers.authorization === `Bearer ${this.token}`;
  }

  /** Listens at these loopback addresses, on one port. */
  static async start(
    addresses: readonly string[],
    options: { readonly refuse?: boolean } = {},
  ): Promise<ApiServers> {
    const servers = new ApiServers();
    for (const address of addresses) await servers.#listen(address, options.refuse ?? false);
    return servers;
  }

  /** For the port that they listen on; `user` and `cluster` are added as they stand. */
  kubeconfig(user: object, cluster: object = {}): string {
    const server = `https://whatever.example:${this.port}`;
    const authority = { 'certificate-authority-data': Buffer.from(pem.ca).toString('base64') };
    return JSON.stringify({
      'current-context': 'site',
      contexts: [{ name: 'site', context: { cluster: 'local', user: 'me' } }],
      clusters: [{ name: 'local', cluster: { server, ...authority, ...cluster } }],
      users: [{ name: 'me', user }],
    });
  }

  async #listen(address: string, rejectUnauthorized: boolean): Promise<void> {
    const server = createServer(
      // as an API server: a certificate is asked for, and judged in HTTP
      {
        key: textOf('server.key'),
        cert: textOf('server.crt'),
        ca: pem.ca,
        requestCert: true,
        rejectUnauthorized,
      },
      (request, response) => this.#answer(address, request, response),
    );
    server.listen(this.port, address);
    await once(server, 'listening');
    this.#servers.push(server);
    // the assertion: it listens on TCP, so its address is no path
    this.port = (server.address() as AddressInfo).port;
  }

  #answer(at: string, request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    // the assertion: the server's sockets are TLS ones
    const { servername } = request.socket as TLSSocket & { servername: Asked['serverName'] };
    this.asked.push({ at, path, serverName: servername, authorization: request.headers.authorization });
    const fault = this.faults.get(at);
    if (fault !== undefined) fault(request, response);
    else if (!this.accepts(request)) status(response, 401);
    else this.#answerAccepted(at, new URL(path, 'https://api'), response);
  }

  #answerAccepted(at: string, url: URL, response: ServerResponse): void {
    const isSlices = url.pathname === '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
    const isEndpoints = url.pathname === '/api/v1/namespaces/default/endpoints/kubernetes';
    const isSelective = url.searchParams.get('labelSelector') === 'kubernetes.io/service-name=kubernetes';
    if (url.pathname === '/api') json(response, { kind: 'APIVersions', versions: ['v1'] });
    else if (isSlices && this.slicesStatus !== 200) status(response, this.slicesStatus);
    else if (isSlices) isSelective ? json(response, this.#pageOf(at, url)) : status(response, 400);
    else if (isEndpoints && this.endpointsStatus !== 200) status(response, this.endpointsStatus);
    else if (isEndpoints && this.endpoints !== undefined) json(response, this.endpoints);
    else status(response, 404);
  }

  #pageOf(at: string, { searchParams }: URL): object {
    const all = this.views.get(at) ?? this.slices;
    const from = Number(searchParams.get('continue') ?? 0);
    const to = from + Math.min(this.itemsPerPage, Number(searchParams.get('limit')));
    const metadata = to < all.length ? { continue: String(to) } : {};
    return {
      kind: 'EndpointSliceList',
      apiVersion: 'discovery.k8s.io/v1',
      metadata,
      items: all.slice(from, to),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    }
  }
}

export function json(response: ServerResponse, body: unknown): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(body));
}

export function status(response: ServerResponse, code: number): void {
  response.statusCode = code;
  json(response, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code });
}
