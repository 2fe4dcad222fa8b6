import type { AwsService } from '../../src/far-side/aws/clients.ts';
import type { AwsPlace } from '../../src/far-side/aws/credentials.ts';
import { classifyAwsFailure } from '../../src/far-side/aws/failure.ts';
import { createPolls, type PollSettings } from '../../src/far-side/far-side-thread.ts';
import { LocalFiles } from '../../src/far-side/local-files.ts';
import type { FarSource, PollDeps } from '../../src/far-side/poll.ts';
import type { Observation, SourceContext } from '../../src/records/observation.ts';
import { systemTimers } from '../../src/runtime/clock.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

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

/** The commands that a fake service of AWS takes, by name; each gets the input and gives the output. */
export type FakeCommands = Readonly<
  Record<string, (input: never, place: AwsPlace) => object | Promise<object>>
>;

export function fakeService<Client>(commands: FakeCommands): AwsService<Client> {
  return {
    call(place, signal, send) {
      const client = {
        async send(command: { readonly constructor: { readonly name: string }; readonly input: never }) {
          const answer = commands[command.constructor.name];
          if (answer === undefined) throw new Error(`not asked here: ${command.constructor.name}`);
          return answer(command.input, place);
        },
      };
      return send(client as Client, { abortSignal: signal });
    },
    url: () => Promise.reject(new Error('not asked here')),
  };
}

export interface PollAt extends Partial<Omit<PollDeps, 'aws'>> {
  readonly ec2?: FakeCommands;
  readonly eks?: FakeCommands;
  readonly route53?: FakeCommands;
  readonly settings?: PollSettings;
}

/** Polls one source without a thread, with a fake AWS. */
export function poll(
  source: FarSource,
  known: Partial<SourceContext> = {},
  { ec2 = {}, eks = {}, route53 = {}, settings = {}, ...deps }: PollAt = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<Observation> {
  const polls = createPolls({
    aws: { ec2: fakeService(ec2), eks: fakeService(eks), route53: fakeService(route53) },
    files: new LocalFiles(systemTimers),
    clock: new VirtualTime('2026-03-01T12:00:00Z'),
    zones: new Map(),
    ...deps,
  });
  return polls({ source, settings, context: contextOf(known) }, signal, () => undefined);
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
