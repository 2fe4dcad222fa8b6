/**
 * The far side of the link, as the rooms of both journeys ask it. Everything that speaks HTTPS lives in threads of its own
 * (far-side-thread.ts says why), even where the server that it asks is on the site. Only the calls of `Calls` cross into them. A
 * thread is started with its first call. If the thread ends by itself, or stands still, all its running calls fail, and the next
 * call starts a new thread. There are two, of which one is there at a time:
 *
 *     far-side   the sign of life every few seconds, the API servers, proofs by TLS
 *     aws        polls with the AWS clients, and meanwhile everything else: the thread ends when it has had no poll for a while
 *
 *     far-side --- a poll by the AWS clients ---> aws --- no poll for 15 s ---> far-side, with its next call
 *
 *     call --- aborted ---> the thread says how far the call has come -------------------> the call fails
 *                               `-- no word within a second: a missed deadline ----------> the call fails
 *                                       `-- the third without any word in between -------> the thread is ended
 */
import { Worker } from 'node:worker_threads';
import type { Log } from '../log/log.ts';
import type { CheckResult } from '../records/endpoint-record.ts';
import {
  cannotAsk,
  failed,
  type Observation,
  type SourceContext,
  SourceError,
} from '../records/observation.ts';
import { traitsOf } from '../records/sources.ts';
import { endThread, refusesThread } from '../runtime/background.ts';
import type { Clock, Timers } from '../runtime/clock.ts';
import { smallNurseries } from '../runtime/memory.ts';
import type { AwsPlace, KeptCredentials } from './aws/credentials.ts';
import type { AwsInspection } from './endings.ts';
import { FAR_SIDE_MESSAGES } from './far-side-messages.ts';
import type { Calls, FromThread, PollSettings, ThreadData, ToThread } from './far-side-thread.ts';
import type { CheckRequest } from './handshake.ts';
import type { HeadOutcome, HeadRequest } from './head.ts';
import type { KubeconfigFacts, KubeconfigRequest } from './kubernetes/kubernetes.ts';
import type { Outbound } from './outbound.ts';
import type { FarSource, OutpostRequest, OutpostView } from './poll.ts';

export type { PollSettings };

/** Polls one source once. Never rejects, and settles when its signal is aborted. `onUrl` hears which URL of AWS is asked. */
export type Poll = (
  source: FarSource,
  settings: PollSettings,
  context: SourceContext,
  signal: AbortSignal,
  onUrl?: (url: string) => void,
) => Promise<Observation>;

export interface FarSideOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly outbound: Outbound;
  /** The program of the thread; a test may pass a different program. */
  readonly program?: URL;
  /** Limit of the thread's heap: work that needs more memory is a defect. The default is `HEAP_MB`. */
  readonly heapMb?: number;
  /** Called when memory can go back to the system: a thread with the AWS clients is about to start, or has ended. */
  readonly giveBack?: (when: 'thread-starts' | 'thread-ended') => void;
}

/** The program of the threads: it lies beside this file, in the source and in the bundle. */
const PROGRAM = new URL(
  import.meta.url.endsWith('.ts') ? './far-side-thread.ts' : './far-side-thread.js',
  import.meta.url,
);

/** From source the AWS clients take some 70 MB, and less from a bundle; a listing of a thousand interfaces takes some MB more. */
const HEAP_MB = 256;
/** A living thread reports within milliseconds how far an aborted call had come. */
const WORD_WITHIN_MS = 1_000;
const MISSED_DEADLINES = 3;
const MOST_NOT_ENDED = 2;

/**
 * The AWS clients stay for this long after the last poll. The sources of one cluster are polled together. A new thread costs
 * a tenth of a second of processor time: one percent at most, however the polls are spread.
 */
const AWS_IDLE_MS = 15_000;

export class FarSide implements Disposable {
  readonly #aws: CallThread;
  readonly #plain: CallThread;

  constructor(options: FarSideOptions) {
    this.#plain = new CallThread('far-side', options);
    this.#aws = new CallThread('aws', options, AWS_IDLE_MS);
  }

