/**
 * Asks an API server of the cluster where the API servers are: it reads the EndpointSlices of `default/kubernetes`, to which
 * each API server adds itself. It is on the site and is asked at the known addresses, so a change is seen during a cut too.
 * Like the listing of interfaces, it says which addresses exist.
 *
 *     known addresses, in turn -> EndpointSlices, else Endpoints -> ready IPv4 addresses
 *
 * A view is believed only from a server that is in it. A server that is about to end has left its view already. A cluster whose
 * servers know themselves by other addresses would otherwise replace all of ours. No answer proves anything about the link.
 * At the end: what `outpost-dns check` asks of the same server.
 */
import { isIP } from 'node:net';
import * as v from 'valibot';
import { isEndpointAddress } from '../../records/endpoint-record.ts';
import {
  cannotAsk,
  type FailureReason,
  type SourceContext,
  SourceError,
  unanswered,
} from '../../records/observation.ts';
import { type Clock, untilAborted } from '../../runtime/clock.ts';
import { attemptRead, flag, list, number, object, text } from '../../runtime/forms.ts';
import { redacted } from '../aws/failure.ts';
import { type LocalFiles, whyUnread } from '../local-files.ts';
import { hostOf } from '../outbound.ts';
import { allPages, type Page, type PollDeps, type PollFunction } from '../poll.ts';
import {
  type ApiAnswer,
  type ApiServer,
  getFromApi,
  type KubernetesAccess,
  type KubernetesIdentity,
  type KubernetesSettings,
  readIdentity,
} from './identity.ts';
import { currentContext, serverOf } from './kubeconfig.ts';

export const pollKubernetes: PollFunction<KubernetesSettings> = async (
  { settings, context, signal },
  deps,
) => {
  const late = () => failure('timeout', 'asking the api server failed: no answer within the deadline');
  try {
    const asked = ask(settings.kubernetes, context, deps, signal);
    return { kind: 'addresses', source: 'kubernetes', addresses: await untilAborted(asked, signal, late) };
  } catch (error) {
    throw error instanceof SourceError ? error : failure('internal', String(error));
  }
};

async function ask(
  access: KubernetesAccess | undefined,
  { endpoint, knownAddresses, certificateAuthority }: SourceContext,
  { clock, files, apiServerPort }: PollDeps,
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
  const identity = apiServerPort === undefined ? read : { ...read, port: apiServerPort };
  const failures: SourceError[] = [];
  for (const address of knownAddresses) {
    try {
      return await viewOf({ address, serverName: endpoint, identity }, clock, signal);
    } catch (error) {
      if (!(error instanceof SourceError) || FINAL.has(error.code) || signal.aborted) throw error;
      failures.push(error);
    }
  }
  throw joined(failures);
}

/** After a failure for one of these reasons the poll ends, because all other servers would give the same answer. */
const FINAL: ReadonlySet<FailureReason> = new Set([
  'denied',
  'throttled',
  'expired-credentials',
  'no-credentials',
  'not-found',
]);

