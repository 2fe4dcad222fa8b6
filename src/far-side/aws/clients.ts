/**
 * The SDK's clients as this server needs them, without the defaults that hang a daemon. A client is loaded at the first call,
 * and made once for each service, Region and profile. A bundle holds of each client what `import()` names here and in the polls
 * (scripts/bundle.ts). Endpoints, profiles and credentials come from where the SDK always takes them (`AWS_ENDPOINT_URL_*`,
 * `AWS_PROFILE`, the shared files).
 */
import http, { Agent as HttpAgent } from 'node:http';
import { pipeline, Readable, Transform } from 'node:stream';
import { getCACertificates } from 'node:tls';
import type { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import type { EC2Client } from '@aws-sdk/client-ec2';
import type { EKSClient } from '@aws-sdk/client-eks';
import type { Route53Client } from '@aws-sdk/client-route-53';
import type { HttpRequest } from '@smithy/core/protocols';
import type { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Log } from '../../log/log.ts';
import { partitionOf } from '../../protocol/words/aws-partitions.ts';
import { cannotAsk, type FailureReason, type SourceError, unanswered } from '../../records/observation.ts';
import { type Clock, type Timers, untilAborted } from '../../runtime/clock.ts';
import { FAR_SIDE_MESSAGES } from '../far-side-messages.ts';
import { agentsFor, markedBy } from '../head.ts';
import { LocalFiles, SharedFiles } from '../local-files.ts';
import { DIRECT, type Outbound, proxyFor } from '../outbound.ts';
import {
  type AwsPlace,
  boundCredentialProcess,
  type Credentials,
  type CredentialsOptions,
  CredentialsShelf,
  type OutboundHandler,
  textOfPlace,
} from './credentials.ts';
import { type AwsFailure, classifyAwsFailure } from './failure.ts';

export interface AwsService<Client> {
  /** Settles when `signal` is aborted, and rejects with what `classifyAwsFailure` can tell. */
  call<Output>(
    place: AwsPlace,
    signal: AbortSignal,
    send: (client: Client, abort: { readonly abortSignal: AbortSignal }) => Promise<Output>,
  ): Promise<Output>;
  /** The URL that the SDK sends requests to; nothing is sent, and no credentials are needed. Rejects where the SDK has none. */
  url(place: AwsPlace, signal: AbortSignal): Promise<string>;
}

export interface AwsServices {
  readonly ec2: AwsService<EC2Client>;
  readonly eks: AwsService<EKSClient>;
  readonly route53: AwsService<Route53Client>;
}

/** The credentials of a place, as far as they may be shown. */
export interface AwsIdentity {
  /** The SDK's names of the providers that gave them (`CREDENTIALS_ENV_VARS`, `CREDENTIALS_PROFILE_PROCESS`, ...). */
  readonly sources: readonly string[];
  readonly expiration?: Date | undefined;
  /** The credentials have a session token. */
  readonly isSession: boolean;
}

export interface AwsIdentities {
  /** Asks the providers of credentials, and AWS only where a provider does. Rejects with what `classifyAwsFailure` can tell. */
  identity(place: AwsPlace, signal: AbortSignal): Promise<AwsIdentity>;
}

/** No source asks it: what it says proves no address. */
export interface AwsMonitoring {
  readonly cloudwatch: AwsService<CloudWatchClient>;
}

export interface AwsClientsOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  /** Left out: everything is asked directly. */
  readonly outbound?: Outbound;
  /** AWS's configuration files; left out: those that `outbound` names. */
  readonly shared?: SharedFiles;
  /** Credentials from the thread before this one, and for the next. */
  readonly handed?: CredentialsOptions['handed'];
  readonly keep?: CredentialsOptions['keep'];
  /** Called when the code of a client has been loaded, before the first request. */
  readonly onLoaded?: () => void;
  /** Looking up the service's name included. */
  readonly connectTimeoutMs?: number;
  /** From the request to the head of the answer, for each attempt. */
  readonly requestTimeoutMs?: number;
  /** Without an octet, in the middle of an answer. An answer that drips on is ended by the caller's signal only. */
  readonly idleTimeoutMs?: number;
  /** The chain may run the command twice (for a profile and on its own): twice this fits the deadline of a refresh. */
  readonly credentialProcessTimeoutMs?: number;
}

