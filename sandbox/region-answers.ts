import {
  type ApiContext,
  type ApiReply,
  type ApiRequest,
  composeRefusal,
  identify,
  type RawRequest,
  refusal,
  refuse,
  success,
  xmlDocument,
} from './api.ts';
import { answerCloudWatch } from './cloudwatch-api.ts';
import { answerEc2 } from './ec2-api.ts';
import { answerEks } from './eks-api.ts';
import type { Faults, HttpFault, Service } from './faults.ts';
import type { RegionState } from './region-state.ts';
import { answerRoute53 } from './route53-api.ts';
import { admit, expired } from './signature.ts';
import { answerSts } from './sts-api.ts';

export interface SeenRequest {
  readonly atMs: number;
  readonly service: Service | undefined;
  readonly operation: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** `ok`, a refusal's code, or the kind of the fault that struck. */
  readonly outcome: string;
}

/** The reply, and the manner in which it is sent. */
export type Delivery =
  | { readonly manner: 'hang' }
  | { readonly manner: 'reset' }
  | ({ readonly manner: 'whole' | 'half' | 'endless' } & HttpReply)
  | ({ readonly manner: 'drip'; readonly intervalMs: number } & HttpReply);

interface HttpReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const ANSWERS: Record<Service, (request: ApiRequest, context: ApiContext) => ApiReply> = {
  ec2: answerEc2,
  route53: answerRoute53,
  eks: answerEks,
  sts: answerSts,
  cloudwatch: answerCloudWatch,
};

const CAPTIVE_PORTAL =
  '<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in to the network</h1></body></html>\n';

/** Decides about requests: the faults first, then the signature, then the service. No sockets here. */
export class RegionAnswers {
  readonly seen: SeenRequest[] = [];
  readonly #state: RegionState;
  readonly #faults: Faults;
  #calls = 0;

  constructor(state: RegionState, faults: Faults) {
    this.#state = state;
    this.#faults = faults;
  }

  decide(request: RawRequest): Delivery {
    const identified = identify(request);
    const fault = this.#faults.strikesRequest(identified.service, identified.operation);
    const requestId = requestIdOf(++this.#calls);
    const { delivery, outcome } = this.#answer(request, identified, fault, requestId);
    this.#note(identified, fault?.kind ?? outcome);
    return delivery;
  }

  #answer(
    request: RawRequest,
    identified: ReturnType<typeof identify>,
    fault: HttpFault | undefined,
    requestId: string,
  ): { readonly delivery: Delivery; readonly outcome: string } {
    if (fault?.kind === 'hang' || fault?.kind === 'reset') {
      return { delivery: { manner: fault.kind }, outcome: fault.kind };
    }
    if (fault?.kind === 'html') {
      const headers = { 'content-type': 'text/html; charset=utf-8' };
      return { delivery: { manner: 'whole', status: 200, headers, body: CAPTIVE_PORTAL }, outcome: 'html' };
    }
    const reply = this.#reply(request, identified, fault, requestId);
    const http = httpReply(identified.service, reply, requestId);
    const outcome = reply.kind === 'success' ? 'ok' : reply.code;
    if (fault?.kind === 'drip') {
      return { delivery: { manner: 'drip', intervalMs: fault.intervalMs, ...http }, outcome };
    }
    const manner = fault?.kind === 'half' || fault?.kind === 'endless' ? fault.kind : 'whole';
    return { delivery: { manner, ...http }, outcome };
  }

  #reply(
    request: RawRequest,
    identified: ReturnType<typeof identify>,
    fault: HttpFault | undefined,
    requestId: string,
  ): ApiReply {
    const { service, operation } = identified;
    if (service === undefined) {
      return refuse(
        service,
        'unknown-operation',
        `The action ${operation} is not valid for this web service.`,
      );
    }
    if (fault?.kind === 'throttle') {
      return refuse(service, 'throttled', service === 'ec2' ? 'Request limit exceeded.' : 'Rate exceeded');
    }
    const admission = admit(request, service, this.#state);
    if (admission.kind === 'refusal') return admission;
    if (fault?.kind === 'error') return refusal(fault.status, fault.code, fault.message);
    if (fault?.kind === 'expire') return expired(service);
    if (fault?.kind === 'deny') return denied(service, operation, admission.key.arn);
    if (fault?.kind === 'empty') return success(emptyBody(service, operation));
    const pageSize = fault?.kind === 'pages' ? fault.size : undefined;
    return ANSWERS[service](
      { ...identified, service, region: admission.region, accessKeyId: admission.key.accessKeyId },
      { state: this.#state, requestId, pageSize, callNumber: this.#calls },
    );
  }

  #note(identified: ReturnType<typeof identify>, outcome: string): void {
    this.seen.push({
      atMs: this.#state.nowMs(),
      service: identified.service,
      operation: identified.operation,
      parameters: Object.fromEntries(identified.parameters),
      outcome,
    });
    if (this.seen.length > SEEN_LIMIT) this.seen.shift();
  }
}

const SEEN_LIMIT = 1000; // enough for a test; the memory of a demonstration that runs for days must not grow

function denied(service: Service, operation: string, arn: string): ApiReply {
  const action = `${service}:${operation}`;
  const reason = `User: ${arn} is not authorized to perform: ${action} because no identity-based policy allows the ${action} action`;
  return refuse(
    service,
    'denied',
    service === 'ec2' ? `You are not authorized to perform this operation. ${reason}` : reason,
  );
}

const CONTENT_TYPES: Readonly<Partial<Record<Service, string>>> = {
  eks: 'application/json',
  cloudwatch: 'application/x-amz-json-1.0',
};

function httpReply(service: Service | undefined, reply: ApiReply, requestId: string): HttpReply {
  const idHeader = { 'x-amzn-requestid': requestId };
  if (reply.kind === 'success') {
    const type = CONTENT_TYPES[service ?? 'sts'] ?? 'text/xml;charset=UTF-8';
    return { status: 200, headers: { 'content-type': type, ...idHeader }, body: reply.body };
  }
  const { contentType, headers, body } = composeRefusal(service, reply, requestId);
  return { status: reply.status, headers: { 'content-type': contentType, ...headers, ...idHeader }, body };
}

const EMPTY_LISTINGS: Readonly<Record<string, object>> = {
  DescribeNetworkInterfaces: { networkInterfaceSet: '' },
  DescribeInstances: { reservationSet: '' },
  ListResourceRecordSets: { ResourceRecordSets: '', IsTruncated: false, MaxItems: 300 },
  ListHostedZonesByName: { HostedZones: '', IsTruncated: false, MaxItems: 100 },
};

/** A success of the right shape with nothing in it. */
function emptyBody(service: Service, operation: string): string {
  return CONTENT_TYPES[service] !== undefined
    ? '{}'
    : xmlDocument(`${operation}Response`, undefined, EMPTY_LISTINGS[operation] ?? {});
}

function requestIdOf(call: number): string {
  return `5a5d0b0c-0000-4000-8000-${String(call).padStart(12, '0')}`;
}
