/**
 * All that speaks HTTPS as if it were here, while it lives in a thread of its own (far-side-thread.ts says why). The thread is
 * started with the first call. Where it ends by itself, or stands still, the calls under way fail, and the next call starts
 * another thread.
 *
 *     call --- aborted ---> the thread tells how far the call had come ------------------> the call fails
 *                               `-- no word within a second: a missed deadline ----------> the call fails
 *                                       `-- the third without any word in between -------> the thread is ended
 */

import { Worker } from 'node:worker_threads';
import type { Log } from '../log/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { endThread, threadsNotEnded } from '../runtime/threads.ts';
import type { Timers } from '../runtime/timers.ts';
import type { AwsCalls } from './aws/clients.ts';
import { classifyAwsFailure } from './aws/failure.ts';
import type { CallName, Calls, FromThread, ThreadData, ToThread } from './far-side-thread.ts';
import type { HeadOutcome, HeadRequest } from './head.ts';
import type { KubernetesLook } from './kubernetes/kubernetes.ts';
import type { Outbound } from './outbound.ts';
import { cannotAsk, observation, SourceError } from './source-error.ts';

export interface HttpsApartOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly outbound: Outbound;
  /** The program of the thread; a test may have another. */
  readonly program?: URL;
  /** Of the thread's heap; what needs more is a defect. Left out: `HEAP_MB`. */
  readonly heapMb?: number;
}

/** Beside this file, in the source and in the bundle. */
const PROGRAM = new URL(
  import.meta.url.endsWith('.ts') ? './far-side-thread.ts' : './far-side-thread.js',
  import.meta.url,
);

/** The AWS clients take some 70 MB, a listing of a thousand interfaces some megabytes more. */
const HEAP_MB = 256;
/** A thread that lives says how far an aborted call had come within milliseconds. */
const WORD_WITHIN_MS = 1_000;
const MISSED_DEADLINES = 3;
const MOST_NOT_ENDED = 2;

export class HttpsApart implements Disposable {
  readonly aws: AwsCalls;
  readonly #thread: Thread;

