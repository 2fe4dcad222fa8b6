/**
 * Makes connections to AWS, directly or through a proxy, with the authorities that the operator trusts. Node's own agents know
 * CONNECT, but have two traps. A proxy that never answers CONNECT keeps its socket after the request was aborted: so the
 * agent has a timeout. An error does not show whether it came from the proxy: so it is marked.
 */
import http, { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { pipeline, Readable, Transform } from 'node:stream';
import { getCACertificates } from 'node:tls';
import type { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Log } from '../log/log.ts';
import { unanswered } from '../records/observation.ts';
import { FAR_SIDE_MESSAGES, type Outbound, proxyFor, shownProxy } from './outbound.ts';

export interface AgentOptions {
  readonly proxy?: string | undefined;
  /** PEM; undefined: those that Node trusts. */
  readonly authorities?: readonly string[] | undefined;
  /** For the connection to the proxy, CONNECT and its answer; afterwards without an octet. */
  readonly timeoutMs: number;
  readonly keepAlive: boolean;
}

export function agentsFor({ proxy, authorities, timeoutMs, keepAlive }: AgentOptions) {
  const common = { keepAlive, maxSockets: 50, ...(proxy === undefined ? {} : { timeout: timeoutMs }) };
  return {
    http: new HttpAgent({ ...common, ...(proxy === undefined ? {} : { proxyEnv: { HTTP_PROXY: proxy } }) }),
    https: new HttpsAgent({
      ...common,
      ...(authorities === undefined ? {} : { ca: [...authorities] }),
      ...(proxy === undefined ? {} : { proxyEnv: { HTTPS_PROXY: proxy } }),
    }),
  };
}

/** Warns when Node ignores the file in NODE_EXTRA_CA_CERTS. Without this warning a person would suspect that a proxy intercepts AWS. */
export function warnOfUnusedCertificates({ extraCertificates }: Outbound, log: Log): void {
  if (extraCertificates === undefined || getCACertificates('extra').length > 0) return;
  FAR_SIDE_MESSAGES.certificatesNotRead(log, { file: extraCertificates });
}

type HandlerOptions = NonNullable<ConstructorParameters<typeof NodeHttpHandler>[0]> & object;
type Handle = NodeHttpHandler['handle'];

/** Sends the requests of the SDK's clients. */
export interface OutboundHandler {
  readonly metadata: NodeHttpHandler['metadata'];
  readonly handle: Handle;
  readonly updateHttpClientConfig: NodeHttpHandler['updateHttpClientConfig'];
  readonly httpHandlerConfigs: NodeHttpHandler['httpHandlerConfigs'];
  /** The reason why the latest request got no answer; undefined after an answer. */
  readonly lastFailure: () => unknown;
  readonly destroy: () => void;
}

/** One handler of the SDK for each proxy, and one without; the URL of a request decides which one sends it. */
export async function createOutboundHandler(
  options: Exclude<HandlerOptions, () => unknown>,
  outbound: Outbound,
  authorities: readonly string[] | undefined,
): Promise<OutboundHandler> {
  const { NodeHttpHandler } = await import('@smithy/node-http-handler');
  // the SDK asks the instance metadata service with Node's global agent, which NODE_USE_ENV_PROXY sends to HTTP_PROXY
  http.globalAgent = new HttpAgent({ keepAlive: true });
  const ways = new Map<string | undefined, NodeHttpHandler>();
  const timeoutMs = (options.connectionTimeout ?? 0) + (options.requestTimeout ?? 0);
  const through = (proxy: string | undefined): NodeHttpHandler => {
    const known = ways.get(proxy);
    if (known !== undefined) return known;
    const { http, https } = agentsFor({ proxy, authorities, timeoutMs, keepAlive: true });
    const handler = new NodeHttpHandler({ ...options, httpAgent: http, httpsAgent: https });
    ways.set(proxy, handler);
    return handler;
  };
  const direct = through(undefined);
  let lastFailure: unknown;
  return {
    metadata: direct.metadata,
    async handle(request, more) {
      const proxy = proxyOf(request, outbound);
      try {
        const answer = await through(proxy).handle(request, more);
        lastFailure = undefined;
        answer.response.body = bounded(answer.response.body);
        return answer;
      } catch (error) {
        lastFailure = proxy === undefined ? error : markedBy(proxy, error);
        throw lastFailure;
      }
    },
    updateHttpClientConfig(key, value) {
      for (const handler of ways.values()) handler.updateHttpClientConfig(key, value);
    },
    httpHandlerConfigs: () => direct.httpHandlerConfigs(),
    lastFailure: () => lastFailure,
    destroy() {
      for (const handler of ways.values()) handler.destroy();
    },
  };
}

/** Twice the largest page of a listing: a thousand network interfaces with all their fields. */
const MAX_ANSWER_OCTETS = 8 * 1024 * 1024;

/**
 * The body of an answer, which fails where it is too long. The SDK has no bound, and a body that something in between sends
 * without end would take the memory of the whole server.
 */
function bounded(body: unknown): unknown {
  if (!(body instanceof Readable)) return body;
  let octets = 0;
  const limit = new Transform({
    transform(chunk: Uint8Array, _, done) {
      octets += chunk.length;
      done(octets > MAX_ANSWER_OCTETS ? tooLong() : null, chunk);
    },
  });
  // ends the connection of an answer that is too long, and passes on the error of one that broke off
  pipeline(body, limit, () => undefined);
  return limit;
}

const tooLong = () => unanswered('malformed', `an answer of more than ${MAX_ANSWER_OCTETS} octets`);

function proxyOf(request: Parameters<Handle>[0], outbound: Outbound): string | undefined {
  const port = request.port === undefined ? '' : `:${request.port}`;
  const url = URL.parse(`${request.protocol}//${request.hostname}${port}`);
  return url === null ? undefined : proxyFor(url, outbound);
}

/** The same error, with the proxy that the request went through. */
export function markedBy(proxy: string, error: unknown): unknown {
  if (typeof error === 'object' && error !== null) Reflect.set(error, 'viaProxy', shownProxy(proxy));
  return error;
}
