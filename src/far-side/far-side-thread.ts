/**
 * The program of the threads that speak HTTPS, so that the loop that answers queries never stands still for it. Loading Node's
 * TLS takes a processor 20 to 35 ms, the root certificates 15 ms more, the AWS clients a third of a second. Each handshake
 * and each long listing takes some milliseconds. A defect in any of it ends this thread alone.
 *
 *     call, abort, hello -> [ AWS | API servers ] -> done | url, credentials, log
 *
 * It is a program of its own, started by far-side.ts; everything that crosses is plain data.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Log } from '../log/log.ts';
import type { CheckResult } from '../records/endpoint-record.ts';
import { type Ending, failed, type Observation, type SourceContext } from '../records/observation.ts';
import { type SourceName, traitsOf } from '../records/sources.ts';
import { yieldToQueries } from '../runtime/background.ts';
import { type Clock, systemClock, systemTimers } from '../runtime/clock.ts';
import { openOwnMemory } from '../runtime/memory.ts';
import type { AwsClientsOptions, AwsIdentities, AwsServices } from './aws/clients.ts';
import type { AwsPlace, HandedCredentials, KeptCredentials } from './aws/credentials.ts';
import { classifyAwsFailure } from './aws/failure.ts';
import type { AwsInspection, CredentialFacts } from './endings.ts';
import type { CheckRequest } from './handshake.ts';
import type { HeadOutcome, HeadRequest } from './head.ts';
import type { KubernetesSettings } from './kubernetes/identity.ts';
import type { KubeconfigFacts, KubeconfigRequest } from './kubernetes/kubernetes.ts';
import type { LocalFiles, SharedFiles } from './local-files.ts';
import type { Outbound } from './outbound.ts';
import type {
  Asked,
  FarSource,
  OutpostRequest,
  OutpostView,
  PollDeps,
  PollFunction,
  SharedSettings,
} from './poll.ts';

/** The data with which the thread starts. */
export interface ThreadData {
  readonly outbound: Outbound;
  /** From the thread of the same kind before it. */
  readonly handed: HandedCredentials;
}

/**
 * All calls that cross into the thread. A call never rejects, and settles when its signal is aborted. Any further use of
 * HTTPS, such as DNS over HTTPS, gets a line here and a file beside head.ts.
 */
export interface Calls {
  readonly poll: (request: PollRequest, signal: AbortSignal) => Promise<Observation>;
  readonly head: (request: HeadRequest, signal: AbortSignal) => Promise<HeadOutcome>;
  readonly outpost: (request: OutpostRequest, signal: AbortSignal) => Promise<OutpostView>;
  readonly prove: (request: CheckRequest, signal: AbortSignal) => Promise<CheckResult>;
  /** For `outpost-dns check`; the server never asks for them. */
  readonly aws: (place: AwsPlace, signal: AbortSignal) => Promise<AwsInspection>;
  readonly kubeconfig: (request: KubeconfigRequest, signal: AbortSignal) => Promise<KubeconfigFacts>;
}

export type ToThread =
  | { readonly kind: 'call'; readonly id: number; readonly name: keyof Calls; readonly request: unknown }
  | { readonly kind: 'abort'; readonly id: number }
  /** Is answered with `done` once everything is loaded that a HEAD request needs. */
  | { readonly kind: 'hello'; readonly id: number };

type Call = Extract<ToThread, { kind: 'call' }>;

type AnyCall = (request: unknown, signal: AbortSignal, onUrl: (url: string) => void) => Promise<unknown>;

export type FromThread =
  | { readonly kind: 'done'; readonly id: number; readonly output?: unknown }
  /** The URL of AWS that a poll asks. */
  | { readonly kind: 'url'; readonly id: number; readonly url: string }
  /** Credentials of a place, for the next thread; without `kept` there are none. */
  | { readonly kind: 'credentials'; readonly place: string; readonly kept: KeptCredentials | undefined }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly fields: object;
      readonly text: string;
    };

/**
 * The polls by the name of the source: a new source is one line here and a file. A poll never reports a part of a listing. A
 * poll refuses to know earlier answers and served addresses, and keeps no schedule. The thread loads each poll at its first use.
 */
export const POLLS = {
  interfaces: async () => (await import('./aws/interfaces.ts')).pollInterfaces,
  cluster: async () => (await import('./aws/cluster.ts')).pollCluster,
  route53: async () => (await import('./aws/route53.ts')).pollRoute53,
  kubernetes: async () => (await import('./kubernetes/kubernetes.ts')).pollKubernetes,
} satisfies Readonly<Record<FarSource, () => Promise<PollFunction<never>>>>;