const DEFAULTS = {
  connectTimeoutMs: 3000,
  requestTimeoutMs: 6000,
  idleTimeoutMs: 5000,
  credentialProcessTimeoutMs: 8000,
};

/** The second attempt corrects a clock that is 4 minutes off or more; a third attempt would only stretch a poll in an outage. */
const ATTEMPTS = 2;

/** Makes the clients. `dispose` destroys every socket; calls that still run fail. */
export function createAwsServices(
  options: AwsClientsOptions,
): AwsServices & AwsIdentities & AwsMonitoring & { dispose(): void } {
  const configure = configuring(options);
  const explain = (error: unknown) => classifyAwsFailure(error, options.clock.wallMs());
  const pools: { dispose(): void }[] = [];
  const service = <Client extends { destroy(): void }>(
    load: () => Promise<Sdk<Client>>,
    placeOf = (place: AwsPlace) => place,
  ): AwsService<Client> => {
    const pool = new ClientPool({
      explain,
      create: async (place) => {
        const { operationPath, create, probe } = await load();
        options.onLoaded?.();
        const { config, credentials } = await configure(place);
        const client = create(config);
        const url = () => urlOf(operationPath, (unsent) => probe(create({ ...config, ...unsent })));
        return { client, credentials, url, destroy: () => client.destroy() };
      },
    });
    pools.push(pool);
    return {
      call: (place, signal, send) =>
        pool.use(placeOf(place), signal, ({ client }) => send(client, { abortSignal: signal })),
      url: (place, signal) => pool.inspect(placeOf(place), signal, ({ url }) => url()),
    };
  };
  return {
    ec2: service(async () => {
      const { EC2Client, DescribeRegionsCommand } = await import('@aws-sdk/client-ec2');
      return {
        operationPath: '/',
        create: (config) => new EC2Client(config),
        probe: (client) => client.send(new DescribeRegionsCommand({})),
      };
    }),
    eks: service(async () => {
      const { EKSClient, ListClustersCommand } = await import('@aws-sdk/client-eks');
      return {
        operationPath: '/clusters',
        create: (config) => new EKSClient(config),
        probe: (client) => client.send(new ListClustersCommand({})),
      };
    }),
    route53: service(async () => {
      const { Route53Client, ListHostedZonesByNameCommand } = await import('@aws-sdk/client-route-53');
      return {
        operationPath: '/2013-04-01/hostedzonesbyname',
        create: (config) => new Route53Client(config),
        probe: (client) => client.send(new ListHostedZonesByNameCommand({})),
      };
    }, homeOfRoute53),
    cloudwatch: service(async () => {
      const { CloudWatchClient, ListMetricsCommand } = await import('@aws-sdk/client-cloudwatch');
      return {
        operationPath: '/',
        create: (config) => new CloudWatchClient(config),
        probe: (client) => client.send(new ListMetricsCommand({})),
      };
    }),
    async identity(place, signal) {
      let isAsked = false;
      const provided = configure(place).then(({ credentials }) => {
        isAsked = true;
        return credentials.provide();
      });
      const found = await untilAborted(provided, signal, () => (isAsked ? lateProvider() : notReady()));
      const sources = '$source' in found ? Object.keys(Object(found.$source)) : [];
      return { sources, expiration: found.expiration, isSession: Boolean(found.sessionToken) };
    },
    dispose() {
      for (const pool of pools) pool.dispose();
    },
  };
}

/** One service of the SDK, loaded. */
interface Sdk<Client> {
  readonly create: (config: SdkConfig) => Client;
  /** Any request that needs no input, and the path that it adds to that of the endpoint. */
  readonly probe: (client: Client) => Promise<unknown>;
  readonly operationPath: string;
}

type SdkConfig = Awaited<ReturnType<ReturnType<typeof configuring>>>['config'] | UnsentConfig;