  readonly poll: Poll = (source, settings, context, signal, onUrl) => {
    const isForAws = traitsOf(source).service !== undefined;
    const request = { source, settings, context };
    const asked = isForAws
      ? this.#forAws().call('poll', request, signal, { onUrl })
      : this.#ask('poll', request, signal);
    return asked.catch((error: unknown) => {
      const { code: reason, message: detail } =
        error instanceof SourceError ? error : cannotAsk(`asking over https failed: ${String(error)}`);
      return failed(source, { reason, reachedFarSide: false, detail });
    });
  };

  /** One HEAD request. `silent`: it could not be sent, which says nothing about the link. Never rejects. */
  readonly head = (request: HeadRequest, signal: AbortSignal): Promise<HeadOutcome> =>
    this.#ask('head', request, signal).catch(() => 'silent' as const);

  /** One handshake with an address. `untried`: it could not be tried. Never rejects. */
  readonly prove = (request: CheckRequest, signal: AbortSignal): Promise<CheckResult> =>
    this.#ask('prove', request, signal).catch(() => ({ kind: 'untried', reason: 'not-asked' }) as const);

  /** What AWS says of an Outpost. Never rejects. */
  readonly outpost = (request: OutpostRequest, signal: AbortSignal): Promise<OutpostView> =>
    this.#forAws()
      .call('outpost', request, signal)
      .catch(
        (error: unknown): OutpostView => ({ kind: 'failed', reason: 'internal', detail: textOf(error) }),
      );

  /** The way to AWS, for `outpost-dns check`. Never rejects. */
  readonly inspectAws = (place: AwsPlace, signal: AbortSignal): Promise<AwsInspection> =>
    this.#forAws()
      .call('aws', place, signal)
      .catch(
        (error: unknown): AwsInspection => ({
          credentials: { kind: 'none', reason: 'internal', detail: textOf(error) },
        }),
      );

  /** A kubeconfig, for `outpost-dns check`, with one request to the API server. Never rejects. */
  readonly inspectKubeconfig = (request: KubeconfigRequest, signal: AbortSignal): Promise<KubeconfigFacts> =>
    this.#ask('kubeconfig', request, signal).catch(
      (error: unknown): KubeconfigFacts => ({ kind: 'unusable', detail: textOf(error) }),
    );

  /** Whether the thread is there that sends HEAD requests, started if need be. Never rejects, and settles when its signal is aborted. */
  readonly isReady = (signal: AbortSignal): Promise<boolean> => this.#forAll().isReady(signal);

  /** Keeps credentials in memory for these profiles alone; `undefined` is the profile of the environment. */
  retainProfiles(profiles: ReadonlySet<string | undefined>): void {
    this.#aws.retainProfiles(profiles);
  }

  /** Ends the threads; calls that still run fail. */
  [Symbol.dispose](): void {
    this.#aws[Symbol.dispose]();
    this.#plain[Symbol.dispose]();
  }

  /** A call that needs no AWS client, and so keeps no thread with them. */
  #ask<Name extends keyof Calls>(name: Name, request: Parameters<Calls[Name]>[0], signal: AbortSignal) {
    return this.#forAll().call(name, request, signal, { isGuest: true });
  }

  /** Two threads would take 10 MiB more at the moment at which the process has the most. */
  #forAll(): CallThread {
    return this.#aws.answers ? this.#aws : this.#plain;
  }

  #forAws(): CallThread {
    this.#plain.leave();
    return this.#aws;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

interface Waiting extends PromiseWithResolvers<unknown> {
  readonly onUrl: ((url: string) => void) | undefined;
}

interface CallOptions {
  readonly onUrl?: ((url: string) => void) | undefined;
  /** The call does not lengthen the life of the thread. */
  readonly isGuest?: boolean;
}

