/** One GET to one API server, at an address and under the endpoint's name: TLS verified, size bounded, never redirected. */
import { once } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import type { ConnectionOptions } from 'node:tls';
import { redacted } from '../aws/failure.ts';
import { SourceError, type SourceFailure } from '../source-error.ts';
import type { KubernetesIdentity } from './identity.ts';

export interface ApiServer {
  readonly address: string;
  /** The name that its certificate must have. */
  readonly serverName: string;
  readonly identity: KubernetesIdentity;
}

export interface ApiAnswer {
  readonly status: number;
  /** undefined where the body is not JSON. */
  readonly body: unknown;
}

const IDLE_MS = 3_000; // until connected, and between octets of the answer: three dead addresses fit the deadline
const MAX_ANSWER_OCTETS = 1024 * 1024;

/** The answer, whatever its status. Throws SourceError where none came. */
export async function getFromApi(server: ApiServer, path: string, signal: AbortSignal): Promise<ApiAnswer> {
  const call = start(server, path, signal);
  try {
    const [response] = await once(call, 'response');
    return await readAnswer(response);
  } catch (error) {
    throw signal.aborted
      ? failure(server, 'timeout', 'no answer within the deadline')
      : explained(server, error);
  } finally {
    call.destroy();
  }
}

function start(
  { address, serverName, identity }: ApiServer,
  path: string,
  signal: AbortSignal,
): ClientRequest {
  const { port, secureContext, authorization } = identity;
  // node's types for requests leave out this option of the TLS connection below them
  const options: RequestOptions & Pick<ConnectionOptions, 'secureContext'> = {
    host: address,
    port,
    path,
    servername: serverName,
    secureContext,
    agent: false,
    signal,
    timeout: IDLE_MS,
    headers: {
      host: serverName,
      accept: 'application/json',
      'user-agent': 'outpost-dns',
      ...(authorization === undefined ? {} : { authorization }),
    },
  };
  const call = request(options);
  call.on('timeout', () => call.destroy(new SilenceError()));
  call.on('error', () => {}); // `once` below rejects with it; an error after the answer is ignored
  call.end();
  return call;
}

class SilenceError extends Error {
  readonly code = 'ETIMEDOUT';
}

async function readAnswer(response: IncomingMessage): Promise<ApiAnswer> {
  const parts: Uint8Array[] = [];
  let octets = 0;
  for await (const part of response) {
    parts.push(part);
    octets += part.length;
    if (octets > MAX_ANSWER_OCTETS) throw new OversizeError();
  }
  return { status: response.statusCode ?? 0, body: parsed(Buffer.concat(parts).toString('utf8')) };
}

class OversizeError extends Error {
  readonly code = 'OVERSIZE';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const NETWORK =
  /^(ECONNREFUSED|ECONNRESET|ECONNABORTED|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|EADDRNOTAVAIL|EPIPE)$/;
/** How the server refuses our certificate: RFC 8446 section 6.2. */
const REFUSED_CERTIFICATE = /^ERR_SSL_.*ALERT.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/;
const BAD_CERTIFICATE = /^(CERT_|ERR_TLS_CERT|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH)/;

function explained(server: ApiServer, error: unknown): SourceError {
  const code = String((error instanceof Error ? Reflect.get(error, 'code') : undefined) ?? 'unknown');
  if (code === 'OVERSIZE') {
    return failure(server, 'malformed', `an answer of more than ${MAX_ANSWER_OCTETS} octets`);
  }
  if (code === 'ETIMEDOUT') return failure(server, 'timeout', 'no answer in time');
  if (NETWORK.test(code)) return failure(server, 'network', code);
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return failure(
      server,
      'clock-skew',
      `its certificate is refused: ${code}: the clock of this host may be wrong`,
    );
  }
  if (BAD_CERTIFICATE.test(code)) {
    const cause = 'another server, or another certificate authority than the cluster has';
    return failure(server, 'untrusted-certificate', `its certificate is refused: ${code}: ${cause}`);
  }
  if (REFUSED_CERTIFICATE.test(code)) {
    const reason = code.includes('EXPIRED') ? 'expired-credentials' : 'denied';
    return failure(server, reason, `it refuses the client certificate: ${code}`);
  }
  return failure(server, 'malformed', `no answer in HTTP over TLS: ${code}`);
}

function failure({ address }: ApiServer, reason: SourceFailure['reason'], why: string): SourceError {
  const detail = redacted(`asking the api server at ${address} failed: ${why}`);
  return new SourceError({ reason, reachedFarSide: false, detail });
}
