/**
 * All that speaks HTTPS as if it were here, while it lives in a thread of its own (https-thread.ts says why). The thread is
 * started with the first call. Where it ends by itself, the calls under way fail, and the next one starts another.
 */
import { Worker } from 'node:worker_threads';
import type { Log } from '../../log/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Ping } from '../link-probe.ts';
import type { AwsCalls } from './aws-clients.ts';
import { classifyAwsFailure } from './aws-failure.ts';
import type { HeadRequest } from './http-head.ts';
import type { CallName, Calls, FromThread, ToThread } from './https-thread.ts';
import type { KubernetesLook } from './kubernetes.ts';
import { cannotAsk, observation, SourceError } from './source-error.ts';

export interface HttpsApartOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** The program of the thread; a test may have another. */
  readonly program?: URL;
}

/** Beside this file, in the source and in the bundle. */
const PROGRAM = new URL(
  import.meta.url.endsWith('.ts') ? './https-thread.ts' : './https-thread.js',
  import.meta.url,
);

export class HttpsApart implements Disposable {
  readonly aws: AwsCalls;
  readonly #thread: Thread;

  constructor(options: HttpsApartOptions) {
    this.#thread = new Thread(options);
    this.aws = awsCallsOver(this.#thread, options.clock);
  }

  /** `silent`: nothing could be sent, which says nothing about who was to be asked. Never rejects. */
  readonly head = (request: HeadRequest, signal: AbortSignal): ReturnType<Ping> =>
    this.#thread
      .call('head', request, signal, () => noAnswer('aws'))
      .catch(() => (signal.aborted ? 'timeout' : 'silent'));

  readonly kubernetes: KubernetesLook = (asked, signal) =>
    observation('kubernetes', this.aws.explain, () =>
      this.#thread.call('kubernetes', asked, signal, () => noAnswer('the api server')),
    );

  /** Calls still under way fail. */
  [Symbol.dispose](): void {
    this.#thread.dispose();
  }
}

function noAnswer(from: string): SourceError {
  const detail = `asking ${from} failed: no answer within the deadline`;
  return new SourceError({ reason: 'timeout', reachedFarSide: false, detail });
}

function awsCallsOver(thread: Thread, clock: Clock): AwsCalls {
  return {
    explain: (error) => classifyAwsFailure(error, clock.wallMs()),
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
  #isDisposed = false;

  constructor(options: HttpsApartOptions) {
    this.#options = options;
  }

  /**
   * When `signal` is aborted the thread says how far the call had come; with `late` that is not waited for, and the call
   * fails at once, whatever the thread does.
   */
  async call<Name extends CallName>(
    name: Name,
    asked: Parameters<Calls[Name]>[0],
    signal: AbortSignal,
    late?: () => SourceError,
  ): Promise<Awaited<ReturnType<Calls[Name]>>> {
    if (this.#isDisposed) throw cannotAsk('asking over https failed: the server is stopping');
    const worker = this.#running();
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    const tell = (message: ToThread): void => worker.postMessage(message);
    const abort = (): void => {
      tell({ kind: 'abort', id });
      if (late !== undefined) answer.reject(late());
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      tell({ kind: 'call', id, name, asked });
      if (signal.aborted) abort();
      // the assertion: the thread answers a call with what that call gives
      return (await answer.promise) as Awaited<ReturnType<Calls[Name]>>;
    } finally {
      this.#waiting.delete(id);
      signal.removeEventListener('abort', abort);
    }
  }

  dispose(): void {
    this.#isDisposed = true;
    this.#fail('the server is stopping');
    void this.#worker?.terminate();
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(this.#options.program ?? PROGRAM, { name: 'https' });
    worker.unref(); // it keeps no process alive: who stops the server does not wait for AWS
    worker.on('message', (message: FromThread) => this.#heard(message));
    worker.on('error', (error) => {
      this.#options.log.error(
        { err: error },
        'the thread that speaks https ended because of a defect: please report it',
      );
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      this.#fail('the thread that does it ended');
    });
    this.#worker = worker;
    return worker;
  }

  #heard(message: FromThread): void {
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

  #fail(why: string): void {
    for (const { reject } of this.#waiting.values()) reject(cannotAsk(`asking over https failed: ${why}`));
  }
}