/** Makes the options of every SDK client: deadlines, few attempts, and credentials that the caller can watch. */
function configuring(options: AwsClientsOptions) {
  const { clock, timers, log, outbound = DIRECT, handed, keep } = options;
  const times = { ...DEFAULTS, ...options };
  const shared = options.shared ?? new SharedFiles(outbound, new LocalFiles(timers));
  let isChecked = false;
  const handlerFor = async ({ profile }: AwsPlace): Promise<OutboundHandler> => {
    if (!isChecked) warnOfUnusedCertificates(outbound, log);
    isChecked = true;
    return createOutboundHandler(
      {
        connectionTimeout: times.connectTimeoutMs,
        requestTimeout: times.requestTimeoutMs,
        throwOnRequestTimeout: true, // otherwise it writes a warning and goes on waiting
        socketTimeout: times.idleTimeoutMs,
      },
      outbound,
      await shared.authorities(profile),
    );
  };
  const shelf = new CredentialsShelf({ clock, log, handler: handlerFor, shared, handed, keep });
  return async (place: AwsPlace) => {
    const files = await shared.check();
    await boundCredentialProcess({ timers, timeoutMs: times.credentialProcessTimeoutMs });
    const credentials = await shelf.get(place, files);
    const config = {
      region: place.region,
      profile: place.profile,
      credentials: credentials.provide,
      maxAttempts: ATTEMPTS,
      requestHandler: await handlerFor(place),
    };
    return { config, credentials };
  };
}

/**
 * Route 53's API lives in one Region of each partition. The SDK knows, except with an endpoint of the operator's own, where it
 * signs for the client's Region.
 */
function homeOfRoute53({ region, profile }: AwsPlace): AwsPlace {
  return { region: partitionOf(region).globalRegion, profile };
}

/** Options of a client that sends nothing: placeholders in place of credentials, and a handler that keeps the request. */
interface UnsentConfig {
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly maxAttempts: number;
  readonly requestHandler: { handle(request: HttpRequest): Promise<never> };
}

/** Nothing is sent with them: they only let the SDK go through all its steps. */
const PLACEHOLDERS = { accessKeyId: 'none', secretAccessKey: 'none' };

/**
 * Where the SDK sends its requests. A client with the same configuration composes a request, and a handler that sends nothing
 * takes the URL from it. So no rule about endpoints is written a second time here.
 */
async function urlOf(
  operationPath: string,
  send: (unsent: Omit<UnsentConfig, 'region'>) => Promise<unknown>,
): Promise<string> {
  let url: string | undefined;
  const requestHandler = {
    async handle({ protocol, hostname, port, path }: HttpRequest): Promise<never> {
      const base = path.endsWith(operationPath) ? path.slice(0, -operationPath.length) : path;
      url = `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${base}`;
      throw new Error('not sent: only the url was wanted');
    },
  };
  try {
    await send({ credentials: PLACEHOLDERS, maxAttempts: 1, requestHandler });
  } catch (error) {
    if (url === undefined) throw error;
  }
  if (url === undefined) throw new Error('the sdk composed no request');
  return url;
}

// The clients of the SDK, one for each place, and when a client is replaced.

interface PooledClient {
  readonly credentials: Omit<Credentials, 'provide' | 'isOutdated'>;
  destroy(): void;
}

interface ClientPoolOptions<C> {
  readonly create: (place: AwsPlace) => Promise<C>;
  readonly explain: (error: unknown) => AwsFailure;
}

interface Entry<C> {
  readonly client: Promise<C>;
  made?: C;
  users: number;
  isDropped: boolean;
}

const SPOILING: ReadonlySet<FailureReason> = new Set([
  'clock-skew',
  'denied',
  'expired-credentials',
  'network',
  'no-credentials',
  'proxy',
  'refused-credentials',
  'timeout',
  'untrusted-certificate',
]);

/**
 * One client of the SDK for each place, made at its first use and replaced whenever it may have gone bad.
 *
 * A client remembers too much: credentials without an expiry for ever, a refresh of them that never returned, and its spent
 * retries. After an outage it makes no retry at all, not even the one that corrects the clock. So a client is dropped after
 * any such failure and any deadline. Where its credentials have part in the failure, they are forgotten too, and the next
 * poll starts from the files. Credentials that AWS accepted before and refuses now have most likely been rotated on the
 * disk: the call is then repeated at once.
 *
 * A dropped client keeps its sockets while another poll uses them: without them that poll would report a cut link.
 */
