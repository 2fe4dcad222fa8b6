/**
 * What can be polled over HTTPS, by the name of the source: a new source of this kind is one line here and a file. A poll never
 * rejects, never reports a part of what there is, and settles when its signal is aborted, whatever the SDK does. It refuses to
 * know what was seen before and what will be served, and keeps no schedule.
 */
import type { Observation } from '../records/observation.ts';
import { traitsOf } from '../records/sources.ts';
import { classifyAwsFailure } from './aws/failure.ts';
import type { FarSource, PollDeps, PollFunction, PollRequest } from './poll.ts';
import { failed } from './source-error.ts';

/** Each is loaded with its first poll, when the priority of the thread has been lowered. */
export const POLLS: Readonly<Record<FarSource, () => Promise<PollFunction>>> = {
  interfaces: async () => (await import('./aws/interfaces.ts')).pollInterfaces,
  cluster: async () => (await import('./aws/cluster.ts')).pollCluster,
  route53: async () => (await import('./aws/route53.ts')).pollRoute53,
  kubernetes: async () => (await import('./kubernetes/kubernetes.ts')).pollKubernetes,
};

/** `onUrl` hears which URL of AWS is asked, as soon as that is known and whether or not there are credentials for it. */
export type PollHere = (
  request: PollRequest,
  signal: AbortSignal,
  onUrl: (url: string) => void,
) => Promise<Observation>;

export function createPolls(deps: PollDeps): PollHere {
  const tellUrl = async (
    { source, settings: { profile }, context: { region } }: PollRequest,
    signal: AbortSignal,
    onUrl: (url: string) => void,
  ): Promise<void> => {
    const { service } = traitsOf(source);
    if (service === undefined || region === undefined) return;
    await deps.aws[service].url({ region, profile }, signal).then(onUrl, () => undefined);
  };
  return async (request, signal, onUrl) => {
    const { source, settings, context } = request;
    try {
      const poll = await POLLS[source]();
      const asked = poll({ settings, context, signal }, deps);
      const [observation] = await Promise.all([asked, tellUrl(request, signal, onUrl)]);
      return observation;
    } catch (error) {
      return failed(source, classifyAwsFailure(error, deps.clock.wallMs()));
    }
  };
}
