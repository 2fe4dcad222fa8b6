import t from 'tap';
import { classifyAwsFailure, redacted } from '../../src/far-side/aws/failure.ts';
import { answeredBut, type FailureReason } from '../../src/records/observation.ts';
import { NOW_MS, serviceError } from './polling.ts';

type Row = readonly [what: string, error: unknown, reason: FailureReason, reachedFarSide: boolean];

const RIGHT = new Date(NOW_MS - 3 * 60_000).toUTCString();
const HOUR_AHEAD = new Date(NOW_MS + 3_600_000).toUTCString();

function systemError(code: string, more: object = {}): Error {
  return Object.assign(new Error(`connect ${code}`), { code, ...more });
}

/** As the way out through a proxy marks it. */
function viaProxy(code: string, more: object = {}): Error {
  return systemError(code, { viaProxy: 'http://10.0.0.5:3128', ...more });
}

/** What node throws when IPv6 and IPv4 both fail. */
function bothFailed(code: string): Error {
  return Object.assign(new AggregateError([systemError(code), systemError(code)]), { code });
}

/** What the SDK throws when a body cannot be read as the protocol's. */
function parseError(status: number, requestId?: string, contentType = 'text/html'): Error {
  return Object.assign(new SyntaxError('Unexpected token'), {
    $metadata: { httpStatusCode: status, ...(requestId === undefined ? {} : { requestId }) },
    $response: { statusCode: status, headers: { 'content-type': contentType } },
  });
}

