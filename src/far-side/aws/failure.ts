/**
 * Translates an error of the AWS SDK into a failure reason of this program. Pure.
 *
 * Two questions are kept apart: why did the call fail, and did AWS answer? Any answer from AWS proves the link, so refused
 * credentials must never read as a cut. An answer from something in between (a captive portal, the error page of a proxy) is
 * neither an answer of AWS nor a cut. An answer counts only with a mark of AWS: a request ID, or an error code in the
 * envelope of the service.
 *
 * Texts of AWS are quoted only where they name a missing permission: the answer to a bad signature repeats the signed
 * request, session token included.
 */
import {
  type FailureReason,
  SourceError,
  type SourceFailure,
  unanswered,
} from '../../records/observation.ts';

export interface AwsFailure extends SourceFailure {
  /** AWS does not accept the credentials themselves: newer ones may be on the disk already. */
  readonly refusesCredentials: boolean;
}

const DENIED = new Set([
  'AccessDenied',
  'AccessDeniedException',
  'Blocked', // the account
  'OptInRequired',
  'PendingVerification', // the account
  'UnauthorizedOperation',
]);

/** No account has this key, whatever the clock says: the SDK retries none of these codes with a corrected clock either. */
const UNKNOWN_KEY = new Set(['InvalidAccessKeyId', 'InvalidClientTokenId', 'UnrecognizedClientException']);

const INVALID_CREDENTIALS = new Set([
  'AuthFailure',
  'IncompleteSignature',
  'InvalidAccessKeyId',
  'InvalidClientTokenId',
  'InvalidSignatureException',
  'MissingAuthenticationToken',
  'MissingAuthenticationTokenException',
  'SignatureDoesNotMatch',
  'UnrecognizedClientException',
]);

const EXPIRED = new Set(['ExpiredToken', 'ExpiredTokenException', 'RequestExpired', 'TokenRefreshRequired']);
const SKEWED = new Set(['RequestTimeTooSkewed', 'RequestInTheFuture']);

const THROTTLED = new Set([
  'BandwidthLimitExceeded',
  'EC2ThrottledException',
  'LimitExceededException',
  'PriorRequestNotComplete',
  'RequestLimitExceeded',
  'RequestThrottled',
  'RequestThrottledException',
  'SlowDown',
  'ThrottledException',
  'Throttling',
  'ThrottlingException',
  'TooManyRequestsException',
]);

const UNREACHABLE = new Set([
  'EADDRNOTAVAIL',
  'EAI_AGAIN',
  'EAI_FAIL',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'UND_ERR_SOCKET',
]);

/** By the clock of this host the certificate has ended or not begun: more often the clock is wrong than AWS. */
const CERTIFICATE_TIMES = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);
const CERTIFICATE = /^(CERT_|ERR_TLS_CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_CA)/;
const NO_TLS = /^(ERR_TLS_|ERR_SSL_|EPROTO$)/;

/** The proxy itself did this: it is there, so the path to it is not cut. */
const ENDED_BY_PROXY = new Set([
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EPIPE',
  'ERR_PROXY_TUNNEL',
]);

/** AWS accepts signatures up to 5 minutes off; the SDK starts to correct at 4. */
const TOLERATED_SKEW_MS = 4 * 60_000;

/** Explains any error of an SDK call. `wallMs`: the clock of this host, which is compared with that of AWS. */
export function classifyAwsFailure(error: unknown, wallMs: number): AwsFailure {
  if (error instanceof SourceError) {
    const { code: reason, reachedFarSide, message } = error;
    // to an error of a body that it reads the SDK appends lines with a hint for its own debugging
    const [detail = ''] = message.split('\n', 1);
    return { reason, reachedFarSide, detail, refusesCredentials: false };
  }
  const seen = readError(error);
  return { refusesCredentials: false, reachedFarSide: seen.isFromAws, ...explain(seen, wallMs) };
}

type Explanation = Pick<AwsFailure, 'reason' | 'detail'> & Partial<AwsFailure>;