/** Calls that cross into one thread, which is there when it is needed. */
class CallThread implements Disposable {
  readonly #name: string;
  readonly #options: FarSideOptions;
  /** After this time without a call of its own kind the thread is ended; left out: it stays until `leave`. */
  readonly #idleMs: number | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastId = 0;
  /** Aborted calls in a row after which the thread said nothing at all. */
  #missed = 0;
  #missedAtMs = Number.NEGATIVE_INFINITY;
  /** Counts the messages of the thread. */
  #words = 0;
  #isDisposed = false;
  /** The number of threads that this process has asked to end and that still run. */
  #notEnded = 0;
  /** The log says that no thread is started. */
  #isRefusing = false;
  /** When it runs out, the thread ends with its last call. */
  #idle: Disposable | undefined;
  #isLeaving = false;
  /** Credentials for the next thread, in memory alone. */
  readonly #handed = new Map<string, KeptCredentials>();
  /** The profiles in use; without it, all. */
  #profiles: ReadonlySet<string | undefined> | undefined;

  constructor(name: string, options: FarSideOptions, idleMs?: number) {
    this.#name = name;
    this.#options = options;
    this.#idleMs = idleMs;
  }

  /** Whether the thread is there, and has not missed a deadline. */
  get answers(): boolean {
    return this.#worker !== undefined && this.#missed === 0;
  }

