/**
 * Tries to prove that the API server of a cluster answers at an address. The proof is one TLS handshake with the endpoint's
 * name, without a request and without a client certificate. It refuses to know earlier proofs and what is served; refresh/
 * decides that.
 *
 *     connect (direct, or by CONNECT through a proxy) -> handshake -> signed by an authority of the cluster? -> for its name?
 *
 * The clock of this host is no part of the proof. A certificate outside its time is still made with the key of the cluster.
 * After a power cut the clock is wrong more often than the certificate. The outcome says so. RFC 5280 section 6.1, RFC 9525.
 */
import { X509Certificate } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { CheckResult } from '../records/endpoint-record.ts';
import { InnerAbort, type Timers } from '../runtime/clock.ts';
import { systemCode } from '../runtime/system-errors.ts';
import { authorityOf, type KubernetesAccess } from './kubernetes/identity.ts';
import type { LocalFiles } from './local-files.ts';

export interface CheckRequest {
  /** IPv4. */
  readonly address: string;
  readonly port: number;
  /** The names that the certificate may have; the first is sent as SNI. */
  readonly names: readonly string[];
  readonly authorities: AuthorityPlaces;
  /** The HTTP proxy through which this host reaches API servers. */
  readonly proxy?: { readonly address: string; readonly port: number } | undefined;
  /** For connection and handshake together. */
  readonly timeoutMs: number;
}

/** Where the authorities of a cluster are found. All of them count: a file that has become old takes nothing away. */
export interface AuthorityPlaces {
  /** Base64 of PEM, as DescribeCluster gives it. */
  readonly described?: string | undefined;
  /** A file in PEM. */
  readonly file?: string | undefined;
  /** How the API server is asked: its files may name the authority as well. */
  readonly access?: KubernetesAccess | undefined;
}

const NOT_ASKED: CheckResult = { kind: 'untried', reason: 'not-asked' };

/** Bounds the sockets, and the handshakes that a processor works on: each takes it some milliseconds. */
const MOST_AT_ONCE = 32;

/** Proves addresses, a few at once. */
export class Prover {
  readonly #files: Pick<LocalFiles, 'text'>;
  readonly #timers: Timers;
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(files: Pick<LocalFiles, 'text'>, timers: Timers) {
    this.#files = files;
    this.#timers = timers;
  }

  /** Never rejects, and settles soon after its signal is aborted. */
  async prove(request: CheckRequest, signal: AbortSignal): Promise<CheckResult> {
    if (this.#running >= MOST_AT_ONCE) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#running++;
    try {
      if (signal.aborted) return NOT_ASKED;
      const authorities = await readAuthorities(request.authorities, this.#files);
      return await prove(request, authorities, signal, this.#timers);
    } catch {
      return NOT_ASKED;
    } finally {
      this.#running--;
      this.#queue.shift()?.();
    }
  }
}

async function prove(
  request: CheckRequest,
  authorities: readonly X509Certificate[],
  signal: AbortSignal,
  timers: Timers,
): Promise<CheckResult> {
  const connection = new InnerAbort(signal);
  let isLate = false;
  const timer = timers.after(request.timeoutMs, () => {
    isLate = true;
    over();
  });
  let socket: Socket | undefined;
  const over = (): void => {
    timer[Symbol.dispose]();
    socket?.destroy();
    connection[Symbol.dispose]();
  };
  try {
    socket = await reach(request, connection.signal);
    socket.once('close', over);
    connection.signal.addEventListener('abort', over, { once: true });
    if (authorities.length === 0) {
      over();
      return { kind: 'untried', reason: 'no-authority' };
    }
    const secure = await handshake(socket, request.names[0] ?? '', authorities, connection.signal);
    const outcome = judge(secure, request.names, authorities);
    // the connection ends in order, because the API server logs a broken end; the timer bounds the wait
    secure.end();
    return outcome;
  } catch (error) {
    over();
    if (signal.aborted) return NOT_ASKED;
    return isLate ? { kind: 'silent', reason: 'timeout' } : outcomeOf(error);
  }
}

/** A connection to the address. Rejects when the signal is aborted. */
async function reach({ address, port, proxy }: CheckRequest, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (proxy === undefined) {
      const socket = connectTcp({ host: address, port, signal });
      socket.once('connect', () => resolve(socket));
      socket.on('error', reject);
      return;
    }
    const call = httpRequest({
      host: proxy.address,
      port: proxy.port,
      method: 'CONNECT',
      path: `${address}:${port}`,
      headers: { host: `${address}:${port}` },
      agent: false,
      signal,
    });
    call.once('connect', (response, socket) => {
      socket.on('error', reject);
      if (response.statusCode === 200) return resolve(socket);
      socket.destroy();
      reject(new Error(`the proxy answered ${response.statusCode}`));
    });
    call.on('response', (response) => {
      response.destroy();
      reject(new Error('the proxy does not know CONNECT'));
    });
    call.on('error', reject);
    call.end();
  });
}

/** Rejects when the handshake fails or the signal is aborted; a wrong certificate is no failure of the handshake. */
async function handshake(
  socket: Socket,
  name: string,
  authorities: readonly X509Certificate[],
  signal: AbortSignal,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = connectTls({
      socket,
      servername: name,
      ca: authorities.map((one) => one.toString()),
      rejectUnauthorized: false, // `judge` decides, and says why
      checkServerIdentity: () => undefined,
    });
    const end = (error: unknown): void => {
      secure.destroy();
      reject(error);
    };
    secure.once('secureConnect', () => resolve(secure));
    secure.on('error', end);
    secure.once('close', () => reject(new Error('closed during the handshake')));
    signal.addEventListener('abort', () => end(signal.reason), { once: true });
    if (signal.aborted) end(signal.reason);
  });
}