function explain(seen: SeenError, wallMs: number): Explanation {
  if (seen.isServiceError && seen.isFromAws) return explainAnswer(seen, wallMs);
  const { code, name, status } = seen;
  const byProxy = seen.viaProxy === '' ? undefined : explainProxy(seen);
  if (byProxy !== undefined) return byProxy;
  if (UNREACHABLE.has(code))
    return { reason: 'network', detail: `reaching aws failed: ${code}${seen.where}` };
  if (CERTIFICATE_TIMES.has(code)) {
    return {
      reason: 'clock-skew',
      detail: `certificate of aws refused: ${code}: the clock of this host may be wrong`,
    };
  }
  if (CERTIFICATE.test(code)) {
    return {
      reason: 'untrusted-certificate',
      detail:
        `certificate of aws refused: ${code}: something in between intercepts tls, or its authority is not known here: ` +
        'name a file with the authority in AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS',
    };
  }
  if (NO_TLS.test(code)) {
    return { reason: 'proxy', detail: `something in between answered, and not in tls: ${code}` };
  }
  if (code === 'ETIMEDOUT' || name === 'TimeoutError' || name === 'AbortError') {
    return { reason: 'timeout', detail: `aws did not answer in time${seen.where}` };
  }
  if (code === 'ERR_INVALID_CHAR') {
    // a secret made from a line of a file or of echo ends with a line break
    const detail =
      'the credentials have a character that no request can carry, such as a line break at the end of AWS_ACCESS_KEY_ID or AWS_SESSION_TOKEN';
    return { reason: 'refused-credentials', detail, refusesCredentials: true };
  }
  if (code === 'ERR_INVALID_URL') {
    const detail =
      'the address of aws is no URL: correct AWS_ENDPOINT_URL, or endpoint_url in the files of aws';
    return { reason: 'internal', detail };
  }
  if (status !== undefined) {
    const what = `answer with status ${status}`;
    if (seen.isFromAws) {
      const reason = status >= 500 ? 'service-error' : 'malformed';
      return { reason, detail: `${what} of aws cannot be used: ${unparsable(seen)}` };
    }
    if (isPage(seen)) return { reason: 'proxy', detail: pageText(seen) };
    return { reason: 'malformed', detail: `${what} is not one of aws: ${unparsable(seen)}` };
  }
  return { reason: 'internal', detail: redacted(`poll failed: ${name}: ${seen.message}`) };
}

function explainAnswer(seen: SeenError, wallMs: number): Explanation {
  const { name, status } = seen;
  const skewMs = seen.dateMs === undefined ? 0 : wallMs - seen.dateMs;
  const isSkewed = Math.abs(skewMs) >= TOLERATED_SKEW_MS;
  const refusesCredentials = EXPIRED.has(name) || INVALID_CREDENTIALS.has(name);
  const answer = `aws answered ${status ?? 'an error'} "${redacted(name)}"`;
  if (SKEWED.has(name) || (refusesCredentials && isSkewed && !UNKNOWN_KEY.has(name))) {
    const by = seen.dateMs === undefined ? '' : `: the clock of this host is ${describeSkew(skewMs)}`;
    return { reason: 'clock-skew', detail: answer + by, refusesCredentials };
  }
  if (refusesCredentials) {
    const reason: FailureReason = EXPIRED.has(name) ? 'expired-credentials' : 'refused-credentials';
    const clock = isSkewed ? `, and the clock of this host is ${describeSkew(skewMs)}` : '';
    return { reason, detail: `${answer}: the credentials are not accepted${clock}`, refusesCredentials };
  }
  if (THROTTLED.has(name) || status === 429) return { reason: 'throttled', detail: answer };
  if (DENIED.has(name)) return { reason: 'denied', detail: redacted(`${answer}: ${seen.message}`) };
  if (isUnknownDenial(name, status)) return { reason: 'denied', detail: answer };
  if (status === 404 || /^NoSuch|NotFound/.test(name)) return { reason: 'not-found', detail: answer };
  if (status === undefined) return { reason: 'malformed', detail: answer };
  // 5xx: the service failed; anything else: the request was wrong, which is a fault of this server
  return { reason: status >= 500 ? 'service-error' : 'internal', detail: answer };
}

/** 403 denies whatever its code is, except where the code says that something does not exist. Its text may repeat the request. */
function isUnknownDenial(name: string, status: number | undefined): boolean {
  return status === 403 && !/^NoSuch|NotFound/.test(name);
}

