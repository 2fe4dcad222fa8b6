/**
 * Holds the SDK's default chains of credentials providers (environment, profiles, `credential_process`, roles, ...): one chain for
 * each Region and profile, shared by all services. After a failure a new chain reads the files again.
 *
 * Credentials outlive the clients that use them. If a timeout dropped both, new credentials would have to come over the
 * link, and a link that is cut would read as missing credentials.
 *
 * A chain tries provider after provider and reports only the failure of the last. A broken `credential_process` would read
 * as "no credentials from any provider". So the earlier failures are collected from the debug lines of the SDK.
 */
import { spawn } from 'node:child_process';
import type { fromNodeProviderChain } from '@aws-sdk/credential-providers';
import type { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Log } from '../../log/log.ts';
import { cannotAsk, type SourceContext, SourceError } from '../../records/observation.ts';
import type { Clock, Timers } from '../../runtime/clock.ts';
import { FAR_SIDE_MESSAGES } from '../far-side-messages.ts';
import type { SharedFiles } from '../local-files.ts';
import { explainProviderFailure, redacted } from './failure.ts';

/** The Region in which a source asks AWS, and the profile whose credentials it uses. */
export interface AwsPlace {
  readonly region: string;
  /** A profile of the AWS configuration files. Without this field the profile of the environment counts. */
  readonly profile?: string | undefined;
}

/** The key under which credentials of a place are kept. */
export function textOfPlace({ region, profile }: AwsPlace): string {
  return JSON.stringify([region, profile]);
}

/** Throws SourceError where no Region is configured. */
export function placeOf({ cluster, region }: SourceContext, profile: string | undefined): AwsPlace {
  if (region === undefined)
    throw cannotAsk(`asking aws about cluster "${cluster}" failed: no region is configured`);
  return { region, profile };
}

export interface Credentials {
  readonly provide: (context?: object) => ReturnType<Chain>;
  /** Whether a provider has been asked and has not answered yet. */
  isWaiting(): boolean;
  /** AWS accepted them: if it refuses them later, they have expired or been rotated. */
  accepted(): void;
  wasAccepted(): boolean;
  /** A provider gave them from other configuration files than these. */
  isOutdated(files: string): boolean;
  /** The next client starts from the files. */
  forget(): void;
}

type Chain = ReturnType<typeof fromNodeProviderChain>;

/** Sends the requests of the SDK: those of its clients, and those of its providers of credentials. */
export interface OutboundHandler {
  readonly metadata: NodeHttpHandler['metadata'];
  readonly handle: NodeHttpHandler['handle'];
  readonly updateHttpClientConfig: NodeHttpHandler['updateHttpClientConfig'];
  readonly httpHandlerConfigs: NodeHttpHandler['httpHandlerConfigs'];
  /** The reason why the latest request got no answer; undefined after an answer. */
  readonly lastFailure: () => unknown;
  readonly destroy: () => void;
}

export interface CredentialsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Carries the requests of providers: to STS, to SSO. */
  readonly handler: (place: AwsPlace) => Promise<OutboundHandler>;
  readonly shared: Pick<SharedFiles, 'check'>;
  /** From the thread before; left out: none. */
  readonly handed?: HandedCredentials | undefined;
  /** For the next thread; left out: there is none. */
  readonly keep?: ((place: string, kept: KeptCredentials | undefined) => void) | undefined;
}

export class CredentialsShelf {
  readonly #options: CredentialsOptions;
  readonly #shelf = new Map<string, Credentials>();
  /** Credentials from the thread before that this thread has not taken yet. */
  readonly #handed: Map<string, KeptCredentials>;

  constructor(options: CredentialsOptions) {
    this.#options = options;
    this.#handed = new Map(options.handed);
  }