/** How OpenSSL names a certificate outside its time. It names the last fault that it finds, which may hide a worse fault. */
const OUTSIDE_TIME: Readonly<Record<string, 'expired' | 'not-yet-valid'>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not-yet-valid',
};

function judge(
  secure: TLSSocket,
  names: readonly string[],
  authorities: readonly X509Certificate[],
): CheckResult {
  const certificate = secure.getPeerX509Certificate();
  if (certificate === undefined) return { kind: 'refused', reason: 'no-tls' };
  const fault = secure.authorized ? undefined : String(secure.authorizationError);
  const reason = fault === undefined ? undefined : OUTSIDE_TIME[fault];
  const isSigned = fault === undefined || (reason !== undefined && isSignedBy(certificate, authorities));
  if (!isSigned) return { kind: 'refused', reason: 'other-authority' };
  const isForName = names.some((name) => certificate.checkHost(name, { subject: 'never' }) !== undefined);
  if (!isForName) return { kind: 'refused', reason: 'other-name' };
  return reason === undefined ? { kind: 'proven' } : { kind: 'proven', reason };
}

/** Intermediate certificates that a server sends. Clusters of EKS have none. */
const MOST_INTERMEDIATES = 4;
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'; // RFC 5280 section 4.2.1.12

/** The chain of signatures from the certificate to an authority, at any time. */
function isSignedBy(certificate: X509Certificate, authorities: readonly X509Certificate[]): boolean {
  // node's types do not say that this is undefined for a certificate without the extension
  const purposes: readonly string[] | undefined = certificate.keyUsage;
  if (purposes !== undefined && !purposes.includes(SERVER_AUTH)) return false;
  const isIssued = (one: X509Certificate, by: X509Certificate) =>
    by.ca && one.checkIssued(by) && one.verify(by.publicKey);
  let current = certificate;
  for (let count = 0; count <= MOST_INTERMEDIATES; count++) {
    const issued = current;
    if (authorities.some((authority) => isIssued(issued, authority))) return true;
    const next = current.issuerCertificate;
    if (next === undefined || !isIssued(current, next)) return false;
    current = next;
  }
  return false;
}

const NETWORK =
  /^(ECONNREFUSED|ECONNRESET|ECONNABORTED|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ETIMEDOUT|EPIPE)$/;
/** Faults of this host: too many sockets, no address to send from. */
const OWN = /^(EMFILE|ENFILE|ENOBUFS|ENOMEM|EADDRNOTAVAIL|EACCES|EPERM)$/;

function outcomeOf(error: unknown): CheckResult {
  const code = systemCode(error) ?? '';
  if (NETWORK.test(code)) return { kind: 'silent', reason: 'network' };
  if (OWN.test(code)) return NOT_ASKED;
  // an answer that is no TLS, or an alert: a server that knows neither this name nor this protocol
  if (code.startsWith('ERR_SSL') || code === 'EPROTO') return { kind: 'refused', reason: 'no-tls' };
  return { kind: 'silent', reason: 'network' };
}

/** The authorities that can be read now, each once. */
async function readAuthorities(
  { described, file, access }: AuthorityPlaces,
  files: Pick<LocalFiles, 'text'>,
): Promise<readonly X509Certificate[]> {
  const texts = await Promise.all([
    described === undefined ? '' : Buffer.from(described, 'base64').toString('utf8'),
    file === undefined ? '' : files.text(file).catch(() => ''),
    access === undefined ? '' : authorityOf(access, files).catch(() => ''),
  ]);
  const found = texts.flatMap((text) => text.match(PEM) ?? []).flatMap(parsed);
  return [...new Map(found.map((one) => [one.fingerprint256, one])).values()];
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function parsed(pem: string): readonly X509Certificate[] {
  try {
    return [new X509Certificate(pem)];
  } catch {
    return [];
  }
}