/** Failures between this host and the proxy; undefined: the proxy is not the cause. */
function explainProxy({
  code,
  name,
  viaProxy,
  proxyStatus,
  isTunnelTimeout,
  message,
}: SeenError): Explanation | undefined {
  const proxy = `the proxy ${viaProxy}`;
  if (isTunnelTimeout || code === 'ETIMEDOUT' || name === 'TimeoutError') {
    if (!ENDED_BY_PROXY.has(code) || isTunnelTimeout)
      return { reason: 'timeout', detail: `aws did not answer in time through ${proxy}` };
  }
  if (proxyStatus !== undefined) return { reason: 'proxy', detail: refusalText(proxy, proxyStatus) };
  if (code === 'ECONNREFUSED') return { reason: 'proxy', detail: `${proxy} takes no connections: ${code}` };
  if (code === 'ENOTFOUND') return { reason: 'proxy', detail: `${proxy} has no address: ${code}` };
  if (code === 'ERR_PROXY_TUNNEL') {
    const how = message.includes('ended')
      ? 'ended the connection without an answer'
      : 'gave no answer in http';
    return { reason: 'proxy', detail: `${proxy} ${how}` };
  }
  if (ENDED_BY_PROXY.has(code)) return { reason: 'proxy', detail: `${proxy} ended the connection: ${code}` };
  return undefined;
}

function refusalText(proxy: string, status: number): string {
  if (status === 407) {
    return `${proxy} asks for credentials (407): write user and password into its URL, or correct them`;
  }
  return `${proxy} refused the connection to aws with status ${status}`;
}

const PROXY_STATUS: ReadonlySet<number> = new Set([407, 502, 503, 504, 511]);

/** An answer without a mark of AWS, as gateways, proxies and portals give it. */
function isPage({ status = 0, contentType }: SeenError): boolean {
  return (
    PROXY_STATUS.has(status) ||
    (status >= 300 && status < 400) ||
    /^(text\/html|application\/xhtml)/i.test(contentType)
  );
}

function pageText(seen: SeenError): string {
  const { status, viaProxy, location } = seen;
  const who = viaProxy === '' ? 'something in between' : `the proxy ${viaProxy}`;
  if (status === 407) return refusalText(who, status);
  const to = location === '' ? '' : ` to "${redacted(location)}"`;
  return `${who} answered in place of aws with status ${status}${to}: ${unparsable(seen)}`;
}

function describeSkew(skewMs: number): string {
  return `${Math.round(Math.abs(skewMs) / 1000)} s ${skewMs > 0 ? 'ahead' : 'behind'}`;
}

function unparsable(seen: SeenError): string {
  return seen.contentType === '' ? 'it cannot be parsed' : `content type "${redacted(seen.contentType)}"`;
}

type SeenError = ReturnType<typeof readError>;

function readError(error: unknown) {
  const metadata = property(error, '$metadata');
  const response = property(error, '$response');
  const headers = property(response, 'headers');
  const name = text(property(error, 'name')) || 'Error';
  const status = number(property(metadata, 'httpStatusCode')) ?? number(property(response, 'statusCode'));
  const isServiceError = property(error, '$fault') !== undefined;
  const isNamed = isServiceError && name !== 'Unknown' && name !== 'UnknownError';
  const isFromAws = status !== undefined && (isNamed || property(metadata, 'requestId') !== undefined);
  const address = text(property(error, 'address')) || text(property(error, 'hostname'));
  const proxyStatus = number(property(error, 'statusCode'));
  const dateMs = Date.parse(text(property(headers, 'date')));
  return {
    name,
    code: text(property(error, 'code')) || text(property(property(error, 'cause'), 'code')),
    message: text(property(error, 'message')),
    status,
    /** The service's own error envelope was found and read. */
    isServiceError,
    /** Carries a mark that only AWS makes. */
    isFromAws,
    contentType: text(property(headers, 'content-type')),
    /** The clock of the answering server, that of AWS where `isFromAws`. */
    dateMs: Number.isNaN(dateMs) ? undefined : dateMs,
    /** The URL to which the answer sends the client. */
    location: text(property(headers, 'location')),
    /** Empty where no proxy was asked. */
    viaProxy: text(property(error, 'viaProxy')) || text(property(response, 'viaProxy')),
    /** The status of a proxy that refused CONNECT; absent where the proxy did not answer in HTTP. */
    proxyStatus: proxyStatus !== undefined && proxyStatus >= 100 ? proxyStatus : undefined,
    /** The proxy did not answer to CONNECT in time. */
    isTunnelTimeout: property(error, 'proxyTunnelTimeout') !== undefined,
    /** ` at 10.0.0.1:443`, where known. */
    where: address === '' ? '' : ` at ${redacted(address)}`,
  };
}

