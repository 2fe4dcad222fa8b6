import { classifyAwsFailure } from '../../src/far-side/aws/failure.ts';
import type { Observation, Source, SourceContext } from '../../src/records/observation.ts';

export const NOW_MS = Date.parse('2026-03-01T12:00:00Z');
export const ENDPOINT = 'abc0123456789.gr7.us-west-2.eks.amazonaws.com';

export const explain = (error: unknown) => classifyAwsFailure(error, NOW_MS);

export function contextOf(known: Partial<SourceContext> = {}): SourceContext {
  return {
    cluster: 'my-cluster',
    region: 'us-west-2',
    endpoint: ENDPOINT,
    subnetIds: [],
    knownAddresses: [],
    ...known,
  };
}

export function look(source: Source, known: Partial<SourceContext> = {}): Promise<Observation> {
  return source.observe(contextOf(known), new AbortController().signal);
}

/** The metadata that the SDK puts beside every answer; with `requestId` it is known to come from AWS. */
export const FROM_AWS = { $metadata: { httpStatusCode: 200, requestId: 'request-1' } };
export const FROM_SOMEBODY = { $metadata: { httpStatusCode: 200, requestId: undefined } };

/** An error as the SDK throws it for a refusal in the service's own envelope. */
export function serviceError(name: string, status: number, message = 'no', date?: string): Error {
  return Object.assign(new Error(message), {
    name,
    $fault: status < 500 ? 'client' : 'server',
    $metadata: { httpStatusCode: status },
    $response: { statusCode: status, headers: date === undefined ? {} : { date } },
  });
}
