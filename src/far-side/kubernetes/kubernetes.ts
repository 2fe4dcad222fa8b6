/**
 * The API server's own view of where it is: the EndpointSlices of `default/kubernetes`, to which each API server adds
 * itself. It is on the site and is asked at the addresses that are known, so a change is seen during a cut too. As the
 * listing of interfaces, it says which addresses exist.
 *
 *     known addresses, in turn -> EndpointSlices, or Endpoints where those are not to be had -> ready IPv4 addresses
 *
 * A view is believed only from a server that is in it: one that is about to go has left it already, and a cluster whose
 * servers know themselves by addresses that this site does not would otherwise replace all of ours by theirs. No answer
 * proves anything of the link to AWS.
 *
 * It speaks HTTPS, and so it looks in the thread that is there for that: far-side-thread.ts says why.
 */

import type { FailureReason, Observation, Source, SourceContext } from '../../records/observation.ts';
import type { Clock } from '../../runtime/clock.ts';
import { redacted } from '../aws/failure.ts';
import type { LocalFiles } from '../local-files.ts';
import { allPages } from '../pages.ts';
import { cannotAsk, observation, SourceError, type SourceFailure } from '../source-error.ts';
import { untilAborted } from '../until-aborted.ts';
import { type ApiAnswer, type ApiServer, getFromApi } from './api-server-call.ts';
import { type KubernetesAccess, type KubernetesIdentity, readIdentity } from './identity.ts';
import { addressesOfEndpoints, addressesOfSlices } from './kubernetes-lists.ts';

export interface KubernetesSourceOptions {
  /** undefined: nothing was configured, and every look fails. */
  readonly access: KubernetesAccess | undefined;
  readonly clock: Clock;
  readonly files: LocalFiles;
  /** In place of the one that a kubeconfig names, else 443. */
  readonly port?: number;
}

/** A look from afar, all of it plain data. Never rejects, and settles when its signal is aborted. */
export type KubernetesLook = (
  asked: { readonly access: KubernetesAccess | undefined; readonly context: SourceContext },
  signal: AbortSignal,
) => Promise<Observation>;

export function createKubernetesSource(options: KubernetesSourceOptions): Source {
  return {
    name: 'kubernetes',
    observe: (context, signal) =>
      observation('kubernetes', explain, async () => {
        const late = () => failure('timeout', 'asking the api server failed: no answer within the deadline');
        const addresses = await untilAborted(look(options, context, signal), signal, late);
        return { kind: 'addresses', source: 'kubernetes', addresses };
      }),
  };
}

async function look(
  { access, clock, files, port }: KubernetesSourceOptions,
  { endpoint, knownAddresses, certificateAuthority }: SourceContext,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (endpoint === undefined || knownAddresses.length === 0) {
    throw cannotAsk('asking the api server failed: its name or its addresses are not known yet');
  }
  if (access === undefined) {
    throw failure(
      'no-credentials',
      'asking the api server failed: no kubeconfig and no certificate is configured',
    );
  }
  const read = await readIdentity(access, certificateAuthority, files);
  const identity = port === undefined ? read : { ...read, port };
  const failures: SourceError[] = [];
  for (const address of knownAddresses) {
    try {
      return await viewOf({ address, serverName: endpoint, identity }, clock, signal);
    } catch (error) {
      if (!(error instanceof SourceError) || isFinal(error) || signal.aborted) throw error;
      failures.push(error);
    }
  }
  throw joined(failures);
}

/** What one server says no other will say otherwise. */
const FINAL: ReadonlySet<FailureReason> = new Set([
  'denied',
  'throttled',
  'expired-credentials',
  'no-credentials',
  'not-found',
]);

function isFinal({ code }: SourceError): boolean {
  return FINAL.has(code);
}