const rows: readonly Row[] = [
  ['EC2 denies', serviceError('UnauthorizedOperation', 403), 'denied', true],
  ['EKS denies', serviceError('AccessDeniedException', 403), 'denied', true],
  ['Route 53 denies', serviceError('AccessDenied', 403), 'denied', true],
  ['the key ID does not exist', serviceError('InvalidClientTokenId', 403), 'refused-credentials', true],
  [
    'EKS does not know the token',
    serviceError('UnrecognizedClientException', 403),
    'refused-credentials',
    true,
  ],
  [
    'EC2 does not take the credentials',
    serviceError('AuthFailure', 401, 'no', RIGHT),
    'refused-credentials',
    true,
  ],
  [
    'the secret is wrong',
    serviceError('SignatureDoesNotMatch', 403, 'no', RIGHT),
    'refused-credentials',
    true,
  ],
  [
    'the signature is an hour old',
    serviceError('SignatureDoesNotMatch', 403, 'no', HOUR_AHEAD),
    'clock-skew',
    true,
  ],
  [
    'EKS finds the signature expired',
    serviceError('InvalidSignatureException', 403, 'no', HOUR_AHEAD),
    'clock-skew',
    true,
  ],
  [
    'EC2 finds the request expired',
    serviceError('RequestExpired', 400, 'no', HOUR_AHEAD),
    'clock-skew',
    true,
  ],
  [
    'EC2 finds the token expired',
    serviceError('RequestExpired', 400, 'no', RIGHT),
    'expired-credentials',
    true,
  ],
  ['AuthFailure for the clock', serviceError('AuthFailure', 401, 'no', HOUR_AHEAD), 'clock-skew', true],
  [
    'a deleted key, on a clock that is wrong too: STS',
    serviceError('InvalidClientTokenId', 403, 'no', HOUR_AHEAD),
    'refused-credentials',
    true,
  ],
  [
    'a deleted key, on a clock that is wrong too: EKS',
    serviceError('UnrecognizedClientException', 403, 'no', HOUR_AHEAD),
    'refused-credentials',
    true,
  ],
  ['the account is blocked', serviceError('Blocked', 401), 'denied', true],
  ['the account is not verified', serviceError('PendingVerification', 400), 'denied', true],
  ['a refusal with a code of its own', serviceError('AccountSuspendedException', 403), 'denied', true],
  ['the token has expired', serviceError('ExpiredToken', 403), 'expired-credentials', true],
  [
    'EKS finds the token expired',
    serviceError('ExpiredTokenException', 403, 'no', RIGHT),
    'expired-credentials',
    true,
  ],
  ['the request is from the future', serviceError('RequestInTheFuture', 403), 'clock-skew', true],
  ['EC2 throttles', serviceError('RequestLimitExceeded', 503), 'throttled', true],
  ['Route 53 throttles', serviceError('Throttling', 400), 'throttled', true],
  ['EKS throttles', serviceError('ThrottlingException', 429), 'throttled', true],
  ['an unknown code with 429', serviceError('SlowDownPlease', 429), 'throttled', true],
  ['the cluster does not exist', serviceError('ResourceNotFoundException', 404), 'not-found', true],
  ['the zone does not exist', serviceError('NoSuchHostedZone', 404), 'not-found', true],
  ['the VPC does not exist', serviceError('InvalidVpcID.NotFound', 400), 'not-found', true],
  ['our request is wrong', serviceError('InvalidParameterValue', 400), 'internal', true],
  ['the service is down', serviceError('Unavailable', 503), 'service-error', true],
  ['the service fails', serviceError('InternalFailure', 500), 'service-error', true],
  ['Route 53 fails', serviceError('ServiceUnavailable', 503), 'service-error', true],
  ['AWS fails without an envelope', parseError(500, 'request-1', 'text/xml'), 'service-error', true],
  ['AWS fails in HTML, with its mark', parseError(503, 'request-1'), 'service-error', true],
  ['a proxy gives 502', parseError(502), 'proxy', false],
  ['a proxy gives 503', serviceError('Unknown', 503), 'proxy', false],
  ['a proxy gives 504 in plain text', parseError(504, undefined, 'text/plain'), 'proxy', false],
  ['a network wants to be signed in to', parseError(511), 'proxy', false],
  ['a filter gives its page', parseError(403), 'proxy', false],
  ['a proxy asks for credentials', parseError(407), 'proxy', false],
  ['a portal redirects', serviceError('UnknownError', 302), 'proxy', false],
  ['a portal answers JSON calls', parseError(200), 'proxy', false],
  ['a page that is no page', parseError(200, undefined, 'text/plain'), 'malformed', false],
  ['the proxy refuses CONNECT', viaProxy('ERR_PROXY_TUNNEL', { statusCode: 403 }), 'proxy', false],
  ['the proxy cannot reach AWS', viaProxy('ERR_PROXY_TUNNEL', { statusCode: 502 }), 'proxy', false],
  ['the proxy wants a password', viaProxy('ERR_PROXY_TUNNEL', { statusCode: 407 }), 'proxy', false],
  ['the proxy speaks no HTTP', viaProxy('ERR_PROXY_TUNNEL', { statusCode: Number.NaN }), 'proxy', false],
  ['the proxy drops CONNECT', viaProxy('ERR_PROXY_TUNNEL'), 'proxy', false],
  [
    'the proxy does not answer CONNECT',
    viaProxy('ERR_PROXY_TUNNEL', { proxyTunnelTimeout: 9 }),
    'timeout',
    false,
  ],
  ['the proxy resets', viaProxy('ECONNRESET'), 'proxy', false],
  ['the proxy is down', viaProxy('ECONNREFUSED'), 'proxy', false],
  [
    'the proxy is down, as the SDK renames it',
    viaProxy('ECONNREFUSED', { name: 'TimeoutError' }),
    'proxy',
    false,
  ],
  ['the proxy has no name', viaProxy('ENOTFOUND'), 'proxy', false],
  ['no resolver answers for the name of the proxy', viaProxy('EAI_AGAIN'), 'network', false],
  ['the way to the proxy is cut', viaProxy('EHOSTUNREACH'), 'network', false],
  ['the proxy is silent', viaProxy('ETIMEDOUT'), 'timeout', false],
  ['no answer through the proxy', viaProxy('', { name: 'TimeoutError' }), 'timeout', false],
  ['the proxy intercepts', viaProxy('SELF_SIGNED_CERT_IN_CHAIN'), 'untrusted-certificate', false],
  [
    'a key that ends with a line break',
    systemError('ERR_INVALID_CHAR', { name: 'TypeError' }),
    'refused-credentials',
    false,
  ],
  ['half a body of AWS', parseError(200, 'request-1', 'text/xml'), 'malformed', true],
  [
    'connection refused, as the SDK renames it',
    systemError('ECONNREFUSED', { name: 'TimeoutError' }),
    'network',
    false,
  ],
  ['connection reset', systemError('ECONNRESET'), 'network', false],
  [
    'reset after the head of an answer of AWS',
    { ...parseError(200, 'r'), code: 'ECONNRESET' },
    'network',
    true,
  ],
  ['no route', systemError('EHOSTUNREACH'), 'network', false],
  ['no network', systemError('ENETUNREACH'), 'network', false],
  ['no such name', systemError('ENOTFOUND', { hostname: 'ec2.us-west-2.amazonaws.com' }), 'network', false],
  ['the system resolver is dead', systemError('EAI_AGAIN'), 'network', false],
  ['both address families fail', bothFailed('ENETUNREACH'), 'network', false],
  ['a cause with a code', new Error('x', { cause: systemError('ECONNREFUSED') }), 'network', false],
  ['the kernel gives up connecting', systemError('ETIMEDOUT'), 'timeout', false],
  ['the SDK gives up waiting', Object.assign(new Error('x'), { name: 'TimeoutError' }), 'timeout', false],
  ['the signal', Object.assign(new Error('x'), { name: 'AbortError' }), 'timeout', false],
  ['a certificate not yet valid', systemError('CERT_NOT_YET_VALID'), 'clock-skew', false],
  ['an expired certificate', systemError('CERT_HAS_EXPIRED'), 'clock-skew', false],
  ['an intercepting proxy', systemError('SELF_SIGNED_CERT_IN_CHAIN'), 'untrusted-certificate', false],
  ['an unknown authority', systemError('UNABLE_TO_GET_ISSUER_CERT_LOCALLY'), 'untrusted-certificate', false],
  [
    'a certificate for another name',
    systemError('ERR_TLS_CERT_ALTNAME_INVALID'),
    'untrusted-certificate',
    false,
  ],
  ['something that speaks no TLS', systemError('ERR_SSL_WRONG_VERSION_NUMBER'), 'proxy', false],
  ['something that breaks TLS off', systemError('EPROTO'), 'proxy', false],
  ['our own error', answeredBut('empty', 'listing found none'), 'empty', true],
  ['a bug', new TypeError('x is not a function'), 'internal', false],
  ['not an error', 'thrown text', 'internal', false],
  ['nothing', undefined, 'internal', false],
];

