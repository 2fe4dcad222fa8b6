/**
 * Credentials that a thread with the AWS clients leaves to the next thread. They stay in the memory of the process: no file and
 * no log line has them. Without them each thread would run a `credential_process`, or assume a role, again.
 *
 *     a provider gives --> kept --> the next thread uses it, until AWS refuses it, it ends soon, or the AWS configuration has
 *                                   changed: then the provider is asked
 */
import type { fromNodeProviderChain } from '@aws-sdk/credential-providers';

type Identity = Awaited<ReturnType<ReturnType<typeof fromNodeProviderChain>>>;

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

export type KeepCredentials = (kept: KeptCredentials | undefined) => void;

/** The SDK, too, asks for others when credentials end within this time. */
const MARGIN_MS = 5 * 60_000;

/** The credentials of one place: `before` are from the thread before, and `keep` keeps some for the next thread. */
export class HandOver {
  readonly #keep: KeepCredentials;
  #before: KeptCredentials | undefined;
  #kept: KeptCredentials | undefined;
  #last: Identity | undefined;

  constructor(before: KeptCredentials | undefined, keep: KeepCredentials) {
    this.#before = before;
    this.#kept = before;
    this.#keep = keep;
  }

  /** The credentials of the thread before, while they are good. */
  usable(files: string, wallMs: number): Identity | undefined {
    const before = this.#before;
    if (before !== undefined && (before.files !== files || endsSoon(before.identity, wallMs)))
      this.#before = undefined;
    return this.#before?.identity;
  }

  /** The chain gave these, which can be those that it gave before: it remembers them. */
  given(identity: Identity, files: string): void {
    if (identity === this.#last) return;
    this.#last = identity;
    this.#set(
      isWorthKeeping(identity) ? { identity: copyOf(identity), files, isAccepted: false } : undefined,
    );
  }

  accepted(): void {
    if (this.#kept !== undefined && !this.#kept.isAccepted) this.#set({ ...this.#kept, isAccepted: true });
  }

  forget(): void {
    this.#before = undefined;
    this.#set(undefined);
  }

  #set(kept: KeptCredentials | undefined): void {
    if (kept === this.#kept) return;
    this.#kept = kept;
    this.#keep(kept);
  }
}

function endsSoon({ expiration }: Identity, wallMs: number): boolean {
  return expiration !== undefined && expiration.getTime() - wallMs <= MARGIN_MS;
}

const OF_PROCESS = /_PROCESS$/;

/** Keys in the environment or in a file cost nothing to read, and the file may have others by then. */
function isWorthKeeping(identity: Identity): boolean {
  return (
    identity.expiration !== undefined || Object.keys(sourceOf(identity)).some((it) => OF_PROCESS.test(it))
  );
}

function copyOf(identity: Identity): Identity {
  const { accessKeyId, secretAccessKey, sessionToken, credentialScope, expiration, accountId } = identity;
  const $source = sourceOf(identity);
  return Object.assign(
    { accessKeyId, secretAccessKey },
    sessionToken === undefined ? {} : { sessionToken },
    credentialScope === undefined ? {} : { credentialScope },
    expiration === undefined ? {} : { expiration },
    accountId === undefined ? {} : { accountId },
    { $source },
  );
}

/** The SDK's names of the providers, which its types do not show. */
function sourceOf(identity: Identity): Readonly<Record<string, string>> {
  return '$source' in identity ? { ...Object(identity.$source) } : {};
}