export class ClientPool<C extends PooledClient> {
  readonly #options: ClientPoolOptions<C>;
  readonly #entries = new Map<string, Entry<C>>();
  readonly #dropped = new Set<Entry<C>>();
  #isDisposed = false;

  constructor(options: ClientPoolOptions<C>) {
    this.#options = options;
  }

  /** Calls with the place's client; rejects as soon as `signal` is aborted, even if the SDK goes on. */
  async use<T>(place: AwsPlace, signal: AbortSignal, call: (client: C) => Promise<T>): Promise<T> {
    const entry = this.#entry(place);
    try {
      return await this.#callWith(place, entry, signal, call);
    } catch (error) {
      const { refusesCredentials } = this.#options.explain(error);
      const isRotated = refusesCredentials && entry.made?.credentials.wasAccepted();
      if (!isRotated || signal.aborted) throw error;
      return await this.#callWith(place, this.#entry(place), signal, call);
    }
  }

  /** Asks the client of a place for something that sends nothing, and so proves nothing about its credentials. */
  inspect<T>(place: AwsPlace, signal: AbortSignal, ask: (client: C) => Promise<T>): Promise<T> {
    return this.#inUse(this.#entry(place), signal, ask);
  }

  dispose(): void {
    this.#isDisposed = true;
    for (const [key, entry] of this.#entries) this.#drop(key, entry);
    for (const entry of this.#dropped) entry.made?.destroy();
    this.#dropped.clear();
  }

  #entry(place: AwsPlace): Entry<C> {
    if (this.#isDisposed) throw cannotAsk('asking aws failed: the server is stopping');
    const key = textOfPlace(place);
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const entry: Entry<C> = { client: this.#options.create(place), users: 0, isDropped: false };
    entry.client.then(
      (made) => {
        entry.made = made;
        this.#destroyIfUnused(entry);
      },
      () => this.#drop(key, entry),
    );
    this.#entries.set(key, entry);
    return entry;
  }

  async #callWith<T>(
    place: AwsPlace,
    entry: Entry<C>,
    signal: AbortSignal,
    call: (client: C) => Promise<T>,
  ): Promise<T> {
    try {
      const result = await this.#inUse(entry, signal, call);
      entry.made?.credentials.accepted();
      return result;
    } catch (error) {
      this.#dropIfSpoiled(textOfPlace(place), entry, this.#options.explain(error));
      throw error;
    }
  }

  async #inUse<T>(entry: Entry<C>, signal: AbortSignal, call: (client: C) => Promise<T>): Promise<T> {
    entry.users++;
    try {
      return await untilAborted(entry.client.then(call), signal, () => lateError(entry));
    } finally {
      entry.users--;
      this.#destroyIfUnused(entry);
    }
  }

  #dropIfSpoiled(key: string, entry: Entry<C>, failure: AwsFailure): void {
    if (entry.made !== undefined && !SPOILING.has(failure.reason)) return;
    const credentials = entry.made?.credentials;
    // a right that is missing says nothing against credentials that AWS has accepted for another call
    const isRefused = failure.reason === 'denied' && credentials?.wasAccepted() !== true;
    const isTheirFault = failure.refusesCredentials || isRefused;
    if (isTheirFault || credentials?.isWaiting()) credentials?.forget();
    this.#drop(key, entry);
  }

  #drop(key: string, entry: Entry<C>): void {
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
    entry.isDropped = true;
    this.#dropped.add(entry);
    this.#destroyIfUnused(entry);
  }

  #destroyIfUnused(entry: Entry<C>): void {
    if (!entry.isDropped || entry.users > 0) return;
    this.#dropped.delete(entry);
    entry.made?.destroy();
  }
}

/** A provider that hangs is a problem of this host's credentials, and must not read as a cut link. */
function lateProvider(): SourceError {
  const detail = 'getting credentials failed: the provider did not answer within the deadline';
  return unanswered('no-credentials', detail);
}

