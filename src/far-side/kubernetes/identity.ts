/**
 * The identity of this server towards the API server, read from its files at each poll: certificates and tokens are rotated
 * while the process runs. No message quotes the content of a file. A call to the API server is made with this identity.
 */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { type ConnectionOptions, createSecureContext, type SecureContext } from 'node:tls';
import { type SourceError, type SourceFailure, unanswered } from '../../records/observation.ts';
import { systemCode } from '../../runtime/system-errors.ts';
import { noCredentials, redacted } from '../aws/failure.ts';
import { type LocalFiles, whyUnread } from '../local-files.ts';
import type { Kubeconfig, Material } from './kubeconfig.ts';

/** Paths of files. */
export type KubernetesAccess =
  | { readonly kind: 'kubeconfig'; readonly kubeconfig: string }
  | {
      readonly kind: 'certificate';
      readonly certificate: string;
      readonly key: string;
      /** Left out: the authority from DescribeCluster. */
      readonly ca?: string;
    };

export interface KubernetesSettings {
  /** How this server is known to the API server; without it the poll fails. */
  readonly kubernetes?: KubernetesAccess | undefined;
}

export interface KubernetesIdentity {
  readonly port: number;
  readonly secureContext: SecureContext;
  /** The value of the header, where there is a token. */
  readonly authorization: string | undefined;
  /** The end of the client certificate, wall ms; undefined without a client certificate. */
  readonly certificateEndsMs: number | undefined;
}

/** `authority` is the cluster's own certificate authority, base64 of PEM, where known. Throws SourceError `no-credentials`. */
export async function readIdentity(
  access: KubernetesAccess,
  authority: string | undefined,
  files: Pick<LocalFiles, 'text'>,
): Promise<KubernetesIdentity> {
  const read = (material: Material) => textOf(material, files);
  const described = await describe(access, files);
  const remembered: Material | undefined =
    authority === undefined
      ? undefined
      : { kind: 'text', text: Buffer.from(authority, 'base64').toString('utf8') };
  const ca = described.certificateAuthority ?? remembered;
  // public authorities never sign for a cluster: trusting them would let others name the addresses
  if (ca === undefined) {
    throw noCredentials(
      'the certificate authority of the cluster is not known: name its file, or allow eks:DescribeCluster',
    );
  }
  const { certificate, token } = described;
  const pem = {
    ca: await read(ca),
    ...(certificate === undefined
      ? {}
      : { cert: await read(certificate.certificate), key: await read(certificate.key) }),
  };
  return {
    port: described.port,
    secureContext: contextOf(pem),
    authorization: token === undefined ? undefined : bearer(await read(token)),
    certificateEndsMs: pem.cert === undefined ? undefined : endOf(pem.cert),
  };
}

/** The text in PEM of the authority in the operator's own files; empty where they name none. Throws SourceError. */
export async function authorityOf(
  access: KubernetesAccess,
  files: Pick<LocalFiles, 'text'>,
): Promise<string> {
  const { certificateAuthority } = await describe(access, files);
  return certificateAuthority === undefined ? '' : textOf(certificateAuthority, files);
}

/** When the client certificate ends, wall ms; undefined without a client certificate. Throws where a file cannot be read. */
export async function certificateEnd(
  access: KubernetesAccess,
  files: Pick<LocalFiles, 'text'>,
): Promise<number | undefined> {
  const { certificate } = await describe(access, files);
  return certificate === undefined ? undefined : endOf(await textOf(certificate.certificate, files));
}

async function describe(access: KubernetesAccess, files: Pick<LocalFiles, 'text'>): Promise<Kubeconfig> {
  if (access.kind === 'kubeconfig') {
    const path = access.kubeconfig;
    // the parser of YAML and the schema take 3 MiB: a thread without a kubeconfig does not load them
    const { readKubeconfig } = await import('./kubeconfig.ts');
    return readKubeconfig(await textOf({ kind: 'file', path }, files), path);
  }
  const { certificate, key, ca } = access;
  return {
    port: 443,
    certificateAuthority: ca === undefined ? undefined : { kind: 'file', path: ca },
    certificate: { certificate: { kind: 'file', path: certificate }, key: { kind: 'file', path: key } },
    token: undefined,
  };
}

