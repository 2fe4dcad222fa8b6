/** The words that the simulated services share: what came in, and what they make of it. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Service } from './faults.ts';
import type { RegionState } from './region-state.ts';

/** An HTTP request with its whole body, before anybody has looked at it. */
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
  /** Counts up with every call: what is unordered in AWS comes in another order each time. */
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

/** The service and operation that a request is for, judged by its path and form alone. */
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
  const form = new URLSearchParams(request.body.toString('utf8'));
  const operation = form.get('Action') ?? 'Unknown';
  return { service: queryService(form.get('Version')), operation, path, parameters: form };
}

/** The Query protocol names no service; the version of the API tells which one is meant. */
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
