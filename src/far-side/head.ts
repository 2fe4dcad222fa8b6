/**
 * Sends one HEAD request to a host of AWS, and decides who answered: AWS, a proxy or portal in its place, or nobody. The request
 * needs no credentials and no SDK. It uses the same proxy and authorities as the requests of the SDK: at the end are the
 * connections of both.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIPv6, type LookupFunction } from 'node:net';
import { isNameOfAws } from '../protocol/words/aws-partitions.ts';
import { untilAborted } from '../runtime/clock.ts';
import { classifyAwsFailure } from './aws/failure.ts';
import type { SharedFiles } from './local-files.ts';
import { hostOf, type Outbound, proxyFor, shownProxy } from './outbound.ts';

export interface HeadRequest {
  /** A URL with the scheme http or https. */
  readonly url: string;
  /** The address of the host to connect to: the proxy, if this URL has a proxy. Without it the system resolver finds the address. */
  readonly address?: string | undefined;
  /** The AWS profile whose authorities count; left out: that of the environment. */
  readonly profile?: string | undefined;
}

/**
 * `silent`: nothing could be asked, which says nothing for or against the link. `proxy`, `untrusted-certificate`: something
 * in between answered, which is neither an answer of AWS nor a cut.
 */
export type HeadOutcome = 'answered' | 'silent' | 'timeout' | 'network' | 'proxy' | 'untrusted-certificate';

export type Head = (request: HeadRequest, signal: AbortSignal) => Promise<HeadOutcome>;

/** The agent closes a connection after this time: one to a proxy that does not answer outlives its request. */
const LONGEST_MS = 10_000;

export interface HeadDeps {
  readonly outbound: Outbound;
  readonly shared: Pick<SharedFiles, 'authorities'>;
}

export async function headOf(
  request: HeadRequest,
  deps: HeadDeps,
  signal: AbortSignal,
): Promise<HeadOutcome> {
  return (await headWithDate(request, deps, signal)).outcome;
}

/** As `headOf`, with the time that AWS wrote into its answer. */
export async function headWithDate(
  request: HeadRequest,
  { outbound, shared }: HeadDeps,
  signal: AbortSignal,
): Promise<{ readonly outcome: HeadOutcome; readonly dateMs?: number }> {
  const url = new URL(request.url);
  const proxy = proxyFor(url, outbound);
  try {
    const authorities = await untilAborted(shared.authorities(request.profile), signal, givenUp);
    const response = await send(url, request.address, proxy, authorities, signal);
    if (!isOfAws(url, response)) return { outcome: 'proxy' };
    const dateMs = Date.parse(response.headers.date ?? '');
    return { outcome: 'answered', ...(Number.isNaN(dateMs) ? {} : { dateMs }) };
  } catch (error) {
    return { outcome: failureOf(error, proxy, signal) };
  }
}

function failureOf(error: unknown, proxy: string | undefined, signal: AbortSignal): HeadOutcome {
  if (signal.aborted) return 'timeout';
  const { reason } = classifyAwsFailure(proxy === undefined ? error : markedBy(proxy, error), 0);
  if (reason === 'no-credentials') return 'silent'; // a file of AWS's configuration that hangs: nothing was sent
  if (reason === 'proxy' || reason === 'untrusted-certificate' || reason === 'timeout') return reason;
  // a certificate that has ended: this host's clock may be wrong, and AWS, or something in between, has answered
  return reason === 'clock-skew' ? 'untrusted-certificate' : 'network';
}

async function send(
  url: URL,
  address: string | undefined,
  proxy: string | undefined,
  authorities: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const dialled = proxy === undefined ? undefined : proxyAt(proxy, address);
  const agents = agentsFor({ proxy: dialled, authorities, timeoutMs: LONGEST_MS, keepAlive: false });
  const isPlain = url.protocol === 'http:';
  const options = {
    method: 'HEAD',
    agent: isPlain ? agents.http : agents.https,
    signal,
    ...(proxy === undefined && address !== undefined ? { lookup: lookupOf(address) } : {}),
  };
  return new Promise((resolve, reject) => {
    const call = (isPlain ? httpRequest : httpsRequest)(url, options, (response) => {
      response.destroy();
      resolve(response);
    });
    call.on('error', reject);
    // while a tunnel is made, an aborted request reports that only after the proxy has answered
    signal.addEventListener('abort', () => reject(givenUp()), { once: true });
    if (signal.aborted) reject(givenUp());
    call.end();
  });
}

const givenUp = () => new Error('given up');

/** A proxy that speaks TLS keeps its name: its certificate is issued to that. */
function proxyAt(proxy: string, address: string | undefined): string {
  const url = new URL(proxy);
  if (address === undefined || url.protocol === 'https:') return proxy;
  url.hostname = isIPv6(address) ? `[${address}]` : address;
  return url.href;
}

function lookupOf(address: string): LookupFunction {
  const family = isIPv6(address) ? 6 : 4;
  return (_host, options, done) => {
    if (options.all) done(null, [{ address, family }]);
    else done(null, address, family);
  };
}

/** Gateways, proxies and portals answer with these; AWS does not without a mark of its own. */
const FOREIGN_STATUS: ReadonlySet<number> = new Set([407, 502, 503, 504, 511]);

function isOfAws(url: URL, { statusCode = 0, headers }: IncomingMessage): boolean {
  if (Object.keys(headers).some((name) => name.startsWith('x-amz'))) return true;
  if (/amazon|aws/i.test(String(headers['server'] ?? ''))) return true;
  if (FOREIGN_STATUS.has(statusCode)) return false;
  // an endpoint of the operator's own may be any server
  if (!isNameOfAws(hostOf(url))) return true;
  const isRedirect = statusCode >= 300 && statusCode < 400;
  return !isRedirect && !/^(text\/html|application\/xhtml)/i.test(headers['content-type'] ?? '');
}

// Connections to AWS, directly or through a proxy, with the authorities that the operator trusts. Node's own agents know CONNECT,
// but have two traps. A proxy that never answers CONNECT keeps its socket after the request was aborted: so the agent has a
// timeout. An error does not show whether it came from the proxy: so it is marked.

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

/** The same error, with the proxy that the request went through. */
export function markedBy(proxy: string, error: unknown): unknown {
  if (typeof error === 'object' && error !== null) Reflect.set(error, 'viaProxy', shownProxy(proxy));
  return error;
}
