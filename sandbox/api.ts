/** Requests, replies and refusals of the simulated services, and the XML and JSON that each service writes. */

import type { IncomingHttpHeaders } from 'node:http';
import XMLBuilder from 'fast-xml-builder';
import { cloudWatchParameters } from './cloudwatch-api.ts';
import type { Service } from './faults.ts';
import type { RegionState } from './region-state.ts';

/** An HTTP request with its whole body, before any check. */
export interface RawRequest {
  readonly method: string;
  /** Path and query as they came, still percent-encoded. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A request whose signature is good. */
export interface ApiRequest {
  readonly service: Service;
  readonly operation: string;
  /** The Region that the credential scope names. */
  readonly region: string;
  readonly path: string;
  /** The parameters of a GET's query or of a POST's form. */
  readonly parameters: URLSearchParams;
  readonly accessKeyId: string;
}

export interface ApiContext {
  readonly state: RegionState;
  readonly requestId: string;
  /** How EC2 pages a listing: `undefined` as asked, otherwise at most this many items, 0 for an empty first page. */
  readonly pageSize: number | undefined;
  /** Counts up with every call: a listing that AWS leaves unordered comes in a different order each time. */
  readonly callNumber: number;
}

export interface Success {
  readonly kind: 'success';
  readonly body: string;
}

/** A refusal in the words of the service; `status` is HTTP's. */
export interface Refusal {
  readonly kind: 'refusal';
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

export type ApiReply = Success | Refusal;

export function success(body: string): Success {
  return { kind: 'success', body };
}

export function refusal(status: number, code: string, message: string): Refusal {
  return { kind: 'refusal', status, code, message };
}

export function isRefusal(value: object): value is Refusal {
  return 'kind' in value && value.kind === 'refusal';
}

/** The service and the operation of a request, by its path and form alone. */
export function identify(request: RawRequest): Pick<ApiRequest, 'operation' | 'path' | 'parameters'> & {
  readonly service: Service | undefined;
} {
  const [path = '/', query = ''] = request.target.split('?', 2);
  if (path.startsWith('/2013-04-01/')) {
    return {
      service: 'route53',
      operation: route53Operation(path),
      path,
      parameters: new URLSearchParams(query),
    };
  }
  if (path.startsWith('/clusters')) {
    const operation = /^\/clusters\/[^/]+$/.test(path) ? 'DescribeCluster' : 'Unknown';
    return { service: 'eks', operation, path, parameters: new URLSearchParams(query) };
  }
  const target = String(request.headers['x-amz-target'] ?? '');
  if (target.startsWith('GraniteServiceVersion20100801.')) {
    const operation = target.slice(target.indexOf('.') + 1);
    return {
      service: 'cloudwatch',
      operation,
      path,
      parameters: cloudWatchParameters(request.body.toString('utf8')),
    };
  }
  const form = new URLSearchParams(request.body.toString('utf8'));
  const operation = form.get('Action') ?? 'Unknown';
  return { service: queryService(form.get('Version')), operation, path, parameters: form };
}

/** The Query protocol names no service; the version of the API tells the service. */
function queryService(version: string | null): Service | undefined {
  if (version === '2016-11-15') return 'ec2';
  return version === '2011-06-15' ? 'sts' : undefined;
}

function route53Operation(path: string): string {
  if (/^\/2013-04-01\/hostedzone\/[^/]+\/rrset\/?$/.test(path)) return 'ListResourceRecordSets';
  if (/^\/2013-04-01\/hostedzone\/[^/]+$/.test(path)) return 'GetHostedZone';
  if (path === '/2013-04-01/hostedzonesbyname') return 'ListHostedZonesByName';
  return 'Unknown';
}

export type RefusalCause =
  | 'throttled'
  | 'denied'
  | 'expired-credentials'
  | 'unknown-key'
  | 'wrong-signature'
  | 'wrong-scope'
  | 'unsigned'
  | 'signed-too-long-ago'
  | 'signed-in-the-future'
  | 'unknown-operation';

type Codes = readonly [status: number, code: string];

const EC2: Record<RefusalCause, Codes> = {
  throttled: [503, 'RequestLimitExceeded'],
  denied: [403, 'UnauthorizedOperation'],
  // EC2 has one code for an old signature and for a session that has ended: a client cannot tell them apart
  'expired-credentials': [400, 'RequestExpired'],
  'unknown-key': [401, 'AuthFailure'],
  'wrong-signature': [403, 'SignatureDoesNotMatch'],
  'wrong-scope': [401, 'AuthFailure'],
  unsigned: [400, 'MissingAuthenticationToken'],
  'signed-too-long-ago': [400, 'RequestExpired'],
  'signed-in-the-future': [401, 'AuthFailure'],
  'unknown-operation': [400, 'InvalidAction'],
};

const QUERY_AND_XML: Record<RefusalCause, Codes> = {
  throttled: [400, 'Throttling'],
  denied: [403, 'AccessDenied'],
  'expired-credentials': [403, 'ExpiredToken'],
  'unknown-key': [403, 'InvalidClientTokenId'],
  'wrong-signature': [403, 'SignatureDoesNotMatch'],
  'wrong-scope': [403, 'SignatureDoesNotMatch'],
  unsigned: [403, 'MissingAuthenticationToken'],
  'signed-too-long-ago': [403, 'SignatureDoesNotMatch'],
  'signed-in-the-future': [403, 'SignatureDoesNotMatch'],
  'unknown-operation': [400, 'InvalidAction'],
};

const JSON_SERVICES: Record<RefusalCause, Codes> = {
  throttled: [429, 'ThrottlingException'],
  denied: [403, 'AccessDeniedException'],
  'expired-credentials': [403, 'ExpiredTokenException'],
  'unknown-key': [403, 'UnrecognizedClientException'],
  'wrong-signature': [403, 'InvalidSignatureException'],
  'wrong-scope': [403, 'InvalidSignatureException'],
  unsigned: [403, 'MissingAuthenticationTokenException'],
  'signed-too-long-ago': [403, 'InvalidSignatureException'],
  'signed-in-the-future': [403, 'InvalidSignatureException'],
  'unknown-operation': [404, 'UnknownOperationException'],
};

const CODES: Record<Service, Record<RefusalCause, Codes>> = {
  ec2: EC2,
  route53: QUERY_AND_XML,
  sts: QUERY_AND_XML,
  eks: JSON_SERVICES,
  cloudwatch: JSON_SERVICES,
};

/** The refusal with the service's own status and code; without a service, with those of STS. */
export function refuse(service: Service | undefined, cause: RefusalCause, message: string): Refusal {
  const [status, code] = CODES[service ?? 'sts'][cause];
  return refusal(status, code, message);
}

export interface ComposedRefusal {
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function composeRefusal(
  service: Service | undefined,
  { code, message, status }: Refusal,
  requestId: string,
): ComposedRefusal {
  const words = { Code: code, Message: message };
  switch (service) {
    case 'ec2':
      return {
        contentType: 'text/xml;charset=UTF-8',
        headers: {},
        body: xmlDocument('Response', undefined, { Errors: { Error: words }, RequestID: requestId }),
      };
    case 'eks':
      return {
        contentType: 'application/json',
        headers: { 'x-amzn-errortype': code },
        body: JSON.stringify({ message }),
      };
    case 'cloudwatch':
      return {
        contentType: 'application/x-amz-json-1.0',
        headers: {},
        body: JSON.stringify({ __type: `com.amazonaws.cloudwatch.v2010_08_01#${code}`, message }),
      };
    default:
      return {
        contentType: 'text/xml',
        headers: {},
        body: xmlDocument(
          'ErrorResponse',
          service === 'route53'
            ? 'https://route53.amazonaws.com/doc/2013-04-01/'
            : 'https://sts.amazonaws.com/doc/2011-06-15/',
          { Error: { Type: status >= 500 ? 'Receiver' : 'Sender', ...words }, RequestId: requestId },
        ),
      };
  }
}

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  suppressEmptyNode: true,
});

/** An XML document: fields are elements, an array is an element again and again, `undefined` is none. */
export function xmlDocument(root: string, namespace: string | undefined, content: object): string {
  return builder.build({
    '?xml': { '@version': '1.0', '@encoding': 'UTF-8' },
    [root]: { '@xmlns': namespace, ...content },
  });
}