/** The settings of a cluster's sources: those that all polls share, and those that each poll names as its own. */
export type PollSettings = (typeof POLLS)[FarSource] extends () => Promise<
  (asked: infer All extends Asked, deps: PollDeps) => Promise<Observation>
>
  ? All['settings']
  : never;

export interface PollRequest {
  readonly source: FarSource;
  readonly settings: PollSettings;
  readonly context: SourceContext;
}

/** `onUrl` hears which URL of AWS is asked, as soon as that is known and whether or not there are credentials for it. */
export type PollHere = (
  request: PollRequest,
  signal: AbortSignal,
  onUrl: (url: string) => void,
) => Promise<Observation>;

/** `endings`: adds to an observation when the credentials end. */
export function createPolls(deps: PollDeps, endings?: Pick<Endings, 'added'>): PollHere {
  const reportUrl: (...polled: Parameters<PollHere>) => Promise<void> = async (request, signal, onUrl) => {
    const { source, settings, context } = request;
    const { service } = traitsOf(source);
    if (service === undefined || context.region === undefined) return;
    const place = { region: context.region, profile: settings.profile };
    await deps.aws[service].url(place, signal).then(onUrl, () => undefined);
  };
  const observe: PollHere = async (request, signal, onUrl) => {
    const { source, settings, context } = request;
    try {
      const poll = await POLLS[source]();
      const asked = poll({ settings, context, signal }, deps);
      const [observation] = await Promise.all([asked, reportUrl(request, signal, onUrl)]);
      return observation;
    } catch (error) {
      return failed(source, classifyAwsFailure(error, deps.clock.wallMs()));
    }
  };
  if (endings === undefined) return observe;
  return async (request, signal, onUrl) =>
    endings.added(request, await observe(request, signal, onUrl), signal);
}

interface EndingDeps {
  readonly aws: AwsServices & AwsIdentities;
  readonly shared: SharedFiles;
  readonly files: LocalFiles;
  readonly clock: Clock;
}

/** What tells which credentials a poll needed. */
export interface CredentialUse {
  readonly source: SourceName;
  readonly settings: SharedSettings & KubernetesSettings;
  readonly context: Pick<SourceContext, 'region'>;
}

/** A thousand clusters share a profile: its files are read once a minute. */
const KEPT_MS = 60_000;

/**
 * Adds to an observation when the credentials end that its poll needed: the client certificate for the API server, the certificate of
 * IAM Roles Anywhere, the session of any provider.
 */
export class Endings {
  readonly #deps: EndingDeps;
  readonly #known = new Map<string, { readonly atMs: number; readonly found: Promise<readonly Ending[]> }>();

  constructor(deps: EndingDeps) {
    this.#deps = deps;
  }

  /** The observation with the ends of the credentials that it needed. Never rejects. */
  async added(request: CredentialUse, observation: Observation, signal: AbortSignal): Promise<Observation> {
    const endings = await this.#of(request, observation, signal).catch(() => []);
    return endings.length === 0 ? observation : { ...observation, endings };
  }

  #of(
    { source, settings: { profile, kubernetes }, context: { region } }: CredentialUse,
    observation: Observation,
    signal: AbortSignal,
  ): Promise<readonly Ending[]> {
    if (source === 'kubernetes') {
      if (kubernetes === undefined) return Promise.resolve([]);
      return this.#shared(JSON.stringify(kubernetes), async () => {
        const { certificateEnd } = await import('./kubernetes/identity.ts');
        const endsAtMs = await certificateEnd(kubernetes, this.#deps.files);
        return endsAtMs === undefined ? [] : [{ what: 'kubernetes-certificate', endsAtMs, isRenewed: false }];
      });
    }
    if (region === undefined || !traitsOf(source).needsCredentials) return Promise.resolve([]);
    // after a failed poll the providers are not asked again: a `credential_process` may take seconds
    const isWorking = observation.kind !== 'failed';
    return this.#shared(JSON.stringify([region, profile, isWorking]), async () => {
      const { credentialFacts, endingsIn, processFacts } = await import('./endings.ts');
      const place = { region, profile };
      const deps = { ...this.#deps, wallMs: () => this.#deps.clock.wallMs() };
      const facts: CredentialFacts = isWorking
        ? await credentialFacts(place, deps, signal)
        : await processFacts(place, deps);
      return endingsIn(facts);
    });
  }

  #shared(key: string, find: () => Promise<readonly Ending[]>): Promise<readonly Ending[]> {
    const nowMs = this.#deps.clock.monotonicMs();
    const known = this.#known.get(key);
    if (known !== undefined && nowMs - known.atMs < KEPT_MS) return known.found;
    const found = find();
    this.#known.set(key, { atMs: nowMs, found });
    return found;
  }
}

