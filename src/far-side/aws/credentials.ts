import { spawn } from 'node:child_process';
import type { fromNodeProviderChain } from '@aws-sdk/credential-providers';
import type { Log } from '../../log/log.ts';
import type { SourceContext } from '../../records/observation.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Timers } from '../../runtime/timers.ts';
import type { OutboundHandler } from '../outbound-agents.ts';
import { cannotAsk, SourceError, type SourceFailure } from '../source-error.ts';
import { classifyAwsFailure, redacted } from './failure.ts';
import type { SharedFiles } from './shared-files.ts';

/** Where AWS is asked, and with whose credentials. */
export interface AwsPlace {
  readonly region: string;
  /** A profile of the AWS configuration files; left out: the one of the environment. */
  readonly profile?: string | undefined;
}

/** Throws SourceError where no Region is configured. */
export function placeOf({ cluster, region }: SourceContext, profile: string | undefined): AwsPlace {
  if (region === undefined)
    throw cannotAsk(`asking aws about cluster "${cluster}" failed: no region is configured`);
  return { region, profile };
}

/**
 * The SDK's default chains of credentials providers (environment, profiles, `credential_process`, roles, ...), one
 * per Region and profile for all services, read anew from the files after any failure.
 *
 * Credentials outlive the clients that use them. Were they dropped with a client whenever a call times out, then
 * in an outage they would have to be got again through the cut link, and the cut would look like missing credentials.
 *
 * A chain tries link after link and reports only the last one's failure, so a broken `credential_process` would
 * come out as "no credentials from any provider". What the links said on the way is collected from their debug lines.
 */
export interface Credentials {
  readonly provide: (context?: object) => ReturnType<Chain>;
  /** Whether a provider has been asked and has not answered yet. */
  isWaiting(): boolean;
  /** AWS has taken them: should it refuse them from now on, they have expired or been rotated. */
  accepted(): void;
  wasAccepted(): boolean;
  /** The next client starts from the files. */
  forget(): void;
}

type Chain = ReturnType<typeof fromNodeProviderChain>;

export interface CredentialsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** For what providers ask of AWS: STS, SSO. */
  readonly handler: (place: AwsPlace) => Promise<OutboundHandler>;
  readonly shared: Pick<SharedFiles, 'check'>;
}