/** The thread has too little of the processor, or waits for a file: nothing was asked. It is no sign of a cut, nor of bad credentials. */
function notReady(): SourceError {
  return cannotAsk('asking aws failed: its clients were not ready within the deadline');
}

function lateError<C extends PooledClient>({ made }: Entry<C>): SourceError {
  if (made === undefined) return notReady();
  if (made.credentials.isWaiting()) return lateProvider();
  return unanswered('timeout', 'aws did not answer within the deadline');
}

// The way of a request of the SDK: directly or through a proxy, and never with an answer without end.

type HandlerOptions = NonNullable<ConstructorParameters<typeof NodeHttpHandler>[0]> & object;

/** One handler of the SDK for each proxy, and one without; the URL of a request decides which one sends it. */
export async function createOutboundHandler(
  options: Exclude<HandlerOptions, () => unknown>,
  outbound: Outbound,
  authorities: readonly string[] | undefined,
): Promise<OutboundHandler> {
  const { NodeHttpHandler } = await import('@smithy/node-http-handler');
  // the SDK asks the instance metadata service with Node's global agent, which NODE_USE_ENV_PROXY sends to HTTP_PROXY
  http.globalAgent = new HttpAgent({ keepAlive: true });
  const ways = new Map<string | undefined, NodeHttpHandler>();
  const timeoutMs = (options.connectionTimeout ?? 0) + (options.requestTimeout ?? 0);
  const through = (proxy: string | undefined): NodeHttpHandler => {
    const known = ways.get(proxy);
    if (known !== undefined) return known;
    const { http, https } = agentsFor({ proxy, authorities, timeoutMs, keepAlive: true });
    const handler = new NodeHttpHandler({ ...options, httpAgent: http, httpsAgent: https });
    ways.set(proxy, handler);
    return handler;
  };
  const direct = through(undefined);
  let lastFailure: unknown;
  return {
    metadata: direct.metadata,
    async handle(request, more) {
      const proxy = proxyOf(request, outbound);
      try {
        const answer = await through(proxy).handle(request, more);
        lastFailure = undefined;
        answer.response.body = bounded(answer.response.body);
        return answer;
      } catch (error) {
        lastFailure = proxy === undefined ? error : markedBy(proxy, error);
        throw lastFailure;
      }
    },
    updateHttpClientConfig(key, value) {
      for (const handler of ways.values()) handler.updateHttpClientConfig(key, value);
    },
    httpHandlerConfigs: () => direct.httpHandlerConfigs(),
    lastFailure: () => lastFailure,
    destroy() {
      for (const handler of ways.values()) handler.destroy();
    },
  };
}

/** Twice the largest page of a listing: a thousand network interfaces with all their fields. */
const MAX_ANSWER_OCTETS = 8 * 1024 * 1024;

/**
 * The body of an answer, which fails where it is too long. The SDK has no bound, and a body that something in between sends
 * without end would take the memory of the whole server.
 */
function bounded(body: unknown): unknown {
  if (!(body instanceof Readable)) return body;
  let octets = 0;
  const limit = new Transform({
    transform(chunk: Uint8Array, _, done) {
      octets += chunk.length;
      done(octets > MAX_ANSWER_OCTETS ? tooLong() : null, chunk);
    },
  });
  // ends the connection of an answer that is too long, and passes on the error of one that broke off
  pipeline(body, limit, () => undefined);
  return limit;
}

const tooLong = () => unanswered('malformed', `an answer of more than ${MAX_ANSWER_OCTETS} octets`);

function proxyOf(request: Parameters<OutboundHandler['handle']>[0], outbound: Outbound): string | undefined {
  const port = request.port === undefined ? '' : `:${request.port}`;
  const url = URL.parse(`${request.protocol}//${request.hostname}${port}`);
  return url === null ? undefined : proxyFor(url, outbound);
}

/** Warns when Node ignores the file in NODE_EXTRA_CA_CERTS. Without this warning a person would suspect that a proxy intercepts AWS. */
export function warnOfUnusedCertificates({ extraCertificates }: Outbound, log: Log): void {
  if (extraCertificates === undefined || getCACertificates('extra').length > 0) return;
  FAR_SIDE_MESSAGES.certificatesNotRead(log, { file: extraCertificates });
}