/** After a call: calls come together, and the sign of life comes every few seconds. */
const TIDY_UP_AFTER_MS = 1_000;

// null where this file is only imported
if (parentPort !== null) {
  yieldToQueries();
  await serve(parentPort);
}

async function serve(port: MessagePort): Promise<void> {
  const say = (message: FromThread): void => port.postMessage(message);
  // far-side.ts starts this program with this data
  const { outbound, handed } = workerData as ThreadData;
  const keep = (place: string, kept: KeptCredentials | undefined): void =>
    say({ kind: 'credentials', place, kept });
  const memory = await openOwnMemory();
  // pages of the program that one step needs would still be there with those of the next
  const onLoaded = (): void => memory?.dropProgram();
  onLoaded();
  const calls = await load(outbound, logOver(say, {}), { handed, keep, onLoaded });
  onLoaded();
  let isTidying = false;
  const tidyUp = (): void => {
    if (isTidying) return;
    isTidying = true;
    systemTimers.after(TIDY_UP_AFTER_MS, () => {
      isTidying = false;
      memory?.dropProgram();
    });
  };
  const aborts = new Map<number, AbortController>();
  const answer = ({ id, name, request }: Call, signal: AbortSignal): Promise<unknown> => {
    const onUrl = (url: string): void => say({ kind: 'url', id, url });
    // far-side.ts sends each call with a request of its type
    const call = calls[name] as AnyCall;
    return call(request, signal, onUrl);
  };
  port.on('message', (message: ToThread) => {
    const { id } = message;
    if (message.kind === 'hello') return say({ kind: 'done', id });
    if (message.kind === 'abort') return aborts.get(id)?.abort();
    const abort = new AbortController();
    aborts.set(id, abort);
    void answer(message, abort.signal)
      .then((output) => say({ kind: 'done', id, output }))
      .finally(() => {
        aborts.delete(id);
        tidyUp();
      });
  });
}

/** Loaded here and not above, when the priority of the thread has been lowered. */
async function load(
  outbound: Outbound,
  log: Log,
  options: Pick<AwsClientsOptions, 'handed' | 'keep' | 'onLoaded'>,
): Promise<Omit<Calls, 'poll'> & { readonly poll: PollHere }> {
  const [{ inspectAws }, { createAwsServices }, { headOf }, { LocalFiles, SharedFiles }, { Prover }] =
    await Promise.all([
      import('./endings.ts'),
      import('./aws/clients.ts'),
      import('./head.ts'),
      import('./local-files.ts'),
      import('./handshake.ts'),
    ]);
  const files = new LocalFiles(systemTimers);
  const shared = new SharedFiles(outbound, files);
  const prover = new Prover(files, systemTimers);
  const aws = createAwsServices({
    clock: systemClock,
    timers: systemTimers,
    log,
    outbound,
    shared,
    ...options,
  });
  return {
    poll: createPolls(
      { aws, files, clock: systemClock, zones: new Map() },
      new Endings({ aws, shared, files, clock: systemClock }),
    ),
    head: (request, signal) => headOf(request, { outbound, shared }, signal),
    prove: (request, signal) => prover.prove(request, signal),
    outpost: async (request, signal) => {
      const { askOutpost } = await import('./aws/cluster.ts');
      return askOutpost(request, { aws, clock: systemClock }, signal);
    },
    aws: async (place, signal) => {
      const wallMs = () => systemClock.wallMs();
      return inspectAws(place, { aws, shared, files, outbound, wallMs }, signal);
    },
    kubeconfig: async (request, signal) => {
      const { inspectKubeconfig } = await import('./kubernetes/kubernetes.ts');
      return inspectKubeconfig(request, files, signal);
    },
  };
}

function logOver(say: (message: FromThread) => void, bound: object): Log {
  const at = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: object, text: string) =>
    say({ kind: 'log', level, fields: { ...bound, ...fields }, text });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => logOver(say, { ...bound, ...fields }),
  };
}