async function textOf(material: Material, files: Pick<LocalFiles, 'text'>): Promise<string> {
  if (material.kind === 'text') return material.text;
  const { path } = material;
  return files.text(path).catch((error: unknown) => {
    throw noCredentials(`reading "${path}" failed: ${whyUnread(error)}`);
  });
}

interface Pem {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

function contextOf(pem: Pem): SecureContext {
  try {
    new X509Certificate(pem.ca); // throws on a bad certificate, with which the context would trust no server
    return createSecureContext(pem);
  } catch (error) {
    // in the middle of a rotation certificate and key do not match: the next poll finds the new ones
    throw noCredentials(`certificate, key or certificate authority cannot be used: ${whyUnread(error)}`);
  }
}

function endOf(certificate: string): number {
  return new X509Certificate(certificate).validToDate.getTime();
}

/** RFC 6750 section 2.1; a header of anything else would be refused by node with the token in the text. */
function bearer(token: string): string {
  const trimmed = token.trim();
  if (!/^[\x21-\x7e]+$/.test(trimmed)) throw noCredentials('the token is empty, or not one word');
  return `Bearer ${trimmed}`;
}

// A call to the API server, with this identity.

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

/** Sends one GET with verified TLS, a size limit and no redirects. Returns an answer of any status; throws SourceError without an answer. */
export async function getFromApi(server: ApiServer, path: string, signal: AbortSignal): Promise<ApiAnswer> {
  const call = startCall(server, path, signal);
  try {
    const [response] = await once(call, 'response');
    return await readAnswer(response);
  } catch (error) {
    throw signal.aborted
      ? callFailure(server, 'timeout', 'no answer within the deadline')
      : explainedCall(server, error);
  } finally {
    call.destroy();
  }
}

function startCall(
  { address, serverName, identity }: ApiServer,
  path: string,
  signal: AbortSignal,
): ClientRequest {
  const { port, secureContext, authorization } = identity;
  // Node's type of a request has no `secureContext`, although the request hands it to `tls.connect`
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
  return { status: response.statusCode ?? 0, body: parsedJson(Buffer.concat(parts).toString('utf8')) };
}

class OversizeError extends Error {
  readonly code = 'OVERSIZE';
}

function parsedJson(text: string): unknown {
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

function explainedCall(server: ApiServer, error: unknown): SourceError {
  const code = systemCode(error) ?? 'unknown';
  if (code === 'OVERSIZE') {
    return callFailure(server, 'malformed', `an answer of more than ${MAX_ANSWER_OCTETS} octets`);
  }
  if (code === 'ETIMEDOUT') return callFailure(server, 'timeout', 'no answer in time');
  if (NETWORK.test(code)) return callFailure(server, 'network', code);
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return callFailure(
      server,
      'clock-skew',
      `its certificate is refused: ${code}: the clock of this host may be wrong`,
    );
  }
  if (BAD_CERTIFICATE.test(code)) {
    const cause = 'another server, or another certificate authority than the cluster has';
    return callFailure(server, 'untrusted-certificate', `its certificate is refused: ${code}: ${cause}`);
  }
  if (REFUSED_CERTIFICATE.test(code)) {
    const reason = code.includes('EXPIRED') ? 'expired-credentials' : 'denied';
    return callFailure(server, reason, `it refuses the client certificate: ${code}`);
  }
  return callFailure(server, 'malformed', `no answer in HTTP over TLS: ${code}`);
}

function callFailure({ address }: ApiServer, reason: SourceFailure['reason'], why: string): SourceError {
  return unanswered(reason, redacted(`asking the api server at ${address} failed: ${why}`));
}