/** The reason of the first server that answered at all: silence says the least. */
function joined(failures: readonly SourceError[]): SourceError {
  const answered = failures.find(({ code }) => code !== 'timeout' && code !== 'network') ?? failures[0];
  const detail = failures.map(({ message }) => message).join('; ');
  return failure(answered?.code ?? 'internal', detail);
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

/** undefined where this user may not list EndpointSlices, or the API has none. */
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

/** Builds a failure that is never evidence for the link, even where a server answered. */
function failure(reason: FailureReason, detail: string): SourceError {
  return unanswered(reason, redacted(detail));
}

const PORT = object({
  name: v.nullish(text),
  port: v.nullish(v.pipe(number, v.safeInteger('not a whole number'))),
});

const SLICE_LIST = object({
  kind: v.literal('EndpointSliceList'),
  metadata: v.nullish(object({ continue: v.nullish(text) })),
  items: v.nullish(
    list(
      object({
        addressType: text,
        endpoints: v.nullish(
          list(
            object({
              addresses: list(text, { least: 1 }),
              conditions: v.nullish(object({ ready: v.nullish(flag) })),
            }),
          ),
        ),
        ports: v.nullish(list(PORT)),
      }),
    ),
  ),
});

const ENDPOINTS_OBJECT = object({
  kind: v.literal('Endpoints'),
  subsets: v.nullish(
    list(
      object({
        addresses: v.nullish(list(object({ ip: text }))),
        ports: v.nullish(list(PORT)),
      }),
    ),
  ),
});

/** Ready addresses of one page of EndpointSlices. Throws SourceError `malformed`. */
export function addressesOfSlices(body: unknown): Page<string, string> {
  const read = attemptRead(SLICE_LIST, body);
  if (read.kind === 'mismatch') throw malformed('EndpointSlices', read.place);
  const slices = (read.content.items ?? []).filter(
    ({ addressType, ports }) => addressType === 'IPv4' && servesApi(ports),
  );
  const items = slices
    .flatMap(({ endpoints }) => endpoints ?? [])
    // "nil should be interpreted as true", says the API of conditions.ready; false also while it is ending
    .filter(({ conditions }) => conditions?.ready !== false)
    // the others of one endpoint have no meaning in the API, and kube-proxy passes over them
    .map(({ addresses }) => ipv4(addresses[0]));
  return { items, next: read.content.metadata?.continue || undefined };
}

/** Ready addresses of the Endpoints object. Throws SourceError `malformed`. */
export function addressesOfEndpoints(body: unknown): readonly string[] {
  const read = attemptRead(ENDPOINTS_OBJECT, body);
  if (read.kind === 'mismatch') throw malformed('Endpoints', read.place);
  return (read.content.subsets ?? [])
    .filter(({ ports }) => servesApi(ports))
    .flatMap(({ addresses }) => addresses ?? [])
    .map(({ ip }) => ip)
    .filter((ip) => !ip.includes(':')) // there is no type of address here, and an Outpost has IPv4 only
    .map(ipv4);
}

function servesApi(ports: readonly v.InferOutput<typeof PORT>[] | null | undefined): boolean {
  return (ports ?? []).some(({ name, port }) => name === 'https' || port === 443);
}

function ipv4(address: string | undefined): string {
  if (address !== undefined && isEndpointAddress(address)) return address;
  const shown = address?.slice(0, 50);
  throw unanswered('malformed', `reading the api server's view failed: "${shown}" is not an IPv4 address`);
}

function malformed(what: string, place: string): SourceError {
  const where = place || 'the answer';
  return unanswered('malformed', `reading ${what} failed: ${where} is not what the API has there`);
}

// A kubeconfig for `outpost-dns check`: which server it names, how its user is known, and whether the API server accepts the
// user. One request is sent, `GET /api`, which changes nothing and which every user may send who is known to the server.

export interface KubeconfigRequest {
  readonly path: string;
  /** The authority of each cluster that this server knows, base64 of PEM, by the name of its endpoint. */
  readonly authorities: Readonly<Record<string, string>>;
  /** The addresses of each endpoint that this server knows. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
}

export type KubeconfigFacts =
  | { readonly kind: 'unusable'; readonly detail: string }
  | {
      readonly kind: 'read';
      /** The name or address of the API server. */
      readonly host: string;
      readonly isAddress: boolean;
      /** The name of the cluster in the kubeconfig; `aws eks update-kubeconfig` writes the ARN of the cluster. */
      readonly cluster: string;
      readonly user: string;
      /** The command that makes a token, with its arguments. */
      readonly exec?: readonly string[];
      readonly certificateEndsMs?: number;
      /** What the API server said; absent where it was not asked. */
      readonly answer?:
        | { readonly kind: 'accepted' }
        /** The server answered, and does not accept this user. */
        | { readonly kind: 'refused'; readonly detail: string }
        | { readonly kind: 'failed'; readonly detail: string };
    };

/** Never rejects. */
export async function inspectKubeconfig(
  request: KubeconfigRequest,
  files: LocalFiles,
  signal: AbortSignal,
): Promise<KubeconfigFacts> {
  const { path } = request;
  try {
    const text = await files.text(path).catch((error: unknown) => {
      throw new Error(`reading "${path}" failed: ${whyUnread(error)}`);
    });
    const { cluster, clusterName, user, userName } = currentContext(text, path);
    const host = hostOf(serverOf(cluster, (why) => new Error(why)));
    const isAddress = isIP(host) !== 0;
    const common = { kind: 'read', host, isAddress, cluster: clusterName, user: userName } as const;
    const { exec } = user;
    if (exec) return { ...common, exec: [exec.command ?? '', ...(exec.args ?? [])] };
    const identity = await readIdentity(
      { kind: 'kubeconfig', kubeconfig: path },
      request.authorities[host],
      files,
    );
    const ends = identity.certificateEndsMs;
    return {
      ...common,
      ...(ends === undefined ? {} : { certificateEndsMs: ends }),
      ...(isAddress ? {} : await answerOf(host, request.addresses[host] ?? [], identity, signal)),
    };
  } catch (error) {
    return { kind: 'unusable', detail: error instanceof Error ? error.message : String(error) };
  }
}

/** The first answer of the addresses; a failure where none answers. */
async function answerOf(
  serverName: string,
  addresses: readonly string[],
  identity: KubernetesIdentity,
  signal: AbortSignal,
) {
  const failures: string[] = [];
  // a name that this server does not know is resolved by the resolver of this host
  for (const address of addresses.length > 0 ? addresses : [serverName]) {
    try {
      const { status } = await getFromApi({ address, serverName, identity }, '/api', signal);
      if (status === 200) return { answer: { kind: 'accepted' } } as const;
      const detail = `the api server at ${address} answered ${status}`;
      return { answer: { kind: status === 401 || status === 403 ? 'refused' : 'failed', detail } } as const;
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      const isRefusal = error.code === 'denied' || error.code === 'expired-credentials';
      if (isRefusal) return { answer: { kind: 'refused', detail: error.message } } as const;
      failures.push(error.message);
    }
  }
  return { answer: { kind: 'failed', detail: failures.join('; ') } } as const;
}
