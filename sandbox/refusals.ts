/** How each service says no: AWS's protocols agree neither on the words nor on the shape. */
import type { Refusal } from './api.ts';
import { refusal } from './api.ts';
import type { Service } from './faults.ts';
import { leaf, node, XML_START, xmlDocument } from './xml.ts';

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

type Words = readonly [status: number, code: string];

const EC2: Record<RefusalCause, Words> = {
  throttled: [503, 'RequestLimitExceeded'],
  denied: [403, 'UnauthorizedOperation'],
  // EC2 has one word for an old signature and for a session that has ended; nobody can tell them apart by it
  'expired-credentials': [400, 'RequestExpired'],
  'unknown-key': [401, 'AuthFailure'],
  'wrong-signature': [403, 'SignatureDoesNotMatch'],
  'wrong-scope': [401, 'AuthFailure'],
  unsigned: [400, 'MissingAuthenticationToken'],
  'signed-too-long-ago': [400, 'RequestExpired'],
  'signed-in-the-future': [401, 'AuthFailure'],
  'unknown-operation': [400, 'InvalidAction'],
};

const QUERY_AND_XML: Record<RefusalCause, Words> = {
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

const JSON_SERVICES: Record<RefusalCause, Words> = {
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

const WORDS: Record<Service, Record<RefusalCause, Words>> = {
  ec2: EC2,
  route53: QUERY_AND_XML,
  sts: QUERY_AND_XML,
  eks: JSON_SERVICES,
};

/** The refusal in the service's own words, which need not have reached a service at all. */
export function refuse(service: Service | undefined, cause: RefusalCause, message: string): Refusal {
  const [status, code] = WORDS[service ?? 'sts'][cause];
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
  const words = [leaf('Code', code), leaf('Message', message)];
  const type = leaf('Type', status >= 500 ? 'Receiver' : 'Sender');
  switch (service) {
    case 'ec2':
      return {
        contentType: 'text/xml;charset=UTF-8',
        headers: {},
        body:
          XML_START + node('Response', node('Errors', node('Error', ...words)), leaf('RequestID', requestId)),
      };
    case 'eks':
      return {
        contentType: 'application/json',
        headers: { 'x-amzn-errortype': code },
        body: JSON.stringify({ message }),
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
          node('Error', type, ...words),
          leaf('RequestId', requestId),
        ),
      };
  }
}
