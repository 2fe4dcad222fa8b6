/** Signature Version 4 (AWS4-HMAC-SHA256), both sides of it: the Region checks what the SDK signs. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { type RawRequest, type Refusal, refuse } from './api.ts';
import type { AccessKey } from './facts.ts';
import type { Service } from './faults.ts';
import type { RegionState } from './region-state.ts';

const ALGORITHM = 'AWS4-HMAC-SHA256';

/** The content of a request's Authorization header. */
export interface Claim {
  readonly accessKeyId: string;
  /** `20260131T093000Z`. */
  readonly longDate: string;
  readonly signedAtMs: number;
  readonly region: string;
  readonly service: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  readonly sessionToken: string | undefined;
}

/** The claim, or `undefined` where the header is absent or malformed. */
export function readClaim(request: RawRequest): Claim | undefined {
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/,]+)\/(\d{8})\/([^/,]+)\/([^/,]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? '',
    );
  const longDate = headerText(request, 'x-amz-date');
  const signedAtMs = dateFromLong(longDate);
  const [, accessKeyId, shortDate, region, service, signedHeaders, signature] = parts ?? [];
  if (accessKeyId === undefined || region === undefined || service === undefined) return undefined;
  if (signedHeaders === undefined || signature === undefined || signedAtMs === undefined) return undefined;
  if (shortDate !== longDate.slice(0, 8)) return undefined;
  const sessionToken = headerText(request, 'x-amz-security-token');
  return {
    accessKeyId,
    longDate,
    signedAtMs,
    region,
    service,
    signedHeaders: signedHeaders.split(';'),
    signature,
    sessionToken: sessionToken === '' ? undefined : sessionToken,
  };
}

/** Whether the holder of the secret signed exactly this request. */
export function isSignedWith(secretAccessKey: string, claim: Claim, request: RawRequest): boolean {
  const expected = signatureOf(secretAccessKey, claim, request);
  return timingSafeEqual(Buffer.from(expected, 'hex'), Buffer.from(claim.signature, 'hex'));
}

/** The headers that a client adds to sign a request. `request.headers` must hold `host`. */
export function signedHeadersFor(
  request: RawRequest,
  scope: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
    readonly region: string;
    readonly service: string;
    readonly atMs: number;
  },
): Record<string, string> {
  const longDate = longDateOf(scope.atMs);
  const token: Record<string, string> =
    scope.sessionToken === undefined ? {} : { 'x-amz-security-token': scope.sessionToken };
  const added = { 'x-amz-date': longDate, ...token };
  const signedHeaders = ['host', ...Object.keys(added)].sort();
  const claim = { region: scope.region, service: scope.service, longDate, signedHeaders };
  const signature = signatureOf(scope.secretAccessKey, claim, {
    ...request,
    headers: { ...request.headers, ...added },
  });
  return {
    ...added,
    authorization: `${ALGORITHM} Credential=${scope.accessKeyId}/${scopeText(claim)}, SignedHeaders=${signedHeaders.join(';')}, Signature=${signature}`,
  };
}

type Scope = Pick<Claim, 'longDate' | 'region' | 'service' | 'signedHeaders'>;

function signatureOf(secretAccessKey: string, scope: Scope, request: RawRequest): string {
  const toSign = [
    ALGORITHM,
    scope.longDate,
    scopeText(scope),
    sha256(Buffer.from(canonicalRequest(scope.signedHeaders, request))),
  ].join('\n');
  let key: string | Buffer = `AWS4${secretAccessKey}`;
  for (const part of [scope.longDate.slice(0, 8), scope.region, scope.service, 'aws4_request']) {
    key = createHmac('sha256', key).update(part).digest();
  }
  return createHmac('sha256', key).update(toSign).digest('hex');
}

function scopeText(scope: Scope): string {
  return `${scope.longDate.slice(0, 8)}/${scope.region}/${scope.service}/aws4_request`;
}

function canonicalRequest(signedHeaders: readonly string[], request: RawRequest): string {
  const [path = '/', query = ''] = request.target.split('?', 2);
  const headers = signedHeaders.map(
    (name) => `${name}:${headerText(request, name).trim().replace(/ +/g, ' ')}\n`,
  );
  return [
    request.method,
    canonicalPath(path),
    canonicalQuery(query),
    headers.join(''),
    signedHeaders.join(';'),
    sha256(request.body),
  ].join('\n');
}

/** Every service except S3 encodes the path once more, segment by segment. */
function canonicalPath(path: string): string {
  return path.split('/').map(percentEncoded).join('/');
}