/** A failure of a provider that AWS did not cause is no evidence about the link. */
export function explainProviderFailure(
  error: unknown,
  said: readonly string[],
  wallMs: number,
): SourceFailure {
  const name = error instanceof Error ? error.name : '';
  const isProviders = /ProviderError$/.test(name);
  const failure = classifyAwsFailure(error, wallMs); // roles and SSO call services of AWS, which fail like any other
  if (!isProviders && failure.reason !== 'internal' && failure.reason !== 'malformed') {
    const reason = failure.reason === 'denied' ? 'refused-credentials' : failure.reason; // a role that may not be taken
    return { ...failure, reason, detail: `getting credentials failed: ${failure.detail}` };
  }
  const why = firstHelpful([...said, messageOf(error)]) ?? fileFault(error) ?? lastAsked(said, error);
  return { reason: 'no-credentials', reachedFarSide: false, detail: `getting credentials failed: ${why}` };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : '';
}

/** Messages of providers that help an operator, the most helpful first. No other is shown: it may quote a command or a file. */
const HELPFUL: readonly RegExp[] = [
  /credential_process (?:did not end within \d+ ms|wrote more than \d+ octets|could not be started|ended with exit code \d+|was ended by \w+)/,
  /credential_process returned (?:expired credentials|invalid JSON|invalid credentials)/,
  /credential_process did not return Version 1/,
  /The SSO session (?:associated with this profile|token associated with profile=\S+) (?:has expired|was not found)[^.]*/,
  /Detected a cycle attempting to resolve credentials for profile/,
  /Profile \S+ requires multi-factor authentication/,
  /Profile (?!default )\S+ could not be found in shared credentials file/,
  /Could not resolve credentials using profile: \[(?!default\])[^\]]*\]/,
  /Failed to load token from \S+?(?=:? )/,
];

function firstHelpful(said: readonly string[]): string | undefined {
  for (const pattern of HELPFUL) {
    for (const message of said) {
      const found = pattern.exec(message);
      if (found !== null) return redacted(lowerFirst(found[0]));
    }
  }
  return undefined;
}

/** A file that a variable names, such as the token of a pod: the error quotes its path, and nothing of its content. */
function fileFault(error: unknown): string | undefined {
  const [found] = /E[A-Z]+: [a-z ,]+(?:, open '[^']*'|, read)/.exec(messageOf(error)) ?? [];
  return found === undefined ? undefined : `reading the file that a provider needs failed: ${found}`;
}

/** The provider that the chain asked last, by what the SDK says on the way to it. Such a provider does not say why it gives none. */
const LAST_ASKED: readonly (readonly [said: RegExp, why: string])[] = [
  [
    /credential-provider-http - fromHttp/,
    'the endpoint of the container or pod gives none (AWS_CONTAINER_CREDENTIALS_FULL_URI)',
  ],
  [
    /Invalid response received from instance metadata/,
    'the instance metadata has no keys: see the role of the instance',
  ],
  [
    /Instance Metadata using v1 fallback/,
    'no provider has any (environment, profile, credential_process), and the instance metadata gives neither a token nor keys: on EC2 a container needs a hop limit of 2',
  ],
];

function lastAsked(said: readonly string[], error: unknown): string {
  const isNoJson = error instanceof SyntaxError ? ': its answer is not JSON' : '';
  for (const [pattern, why] of LAST_ASKED) if (said.some((line) => pattern.test(line))) return why + isNoJson;
  if (isNoJson !== '') return `the instance metadata gives none${isNoJson}`;
  return 'no provider has any (environment, profile, credential_process, instance metadata)';
}

function lowerFirst(words: string): string {
  return words.charAt(0).toLowerCase() + words.slice(1);
}

const LONGEST_DETAIL = 500; // a denial names user, action, resource and policy, by their ARNs

/** One line without possible secrets: key IDs, long runs of base64 (keys, tokens, encoded messages). */
export function redacted(message: string): string {
  const line = message
    .replaceAll(/encoded authorization failure message.*/gis, '')
    .replaceAll(/\b(AKIA|ASIA)[A-Z0-9]{8,}/g, '(key id)')
    .replaceAll(/[A-Za-z0-9+/=]{40,}/g, '(cut)')
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim();
  return line.length > LONGEST_DETAIL ? `${line.slice(0, LONGEST_DETAIL)}...` : line;
}

/** Credentials of this host that cannot be used: nothing was sent. */
export function noCredentials(detail: string): SourceError {
  return unanswered('no-credentials', redacted(detail));
}

function property(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