export class CredentialsShelf {
  readonly #options: CredentialsOptions;
  readonly #shelf = new Map<string, Credentials>();

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  async get(place: AwsPlace): Promise<Credentials> {
    const { fromNodeProviderChain } = await import('@aws-sdk/credential-providers');
    const key = JSON.stringify([place.region, place.profile]);
    const known = this.#shelf.get(key);
    if (known !== undefined) return known;
    const handler = await this.#options.handler(place);
    const made = this.#shelf.get(key);
    if (made !== undefined) return made; // somebody else was quicker
    const said: string[] = [];
    const chain = fromNodeProviderChain({
      // STS, SSO and the like go the same way out as the services themselves
      clientConfig: { requestHandler: handler },
      logger: listener(said, this.#options.log),
      // Without it the process keeps the first reading of ~/.aws/credentials for ever, rotated or not.
      ignoreCache: true,
      ...(place.profile === undefined ? {} : { profile: place.profile }),
    });
    const { clock, shared } = this.#options;
    const credentials = watched({ chain, said, handler, clock, shared }, () => {
      if (this.#shelf.get(key) === credentials) this.#shelf.delete(key);
    });
    this.#shelf.set(key, credentials);
    return credentials;
  }
}

interface Watched {
  readonly chain: Credentials['provide'];
  readonly said: string[];
  readonly handler: Pick<OutboundHandler, 'lastFailure'>;
  readonly shared: Pick<SharedFiles, 'check'>;
  readonly clock: Clock;
}

function watched({ chain, said, handler, clock, shared }: Watched, forget: () => void): Credentials {
  let waiting = 0;
  let isAccepted = false;
  return {
    accepted() {
      isAccepted = true;
    },
    wasAccepted: () => isAccepted,
    isWaiting: () => waiting > 0,
    forget,
    async provide(context) {
      waiting++;
      try {
        await shared.check();
        return await chain(context);
      } catch (error) {
        forget();
        if (error instanceof SourceError) throw error;
        // a provider may keep to itself why its request had no answer
        const cause = handler.lastFailure() ?? error;
        throw new SourceError(explainProviderFailure(cause, said, clock.wallMs()));
      } finally {
        waiting--;
        said.length = 0;
      }
    },
  };
}

/** A failure of a provider that says nothing of AWS speaks neither for the link nor against it. */
export function explainProviderFailure(
  error: unknown,
  said: readonly string[],
  wallMs: number,
): SourceFailure {
  const name = error instanceof Error ? error.name : '';
  const isProviders = /ProviderError$/.test(name);
  const failure = classifyAwsFailure(error, wallMs); // roles and SSO ask services of AWS, whose failures are told like any other
  if (!isProviders && failure.reason !== 'internal' && failure.reason !== 'malformed') {
    const reason = failure.reason === 'denied' ? 'refused-credentials' : failure.reason; // a role that may not be taken
    return { ...failure, reason, detail: `getting credentials failed: ${failure.detail}` };
  }
  const message = error instanceof Error ? error.message : '';
  return {
    reason: 'no-credentials',
    reachedFarSide: false,
    detail: `getting credentials failed: ${firstTelling([...said, message])}`,
  };
}

/** What providers say that helps an operator, most telling first. Everything else stays unsaid: it may quote a command or a file. */
const TELLING: readonly RegExp[] = [
  /credential_process (?:did not end within \d+ ms|wrote more than \d+ octets|could not be started|ended with exit code \d+|was ended by \w+)/,
  /credential_process returned (?:expired credentials|invalid JSON|invalid credentials)/,
  /credential_process did not return Version 1/,
  /The SSO session (?:associated with this profile|token associated with profile=\S+) (?:has expired|was not found)[^.]*/,
  /Detected a cycle attempting to resolve credentials for profile/,
  /Profile \S+ requires multi-factor authentication/,
  /Profile (?!default )\S+ could not be found in shared credentials file/,
  /Could not resolve credentials using profile: \[(?!default\])[^\]]*\]/,
];

function firstTelling(said: readonly string[]): string {
  for (const pattern of TELLING) {
    for (const message of said) {
      const found = pattern.exec(message);
      if (found !== null) return redacted(lowerFirst(found[0]));
    }
  }
  return 'no provider has any (environment, profile, credential_process)';
}

function lowerFirst(words: string): string {
  return words.charAt(0).toLowerCase() + words.slice(1);
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
      log.warn({ said: redacted(parts.map(String).join(' ')) }, 'aws sdk warns about credentials');
    },
    error(): void {},
  };
}

/**
 * Runs an operator's `credential_process` under a deadline and ends it with all its children when that has passed.
 * The SDK's own way has no deadline at all, so one that waits for a dead network would stay, and every later refresh
 * would start another beside it.
 */
interface ProcessLimits {
  readonly timers: Timers;
  readonly timeoutMs: number;
}

const MAX_OUTPUT_OCTETS = 64 * 1024; // credentials are some 2 KB of JSON

/** Called as the SDK calls `exec`: the command line, then what to tell. Errors name neither the command nor its output: both may hold secrets. */
type RunCommand = (command: string, done: (error: Error | null, output?: { stdout: string }) => void) => void;

export function boundedCommand(limits: ProcessLimits): RunCommand {
  return (command, done) => {
    // A process group of its own, so that what the shell started ends with it.
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
    // Already gone.
  }
}

/**
 * Makes the SDK run every `credential_process` through `run`. The SDK has no option for it, only this hook, which is
 * one for the whole process. Should a later version lose it, the SDK runs commands as it always did, without end.
 */
export async function boundCredentialProcess(limits: ProcessLimits): Promise<void> {
  try {
    const { externalDataInterceptor } = await import('@smithy/core/config');
    externalDataInterceptor.getTokenRecord()['exec'] = boundedCommand(limits);
  } catch {
    // The deadline of a look still holds; only the command is not ended.
  }
}