  /** `files`: the state of the AWS configuration files. After a change in them the providers are asked again. */
  async get(place: AwsPlace, files: string): Promise<Credentials> {
    const { fromNodeProviderChain } = await import('@aws-sdk/credential-providers');
    const key = textOfPlace(place);
    const known = this.#shelf.get(key);
    if (known !== undefined && !known.isOutdated(files)) return known;
    known?.forget();
    const handler = await this.#options.handler(place);
    const made = this.#shelf.get(key);
    if (made !== undefined) return made; // another call was quicker
    const said: string[] = [];
    const chain = fromNodeProviderChain({
      // STS and SSO are reached through the same proxy as the services
      clientConfig: { requestHandler: handler },
      logger: listener(said, this.#options.log),
      // without it the process keeps the first reading of ~/.aws/credentials for ever, rotated or not
      ignoreCache: true,
      profile: place.profile,
    });
    const { clock, shared, keep } = this.#options;
    const before = this.#handed.get(key);
    this.#handed.delete(key);
    const isOnShelf = () => this.#shelf.get(key) === credentials;
    const credentials = watched({ chain, said, handler, clock, shared }, before, {
      keep: (kept) => {
        if (isOnShelf()) keep?.(key, kept);
      },
      offShelf: () => {
        if (isOnShelf()) this.#shelf.delete(key);
      },
    });
    this.#shelf.set(key, credentials);
    return credentials;
  }
}

interface Watched extends Pick<CredentialsOptions, 'clock' | 'shared'> {
  readonly chain: Credentials['provide'];
  readonly said: string[];
  readonly handler: Pick<OutboundHandler, 'lastFailure'>;
}

interface WatchedEvents {
  /** These are for the next thread. */
  readonly keep: (kept: KeptCredentials | undefined) => void;
  readonly offShelf: () => void;
}

/** `handed`: from the thread before. */
function watched(
  { chain, said, handler, clock, shared }: Watched,
  handed: KeptCredentials | undefined,
  events: WatchedEvents,
): Credentials {
  let waiting = 0;
  let isAccepted = handed?.isAccepted === true;
  let givenFrom: string | undefined;
  let usable = handed;
  let kept = handed;
  let last: Identity | undefined;
  const keep = (next: KeptCredentials | undefined) => {
    if (next === kept) return;
    kept = next;
    events.keep(next);
  };
  const forget = () => {
    usable = undefined;
    keep(undefined);
    events.offShelf();
  };
  return {
    accepted() {
      isAccepted = true;
      if (kept !== undefined && !kept.isAccepted) keep({ ...kept, isAccepted });
    },
    wasAccepted: () => isAccepted,
    isWaiting: () => waiting > 0,
    isOutdated: (files) => givenFrom !== undefined && givenFrom !== files,
    forget,
    async provide(context) {
      const files = await shared.check().catch((error: unknown) => {
        forget();
        throw error;
      });
      if (usable?.files !== files || endsSoon(usable.identity, clock.wallMs())) usable = undefined;
      if (usable !== undefined) {
        givenFrom = files;
        return usable.identity;
      }
      waiting++;
      try {
        const identity = await chain(context);
        // the chain remembers what it gave, and gives it again
        if (identity !== last) keep(worthKeeping(identity, files));
        last = identity;
        givenFrom = files;
        return identity;
      } catch (error) {
        forget();
        // a provider may not report why its request had no answer
        const cause = handler.lastFailure() ?? error;
        throw new SourceError(explainProviderFailure(cause, said, clock.wallMs()));
      } finally {
        waiting--;
        // two services may ask at the same time: each failure is explained by the same lines
        if (waiting === 0) said.length = 0;
      }
    },
  };
}

const MOST_LINES = 50;

function listener(said: string[], log: Log) {
  return {
    debug(...parts: unknown[]): void {
      const line = parts.filter((part) => typeof part === 'string').join(' ');
      if (said.length < MOST_LINES) said.push(line);
    },
    info(): void {},
    warn(...parts: unknown[]): void {
      FAR_SIDE_MESSAGES.sdkWarns(log, { said: redacted(parts.map(String).join(' ')) });
    },
    error(): void {},
  };
}

// Credentials that a thread with the AWS clients leaves to the next thread. They stay in the memory of the process: no file and
// no log line has them. Without them each thread would run a `credential_process`, or assume a role, again.
//
//     a provider gives --> kept --> the next thread uses it, until AWS refuses it, it ends soon, or the AWS configuration has
//                                   changed: then the provider is asked

type Identity = Awaited<ReturnType<Chain>>;

/** Plain data: it crosses between threads. */
export interface KeptCredentials {
  readonly identity: Identity;
  /** The state of the AWS configuration files when a provider gave them (`SharedFiles.check`). */
  readonly files: string;
  /** AWS has accepted them. */
  readonly isAccepted: boolean;
}

/** By place, as text. */
export type HandedCredentials = ReadonlyMap<string, KeptCredentials>;

/** The SDK, too, asks for others when credentials end within this time. */
const MARGIN_MS = 5 * 60_000;

function endsSoon({ expiration }: Identity, wallMs: number): boolean {
  return expiration !== undefined && expiration.getTime() - wallMs <= MARGIN_MS;
}

const OF_PROCESS = /_PROCESS$/;

/** Keys in the environment or in a file cost nothing to read, and the file may have others by then. */
function worthKeeping(identity: Identity, files: string): KeptCredentials | undefined {
  const { accessKeyId, secretAccessKey, sessionToken, credentialScope, expiration, accountId } = identity;
  const $source = sourceOf(identity);
  if (expiration === undefined && !Object.keys($source).some((it) => OF_PROCESS.test(it))) return undefined;
  const copy = Object.assign(
    { accessKeyId, secretAccessKey },
    sessionToken === undefined ? {} : { sessionToken },
    credentialScope === undefined ? {} : { credentialScope },
    expiration === undefined ? {} : { expiration },
    accountId === undefined ? {} : { accountId },
    { $source },
  );
  return { identity: copy, files, isAccepted: false };
}

/** The SDK's names of the providers, which its types do not show. */
function sourceOf(identity: Identity): Readonly<Record<string, string>> {
  return '$source' in identity ? { ...Object(identity.$source) } : {};
}

/**
 * Runs an operator's `credential_process` under a deadline, and ends it with all its children after that. The SDK has no
 * deadline: a command that waits for a dead network would stay, and every later refresh would start one more.
 */
interface ProcessLimits {
  readonly timers: Timers;
  readonly timeoutMs: number;
}

const MAX_OUTPUT_OCTETS = 64 * 1024; // credentials are some 2 KB of JSON

/** Has the form in which the SDK calls `exec`. Errors name neither the command nor its output: both may hold secrets. */
type RunCommand = (command: string, done: (error: Error | null, output?: { stdout: string }) => void) => void;

function boundedCommand(limits: ProcessLimits): RunCommand {
  return (command, done) => {
    // a process group of its own, so that the children of the shell end with it
    const child = spawn(command, { shell: true, detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
    let stdout = '';
    let isDone = false;
    function finish(fault?: string): void {
      if (isDone) return;
      isDone = true;
      deadline[Symbol.dispose]();
      if (fault === undefined) {
        done(null, { stdout });
        return;
      }
      endGroup(child.pid);
      child.stdout.destroy();
      done(new Error(`credential_process ${fault}`));
    }
    const deadline = limits.timers.after(limits.timeoutMs, () => {
      finish(`did not end within ${limits.timeoutMs} ms`);
    });
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (part: string) => {
      stdout += part;
      if (stdout.length > MAX_OUTPUT_OCTETS) finish(`wrote more than ${MAX_OUTPUT_OCTETS} octets`);
    });
    child.on('error', () => finish('could not be started'));
    child.on('close', (status, signal) => finish(status === 0 ? undefined : endOf(status, signal)));
  };
}

function endOf(status: number | null, signal: string | null): string {
  return signal === null ? `ended with exit code ${status}` : `was ended by ${signal}`;
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // the group of processes has ended already
  }
}

/**
 * Makes the SDK run every `credential_process` under these limits. The SDK has no option for that, only this hook, which
 * counts for the whole process. Without the hook, in a later version, the SDK runs commands without a deadline.
 */
export async function boundCredentialProcess(limits: ProcessLimits): Promise<void> {
  try {
    const { externalDataInterceptor } = await import('@smithy/core/config');
    externalDataInterceptor.getTokenRecord()['exec'] = boundedCommand(limits);
  } catch {
    // the deadline of the poll still holds, but the command goes on after the deadline
  }
}
