/**
 * One client of the SDK for each place, made at its first use and replaced whenever it may have gone bad.
 *
 * A client remembers too much: credentials without an expiry for ever, a refresh of them that never came back, and how many
 * retries it has spent. After an outage it makes no retry at all, not even the one that corrects the clock. So a client is
 * dropped after any such failure and any deadline. Where its credentials have part in the failure, they are forgotten too, and
 * the next poll starts from the files. Where AWS accepted the credentials before and now refuses them, they have most likely
 * been rotated on the disk: the call is then repeated at once.
 *
 * A dropped client keeps its sockets while another poll uses them: without them that poll would report a cut link.
 */
import type { FailureReason } from '../../records/observation.ts';
import { cannotAsk, SourceError, untilAborted } from '../source-error.ts';
import type { AwsPlace, Credentials } from './credentials.ts';
import type { AwsFailure } from './failure.ts';

export interface PooledClient {
  readonly credentials: Omit<Credentials, 'provide'>;
  destroy(): void;
}

export interface ClientPoolOptions<C> {
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

export class ClientPool<C extends PooledClient> {
  readonly #options: ClientPoolOptions<C>;
  readonly #entries = new Map<string, Entry<C>>();
  readonly #dropped = new Set<Entry<C>>();
  #isDisposed = false;

  constructor(options: ClientPoolOptions<C>) {
    this.#options = options;
  }

  /** Calls with the place's client; rejects as soon as `signal` is aborted, whatever the SDK does. */
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
    const key = keyOf(place);
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
      this.#dropIfSpoiled(keyOf(place), entry, this.#options.explain(error));
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
    if (!SPOILING.has(failure.reason)) return;
    const credentials = entry.made?.credentials;
    const isTheirFault = failure.refusesCredentials || failure.reason === 'denied';
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

function keyOf(place: AwsPlace): string {
  return JSON.stringify([place.region, place.profile]);
}

/** A provider that hangs is a problem of this host's credentials, and must not read as a cut link. */
function lateError<C extends PooledClient>(entry: Entry<C>): SourceError {
  if (entry.made?.credentials.isWaiting()) {
    return new SourceError({
      reason: 'no-credentials',
      reachedFarSide: false,
      detail: 'getting credentials failed: the provider did not answer within the deadline',
    });
  }
  return new SourceError({
    reason: 'timeout',
    reachedFarSide: false,
    detail: 'aws did not answer within the deadline',
  });
}