t.test('every error of the SDK becomes a reason, and says whether AWS answered', async (t) => {
  for (const [what, error, reason, reachedFarSide] of rows) {
    const seen = classifyAwsFailure(error, NOW_MS);
    t.match(seen, { reason, reachedFarSide }, `${what}: ${seen.detail}`);
    t.match(
      seen.detail,
      /^[a-z0-9][^\n]*[^.\n]$/,
      `${what}: the text is one line, lower case, without a full stop`,
    );
  }
});

t.test('only answers about the credentials themselves call for newer ones', async (t) => {
  for (const [name, refuses] of [
    ['ExpiredToken', true],
    ['InvalidClientTokenId', true],
    ['SignatureDoesNotMatch', true],
    ['AccessDenied', false],
    ['Throttling', false],
    ['RequestInTheFuture', false],
  ] as const) {
    t.equal(classifyAwsFailure(serviceError(name, 403), NOW_MS).refusesCredentials, refuses, name);
  }
});

t.test('an address of AWS that is no URL is named as a setting', async (t) => {
  const { detail } = classifyAwsFailure(systemError('ERR_INVALID_URL', { name: 'TypeError' }), NOW_MS);
  t.match(detail, /AWS_ENDPOINT_URL/);
});

t.test('a wrong clock is reported with the difference and its direction', async (t) => {
  const late = classifyAwsFailure(serviceError('RequestExpired', 400, 'no', HOUR_AHEAD), NOW_MS);
  t.match(late.detail, 'the clock of this host is 3600 s behind');
  const date = new Date(NOW_MS - 7_200_000).toUTCString();
  t.match(
    classifyAwsFailure(serviceError('AuthFailure', 401, 'no', date), NOW_MS).detail,
    'the clock of this host is 7200 s ahead',
  );
});

t.test('a Date header counts only when AWS gave it', async (t) => {
  const portal = serviceError('Unknown', 403, 'no', HOUR_AHEAD);
  t.equal(classifyAwsFailure(portal, NOW_MS).reason, 'malformed');
  const proxy = serviceError('Unknown', 503, 'no', HOUR_AHEAD);
  t.match(classifyAwsFailure(proxy, NOW_MS), { reason: 'proxy', detail: /^(?!.*clock)/ });
});

t.test('a denial names the missing permission', async (t) => {
  const message =
    'User: arn:aws:sts::111122223333:assumed-role/site/x is not authorized to perform: ec2:DescribeNetworkInterfaces';
  const denial = classifyAwsFailure(serviceError('UnauthorizedOperation', 403, message), NOW_MS);
  t.match(
    denial.detail,
    /assumed-role\/site\/x is not authorized to perform: ec2:DescribeNetworkInterfaces$/,
  );
});

t.test('secrets of an answer are not in the text', async (t) => {
  const secret = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
  const token = 'FwoGZXIvYXdzEBYaDKJ'.repeat(8);
  const echoes = `The Canonical String should have been 'GET x-amz-security-token:${token}' AKIAIOSFODNN7EXAMPLE ${secret}`;
  for (const name of ['SignatureDoesNotMatch', 'InvalidSignatureException', 'AccessDenied', 'Surprise']) {
    const { detail } = classifyAwsFailure(serviceError(name, 403, echoes), NOW_MS);
    for (const hidden of [secret, token, 'AKIAIOSFODNN7EXAMPLE']) t.notMatch(detail, hidden, name);
  }
  const inPieces = Array.from({ length: 9 }, () => 'FwoGZXIvYXdzEBYaDKJ').join('%2F');
  const ofUnknownCode = serviceError('Surprise', 403, `X-Amz-Security-Token=${inPieces}`);
  t.notMatch(
    classifyAwsFailure(ofUnknownCode, NOW_MS).detail,
    'FwoG',
    'a text of an unknown code is not quoted',
  );
  const bug = classifyAwsFailure(new Error(echoes), NOW_MS);
  for (const hidden of [secret, token, 'AKIAIOSFODNN7EXAMPLE']) t.notMatch(bug.detail, hidden, 'bug');
  const encoded = 'You may not. Encoded authorization failure message: 4Yx-_9 tail';
  t.equal(redacted(encoded), 'You may not.');
  t.ok(redacted('a b '.repeat(500)).length < 510, 'long texts are cut');
});