function canonicalQuery(query: string): string {
  if (query === '') return '';
  return query
    .split('&')
    .map((pair) => {
      const [name = '', ...value] = pair.split('=');
      return [name, value.join('=')].map((part) => percentEncoded(decodeURIComponent(part))).join('=');
    })
    .sort()
    .join('&');
}

/** All characters except RFC 3986's unreserved ones. */
function percentEncoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** `20260131T093000Z`, as signatures write a moment. */
export function longDateOf(atMs: number): string {
  return new Date(atMs).toISOString().replace(/[-:]|\.\d{3}/g, '');
}

function dateFromLong(text: string): number | undefined {
  const iso = text.replace(/^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/, '$1-$2-$3T$4:$5:$6Z');
  const atMs = iso === text ? Number.NaN : Date.parse(iso);
  return Number.isNaN(atMs) ? undefined : atMs;
}

function headerText(request: RawRequest, name: string): string {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(',') : (value ?? '');
}

function sha256(octets: Buffer): string {
  return createHash('sha256').update(octets).digest('hex');
}

const TOLERANCE_MS = 5 * 60_000; // AWS accepts a signature for five minutes on either side of its own clock
const ROUTE53_REGION = 'us-east-1'; // where the Route 53 API lives

export interface Admitted {
  readonly kind: 'admitted';
  readonly key: AccessKey;
  readonly region: string;
}

/** Where the name in the scope is not that of the service. */
const SIGNING_NAMES: Readonly<Partial<Record<Service, string>>> = { cloudwatch: 'monitoring' };

/** Admits a request that a known and valid key has signed for this service, now. */
export function admit(request: RawRequest, service: Service, state: RegionState): Admitted | Refusal {
  const claim = readClaim(request);
  if (claim === undefined) return refuse(service, 'unsigned', 'Request is missing Authentication Token');
  return (
    wrongScope(claim, service) ??
    wrongTime(claim, service, state.nowMs()) ??
    checkKey(claim, request, service, state)
  );
}

function wrongScope(claim: Claim, service: Service): Refusal | undefined {
  if (claim.service !== (SIGNING_NAMES[service] ?? service)) {
    return refuse(
      service,
      'wrong-scope',
      `Credential should be scoped to correct service: '${service}', not '${claim.service}'.`,
    );
  }
  if (service === 'route53' && claim.region !== ROUTE53_REGION) {
    return refuse(
      service,
      'wrong-scope',
      `Credential should be scoped to a valid region, not '${claim.region}'.`,
    );
  }
  return undefined;
}

function wrongTime(claim: Claim, service: Service, nowMs: number): Refusal | undefined {
  if (claim.signedAtMs < nowMs - TOLERANCE_MS) {
    const limit = `${longDateOf(nowMs - TOLERANCE_MS)} (${longDateOf(nowMs)} - 5 min.)`;
    return refuse(
      service,
      'signed-too-long-ago',
      service === 'ec2'
        ? 'Request has expired.'
        : `Signature expired: ${claim.longDate} is now earlier than ${limit}`,
    );
  }
  if (claim.signedAtMs > nowMs + TOLERANCE_MS) {
    const limit = `${longDateOf(nowMs + TOLERANCE_MS)} (${longDateOf(nowMs)} + 5 min.)`;
    return refuse(
      service,
      'signed-in-the-future',
      service === 'ec2'
        ? 'AWS was not able to validate the provided access credentials'
        : `Signature not yet current: ${claim.longDate} is still later than ${limit}`,
    );
  }
  return undefined;
}

function checkKey(
  claim: Claim,
  request: RawRequest,
  service: Service,
  state: RegionState,
): Admitted | Refusal {
  const key = state.accessKeys.find((each) => each.accessKeyId === claim.accessKeyId);
  if (key === undefined || key.sessionToken !== claim.sessionToken) {
    return refuse(
      service,
      'unknown-key',
      service === 'ec2'
        ? 'AWS was not able to validate the provided access credentials'
        : 'The security token included in the request is invalid.',
    );
  }
  if (!isSignedWith(key.secretAccessKey, claim, request)) {
    return refuse(
      service,
      'wrong-signature',
      'The request signature we calculated does not match the signature you provided.',
    );
  }
  if (key.expiresAtMs !== undefined && key.expiresAtMs <= state.nowMs()) return expired(service);
  return { kind: 'admitted', key, region: claim.region };
}

/** A service's refusal of a session that has ended. */
export function expired(service: Service): Refusal {
  return refuse(
    service,
    'expired-credentials',
    service === 'ec2' ? 'Request has expired.' : 'The security token included in the request is expired',
  );
}