/** The reason of the first that answered at all; silence tells the least. */
function joined(failures: readonly SourceError[]): SourceError {
  const told = failures.find(({ code }) => code !== 'timeout' && code !== 'network') ?? failures[0];
  const detail = failures.map(({ message }) => message).join('; ');
  return failure(told?.code ?? 'internal', detail);
}

const PAGE_SIZE = 100;
const SLICES =
  '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes';
const ENDPOINTS = '/api/v1/namespaces/default/endpoints/kubernetes';
const MOST_ADDRESSES = 100; // far more than a cluster has API servers

async function viewOf(server: ApiServer, clock: Clock, signal: AbortSignal): Promise<readonly string[]> {
  const ask = (path: string) => getFromApi(server, path, signal);
  const { identity, address } = server;
  const seen = (await slices(ask, identity, clock)) ?? (await endpoints(ask, identity, clock));
  const addresses = [...new Set(seen)].sort();
  if (addresses.length === 0)
    throw failure('empty', `the api server at ${address} lists no address that is ready`);
  if (addresses.length > MOST_ADDRESSES) {
    throw failure('malformed', `the api server at ${address} lists ${addresses.length} addresses`);
  }
  if (!addresses.includes(address)) {
    const others = addresses.join(', ');
    throw failure(
      'malformed',
      `the api server at ${address} lists ${others}, and not itself: its view is not believed`,
    );
  }
  return addresses;
}

type Ask = (path: string) => Promise<ApiAnswer>;

/** undefined where this user, or this version of the API, has no EndpointSlices. */
async function slices(
  ask: Ask,
  identity: KubernetesIdentity,
  clock: Clock,
): Promise<readonly string[] | undefined> {
  const first = await ask(`${SLICES}&limit=${PAGE_SIZE}`);
  if (first.status === 403 || first.status === 404) return undefined;
  return allPages<string, string>(async (token) => {
    const more = `&continue=${encodeURIComponent(token ?? '')}`;
    const answer = token === undefined ? first : await ask(`${SLICES}&limit=${PAGE_SIZE}${more}`);
    return addressesOfSlices(bodyOf(answer, identity, clock));
  });
}

async function endpoints(ask: Ask, identity: KubernetesIdentity, clock: Clock): Promise<readonly string[]> {
  return addressesOfEndpoints(bodyOf(await ask(ENDPOINTS), identity, clock));
}

function bodyOf({ status, body }: ApiAnswer, identity: KubernetesIdentity, clock: Clock): unknown {
  if (status === 200) return body;
  const answer = `the api server answered ${status}`;
  switch (status) {
    case 401:
      throw notAccepted(answer, identity, clock);
    case 403:
      throw failure('denied', `${answer}: the user may not list endpointslices in the namespace default`);
    case 404:
      throw failure(
        'not-found',
        `${answer}: it has no EndpointSlices and no Endpoints of default/kubernetes`,
      );
    case 429:
      throw failure('throttled', answer);
    default:
      throw failure(status < 500 ? 'internal' : 'service-error', answer);
  }
}

function notAccepted(answer: string, identity: KubernetesIdentity, clock: Clock): SourceError {
  const { authorization, certificateEndsMs } = identity;
  if (authorization !== undefined)
    return failure('expired-credentials', `${answer}: the token is not accepted`);
  const hasEnded = certificateEndsMs !== undefined && certificateEndsMs < clock.wallMs();
  if (!hasEnded) return failure('denied', `${answer}: the client certificate is not accepted`);
  const end = new Date(certificateEndsMs).toISOString();
  return failure('expired-credentials', `${answer}: the client certificate has ended at ${end}`);
}

/** Never evidence for the link, whoever answered. */
function failure(reason: FailureReason, detail: string): SourceError {
  return new SourceError({ reason, reachedFarSide: false, detail: redacted(detail) });
}

function explain(error: unknown): SourceFailure {
  const { code, message } = error instanceof SourceError ? error : failure('internal', String(error));
  return { reason: code, reachedFarSide: false, detail: message };
}