  /** Never rejects, and settles when its signal is aborted. */
  isReady(signal: AbortSignal): Promise<boolean> {
    return this.#ask((id) => ({ kind: 'hello', id }), signal, { isGuest: true }).then(
      () => true,
      () => false,
    );
  }

  /** Ends the thread; calls that still run fail. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#idle?.[Symbol.dispose]();
    this.#fail('the server is stopping');
    if (this.#worker !== undefined) this.#end(this.#worker);
  }

  async call<Name extends keyof Calls>(
    name: Name,
    request: Parameters<Calls[Name]>[0],
    signal: AbortSignal,
    options: CallOptions = {},
  ): Promise<Awaited<ReturnType<Calls[Name]>>> {
    const output = await this.#ask((id) => ({ kind: 'call', id, name, request }), signal, options);
    // the thread answers a call with a value of that call's type
    return output as Awaited<ReturnType<Calls[Name]>>;
  }

  /** When `signal` is aborted the thread says how far the call had come; a thread that says nothing is not waited for. */
  async #ask(
    compose: (id: number) => ToThread,
    signal: AbortSignal,
    { onUrl, isGuest = false }: CallOptions,
  ): Promise<unknown> {
    if (this.#isDisposed) throw cannotAsk('asking over https failed: the server is stopping');
    if (!isGuest) this.#stay();
    const worker = this.#running();
    const id = ++this.#lastId;
    const answer = { ...Promise.withResolvers<unknown>(), onUrl };
    this.#waiting.set(id, answer);
    const send = (message: ToThread): void => worker.postMessage(message);
    const { timers } = this.#options;
    let deadline: Disposable | undefined;
    const abort = (): void => {
      send({ kind: 'abort', id });
      const heard = this.#words;
      const giveUp = (): void => {
        if (this.#words === heard) this.#missedBy(worker);
        answer.reject(cannotAsk('asking over https failed: the thread that does it does not answer'));
      };
      deadline = timers.after(WORD_WITHIN_MS, () => {
        // where this loop itself stood still, messages that came meanwhile are read before the next timer
        deadline = timers.after(1, giveUp);
      });
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      send(compose(id));
      if (signal.aborted) abort();
      return await answer.promise;
    } finally {
      deadline?.[Symbol.dispose]();
      this.#waiting.delete(id);
      signal.removeEventListener('abort', abort);
      if (isGuest) this.#leaveIfDue();
      else this.#leaveLater();
    }
  }

  /** Ends the thread as soon as no call runs in it, and the thread before has ended. The next call starts a new thread. */
  leave(): void {
    this.#isLeaving = true;
    this.#leaveIfDue();
  }

  #stay(): void {
    this.#idle?.[Symbol.dispose]();
    this.#isLeaving = false;
  }

  /** A call has ended: the thread ends unless another call comes. */
  #leaveLater(): void {
    if (this.#idleMs === undefined || this.#isDisposed) return;
    this.#stay();
    this.#idle = this.#options.timers.after(this.#idleMs, () => this.leave());
  }

  #leaveIfDue(): void {
    const worker = this.#worker;
    if (!this.#isLeaving || this.#waiting.size > 0 || worker === undefined) return;
    // a file that hangs holds the end of the thread before, and would hold this one too: then no thread would be left
    if (this.#notEnded > 0) return;
    this.#worker = undefined;
    const isOfAws = this.#idleMs !== undefined;
    void this.#end(worker).then(() => {
      if (isOfAws) this.#options.giveBack?.('thread-ended');
    });
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    this.#refuseMore();
    this.#isLeaving = false;
    const { program, heapMb, outbound, log, giveBack } = this.#options;
    if (this.#idleMs !== undefined) giveBack?.('thread-starts');
    const workerData: ThreadData = { outbound, handed: this.#handed };
    smallNurseries();
    const worker = new Worker(program ?? PROGRAM, {
      name: this.#name,
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: heapMb ?? HEAP_MB },
    });
    worker.unref(); // it keeps no process alive: the end of the server does not wait for AWS
    worker.on('message', (message: FromThread) => this.#heard(message));
    worker.on('error', (error) => {
      FAR_SIDE_MESSAGES.threadEnded(log, { err: error });
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#ended('the thread that does it ended');
    });
    this.#worker = worker;
    this.#missed = 0;
    return worker;
  }

  #heard(message: FromThread): void {
    this.#words++;
    this.#missed = 0;
    if (message.kind === 'log') this.#options.log[message.level](message.fields, message.text);
    else if (message.kind === 'credentials') this.#keep(message);
    else if (message.kind === 'url') this.#waiting.get(message.id)?.onUrl?.(message.url);
    else this.#waiting.get(message.id)?.resolve(message.output);
  }

  #keep({ place, kept }: Extract<FromThread, { kind: 'credentials' }>): void {
    const isWanted = this.#profiles?.has(profileOf(place)) ?? true;
    if (kept === undefined || !isWanted) this.#handed.delete(place);
    else this.#handed.set(place, kept);
  }

  retainProfiles(profiles: ReadonlySet<string | undefined>): void {
    this.#profiles = profiles;
    for (const place of this.#handed.keys()) if (!profiles.has(profileOf(place))) this.#handed.delete(place);
  }

  /** Ends a thread that stands still; the next call starts a new thread. */
  #missedBy(worker: Worker): void {
    if (worker !== this.#worker) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#missedAtMs < WORD_WITHIN_MS) return; // calls that were aborted together miss one deadline
    this.#missedAtMs = nowMs;
    if (++this.#missed < MISSED_DEADLINES) return;
    FAR_SIDE_MESSAGES.threadReplaced(this.#options.log, { missedDeadlines: this.#missed });
    this.#ended('the thread that does it was replaced: it did not answer');
    this.#end(worker);
  }

  /** Throws while two threads hang: a third would most likely hang too. Each thread holds tens of MB, and delays the end of the process. */
  #refuseMore(): void {
    const threads = this.#notEnded;
    const isRefusing = threads >= MOST_NOT_ENDED;
    if (isRefusing && !this.#isRefusing) {
      FAR_SIDE_MESSAGES.threadsHang(this.#options.log, { threads });
    }
    this.#isRefusing = isRefusing;
    if (isRefusing)
      throw cannotAsk(`asking over https failed: ${threads} threads that did it have not ended`);
    const refusal = refusesThread();
    if (refusal !== undefined) throw cannotAsk(`asking over https failed: ${refusal}`);
  }

  async #end(worker: Worker): Promise<void> {
    this.#notEnded++;
    await endThread(worker);
    this.#notEnded--;
  }

  #ended(why: string): void {
    this.#worker = undefined;
    this.#fail(why);
  }

  #fail(why: string): void {
    for (const { reject } of this.#waiting.values()) reject(cannotAsk(`asking over https failed: ${why}`));
  }
}

/** The profile of a place as `textOfPlace` writes it; `undefined` is that of the environment. */
function profileOf(place: string): string | undefined {
  const [, profile]: unknown[] = JSON.parse(place);
  return typeof profile === 'string' ? profile : undefined;
}