  constructor(options: HttpsApartOptions) {
    this.#thread = new Thread(options);
    this.aws = awsCallsOver(this.#thread, options.clock);
  }

  /** `silent`: the thread could not ask, which says nothing about the link. Never rejects. */
  readonly head = (request: HeadRequest, signal: AbortSignal): Promise<HeadOutcome> =>
    this.#thread.call('head', request, signal).catch(() => 'silent' as const);

  readonly kubernetes: KubernetesLook = (asked, signal) =>
    observation('kubernetes', this.aws.explain, () => this.#thread.call('kubernetes', asked, signal));

  /** Calls still under way fail. */
  [Symbol.dispose](): void {
    this.#thread.dispose();
  }
}

function awsCallsOver(thread: Thread, clock: Clock): AwsCalls {
  return {
    explain: (error) => classifyAwsFailure(error, clock.wallMs()),
    endpoint: (service, signal) => thread.call('endpoint', service, signal),
    ec2: {
      describeNetworkInterfaces: (place, input, signal) =>
        thread.call('ec2.describeNetworkInterfaces', { place, input }, signal),
      describeInstances: (place, input, signal) =>
        thread.call('ec2.describeInstances', { place, input }, signal),
    },
    eks: {
      describeCluster: (place, input, signal) => thread.call('eks.describeCluster', { place, input }, signal),
    },
    route53: {
      listHostedZonesByName: (place, input, signal) =>
        thread.call('route53.listHostedZonesByName', { place, input }, signal),
      listResourceRecordSets: (place, input, signal) =>
        thread.call('route53.listResourceRecordSets', { place, input }, signal),
    },
  };
}

class Thread {
  readonly #options: HttpsApartOptions;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #worker: Worker | undefined;
  #lastId = 0;
  /** Aborted calls in a row of which the thread has said nothing, nor anything else. */
  #missed = 0;
  #missedAtMs = Number.NEGATIVE_INFINITY;
  /** Counts what the thread says. */
  #words = 0;
  #isDisposed = false;
  /** It has been logged that no thread is started. */
  #isRefusing = false;

  constructor(options: HttpsApartOptions) {
    this.#options = options;
  }

  /** When `signal` is aborted the thread says how far the call had come; a thread that says nothing is not waited for. */
  async call<Name extends CallName>(
    name: Name,
    asked: Parameters<Calls[Name]>[0],
    signal: AbortSignal,
  ): Promise<Awaited<ReturnType<Calls[Name]>>> {
    if (this.#isDisposed) throw cannotAsk('asking over https failed: the server is stopping');
    const worker = this.#running();
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    const tell = (message: ToThread): void => worker.postMessage(message);
    let deadline: Disposable | undefined;
    const abort = (): void => {
      tell({ kind: 'abort', id });
      const heard = this.#words;
      const { timers } = this.#options;
      const judge = (): void => {
        if (this.#words === heard) this.#missedBy(worker);
        answer.reject(cannotAsk('asking over https failed: the thread that does it does not answer'));
      };
      deadline = timers.after(WORD_WITHIN_MS, () => {
        // where this loop itself stood still, what the thread has said meanwhile is read before the next timer
        deadline = timers.after(1, judge);
      });
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      tell({ kind: 'call', id, name, asked });
      if (signal.aborted) abort();
      // the assertion: the thread answers a call with what that call gives
      return (await answer.promise) as Awaited<ReturnType<Calls[Name]>>;
    } finally {
      deadline?.[Symbol.dispose]();
      this.#waiting.delete(id);
      signal.removeEventListener('abort', abort);
    }
  }

  dispose(): void {
    this.#isDisposed = true;
    this.#fail('the server is stopping');
    if (this.#worker !== undefined) endThread(this.#worker);
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    this.#refuseMore();
    const { program, heapMb, outbound, log } = this.#options;
    const workerData: ThreadData = { outbound };
    const worker = new Worker(program ?? PROGRAM, {
      name: 'https',
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: heapMb ?? HEAP_MB },
    });
    worker.unref(); // it keeps no process alive: who stops the server does not wait for AWS
    worker.on('message', (message: FromThread) => this.#heard(message));
    worker.on('error', (error) => {
      log.error({ err: error }, 'the thread that speaks https ended because of a defect: please report it');
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
    switch (message.kind) {
      case 'log':
        this.#options.log[message.level](message.fields, message.text);
        return;
      case 'done':
        this.#waiting.get(message.id)?.resolve(message.output);
        return;
      case 'failed':
        this.#waiting.get(message.id)?.reject(new SourceError(message.failure));
    }
  }

  /** A thread that stands still is ended, and the next call starts another. */
  #missedBy(worker: Worker): void {
    if (worker !== this.#worker) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#missedAtMs < WORD_WITHIN_MS) return; // calls that were aborted together miss one deadline
    this.#missedAtMs = nowMs;
    if (++this.#missed < MISSED_DEADLINES) return;
    this.#options.log.error(
      { missedDeadlines: this.#missed },
      'the thread that speaks https does not answer and is replaced: please report it',
    );
    this.#ended('the thread that does it was replaced: it did not answer');
    endThread(worker);
  }

  /** What made two threads hang would most likely make a third one hang: each holds some 70 MB, and the end of the process. */
  #refuseMore(): void {
    const threads = threadsNotEnded();
    const isRefusing = threads >= MOST_NOT_ENDED;
    if (isRefusing && !this.#isRefusing) {
      this.#options.log.error(
        { threads },
        'threads that speak https hang in the operating system: nothing is asked over https until one has ended',
      );
    }
    this.#isRefusing = isRefusing;
    if (isRefusing)
      throw cannotAsk(`asking over https failed: ${threads} threads that did it have not ended`);
  }

  #ended(why: string): void {
    this.#worker = undefined;
    this.#fail(why);
  }

  #fail(why: string): void {
    for (const { reject } of this.#waiting.values()) reject(cannotAsk(`asking over https failed: ${why}`));
  }
}
