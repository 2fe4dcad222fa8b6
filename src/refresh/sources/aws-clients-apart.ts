/**
 * The AWS clients as if they were here, while they live in a thread of their own (aws-thread.ts says why). The thread is
 * started with the first call. Where it ends by itself, the calls under way fail, and the next one starts another.
 */
import { Worker } from 'node:worker_threads';
import type { Log } from '../../log/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { AwsCall, AwsClients } from './aws-clients.ts';
import { classifyAwsFailure } from './aws-failure.ts';
import type { CallName, FromThread, ToThread } from './aws-thread.ts';
import { cannotAsk, SourceError } from './source-error.ts';

export interface AwsClientsApartOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** The program of the thread; a test may have another. */
  readonly program?: URL;
}

/** Beside this file, in the source and in the bundle. */
const PROGRAM = new URL(
  import.meta.url.endsWith('.ts') ? './aws-thread.ts' : './aws-thread.js',
  import.meta.url,
);

export function createAwsClientsApart(options: AwsClientsApartOptions): AwsClients {
  const { clock } = options;
  const thread = new AwsThread(options);
  const call = <Input, Output>(name: CallName): AwsCall<Input, Output> => {
    return async (place, input, signal) => {
      const output = await thread.call(name, place, input, signal);
      return output as Output; // the assertion: the thread answers a call with what that call gives
    };
  };
  return {
    explain: (error) => classifyAwsFailure(error, clock.wallMs()),
    ec2: {
      describeNetworkInterfaces: call('ec2.describeNetworkInterfaces'),
      describeInstances: call('ec2.describeInstances'),
    },
    eks: { describeCluster: call('eks.describeCluster') },
    route53: {
      listHostedZonesByName: call('route53.listHostedZonesByName'),
      listResourceRecordSets: call('route53.listResourceRecordSets'),
    },
    dispose: () => thread.dispose(),
  };
}

class AwsThread {
  readonly #options: AwsClientsApartOptions;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #worker: Worker | undefined;
  #lastId = 0;
  #isDisposed = false;

  constructor(options: AwsClientsApartOptions) {
    this.#options = options;
  }

  async call(
    name: CallName,
    place: Parameters<AwsCall<unknown, unknown>>[0],
    input: unknown,
    signal: AbortSignal,
  ): Promise<unknown> {
    if (this.#isDisposed) throw cannotAsk('asking aws failed: the server is stopping');
    const worker = this.#running();
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    const tell = (message: ToThread): void => worker.postMessage(message);
    const abort = (): void => tell({ kind: 'abort', id });
    signal.addEventListener('abort', abort, { once: true });
    try {
      tell({ kind: 'call', id, name, place, input });
      if (signal.aborted) abort();
      return await answer.promise;
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
    const worker = new Worker(this.#options.program ?? PROGRAM, { name: 'aws' });
    worker.unref(); // it keeps no process alive: who stops the server does not wait for AWS
    worker.on('message', (message: FromThread) => this.#heard(message));
    worker.on('error', (error) => {
      this.#options.log.error({ err: error }, 'aws clients ended because of a defect: please report it');
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      this.#fail('the thread of its clients ended');
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
    for (const { reject } of this.#waiting.values()) reject(cannotAsk(`asking aws failed: ${why}`));
  }
}
